"""Operations of a worker, declared once: names, arguments and results.

mypy checks `worker.call(Operations.logits, run=…, weights=…, images=…)` against this module.
Arguments are passed by name; a tuple arrives as a list. `run` is a RunSpec as plain values
(`model_dump(mode="json")`). `weights` are canonical names -> arrays of the declared shapes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Array, Arrays
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.layers.declaration import Parameter

# The arguments and the result of one operation.
Given = ParamSpec("Given")
Found = TypeVar("Found")
RunFields = Mapping[str, object]


class BatchArrays(TypedDict):
    """One batch: images (N, H, W, C) float; labels (N,) int64, or soft ones (N, num_classes)."""

    images: NDArray[np.floating]
    labels: Array


class ParameterRow(TypedDict):
    """One row of a model's parameter table."""

    name: str
    shape: list[int]
    is_trainable: bool
    weight_decay: float


def describe_parameter(parameter: Parameter) -> ParameterRow:
    """Return the table's row of a parameter, which is declared or read from a built model."""
    return {
        "name": parameter.name,
        "shape": list(parameter.shape),
        "is_trainable": parameter.is_trainable,
        "weight_decay": parameter.weight_decay,
    }


class LossAndGradients(TypedDict):
    """A loss, and its gradient: canonical name -> array of the parameter's shape."""

    loss: float
    gradients: Weights


class TakenSteps(TypedDict):
    """The loss of each step, and the weights and optimiser state after the last one."""

    losses: list[float]
    weights: Weights
    state: Arrays


class DataFingerprints(TypedDict):
    """Fingerprints of the images that something was measured on."""

    source_fingerprint: str
    split_fingerprint: str


class ChannelScores(TypedDict):
    """The channel-selection statistic, tap -> (C,), and the images that it comes from."""

    scores: dict[str, NDArray[np.float64]]
    labels_without_images: list[int]
    num_images: int
    data: DataFingerprints


class ExportedSize(TypedDict):
    """Parameters of an exported network, and its multiply-adds per image."""

    exported_parameters: int
    exported_macs: int


class RateFacts(TypedDict):
    """Facts about a timed run that turn seconds into rates."""

    batch_size: int
    num_batches: int
    num_images: int
    macs: int
    precision: str
    is_deterministic: bool
    input_shape: list[int]


class SweptRates(TypedDict):
    """The losses of a sweep of the rate, and the run that was swept, as plain values.

    `losses` has a value for each rate that was taken; the sweep ends early if they diverge. `stage`
    is the stage that was swept, empty for a run of one stage.
    """

    losses: list[float]
    is_diverged: bool
    stage: str
    run: dict[str, object]


class TimingSamples(RateFacts):
    """All samples of a timed process: row -> seconds, and the load before and after."""

    seconds: dict[str, list[float]]
    matmul_flops_per_second: float
    peak_memory_bytes: int
    peak_device_bytes: int | None
    environment: dict[str, object]
    load: list[float]


class Operations(Protocol):
    """Operations of one worker process; `server/operations.py` answers them."""

    def describe(self) -> dict[str, object]:
        """Describe versions, device and switches, and the interpreter that has them."""

    def parameters(self, *, run: RunFields) -> list[ParameterRow]:
        """Return the parameter table of the built model."""

    def logits(
        self, *, run: RunFields, weights: Weights, images: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Compute logits (N, num_classes) of images (N, H, W, C), in evaluation mode."""

    def features(
        self,
        *,
        run: RunFields,
        weights: Weights,
        images: NDArray[np.floating],
        taps: Sequence[str],
    ) -> dict[str, NDArray[np.floating]]:
        """Compute tap -> map (N, H, W, C), or (N, C), of images (N, H, W, C) in evaluation mode.

        `logits` is the name of the logits.
        """

    def map_and_gradient(
        self,
        *,
        run: RunFields,
        weights: Weights,
        images: NDArray[np.floating],
        labels: NDArray[np.int64],
        tap: str,
    ) -> dict[str, NDArray[np.floating]]:
        """Compute a `map` (N, h, w, c), and the `gradient` (N, h, w, c) of logits at it.

        It is the logit of each image's class in `labels` (N,). Images are (N, H, W, C).
        """

    def start_predicting(self, *, run: RunFields, weights: Weights) -> None:
        """Build a network from canonical `Weights`; it stays in this process until the next one."""

    def predict_batch(self, *, images: NDArray[np.floating]) -> NDArray[np.floating]:
        """Compute that network's logits (N, num_classes) of images (N, H, W, C), as a run does."""

    def start_explaining(self, *, run: RunFields, weights: Weights) -> None:
        """Build a network from canonical `Weights` for `explain_batch`; it stays here."""

    def explain_batch(
        self, *, images: NDArray[np.floating], labels: NDArray[np.int64], tap: str
    ) -> dict[str, NDArray[np.floating]]:
        """Compute that network's `map_and_gradient`, (N, h, w, c) each, of images (N, H, W, C)."""

    def loss_and_gradients(
        self, *, run: RunFields, weights: Weights, batch: BatchArrays, step: int = 0
    ) -> LossAndGradients:
        """Compute one batch's loss () and all gradients (…), with the noise of `step`."""

    def measure_latency(self, *, run: RunFields, weights: Weights, num_images: int = 1) -> float:
        """Measure median seconds for logits (N, num_classes) of N = `num_images` images."""

    def hyper_gradients(
        self,
        *,
        run: RunFields,
        weights: Sequence[Weights],
        state: Arrays,
        batch: BatchArrays,
        learning_rate: float,
    ) -> list[LossAndGradients]:
        """Compute outer loss () and hyper-gradient (…) of one batch, for each set of `Weights`.

        `state` is the trainer's, arrays (…) by name; the batch has images (N, H, W, C).
        """

    def channel_scores(
        self, *, run: RunFields, taps: Sequence[str], num_shards: int = 1
    ) -> ChannelScores:
        """Compute the channel-selection statistic of the teacher over the training images.

        An empty `taps` stands for the taps that the teacher declares.
        """

    def export(
        self,
        *,
        run: RunFields,
        weights: Weights,
        path: str,
        precision: str,
        calibration: NDArray[np.uint8],
        merges_shortcuts: bool,
    ) -> ExportedSize:
        """Fold a trained network and write it as this backend's file, which takes uint8 images.

        `calibration` are images (N, H, W, C) uint8 for the scales of int8.
        """

    def read_published(self, *, path: str) -> Arrays:
        """Read arrays (…) of a file in the framework's own format, under its own names.

        Raises:
            UsageError: The file is unreadable, or has no weights.
        """

    def write_published(self, *, path: str, tensors: Arrays) -> None:
        """Write arrays (…) into a file in the framework's own format."""

    def fetch_imagenet(self, *, name: str) -> Arrays:
        """Download ImageNet weights (…) of one of the framework's own models."""

    def train_steps(
        self,
        *,
        run: RunFields,
        weights: Weights,
        batches: Sequence[BatchArrays],
        learning_rates: Sequence[float],
    ) -> TakenSteps:
        """Take steps of the real trainer, one per learning rate, on the batches in turn.

        It starts from canonical `Weights`; a batch has images (N, H, W, C).
        """

    def sweep_rates(self, *, run: RunFields, learning_rates: Sequence[float]) -> SweptRates:
        """Take one step of training at each rate, on the train part alone, until they diverge.

        The steps are those of the run's first stage, but for the rates.

        Raises:
            UsageError: The spec or the data do not allow the run.
        """

    def train(
        self,
        *,
        run: RunFields,
        folder: str,
        command: str,
        save_every: str,
        is_resumed: bool = False,
    ) -> dict[str, object]:
        """Train a run into its folder, or continue it, and return the comparison table's row.

        `command` is recorded in the folder; `save_every` is the time between checkpoints, as in
        `save_schedule`.

        Raises:
            UsageError: The spec or the data do not allow the run.
            CheckFailed: A value is not finite, memory has ended, or the file system refused a file.
            Interrupted, Terminated: A signal came; everything is saved.
        """

    def try_steps(self, *, run: RunFields, num_steps: int = 2) -> None:
        """Take some steps and an evaluation on noise, to see if a run fits into memory.

        Raises:
            CheckFailed: Memory has ended.
        """

    def start_timing(self, *, run: RunFields, side: Mapping[str, object]) -> None:
        """Build one side of a bench and take its first step; it stays alive in this process.

        `side` is a `spec.bench.Side` as plain values.
        """

    def time_steps(self, *, warmup_steps: int, timed_steps: int, timed_seconds: float) -> None:
        """Take one turn of that side, as in `spec.bench.Turn`."""

    def finish_timing(self) -> TimingSamples:
        """End that side, and return its raw samples."""


# An operation such as `Operations.logits`, or a function that a test adds.
Operation = Callable[Concatenate[Operations, Given], Found]
