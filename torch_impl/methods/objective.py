"""What every method offers to the step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from numpy.typing import NDArray

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.torch_impl.models import Model


class Outcome(NamedTuple):
    """What one batch gives: loss terms (N,), logits (N, num_classes), mean loss, gradients.

    N may be smaller than the batch: the first N labels belong to it.
    """

    losses: Mapping[str, torch.Tensor]
    logits: torch.Tensor | None
    loss: torch.Tensor
    by_name: Mapping[str, torch.Tensor]


class Objective(ABC):
    """A method's loss on one batch, built once a run around the model that it trains.

    `weights` hold all that the run starts from: also those of a teacher, where there is one.

    A method whose step is more than one gradient and one optimiser update sets `owns_update` and
    implements `update` and the methods after it; the trainer then has no optimiser of its own.
    """

    owns_update: ClassVar[bool] = False

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        self.run, self.model = run, model

    def teacher_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the loss needs from what is frozen, each (N, …); never differentiated.

        Each row is a matter of its own image, whatever else is in the batch, so that it can be
        kept by image; what relates images to each other is computed in `losses`.
        """
        return {}

    def logits(self, images: torch.Tensor, extras: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(N, num_classes) in evaluation mode; `extras` may stand for the images."""
        return self.model(images)

    @abstractmethod
    def losses(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Named loss terms, each (N,) and to be summed, and the logits (N, num_classes).

        The step takes the mean of each term over the examples. A loss over the whole batch is
        given as one share an example, whose mean is that loss: where it is the mean of l(i, j)
        over all pairs (i, j), the share of example i is the mean of l(i, j) over j.

        `extras` holds the teacher's outputs and the step's coefficients. The logits are none in a
        stage that does not compute them.
        """

    def on_batch(self, images: torch.Tensor) -> None:  # noqa: B027 - most methods do not look
        """See a batch before its step, outside any compiled function."""

    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> Outcome:
        """The method's own update of the model and of all else that it trains."""
        raise NotImplementedError

    def outer_gradient(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Outer loss and hyper-gradient of a batch, for methods with meta-parameters."""
        raise NotImplementedError

    def to_array(self, name: str, value: torch.Tensor) -> NDArray[Any]:
        """A value shaped like the parameter `name`, in canonical layout."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Further means since the last call; waits for the device."""
        return {}

    def weights(self) -> Weights:
        """What it trains beside the model, canonical."""
        return {}

    def load(self, weights: Weights) -> None:  # noqa: B027 - most methods train the model alone
        """Take such weights back."""

    def state(self) -> dict[str, NDArray[Any]]:
        """What a resume needs beside the weights, where the update is its own."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:  # noqa: B027 - the same
        """Take back what `state` gave."""
