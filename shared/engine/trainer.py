"""A model under training, as both backends implement it: the part of the contract with a state."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poc.shared.files.arrays import Array, Arrays
    from poc.shared.spec.networks.initializers import Weights

    from .numerics.noise import Noise

Extras = Mapping[str, "Array"]


class Trainer(Protocol):
    """A model under training; created as `backend.Trainer(run, weights)`.

    Most methods return a loss. The trainer then takes its gradient and the optimiser's step. A
    method may own its update instead (`Objective.owns_update` in both trees): it then moves the
    model and all else that it trains, adds its own `metrics`, and its `state` is all that a resume
    needs besides the weights. `weights` has the parameters of the model and of the method.
    """

    def step(
        self,
        images: "NDArray[np.floating]",
        labels: "Array",
        learning_rate: float,
        noise: "Noise",
        extras: "Extras | None" = None,
    ) -> None:
        """Take one step of training; never wait for the device.

        Args:
            images: (N, H, W, C) float32.
            labels: (N,) int64, or soft ones (N, num_classes) float32.
            learning_rate: Rate of this step.
            noise: Masks (N, …) of the random layers; (1,) for a gate of the entire batch.
            extras: Further values of this batch: kept outputs (N, …) of the source network, with
                the names that `teacher_outputs` gives them, and scalars () named `coefficient/…`,
                among them those of `step_numbers`: with them, several steps make one update.
        """

    def prepared_step(
        self,
        images: "NDArray[np.floating]",
        labels: "Array",
        learning_rate: float,
        noise: "Noise",
        extras: "Extras | None" = None,
    ) -> "Callable[[], None]":
        """Return the same step of images (N, H, W, C), with its arguments on the device already."""

    @property
    def num_compilations(self) -> int:
        """Count the programs that were traced or compiled for the update so far."""

    def teacher_outputs(self, images: "NDArray[np.floating]") -> "dict[str, NDArray[np.floating]]":
        """Return the outputs (N, …) of frozen layers that the objective needs, if any.

        Args:
            images: (N, H, W, C) float32.
        """

    def metrics(self) -> dict[str, float]:
        """Return means over the steps since the last call (`loss`, …); wait for the device.

        `count` is the number of examples of the means. `bad_step` is the index, since the last
        call, of the first step with a non-finite loss, or -1.
        """

    def wait(self) -> None:
        """Wait until the device has done all its work."""

    def load(self, weights: "Weights") -> None:
        """Replace the canonical `Weights`; the optimiser's state stays."""

    def logits(
        self, images: "NDArray[np.floating]", extras: "Extras | None" = None
    ) -> "NDArray[np.floating]":
        """Return logits (N, num_classes) of images (N, H, W, C) in evaluation mode.

        If `extras` has all that `teacher_outputs` returned for the images, the images are not read
        and may have height and width 0.
        """

    def norm_statistics(self, images: "NDArray[np.floating]") -> "dict[str, NDArray[np.floating]]":
        """Return this batch's mean (C,) and variance (C,) at every batch norm that is not frozen.

        The variance is Bessel-corrected. Names are those of the running statistics, which do not
        change. Images are (N, H, W, C).
        """

    def weights(self, names: "Collection[str] | None" = None) -> "Weights":
        """Return canonical `Weights` with running statistics: all of them, or `names` alone."""

    def averages(self) -> "Weights":
        """Return canonical `Weights` averaged over the updates; {} unless the run keeps them."""

    def state(self) -> "Arrays":
        """Return optimiser and method state as `Arrays`; with `weights`, it is all that is trained.

        A method that trains more (meta-parameters, moments of its own) returns it here or with the
        weights.
        """

    def restore(self, state: Mapping[str, "Array"]) -> None:
        """Restore the `Arrays` that `state` returned."""

    def counts(self) -> dict[str, float]:
        """Return the totals, not divided, behind the next `metrics`; wait for the device.

        `num_steps` is their number of steps, `good_steps` the number of steps before the first
        non-finite loss.
        """

    def restore_counts(self, counts: Mapping[str, float]) -> None:
        """Restore the totals that `counts` returned; a resumed run then rounds like any other."""
