"""Dynamic loss scaling in PyTorch, for layers that compute in float16."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from poc.shared.spec.training.precision import (
    INITIAL_LOSS_SCALE,
    LOSS_SCALE_FACTOR,
    SMALLEST_LOSS_SCALE,
    STEPS_TO_GROW,
)


class LossScale:
    """A factor of the loss that keeps small gradients above float16's smallest number.

    `poc.shared.spec.training.precision` has the rule by which it grows and shrinks.

    If gradients are not finite, the device skips the step of Adam. For SGD, PyTorch's
    `GradScaler.step` waits for the device to decide.
    """

    def __init__(self, *, device: str) -> None:
        self.scaler = torch.amp.GradScaler(
            device,
            init_scale=INITIAL_LOSS_SCALE,
            growth_factor=LOSS_SCALE_FACTOR,
            backoff_factor=1 / LOSS_SCALE_FACTOR,
            growth_interval=STEPS_TO_GROW,
        )
        # `get_scale` would wait for the device. The scaler enlarges this 1 there instead.
        self.one = torch.ones((), device=device)

    def enlarge(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the enlarged loss (), whose gradient is taken."""
        return self.scaler.scale(loss)

    def reduce(
        self,
        optimizer: torch.optim.Optimizer,
        gradients: Sequence[torch.Tensor],
        variables: Sequence[torch.Tensor],
    ) -> list[torch.Tensor]:
        """Return the gradients (…) divided by the factor, in place."""
        for variable, gradient in zip(variables, gradients, strict=True):
            # The scaler reads gradients from here alone.
            variable.grad = gradient
        self.scaler.unscale_(optimizer)
        return list(gradients)

    def update(
        self,
        optimizer: torch.optim.Optimizer,
        gradients: Sequence[torch.Tensor],
        variables: Sequence[torch.Tensor],
    ) -> None:
        """Step with reduced gradients (…), if all of them are finite, and change the factor."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def is_lost(self) -> torch.Tensor:
        """Return () bool: gradients overflow although the loss is no longer enlarged."""
        return self.enlarge(self.one) < SMALLEST_LOSS_SCALE

    def state(self) -> dict[str, NDArray[np.floating]]:
        """Return the factor () and the number of steps () since it last changed."""
        found = self.scaler.state_dict()
        return {
            "loss_scale": np.asarray(found["scale"], np.float32),
            # PyTorch's own name for the steps since the factor changed.
            "good_steps": np.asarray(found["_growth_tracker"], np.int64),
        }

    def restore(self, state: Mapping[str, NDArray[np.floating]]) -> None:
        """Restore the scalars () that `state` returned."""
        values = {
            "scale": float(state["loss_scale"]),
            "_growth_tracker": int(state["good_steps"]),
        }
        self.scaler.load_state_dict({**self.scaler.state_dict(), **values})
