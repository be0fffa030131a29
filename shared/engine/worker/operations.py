"""What a worker can be asked to do, declared once: names, arguments and results.

`worker.call(Operations.logits, run=…, weights=…, images=…)` is checked against this page by mypy.
Arguments cross by name; a tuple arrives as a list. `run` is a RunSpec as plain values
(`model_dump(mode="json")`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Array, Arrays
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.layers import Parameter

Given = ParamSpec("Given")
Found = TypeVar("Found")
RunFields = Mapping[str, object]


class BatchArrays(TypedDict):
    """Images (N, H, W, C); labels (N,), or soft ones (N, num_classes)."""

    images: NDArray[np.floating]
    labels: Array


class ParameterRow(TypedDict):
    """One row of a model's parameter table."""

    name: str
    shape: list[int]
    is_trainable: bool
    weight_decay: float


def describe_parameter(parameter: Parameter) -> ParameterRow:
    """A parameter's row, declared or built."""
    return {
        "name": parameter.name,
        "shape": list(parameter.shape),
        "is_trainable": parameter.is_trainable,
        "weight_decay": parameter.weight_decay,
    }


class LossAndGradients(TypedDict):
    """A loss, and its gradient by canonical names."""

    loss: float
    gradients: Weights


class TakenSteps(TypedDict):
    """The loss of each step, then weights and optimiser state after the last one."""

    losses: list[float]
    weights: Weights
    state: Arrays


class DataFingerprints(TypedDict):
    """Which images something was measured on."""

    source_fingerprint: str
    split_fingerprint: str


class ChannelScores(TypedDict):
    """The channel-selection statistic: tap -> (C,), and what it was counted on."""

    scores: dict[str, NDArray[np.float64]]
    labels_without_images: list[int]
    num_images: int
    data: DataFingerprints


class ExportedSize(TypedDict):
    """What an exported network holds and computes for an image."""

    exported_parameters: int
    exported_macs: int


class RateFacts(TypedDict):
    """What turns seconds into rates."""

    batch_size: int
    num_batches: int
    num_images: int
    macs: int
    precision: str
    is_deterministic: bool
    input_shape: list[int]


class TimingSamples(RateFacts):
    """Every sample of a timed process: row -> `seconds`; `load` before and after."""

    seconds: dict[str, list[float]]
    matmul_flops_per_second: float
    peak_memory_bytes: int
    peak_device_bytes: int | None
    environment: dict[str, object]
    load: list[float]


class Operations(Protocol):
    """Operations of one worker process; `server/operations.py` answers them."""

    def describe(self) -> dict[str, object]:
        """Versions, device and switches, and the interpreter that holds them."""

    def parameters(self, *, run: RunFields) -> list[ParameterRow]:
        """The built model's parameter table."""

    def logits(
        self, *, run: RunFields, weights: Weights, images: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """(N, num_classes) of images (N, H, W, C), in evaluation mode."""

    def features(
        self,
        *,
        run: RunFields,
        weights: Weights,
        images: NDArray[np.floating],
        taps: Sequence[str],
    ) -> dict[str, NDArray[np.floating]]:
        """Named maps in evaluation mode; the tap `logits` gives the logits."""

    def loss_and_gradients(
        self, *, run: RunFields, weights: Weights, batch: BatchArrays, step: int = 0
    ) -> LossAndGradients:
        """Loss of one batch and every gradient; the noise is that of `step`."""

    def measure_latency(self, *, run: RunFields, weights: Weights, num_images: int = 1) -> float:
        """Median seconds of the logits of so many images at once."""

    def hyper_gradients(
        self,
        *,
        run: RunFields,
        weights: Sequence[Weights],
        state: Arrays,
        batch: BatchArrays,
        learning_rate: float,
    ) -> list[LossAndGradients]:
        """Outer loss and hyper-gradient of one batch, for each set of weights."""

    def channel_scores(
        self, *, run: RunFields, taps: Sequence[str], num_shards: int = 1
    ) -> ChannelScores:
        """Channel-selection statistic of the source's taps over the training images.

        No taps: those that the source names.
        """

    def export(
        self,
        *,
        run: RunFields,
        weights: Weights,
        path: str,
        precision: str,
        calibration: NDArray[np.float32],
        merges_shortcuts: bool,
    ) -> ExportedSize:
        """Fold a trained network and write it as this backend's file."""

    def read_published(self, *, path: str) -> Arrays:
        """Arrays of a file in the framework's own format, by its own names.

        Raises:
            UsageError: Unreadable, or without weights.
        """

    def write_published(self, *, path: str, tensors: Arrays) -> None:
        """Write such a file."""

    def fetch_imagenet(self, *, name: str) -> Arrays:
        """Download ImageNet weights of one of the framework's own models."""

    def train_steps(
        self,
        *,
        run: RunFields,
        weights: Weights,
        batches: Sequence[BatchArrays],
        learning_rates: Sequence[float],
    ) -> TakenSteps:
        """Steps of the real trainer, one a rate; the batches come in turn."""

    def train(
        self,
        *,
        run: RunFields,
        folder: str,
        command: str,
        save_every: str,
        is_resumed: bool = False,
    ) -> dict[str, object]:
        """A whole run into its folder, or what is left of it; returns the comparison table's row.

        `command` is kept in the folder; `save_every` says when to save: see `save_schedule`.

        Raises:
            UsageError: The spec or the data do not allow it.
            CheckFailed: Not finite, out of memory, or the file system refused a file.
            Interrupted, Terminated: A signal came; everything is saved.
        """

    def try_steps(self, *, run: RunFields, num_steps: int = 2) -> None:
        """Some steps and an evaluation on noise, to see whether a run fits into memory.

        Raises:
            CheckFailed: It does not.
        """

    def start_timing(self, *, run: RunFields, side: Mapping[str, object]) -> None:
        """Build one side of a bench and take its first step; it stays in this process.

        `side` is a `spec.bench.Side` as plain values.
        """

    def time_steps(self, *, warmup_steps: int, timed_steps: int, timed_seconds: float) -> None:
        """A turn of that side: see `spec.bench.Turn`."""

    def finish_timing(self) -> TimingSamples:
        """Its raw samples."""


# One of them, as `Operations.logits`, or a function that a test adds.
Operation = Callable[Concatenate[Operations, Given], Found]
