"""A model under training in PyTorch: its step, its state and its metrics."""

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poc.shared.engine.backend import Extras
from poc.shared.engine.numerics.noise import Noise
from poc.shared.engine.ranks.parts import EXAMPLE_SHARE
from poc.shared.engine.step_numbers import StepNumbers, take_numbers
from poc.shared.spec.networks.freezing import moving_names
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun

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
from .losses import right_answers
from .methods import Outcome, find_objective
from .models import Model
from .optimizers.averaged_weights import AveragedWeights
from .optimizers.update import WeightUpdate
from .weights import load_weights, read_weights


class Trainer:
    """A model under training: eager steps, or one compiled function."""

    def __init__(self, run: ResolvedRun, weights: Weights) -> None:
        network = run.trained_network
        self.device = find_device(run.spec)
        self.model = Model(network, dtype=run.spec.precision).to(self.device)
        load_weights(self.model, weights)
        self.objective = find_objective(run.spec.method)(run, self.model, weights)
        self.weight_update = None
        if not self.objective.owns_update:
            self.weight_update = WeightUpdate(run, self.model, device=self.device)
        self.average = None
        if run.spec.ema.decay is not None:
            self.average = AveragedWeights(self.model, moving_names(network))
        self.is_grouped = run.spec.optimizer.accumulation_steps > 1
        self.is_binary = run.spec.loss.is_binary
        self.dtype, self.layout = run.spec.dtype, run.spec.layout
        self.loss_scale = self.weight_update.loss_scale if self.weight_update else None
        self.totals: dict[str, torch.Tensor] = {}
        self.num_steps = 0
        self.update, self.finish_group = self._update, self._finish_group
        self.run_teacher = self.objective.teacher_outputs
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
        numbers, others = take_numbers(extras or {})
        rate, shares = rate_to_tensor(learning_rate), self._average_shares(numbers)
        arguments = (
            tensor,
            labels_to_tensor(labels, dtype=self.dtype, device=self.device),
            rate,
            noise_to_tensors(noise, device=self.device),
            extras_to_tensors(others, dtype=self.dtype, device=self.device),
        )

        def run() -> None:
            self.update(*arguments, *(() if self.is_grouped else shares))
            if self.is_grouped and numbers.is_update:
                self.finish_group(rate, *shares)
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

    def averages(self) -> Weights:
        """Return the averages as canonical `Weights`; {} if the run keeps none."""
        return self.average.weights() if self.average else {}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return `Arrays`: slots, the step count, the loss scale's state, sums and averages."""
        own = self.weight_update.state() if self.weight_update else self.objective.state()
        return {**own, **self.average.state()} if self.average else own

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the `Arrays` that `state` returned."""
        (self.weight_update or self.objective).restore(state)
        if self.average:
            self.average.restore(state)

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

    def _average_shares(self, numbers: StepNumbers) -> tuple[torch.Tensor | float, ...]:
        """Return the share () that the average takes as a further argument of an update, if any.

        Raises:
            ValueError: The run keeps an average and the step has no share for it, or the reverse.
        """
        share = numbers.average_share
        if (share is None) != (self.average is None):
            raise ValueError(
                f"Got average_share={share} for ema.decay={self.objective.run.spec.ema.decay}. "
                "Expected both or neither. Try the extras of `step_numbers`."
            )
        return () if share is None else (rate_to_tensor(share),)

    def _to_tensor(self, images: NDArray[Any]) -> torch.Tensor:
        return images_to_tensor(images, dtype=self.dtype, device=self.device, layout=self.layout)

    def _update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
        average_share: torch.Tensor | float | None = None,
    ) -> None:
        if self.weight_update is None:
            extras = complete_extras(self.objective, images, extras)
            result = self.objective.update(images, labels, learning_rate, noise, extras)
            check_losses(self.objective, result.losses, result.logits, labels)
            labels = labels[: len(result.losses["hard"])]
        else:
            result = compute_gradients(
                self.objective, self.model, images, labels, noise, extras, self.loss_scale
            )
            if self.is_grouped:
                self.weight_update.add(result.by_name)
            else:
                self.weight_update.apply(result.by_name, learning_rate)
        if self.average and average_share is not None:
            self.average.move(average_share)
        self._count(result, labels, extras.get(EXAMPLE_SHARE))

    def _finish_group(
        self, learning_rate: float, average_share: torch.Tensor | float | None = None
    ) -> None:
        """Move the weights by the gradients of all batches of a group, then their average."""
        if self.weight_update is not None:
            self.weight_update.apply_group(learning_rate)
        if self.average and average_share is not None:
            self.average.move(average_share)

    @torch.no_grad()
    def _count(
        self, result: Outcome, labels: torch.Tensor, share: torch.Tensor | None = None
    ) -> None:
        """Add this batch to the totals, on the device, unless its `share` () says not to."""
        sums = {f"loss_{name}": values.sum() for name, values in result.losses.items()}
        sums["loss"] = torch.stack(list(sums.values())).sum()
        sums |= {name: values.sum() for name, values in result.watched.items()}
        if result.logits is not None:
            hits = right_answers(result.logits, labels, is_binary=self.is_binary)
            sums["accuracy"] = hits.sum()
        counted = 1 if share is None else torch.sign(share)
        for name, value in sums.items():
            self._total(name).add_(value if share is None else value * counted)
        self._total("count").add_(len(labels) * counted)
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
