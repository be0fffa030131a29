"""The interface of a method to the training step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from numpy.typing import NDArray

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.torch_impl.losses import HardLoss
from poc.torch_impl.models import Model


class Outcome(NamedTuple):
    """Results of one batch: loss terms (N,), logits (N, num_classes), mean loss (), gradients.

    N may be smaller than the batch. Its first N labels are then those of the results. `watched` has
    further values (N,) whose means are metrics.
    """

    losses: Mapping[str, torch.Tensor]
    logits: torch.Tensor | None
    loss: torch.Tensor
    by_name: Mapping[str, torch.Tensor]
    watched: Mapping[str, torch.Tensor] = MappingProxyType({})


class Objective(ABC):
    """A method's loss on one batch, built once per run around the model that it trains.

    `weights` has all the weights that the run starts from, also those of a teacher. `hard_loss` is
    the loss of the labels that the settings name. `watched` has values (N,) of the batch that
    `losses` saw last, without a gradient: their means over an epoch are metrics. `pairs` are the
    matched maps: there is at most one loss term, and one such value, per pair.

    A method whose step is more than one gradient and one optimiser update sets `owns_update` and
    implements `update` and the methods after it. The trainer then has no optimiser of its own.

    Images are (N, C, H, W), labels (N,) int64 or soft ones (N, num_classes). `noise` has masks
    (N, …), `extras` kept outputs (N, …) and scalars ().
    """

    owns_update: ClassVar[bool] = False

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        self.run, self.model = run, model
        self.hard_loss = HardLoss(run.spec)
        self.pairs: tuple[Any, ...] = ()
        self.watched: dict[str, torch.Tensor] = {}

    def teacher_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the outputs (N, …) of frozen layers that the loss needs; no gradient passes.

        Each row depends on its own image alone, so that it can be kept per image. A value that
        relates images to each other is computed in `losses`.
        """
        return {}

    def logits(self, images: torch.Tensor, extras: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return logits (N, num_classes) in evaluation mode; `extras` may replace the images."""
        return self.model(images, training=False)

    @abstractmethod
    def losses(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Return loss terms (N,) by their names, and the logits (N, num_classes).

        The step takes the mean of each term over the examples, and adds the means. A loss over the
        entire batch is returned as one share per example, whose mean is that loss: if it is the
        mean of l(i, j) over all pairs (i, j), the share of example i is the mean of l(i, j) over j.

        `extras` has the teacher's outputs and the step's coefficients. The logits are None in a
        stage that does not compute them.
        """

    def on_batch(self, images: torch.Tensor) -> None:  # noqa: B027 - most methods do not look
        """Look at images (N, C, H, W) before their step, outside any compiled function."""

    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> Outcome:
        """Update the model and all else that the method trains, on a batch of N images."""
        raise NotImplementedError

    def outer_gradient(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return outer loss () and hyper-gradient of a batch, if there are meta-parameters."""
        raise NotImplementedError

    def to_array(self, name: str, value: torch.Tensor) -> NDArray[Any]:
        """Return a value of the shape (…) of the parameter `name`, in canonical layout."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Return further means since the last call; waits for the device."""
        return {}

    def weights(self) -> Weights:
        """Return canonical `Weights` that the method trains in addition to the model."""
        return {}

    def load(self, weights: Weights) -> None:  # noqa: B027 - most methods train the model alone
        """Load the `Weights` that `weights` returned."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays (…) that a resume needs besides weights, if the update is its own."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:  # noqa: B027 - the same
        """Restore the arrays (…) that `state` returned."""
