"""The state of an l2t-ww run: networks, meta-networks, momentum, Adam's moments."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from poc.shared.engine.training.l2t_watch import (
    check_finite,
    describe_totals,
    split_channels,
    total_shapes,
)
from poc.shared.files.arrays import Arrays
from poc.shared.spec.methods.l2t_ww import L2TWWOptions, find_pairs
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.training.decay import are_decayed
from poc.shared.spec.training.optimizers import OptimizerSpec
from poc.torch_impl.methods.distilled import Distilled
from poc.torch_impl.models import Model
from poc.torch_impl.optimizers import build_optimizer
from poc.torch_impl.ranks.collectives import current_step, sum_named
from poc.torch_impl.weights import (
    from_canonical,
    learning_names,
    named_variables,
    to_canonical,
    trainable_names,
)

from .functional import PureForward
from .matching import Gates, Matching

SLOTS = ("exp_avg", "exp_avg_sq")
# Statistics of a batch: name -> sums over its examples.
Seen = dict[str, torch.Tensor]


class L2TState(Distilled):
    """State of `l2t-ww`; `step.L2TWW` has the algorithm.

    `meta` is canonical name -> variable of the meta-networks. The model contains the regressors.
    `velocity` is theta's momentum.
    """

    owns_update: ClassVar[bool] = True

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        self.options: L2TWWOptions = cast("L2TWWOptions", run.method_settings)
        network = self.teacher.network
        variables = named_variables(model)
        self.device = next(iter(variables.values())).device
        self.pairs = find_pairs(self.options, run.network, network)
        self.source_nodes = {p.source: network.node_of(p.source) for p in self.pairs}
        self.target_nodes = {p.target: model.network.node_of(p.target) for p in self.pairs}
        self.matching = Matching(
            self.options, self.pairs, dtype=run.spec.precision, device=str(self.device)
        )
        self.forward = PureForward(model)
        self.meta = self._variables(weights, run.meta_parameters)
        for variable in self.meta.values():
            variable.requires_grad_()
        self.velocity = {name: torch.zeros_like(value) for name, value in self.theta().items()}
        rule, names = run.spec.optimizer, list(self.velocity)
        reached = zip(names, are_decayed(rule, names), strict=True)
        self.weight_decays = {
            n: rule.weight_decay if is_decayed else 0.0 for n, is_decayed in reached
        }
        # As in the optimisers: the run's own decay comes on top of what a layer asks for.
        for parameter in model.network.parameters:
            if parameter.name in self.weight_decays:
                self.weight_decays[parameter.name] += parameter.weight_decay
        self.learning = frozenset(learning_names(model))
        self.scales: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.meta_optimizer: Any = self._build_meta_optimizer() if self.meta else None
        self.num_steps = 0
        self.totals: Seen
        self.is_good: torch.Tensor
        self._forget()
        self.channel_means: Arrays = {}

    def theta(self) -> dict[str, torch.Tensor]:
        """Return the values (…) of all parameters that SGD moves."""
        variables = named_variables(self.model)
        return {name: variables[name].detach() for name in trainable_names(self.model)}

    def live_variables(self) -> dict[str, torch.Tensor]:
        """Return the model's own trainable variables (…), for gradients that end there."""
        variables = named_variables(self.model)
        return {name: variables[name] for name in trainable_names(self.model)}

    def statistics(self) -> dict[str, torch.Tensor]:
        """Return the running statistics (C,) of the target."""
        variables = named_variables(self.model)
        return {n: v for n, v in variables.items() if n.rpartition("/")[2].startswith("moving_")}

    def momentum(self) -> dict[str, torch.Tensor]:
        """Return the momentum (…) of all parameters that SGD moves."""
        return dict(self.velocity)

    def is_meta_step(self) -> torch.Tensor | bool:
        """Count a batch, and return () bool: phi learns from it."""
        self.num_steps += 1
        since = self.num_steps - self.options.meta_warmup_steps
        return bool(self.meta) and since > 0 and since % self.options.meta_every == 0

    def keep(
        self,
        theta: Mapping[str, torch.Tensor],
        velocity: Mapping[str, torch.Tensor],
        statistics: Mapping[str, torch.Tensor],
    ) -> None:
        """Store theta, velocity (…) and statistics (C,) at the end of a batch."""
        variables = named_variables(self.model)
        with torch.no_grad():
            for name, value in {**theta, **statistics}.items():
                variables[name].copy_(value)
        self.velocity = dict(velocity)

    def record(self, gates: Gates, errors: Mapping[str, torch.Tensor]) -> Seen:
        """Return sums over the batch for every pair and channel, from errors (N, C) of phase 1."""
        return {
            "pair_weight": gates.pair_weights.sum(0),
            "matching": self.matching.by_pair(gates.weights, errors)[None],
            "channel_weight": gates.channel_weights.sum(0),
            "count": torch.tensor(float(len(gates.pair_weights))),
        }

    def over_ranks(self, seen: Seen) -> Seen:
        """Return sums (…) of a batch over the examples of all ranks, if there are several."""
        step = current_step()
        if step is None:
            return seen
        # The stand-in of a rank without an example counts nothing.
        counted = torch.sign(step.share)
        own = {n: v.detach().to(counted.device, torch.float64) * counted for n, v in seen.items()}
        return sum_named(own)

    def count(self, seen: Seen) -> None:
        """Add the sums (…) of a batch, until one is not finite; never waits for the device."""
        # Stopped there, so that the totals show which sum was the first to break.
        for name, value in seen.items():
            added = torch.where(self.is_good, value.detach().double(), 0.0)
            self.totals[name] = self.totals[name] + added
            self.is_good = self.is_good & torch.isfinite(self.totals[name]).all()

    def metrics(self) -> dict[str, float]:
        """Return means since the last call.

        They are `pair_weight/PAIR` and `matching/PAIR`. Over the batches on which phi learns there
        are also `outer_loss` (phase 4) and `hyper_gradient_norm`.

        Raises:
            CheckFailed: A sum is not finite. The message names the phase and, if any, the pair.
        """
        totals = {name: value.cpu().numpy() for name, value in self.totals.items()}
        self._forget()
        if not totals["count"]:
            return {}
        check_finite(totals, self.pairs)
        self.channel_means = split_channels(totals["channel_weight"] / totals["count"], self.pairs)
        return describe_totals(totals, self.pairs)

    def weights(self) -> Weights:
        """Return the `Weights` of the meta-networks."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.meta.items()}

    def load(self, weights: Weights) -> None:
        """Load the meta-networks if the `Weights` have them; those of a `best` file do not."""
        with torch.no_grad():
            for name, value in self.meta.items():
                if name in weights:
                    value.copy_(torch.from_numpy(weights[name]))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return `Arrays`: both optimisers' slots and steps, `standardize`'s constants, sums."""
        arrays = {f"{n}/momentum": self.to_array(n, v) for n, v in self.velocity.items()}
        slots = self.meta_optimizer.state if self.meta_optimizer else {}
        for name, variable in self.meta.items():
            for slot in SLOTS:
                value = slots[variable].get(slot, torch.zeros_like(variable))
                arrays[f"{name}/{slot}"] = self.to_array(name, value)
        for tap, constants in self.scales.items():
            for part, value in zip(("mean", "deviation"), constants, strict=True):
                arrays[f"scale/{tap}/{part}"] = self.to_array("", value)
        arrays |= {f"sum/{name}": value.cpu().numpy().copy() for name, value in self.totals.items()}
        for pair, mean in self.channel_means.items():
            arrays[f"channel_weight/{pair}"] = mean
        steps = [int(slot["step"]) for slot in slots.values() if "step" in slot]
        arrays["meta_step"] = np.asarray(max(steps, default=0))
        return {**arrays, "step": np.asarray(self.num_steps)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the `Arrays` that `state` returned."""
        self.velocity = {
            name: self.from_array(name, state[f"{name}/momentum"]) for name in self.velocity
        }
        for name, variable in self.meta.items():
            slots = {slot: self.from_array(name, state[f"{name}/{slot}"]) for slot in SLOTS}
            # On the device, where a fused Adam counts its steps.
            slots["step"] = torch.tensor(float(state["meta_step"]), device=self.device)
            self.meta_optimizer.state[variable] = slots
        self.scales = {}
        for tap in self.source_nodes:
            if f"scale/{tap}/mean" in state:
                parts = (state[f"scale/{tap}/{part}"] for part in ("mean", "deviation"))
                mean, deviation = (self.from_array("", part) for part in parts)
                self.scales[tap] = mean, deviation
        for name in self.totals:
            if f"sum/{name}" in state:
                self.totals[name] = torch.tensor(state[f"sum/{name}"], device=self.device)
        self.num_steps = int(state["step"])

    def to_array(self, name: str, value: torch.Tensor) -> NDArray[Any]:
        """Return a value of the shape (…) of the parameter `name`, in canonical layout."""
        if name in named_variables(self.model):
            return to_canonical(self.model, name, value)
        return value.detach().cpu().numpy().copy()

    def from_array(self, name: str, value: NDArray[Any]) -> torch.Tensor:
        """Return a canonical array as a tensor of the shape (…) of the parameter `name`."""
        if name in named_variables(self.model):
            value = from_canonical(self.model, name, value)
        return torch.tensor(
            value, dtype=getattr(torch, self.run.spec.precision), device=self.device
        )

    def _variables(self, weights: Weights, parameters: Any) -> dict[str, torch.Tensor]:
        return {p.name: self.from_array(p.name, weights[p.name]) for p in parameters}

    def _build_meta_optimizer(self) -> torch.optim.Optimizer:
        spec = OptimizerSpec(
            name="adam",
            learning_rate=self.options.meta_learning_rate,
            weight_decay=self.options.meta_weight_decay,
        )
        return build_optimizer(spec, list(self.meta.values()), [0.0] * len(self.meta))

    def _forget(self) -> None:
        """Start new sums at 0."""
        shapes = total_shapes(self.options, self.pairs)
        self.totals = {
            name: torch.zeros(shape, dtype=torch.float64, device=self.device)
            for name, shape in shapes.items()
        }
        self.is_good = torch.ones((), dtype=torch.bool, device=self.device)
