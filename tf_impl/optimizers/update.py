"""From the gradient of a batch to moved weights, in TensorFlow.

In this order: the gradient of a scaled loss is reduced, the gradients of a group's batches are one,
their norm is bounded, decays are added, and the optimiser moves the weights.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from poc.shared.spec.habits.optimizers import decayed_by_run, update_rule
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.training.precision import SCALED
from poc.tf_impl.models import Model
from poc.tf_impl.weights import named_variables, trainable_names

from .clipping import clip_gradients, clip_natively
from .frobenius import FrobeniusDecay
from .group_gradients import GroupGradients
from .loss_scale import LossScale
from .native_rules import build_native_optimizer
from .rules import build_optimizer, set_learning_rate


class WeightUpdate:
    """The update of a run's weights, with the optimiser and all other state that it keeps.

    Args:
        run: The run.
        model: The model that is trained.
        device: Where its variables are.
    """

    def __init__(self, run: ResolvedRun, model: Model, *, device: str) -> None:
        spec, self.is_native = update_rule(run.spec), run.spec.habits.optimizer == "native"
        self.model, self.device, self.clip_norm = model, device, spec.clip_norm
        self.names, variables = trainable_names(model), named_variables(model)
        self.variables = [variables[name] for name in self.names]
        declared = {parameter.name: parameter for parameter in run.trained_network.parameters}
        products = run.decayed_products
        factors = {name for product in products for name in (product.first, product.second)}
        build = build_native_optimizer if self.is_native else build_optimizer
        self.optimizer = build(
            spec,
            self.variables,
            [declared[name].weight_decay for name in self.names],
            [declared[name].rate_factor for name in self.names],
            decayed_by_run(run.spec, self.names, factors),
        )
        self.loss_scale = LossScale(device=device) if run.spec.precision in SCALED else None
        self.group = None
        if spec.accumulation_steps > 1:
            self.group = GroupGradients(model, self.names, self.variables)
        self.frobenius = None
        if spec.frobenius_decay is not None:
            decay = spec.frobenius_decay
            self.frobenius = FrobeniusDecay(products, variables, coefficient=decay)

    def add(self, gradients: Mapping[str, tf.Tensor]) -> None:
        """Add the gradients (…) of one batch of a group, by the names of their variables."""
        if self.group is not None:
            self.group.add([gradients[name] for name in self.names])

    def apply_group(self, learning_rate: tf.Tensor | float) -> None:
        """Move the weights by the gradients (…) of a group's batches, and start the next group."""
        if self.group is not None:
            self.apply(dict(zip(self.names, self.group.total(), strict=True)), learning_rate)
            self.group.clear()

    def apply(self, gradients: Mapping[str, tf.Tensor], learning_rate: tf.Tensor | float) -> None:
        """Move the weights by gradients (…), by the names of their variables."""
        set_learning_rate(self.optimizer, learning_rate)
        found = [gradients[name] for name in self.names]
        if self.loss_scale is not None:
            found = self.loss_scale.reduce(self.optimizer, found, self.variables)
        if self.clip_norm is not None:
            clip = clip_natively if self.is_native else clip_gradients
            found = list(clip(found, self.variables, self.clip_norm))
        if self.frobenius is not None:
            decayed = self.frobenius.add(dict(zip(self.names, found, strict=True)))
            found = [decayed[name] for name in self.names]
        if self.loss_scale is None:
            self.optimizer.apply(found, self.variables)
        else:
            self.loss_scale.update(self.optimizer, found, self.variables)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return slots (…) as `NAME/SLOT`, the step count, and what else has to be kept."""
        slots = {
            f"{name}/{slot}": np.asarray(variable)
            for slot, variables in self.optimizer.slots.items()
            for name, variable in zip(self.names, variables, strict=True)
        }
        found = {**slots, "step": np.asarray(self.optimizer.iterations)}
        for part in (self.loss_scale, self.group):
            if part is not None:
                found |= part.state()
        return found

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the arrays (…) that `state` returned."""
        for slot, variables in self.optimizer.slots.items():
            for name, variable in zip(self.names, variables, strict=True):
                variable.assign(state[f"{name}/{slot}"])
        self.optimizer.iterations.assign(state["step"])
        for part in (self.loss_scale, self.group):
            if part is not None:
                part.restore(state)
