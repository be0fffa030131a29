"""The state of an l2t-ww run: networks, meta-networks, momentum, Adam's moments."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import keras
import numpy as np
import tensorflow as tf
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
from poc.tf_impl.device import find_device
from poc.tf_impl.methods.distilled import Distilled
from poc.tf_impl.models import Model
from poc.tf_impl.optimizers import build_optimizer
from poc.tf_impl.ranks.collectives import current_step, sum_named
from poc.tf_impl.weights import (
    learning_names,
    named_variables,
    trainable_names,
)

from .functional import PureForward
from .matching import Gates, Matching

SLOTS = ("exp_avg", "exp_avg_sq")
# Statistics of a batch: name -> sums over its examples.
Seen = dict[str, tf.Tensor]


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
        self.device = find_device(run.spec)
        self.pairs = find_pairs(self.options, run.network, network)
        self.source_nodes = {p.source: network.node_of(p.source) for p in self.pairs}
        self.target_nodes = {p.target: model.network.node_of(p.target) for p in self.pairs}
        self.matching = Matching(
            self.options, self.pairs, dtype=run.spec.precision, device=self.device
        )
        self.forward = PureForward(model)
        self.meta = self._variables(weights, run.meta_parameters)
        self.velocity = {n: tf.Variable(tf.zeros_like(v)) for n, v in self.theta().items()}
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
        self.scales: dict[str, tuple[tf.Variable, tf.Variable]] = {}
        self.meta_optimizer: Any = self._build_meta_optimizer() if self.meta else None
        self.num_steps = tf.Variable(0, dtype=tf.int64)
        shapes = total_shapes(self.options, self.pairs)
        self.totals = {n: tf.Variable(tf.zeros(s, tf.float64)) for n, s in shapes.items()}
        self.is_good = tf.Variable(True)
        self.channel_means: Arrays = {}

    def theta(self) -> dict[str, tf.Tensor]:
        """Return the values (…) of all parameters that SGD moves."""
        variables = named_variables(self.model)
        return {n: tf.convert_to_tensor(variables[n]) for n in trainable_names(self.model)}

    def live_variables(self) -> dict[str, tf.Tensor]:
        """Return the model's own trainable variables (…), for gradients that end there."""
        variables = named_variables(self.model)
        return {name: variables[name].value for name in trainable_names(self.model)}

    def statistics(self) -> dict[str, tf.Tensor]:
        """Return the running statistics (C,) of the target."""
        variables = named_variables(self.model)
        names = [n for n in variables if n.rpartition("/")[2].startswith("moving_")]
        return {name: tf.convert_to_tensor(variables[name]) for name in names}

    def momentum(self) -> dict[str, tf.Tensor]:
        """Return the momentum (…) of all parameters that SGD moves."""
        return {name: tf.convert_to_tensor(value) for name, value in self.velocity.items()}

    def is_meta_step(self) -> tf.Tensor | bool:
        """Count a batch, and return () bool: phi learns from it."""
        since = self.num_steps.assign_add(1) - self.options.meta_warmup_steps
        if not self.meta:
            return False
        # A Python truth value, if it never changes, keeps `tf.cond` out of the graph.
        if self.options.meta_every == 1 and self.options.meta_warmup_steps == 0:
            return True
        return tf.logical_and(since > 0, since % self.options.meta_every == 0)

    def keep(
        self,
        theta: Mapping[str, tf.Tensor],
        velocity: Mapping[str, tf.Tensor],
        statistics: Mapping[str, tf.Tensor],
    ) -> None:
        """Store theta, velocity (…) and statistics (C,) at the end of a batch."""
        variables = named_variables(self.model)
        for name, value in {**theta, **statistics}.items():
            variables[name].assign(value)
        for name, value in velocity.items():
            self.velocity[name].assign(value)

    def record(self, gates: Gates, errors: Mapping[str, tf.Tensor]) -> Seen:
        """Return sums over the batch for every pair and channel, from errors (N, C) of phase 1."""
        return {
            "pair_weight": tf.reduce_sum(gates.pair_weights, 0),
            "matching": self.matching.by_pair(gates.weights, errors)[None],
            "channel_weight": tf.reduce_sum(gates.channel_weights, 0),
            "count": tf.cast(tf.shape(gates.pair_weights)[0], gates.pair_weights.dtype),
        }

    def over_ranks(self, seen: Seen) -> Seen:
        """Return sums (…) of a batch over the examples of all ranks, if there are several."""
        step = current_step()
        if step is None:
            return seen
        # The stand-in of a rank without an example counts nothing.
        counted = tf.sign(step.share)
        return sum_named({n: v * tf.cast(counted, v.dtype) for n, v in seen.items()})

    def count(self, seen: Seen) -> None:
        """Add the sums (…) of a batch, until one is not finite; never waits for the device."""
        # Stopped there, so that the totals show which sum was the first to break.
        for name, value in seen.items():
            added = tf.where(self.is_good, tf.cast(value, tf.float64), 0.0)
            total = self.totals[name].assign_add(added)
            good = tf.reduce_all(tf.math.is_finite(total))
            self.is_good.assign(tf.logical_and(self.is_good, good))

    def metrics(self) -> dict[str, float]:
        """Return means since the last call.

        They are `pair_weight/PAIR` and `matching/PAIR`. Over the batches on which phi learns there
        are also `outer_loss` (phase 4) and `hyper_gradient_norm`.

        Raises:
            CheckFailed: A sum is not finite. The message names the phase and, if any, the pair.
        """
        totals = {name: np.array(value) for name, value in self.totals.items()}
        self.is_good.assign(True)
        for value in self.totals.values():
            value.assign(tf.zeros_like(value))
        if not totals["count"]:
            return {}
        check_finite(totals, self.pairs)
        self.channel_means = split_channels(totals["channel_weight"] / totals["count"], self.pairs)
        return describe_totals(totals, self.pairs)

    def weights(self) -> Weights:
        """Return the `Weights` of the meta-networks."""
        return {name: np.array(value) for name, value in self.meta.items()}

    def load(self, weights: Weights) -> None:
        """Load the meta-networks if the `Weights` have them; those of a `best` file do not."""
        for name, value in self.meta.items():
            if name in weights:
                value.assign(weights[name].astype(value.dtype))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return `Arrays`: both optimisers' slots and steps, `standardize`'s constants, sums."""
        arrays = {f"{n}/momentum": self.to_array(n, v) for n, v in self.velocity.items()}
        slots = self.meta_optimizer.slots if self.meta_optimizer else {}
        for slot, variables in slots.items():
            for name, value in zip(self.meta, variables, strict=True):
                arrays[f"{name}/{slot}"] = self.to_array(name, value)
        for tap, constants in self.scales.items():
            for part, value in zip(("mean", "deviation"), constants, strict=True):
                arrays[f"scale/{tap}/{part}"] = self.to_array("", value)
        arrays |= {f"sum/{name}": np.array(value) for name, value in self.totals.items()}
        for pair, mean in self.channel_means.items():
            arrays[f"channel_weight/{pair}"] = mean
        steps = int(self.meta_optimizer.iterations) if self.meta_optimizer else 0
        arrays["meta_step"] = np.asarray(steps)
        return {**arrays, "step": np.asarray(self.num_steps)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the `Arrays` that `state` returned."""
        for name, variable in self.velocity.items():
            variable.assign(self.from_array(name, state[f"{name}/momentum"]))
        if self.meta_optimizer:
            for slot, variables in self.meta_optimizer.slots.items():
                for name, variable in zip(self.meta, variables, strict=True):
                    variable.assign(self.from_array(name, state[f"{name}/{slot}"]))
            self.meta_optimizer.iterations.assign(state["meta_step"])
        self.scales = {}
        for tap in self.source_nodes:
            if f"scale/{tap}/mean" in state:
                parts = (state[f"scale/{tap}/{part}"] for part in ("mean", "deviation"))
                mean, deviation = (tf.Variable(self.from_array("", part)) for part in parts)
                self.scales[tap] = mean, deviation
        for name, value in self.totals.items():
            if f"sum/{name}" in state:
                value.assign(state[f"sum/{name}"])
        self.num_steps.assign(int(state["step"]))

    def to_array(self, name: str, value: tf.Tensor) -> NDArray[Any]:
        """Return a value of the shape (…) of the parameter `name`, in canonical layout."""
        return np.array(value)

    def from_array(self, name: str, value: NDArray[Any]) -> tf.Tensor:
        """Return a canonical array as a tensor of the shape (…) of the parameter `name`."""
        return tf.constant(value, self.run.spec.precision)

    def _variables(self, weights: Weights, parameters: Any) -> dict[str, keras.Variable]:
        return {
            p.name: keras.Variable(
                self.from_array(p.name, weights[p.name]), dtype=self.run.spec.precision
            )
            for p in parameters
        }

    def _build_meta_optimizer(self) -> keras.optimizers.Optimizer:
        spec = OptimizerSpec(
            name="adam",
            learning_rate=self.options.meta_learning_rate,
            weight_decay=self.options.meta_weight_decay,
        )
        return build_optimizer(spec, list(self.meta.values()), [0.0] * len(self.meta))

    def _nothing_seen(self) -> Seen:
        """Return the sums of phases 2 to 4, all 0, of a batch without them."""
        # Both branches of `tf.cond` must return the same names and shapes.
        shapes = {name: self.totals[name].shape for name in ("look_ahead", "judged")}
        return {name: tf.zeros(shape, self.run.spec.precision) for name, shape in shapes.items()}
