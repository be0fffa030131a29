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
    """A factor of the loss that keeps small gradients; rule: `poc.shared.spec.training.precision`.

    Adam's step is left out on the device; SGD's `GradScaler.step` waits for the device.
    """

    def __init__(self, *, device: str) -> None:
        self.scaler = torch.amp.GradScaler(
            device,
            init_scale=INITIAL_LOSS_SCALE,
            growth_factor=LOSS_SCALE_FACTOR,
            backoff_factor=1 / LOSS_SCALE_FACTOR,
            growth_interval=STEPS_TO_GROW,
        )
        self.one = torch.ones((), device=device)

    def enlarge(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss whose gradient is taken."""
        return self.scaler.scale(loss)

    def update(
        self,
        optimizer: torch.optim.Optimizer,
        gradients: Sequence[torch.Tensor],
        variables: Sequence[torch.Tensor],
    ) -> None:
        """The optimiser's step with the gradients of the loss itself, if all are finite."""
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.grad = gradient
        self.scaler.unscale_(optimizer)
        self.scaler.step(optimizer)
        self.scaler.update()

    def is_lost(self) -> torch.Tensor:
        """Whether gradients overflow although the loss is not enlarged any more; () bool."""
        return self.enlarge(self.one) < SMALLEST_LOSS_SCALE

    def state(self) -> dict[str, NDArray[np.floating]]:
        """The factor, and the steps since it last changed."""
        found = self.scaler.state_dict()
        return {
            "loss_scale": np.asarray(found["scale"], np.float32),
            "good_steps": np.asarray(found["_growth_tracker"], np.int64),
        }

    def restore(self, state: Mapping[str, NDArray[np.floating]]) -> None:
        """Take back what `state` gave."""
        values = {
            "scale": float(state["loss_scale"]),
            "_growth_tracker": int(state["good_steps"]),
        }
        self.scaler.load_state_dict({**self.scaler.state_dict(), **values})
