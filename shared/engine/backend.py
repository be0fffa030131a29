"""The contract that both backends implement, and the only place that loads one.

Only Python and NumPy values cross this line: images (N, H, W, C) float32, labels (N,) int64 or soft
ones (N, num_classes) float32, logits (N, num_classes), maps (N, H, W, C). `Weights` are canonical
name -> array.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from poc.shared.errors import UsageError
from poc.shared.spec.suggestions import likeliest

from .trainer import Extras, Trainer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poc.shared.files.arrays import Array, Arrays
    from poc.shared.spec.data import Normalization
    from poc.shared.spec.networks.initializers import Weights
    from poc.shared.spec.networks.layers.declaration import Parameter
    from poc.shared.spec.networks.network import Network
    from poc.shared.spec.resolved import ResolvedRun
    from poc.shared.spec.run import RunSpec

    from .numerics.noise import Noise
    from .ranks.place import Place

__all__ = [
    "PACKAGES",
    "Backend",
    "Extras",
    "MapAndGradient",
    "Trainer",
    "load",
    "missing_packages",
]

PACKAGES = {"tf": ("tensorflow", "keras"), "torch": ("torch",)}
# Of images, labels and a tap: the map and the gradient at it.
MapAndGradient = Callable[
    ["NDArray[np.floating]", "NDArray[np.int64]", str],
    "tuple[NDArray[np.floating], NDArray[np.floating]]",
]


class Backend(Protocol):
    """The functions of `poc.tf_impl` and `poc.torch_impl`."""

    def describe(self, run: "RunSpec") -> dict[str, object]:
        """Return versions, the run's device, threads and switches, for every report.

        The device is `cpu` or the name of the GPU's model, in the same words in both backends.
        """

    def prepare(self, run: "RunSpec") -> None:
        """Set process-wide switches (threads, determinism, TF32) before anything is built."""

    def join(self, run: "RunSpec", place: "Place") -> None:
        """Connect this process to the other ranks of its run; called once, after `prepare`."""

    def measure_matmul_flops(self, run: "RunSpec") -> float:
        """Return floating-point operations per second of a matrix product, in its precision."""

    def peak_device_bytes(self, run: "RunSpec") -> int | None:
        """Return the most memory that was taken on an accelerator, or None on the CPU."""

    def parameters(self, run: "ResolvedRun") -> "Sequence[Parameter]":
        """Return the parameter table, read from the built model."""

    def Trainer(self, run: "ResolvedRun", weights: "Weights") -> Trainer:  # noqa: N802
        """Build a model under training from canonical `Weights`."""

    def loss_and_gradients(
        self,
        run: "ResolvedRun",
        weights: "Weights",
        images: "NDArray[np.floating]",
        labels: "Array",
        noise: "Noise",
        extras: "Extras",
    ) -> "tuple[float, Weights]":
        """Return the loss of one batch in training mode, and every trainable parameter's gradient.

        Args:
            run: The run, whose trained network is built.
            weights: Canonical weights of the network and of the method.
            images: (N, H, W, C) float32.
            labels: (N,) int64, or soft ones (N, num_classes) float32.
            noise: Masks (N, …) of the random layers.
            extras: Kept outputs (N, …) and scalars () of this step.
        """

    def features(
        self,
        run: "ResolvedRun",
        weights: "Weights",
        images: "NDArray[np.floating]",
        taps: Sequence[str],
    ) -> "dict[str, NDArray[np.floating]]":
        """Return the tapped maps (N, H, W, C) of images (N, H, W, C) in evaluation mode.

        The tap `logits` gives the logits (N, num_classes).
        """

    def map_and_gradient(
        self,
        run: "ResolvedRun",
        weights: "Weights",
        images: "NDArray[np.floating]",
        labels: "NDArray[np.int64]",
        tap: str,
    ) -> "tuple[NDArray[np.floating], NDArray[np.floating]]":
        """Return a tapped map and the gradient of one logit of each image at it.

        The network is in evaluation mode. An image does not influence the gradient of another.

        Args:
            run: The run, whose network without additions is built.
            weights: Canonical weights of the network.
            images: (N, H, W, C).
            labels: (N,) the class whose logit is meant.
            tap: Name of the map, as of `features`.

        Returns:
            Two arrays (N, h, w, c), or (N, c) of a vector; the gradient is 0 if the logits do not
            depend on the tap.
        """

    def prepare_map_and_gradient(self, run: "ResolvedRun", weights: "Weights") -> MapAndGradient:
        """Return `map_and_gradient` of a network that is built once.

        It takes images (N, H, W, C), labels (N,) and a tap.
        """

    def map_batches(
        self,
        run: "ResolvedRun",
        network: "Network",
        weights: "Weights",
        taps: Sequence[str],
        batches: "Iterable[NDArray[np.floating]]",
    ) -> "Iterator[dict[str, NDArray[np.floating]]]":
        """Yield tapped maps (N, H, W, C) of any network for one batch of images after the other.

        The network is in evaluation mode.
        """

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
        """Return the outer loss of a batch, and its gradient on the meta-parameters, if any.

        Nothing is updated.

        Args:
            run: The run, whose method has meta-parameters.
            weights: Canonical weights after the batch's kept step.
            state: Arrays that `Trainer.state` returned then, with the momentum.
            images: (N, H, W, C) float32.
            labels: (N,) int64, or soft ones (N, num_classes) float32.
            learning_rate: Rate of the look-ahead steps.
            noise: Masks (N, …) of the random layers.
        """

    def export_network(
        self,
        network: "Network",
        weights: "Weights",
        path: str,
        *,
        precision: str,
        normalization: "Normalization",
        calibration: "NDArray[np.uint8]",
    ) -> None:
        """Write a file that runs without the framework, for any batch size.

        It maps images (N, H, W, C) uint8 to logits (N, num_classes), and computes the
        normalisation itself. `calibration`, (N, H, W, C) uint8, sets the ranges of int8.
        """

    def build_native_model(
        self, network: "Network", weights: "Weights", names: Mapping[str, str]
    ) -> object:
        """Return the network as a model of the framework, with the weights in place, in float32.

        It is a functional keras.Model or a torch.nn.Module, with no tie to the engine: its mode is
        the framework's own, and random layers draw their own masks.

        Args:
            network: The network; all its layers train.
            weights: Canonical name -> array of the declared shape (…).
            names: Node -> name of its layer; dots separate the levels of nested modules.
        """

    def read_published(self, path: str) -> "Arrays":
        """Read the `Arrays` of a file in the framework's format, and run none of its code.

        The names are the file's own.

        Raises:
            UsageError: The file is unreadable or has no weights.
        """

    def write_published(self, path: str, tensors: "Mapping[str, Array]") -> None:
        """Write `Arrays` to a file in the framework's own format."""

    def fetch_imagenet(self, name: str) -> "Arrays":
        """Download ImageNet weights of a model of the framework, as `Arrays` by its own names."""


def missing_packages(name: str) -> list[str]:
    """Return the packages that the backend needs and this interpreter lacks."""
    # Looked up, not imported: an import of TensorFlow takes seconds.
    return [package for package in PACKAGES[name] if find_spec(package) is None]


def load(name: str) -> Backend:
    """Import a backend: the only dynamic import of the project.

    Raises:
        UsageError: The name is unknown, or its framework is not installed.
    """
    if name not in PACKAGES:
        near = likeliest(name, PACKAGES)
        raise UsageError(f"Got backend={name!r}. Expected tf or torch. Try backend={near}.")
    if missing := missing_packages(name):
        raise UsageError(
            f"Got backend={name!r}, which needs {' and '.join(missing)}, not installed here. "
            f"Expected an installed framework. Try pip install 'poc[{name}]'"
        )
    return cast("Backend", importlib.import_module(f"poc.{name}_impl"))
