"""The contract that both backends implement, and the only place that loads one.

Only Python and NumPy values cross this line: images (N, H, W, C) float32, labels (N,) int64 or soft
ones (N, num_classes) float32, logits (N, num_classes), maps NHWC; weights are canonical name ->
array.
"""

import importlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from poc.shared.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poc.shared.files.arrays import Array, Arrays
    from poc.shared.spec.networks.initializers import Weights
    from poc.shared.spec.networks.layers import Parameter
    from poc.shared.spec.networks.network import Network
    from poc.shared.spec.resolved import ResolvedRun
    from poc.shared.spec.run import RunSpec

    from .numerics.noise import Noise

Extras = Mapping[str, "Array"]
PACKAGES = {"tf": ("tensorflow", "keras"), "torch": ("torch",)}


class Trainer(Protocol):
    """A model under training; created as `backend.Trainer(run, weights)`.

    Most methods give a loss, and the trainer takes its gradient and the optimiser's step. A method
    may own its update instead (`Objective.owns_update` in both trees): it then moves the model and
    all else that it trains, adds its own `metrics`, and its `state` is all that a resume needs
    beside the weights. `weights` holds the model's and the method's parameters alike.
    """

    def step(
        self,
        images: "NDArray[np.floating]",
        labels: "Array",
        learning_rate: float,
        noise: "Noise",
        extras: "Extras | None" = None,
    ) -> None:
        """One update; never waits for the device.

        `extras` is what the loop knows beside the batch: kept outputs of the source network, each
        (N, …) under the name that `teacher_outputs` gives it, and numbers of this step, each a
        scalar under `coefficient/…`.
        """

    def prepared_step(
        self,
        images: "NDArray[np.floating]",
        labels: "Array",
        learning_rate: float,
        noise: "Noise",
        extras: "Extras | None" = None,
    ) -> "Callable[[], None]":
        """The same update with its arguments on the device already: what a step costs bare."""

    @property
    def num_compilations(self) -> int:
        """Programs that were traced or compiled for the update so far."""

    def teacher_outputs(self, images: "NDArray[np.floating]") -> "dict[str, NDArray[np.floating]]":
        """What the objective computes from what is frozen, each (N, …); empty without such."""

    def metrics(self) -> dict[str, float]:
        """Means over the steps since the last call (`loss`, `accuracy`, …); waits for the device.

        `count` is the number of examples that the means are over; `bad_step` is the index, since
        the last call, of the first step with a non-finite loss, or -1.
        """

    def wait(self) -> None:
        """Return when the device has done all that was asked of it."""

    def load(self, weights: "Weights") -> None:
        """Replace the weights; the optimiser's state stays."""

    def logits(
        self, images: "NDArray[np.floating]", extras: "Extras | None" = None
    ) -> "NDArray[np.floating]":
        """(N, num_classes) in evaluation mode.

        Where `extras` holds all that `teacher_outputs` gave of the images, they are not looked at
        and may be of height and width 0.
        """

    def norm_statistics(self, images: "NDArray[np.floating]") -> "dict[str, NDArray[np.floating]]":
        """Batch mean and Bessel-corrected variance at every batch norm that is not frozen.

        Under the names of the running statistics, each (C,); nothing is changed.
        """

    def weights(self, names: "Collection[str] | None" = None) -> "Weights":
        """Canonical weights, running statistics included; of these `names` alone."""

    def state(self) -> "Arrays":
        """Optimiser and method state under canonical names; with `weights`, all that is trained.

        A method that trains something else (meta parameters, moments of its own) gives it here or
        among the weights.
        """

    def restore(self, state: Mapping[str, "Array"]) -> None:
        """Take back what `state` gave."""

    def counts(self) -> dict[str, float]:
        """What `metrics` would give next, unrounded: totals as they stand; waits for the device.

        `num_steps` is the number of steps that they cover, `good_steps` how many of them came
        before the first non-finite loss.
        """

    def restore_counts(self, counts: Mapping[str, float]) -> None:
        """Take back what `counts` gave, so that a resume rounds as the uninterrupted run does."""


class Backend(Protocol):
    """What `poc.tf_impl` and `poc.torch_impl` offer."""

    def describe(self) -> dict[str, object]:
        """Versions, device, threads, precision and compile switches: goes into every report."""

    def prepare(self, run: "RunSpec") -> None:
        """Set process-wide switches (threads, determinism, TF32) before anything is built."""

    def measure_matmul_flops(self, run: "RunSpec") -> float:
        """Floating-point operations a second of a large matrix product in the run's precision."""

    def peak_device_bytes(self, run: "RunSpec") -> int | None:
        """Most memory that was taken on an accelerator; none on the CPU."""

    def parameters(self, run: "ResolvedRun") -> "Sequence[Parameter]":
        """The parameter table, read off the built model."""

    def Trainer(self, run: "ResolvedRun", weights: "Weights") -> Trainer:  # noqa: N802
        """A model under training, from these weights."""

    def loss_and_gradients(
        self,
        run: "ResolvedRun",
        weights: "Weights",
        images: "NDArray[np.floating]",
        labels: "Array",
        noise: "Noise",
        extras: "Extras",
    ) -> "tuple[float, Weights]":
        """Loss of one batch in training mode, and the gradient of every trainable parameter."""

    def features(
        self,
        run: "ResolvedRun",
        weights: "Weights",
        images: "NDArray[np.floating]",
        taps: Sequence[str],
    ) -> "dict[str, NDArray[np.floating]]":
        """Named intermediate maps in evaluation mode; the tap `logits` gives the logits."""

    def map_batches(
        self,
        run: "ResolvedRun",
        network: "Network",
        weights: "Weights",
        taps: Sequence[str],
        batches: "Iterable[NDArray[np.floating]]",
    ) -> "Iterator[dict[str, NDArray[np.floating]]]":
        """Taps of any network for one batch of images after the other, evaluation mode."""

    def hyper_gradient(
        self,
        run: "ResolvedRun",
        weights: "Weights",
        state: "Mapping[str, Array]",
        images: "NDArray[np.floating]",
        labels: "Array",
        learning_rate: float,
        noise: "Noise",
    ) -> "tuple[float, Weights]":
        """Outer loss of one batch and its gradient on the meta-parameters (methods with some).

        The weights are taken as the parameters after the batch's kept step, and `state` holds its
        momentum; nothing is updated.
        """

    def export_network(
        self,
        network: "Network",
        weights: "Weights",
        path: str,
        *,
        precision: str,
        calibration: "NDArray[np.float32]",
    ) -> None:
        """Write a file that runs without the framework: images -> logits, any batch size."""

    def read_published(self, path: str) -> "Arrays":
        """Arrays of a file in the framework's own format, by its own names; runs none of its code.

        Raises:
            UsageError: Unreadable, or without weights.
        """

    def write_published(self, path: str, tensors: "Mapping[str, Array]") -> None:
        """Write such a file."""

    def fetch_imagenet(self, name: str) -> "Arrays":
        """Download the ImageNet weights of one of the framework's own models, by its own names."""


def missing_packages(name: str) -> list[str]:
    """Packages that the backend needs and this interpreter lacks."""
    return [package for package in PACKAGES[name] if find_spec(package) is None]


def load(name: str) -> Backend:
    """Import a backend: the only dynamic import of the project.

    Raises:
        UsageError: Unknown name, or its framework is not installed.
    """
    if name not in PACKAGES:
        raise UsageError(f"received the backend {name!r}; allowed are tf and torch: choose one")
    if missing := missing_packages(name):
        raise UsageError(
            f"received the backend {name!r}, which needs {' and '.join(missing)}, not installed "
            f"here; install with: pip install 'poc[{name}]'"
        )
    return cast("Backend", importlib.import_module(f"poc.{name}_impl"))
