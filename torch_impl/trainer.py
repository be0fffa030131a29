"""A model under training in PyTorch: its step, its state and its metrics."""

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poc.shared.engine.backend import Extras
from poc.shared.engine.numerics.noise import Noise
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.training.precision import SCALED

from .arrays import (
    extras_to_tensors,
    images_to_tensor,
    labels_to_tensor,
    map_to_array,
    noise_to_tensors,
    rate_to_tensor,
)
from .device import find_device
from .gradients import check_losses, complete_extras, compute_gradients
from .loss_scale import LossScale
from .methods import Outcome, find_objective
from .models import Model
from .optimizers import build_optimizer, set_learning_rate
from .weights import (
    from_canonical,
    load_weights,
    named_variables,
    read_weights,
    to_canonical,
    trainable_names,
)

# Canonical slot name -> PyTorch's. The canonical names are equal in both backends.
_SLOTS = {"momentum": "momentum_buffer", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}


class Trainer:
    """A model under training: eager steps, or one compiled function."""

    def __init__(self, run: ResolvedRun, weights: Weights) -> None:
        network = run.trained_network
        self.device = find_device(run.spec)
        self.model = Model(network, dtype=run.spec.precision).to(self.device)
        load_weights(self.model, weights)
        self.objective = find_objective(run.spec.method)(run, self.model, weights)
        self.names = trainable_names(self.model)
        variables = named_variables(self.model)
        declared = {parameter.name: parameter for parameter in network.parameters}
        self.variables = [variables[name] for name in self.names]
        self.optimizer = None
        if not self.objective.owns_update:
            self.optimizer = build_optimizer(
                run.spec.optimizer,
                self.variables,
                [declared[name].weight_decay for name in self.names],
                [declared[name].rate_factor for name in self.names],
            )
        self.dtype, self.layout = run.spec.dtype, run.spec.layout
        self.loss_scale = LossScale(device=self.device) if run.spec.precision in SCALED else None
        self.totals: dict[str, torch.Tensor] = {}
        self.num_steps = 0
        self.update, self.run_teacher = self._update, self.objective.teacher_outputs
        if run.spec.mode == "compiled":
            # `values`, not the module's call: methods ask for the values of several nodes.
            self.model.values = torch.compile(self.model.values)

    def step(
        self,
        images: NDArray[Any],
        labels: NDArray[Any],
        learning_rate: float,
        noise: Noise,
        extras: Extras | None = None,
    ) -> None:
        """Take one step on images (N, H, W, C); never waits for the device."""
        self.prepared_step(images, labels, learning_rate, noise, extras)()

    def prepared_step(
        self,
        images: NDArray[Any],
        labels: NDArray[Any],
        learning_rate: float,
        noise: Noise,
        extras: Extras | None = None,
    ) -> Callable[[], None]:
        """Return a step on images (N, H, W, C) whose arguments are on the device already."""
        tensor = self._to_tensor(images)
        # Before the update, which may be a graph: a method may look at its first batch here.
        self.objective.on_batch(tensor)
        arguments = (
            tensor,
            labels_to_tensor(labels, dtype=self.dtype, device=self.device),
            rate_to_tensor(learning_rate),
            noise_to_tensors(noise, device=self.device),
            extras_to_tensors(extras or {}, dtype=self.dtype, device=self.device),
        )

        def run() -> None:
            self.update(*arguments)
            self.num_steps += 1

        return run

    @property
    def num_compilations(self) -> int:
        """Count the programs that were traced or compiled for the update so far."""
        # Importing it takes seconds. If nothing was compiled, nobody has imported it.
        dynamo = sys.modules.get("torch._dynamo.utils")
        return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo else 0

    def teacher_outputs(self, images: NDArray[Any]) -> dict[str, NDArray[np.floating]]:
        """Return the outputs (N, …) of frozen layers that the objective needs, if any."""
        return map_to_array(self.run_teacher(self._to_tensor(images)))

    def metrics(self) -> dict[str, float]:
        """Return means over the steps since the last call; waits for the device."""
        totals = {name: float(total) for name, total in self.totals.items()}
        for total in self.totals.values():
            total.zero_()
        num_steps, self.num_steps = self.num_steps, 0
        count = totals.pop("count", 0.0)
        good_steps = int(totals.pop("good_steps", 0.0))
        means = {name: total / max(count, 1.0) for name, total in totals.items()}
        means |= self.objective.metrics()
        return {**means, "count": count, "bad_step": good_steps if good_steps < num_steps else -1}

    def wait(self) -> None:
        """Wait until the device has done all its work."""
        if self.device != "cpu":
            torch.cuda.synchronize()

    def load(self, weights: Weights) -> None:
        """Replace the canonical `Weights`; the optimiser's state stays."""
        load_weights(self.model, weights)
        self.objective.load(weights)

    def logits(self, images: NDArray[Any], extras: Extras | None = None) -> NDArray[np.floating]:
        """Return logits (N, num_classes) in evaluation mode; `extras` has the kept outputs."""
        outputs = self._logits(
            self._to_tensor(images),
            extras_to_tensors(extras or {}, dtype=self.dtype, device=self.device),
        )
        values: NDArray[np.floating] = outputs.cpu().numpy()
        return values

    def norm_statistics(self, images: NDArray[Any]) -> dict[str, NDArray[np.floating]]:
        """Return this batch's mean (C,) and Bessel-corrected variance (C,) at every batch norm."""
        return map_to_array(self._run_statistics(self._to_tensor(images)))

    def weights(self, names: Collection[str] | None = None) -> Weights:
        """Return canonical `Weights` with running statistics: all of them, or `names` alone."""
        own = read_weights(self.model, names)
        return own if names is not None else {**own, **self.objective.weights()}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return `Arrays`: slots as `parameter/slot`, the step count, the loss scale's state."""
        if self.optimizer is None:
            return self.objective.state()
        slots = {
            f"{name}/{slot}": to_canonical(self.model, name, value)
            for name, variable in zip(self.names, self.variables, strict=True)
            for slot, key in _SLOTS.items()
            if (value := self.optimizer.state[variable].get(key)) is not None
        }
        # Adam counts per parameter, and all count alike; SGD does not count.
        steps = [float(state.get("step", 0)) for state in self.optimizer.state.values()]
        scale = self.loss_scale.state() if self.loss_scale else {}
        return {**slots, "step": np.asarray(int(max(steps, default=0))), **scale}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the `Arrays` that `state` returned."""
        if self.optimizer is None:
            self.objective.restore(state)
            return
        for name, variable in zip(self.names, self.variables, strict=True):
            # In the memory layout of the parameter, on which the fused optimisers rely.
            slots = {
                key: torch.empty_like(variable, requires_grad=False).copy_(
                    torch.from_numpy(from_canonical(self.model, name, state[f"{name}/{slot}"]))
                )
                for slot, key in _SLOTS.items()
                if f"{name}/{slot}" in state
            }
            if "exp_avg" in slots:
                # On the device, where a fused Adam counts its steps.
                slots["step"] = torch.tensor(float(state["step"]), device=self.device)
            self.optimizer.state[variable] = slots
        if self.loss_scale:
            self.loss_scale.restore(state)

    def counts(self) -> dict[str, float]:
        """Return the totals since the last `metrics`, not divided; waits for the device."""
        totals = {name: float(total) for name, total in self.totals.items()}
        return {**totals, "num_steps": self.num_steps}

    def restore_counts(self, counts: Mapping[str, float]) -> None:
        """Restore the totals that `counts` returned."""
        totals = dict(counts)
        self.num_steps = int(totals.pop("num_steps"))
        for name, total in totals.items():
            self._total(name).fill_(total)

    def _to_tensor(self, images: NDArray[Any]) -> torch.Tensor:
        return images_to_tensor(images, dtype=self.dtype, device=self.device, layout=self.layout)

    def _update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> None:
        if self.optimizer is None:
            extras = complete_extras(self.objective, images, extras)
            outcome = self.objective.update(images, labels, learning_rate, noise, extras)
            check_losses(self.objective, outcome.losses, outcome.logits, labels)
            self._count(outcome, labels[: len(outcome.losses["hard"])])
            return
        result = compute_gradients(
            self.objective, self.model, images, labels, noise, extras, self.loss_scale
        )
        set_learning_rate(self.optimizer, learning_rate)
        if self.loss_scale is None:
            self.optimizer.step()
        else:
            gradients = [result.by_name[name] for name in self.names]
            self.loss_scale.update(self.optimizer, gradients, self.variables)
        self._count(result, labels)

    @torch.no_grad()
    def _count(self, result: Outcome, labels: torch.Tensor) -> None:
        """Add this batch to the totals, on the device."""
        sums = {f"loss_{name}": values.sum() for name, values in result.losses.items()}
        sums["loss"] = torch.stack(list(sums.values())).sum()
        if result.logits is not None:
            expected = labels if labels.ndim == 1 else labels.argmax(dim=1)
            sums["accuracy"] = (result.logits.argmax(dim=1) == expected).sum()
        for name, value in sums.items():
            self._total(name).add_(value)
        self._total("count").add_(len(labels))
        # Steps before the first non-finite loss: the count stops there, because the total stays NaN
        # or infinite.
        is_good = torch.isfinite(result.loss) & torch.isfinite(self._total("loss"))
        if self.loss_scale:
            is_good &= ~self.loss_scale.is_lost()
        self._total("good_steps").add_(is_good)

    def _total(self, name: str) -> torch.Tensor:
        # In float64, and read once per epoch: a step adds to it without waiting for the device.
        if name not in self.totals:
            self.totals[name] = torch.zeros((), dtype=torch.float64, device=self.device)
        return self.totals[name]

    @torch.no_grad()
    def _run_statistics(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.model.norm_statistics(images)

    @torch.no_grad()
    def _logits(self, images: torch.Tensor, extras: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.objective.logits(images, extras)
