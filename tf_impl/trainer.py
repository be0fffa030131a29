"""A model under training in TensorFlow: its step, its state and its metrics."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
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
from .weights import load_weights, named_variables, read_weights, trainable_names

# Places in the vector of totals. A method has at most one loss term per pair of maps.
_NUM_TOTALS = 256


class Trainer:
    """A model under training: every step is one compiled graph."""

    def __init__(self, run: ResolvedRun, weights: Weights) -> None:
        network = run.trained_network
        self.device = find_device(run.spec)
        self.model = Model(network, dtype=run.spec.precision)
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
        # Created here: a graph that creates variables is traced twice. One vector for all totals
        # keeps the graph small, and so its tracing short.
        self.totals = tf.Variable(tf.zeros(_NUM_TOTALS, tf.float64))
        self.names_of_totals: tuple[str, ...] = ()
        self.num_steps = 0
        compiled = run.spec.mode == "compiled"
        self.update, self._run_logits = self._update, self.objective.logits
        self.run_teacher = self.objective.teacher_outputs
        self._run_statistics = self.model.norm_statistics
        if run.spec.mode != "eager":
            # AutoGraph would rewrite Python branches on tensors. There are none, only tf.cond.
            kwargs = {"jit_compile": compiled, "autograph": False}
            self.update = tf.function(self._update, **kwargs)
            self.run_teacher = tf.function(self.run_teacher, **kwargs)
            self._run_logits = tf.function(self._run_logits, **kwargs)
            self._run_statistics = tf.function(self._run_statistics, **kwargs)

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
        # In eager mode `update` is a plain method, which nothing traces.
        count = getattr(self.update, "experimental_get_tracing_count", lambda: 0)
        return int(count())

    def teacher_outputs(self, images: NDArray[Any]) -> dict[str, NDArray[np.floating]]:
        """Return the outputs (N, …) of frozen layers that the objective needs, if any."""
        return map_to_array(self.run_teacher(self._to_tensor(images)))

    def metrics(self) -> dict[str, float]:
        """Return means over the steps since the last call; waits for the device."""
        totals = self._named_totals()
        self.totals.assign(tf.zeros_like(self.totals))
        num_steps, self.num_steps = self.num_steps, 0
        count = totals.pop("count", 0.0)
        good_steps = int(totals.pop("good_steps", 0.0))
        means = {name: total / max(count, 1.0) for name, total in totals.items()}
        means |= self.objective.metrics()
        return {**means, "count": count, "bad_step": good_steps if good_steps < num_steps else -1}

    def wait(self) -> None:
        """Wait until the device has done all its work."""
        tf.test.experimental.sync_devices()

    def load(self, weights: Weights) -> None:
        """Replace the canonical `Weights`; the optimiser's state stays."""
        load_weights(self.model, weights)
        self.objective.load(weights)

    def logits(self, images: NDArray[Any], extras: Extras | None = None) -> NDArray[np.floating]:
        """Return logits (N, num_classes) in evaluation mode; `extras` has the kept outputs."""
        outputs: NDArray[np.floating] = np.asarray(
            self._run_logits(
                self._to_tensor(images),
                extras_to_tensors(extras or {}, dtype=self.dtype, device=self.device),
            )
        )
        return outputs

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
            f"{name}/{slot}": np.asarray(variable)
            for slot, variables in self.optimizer.slots.items()
            for name, variable in zip(self.names, variables, strict=True)
        }
        scale = self.loss_scale.state() if self.loss_scale else {}
        return {**slots, "step": np.asarray(self.optimizer.iterations), **scale}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the `Arrays` that `state` returned."""
        if self.optimizer is None:
            self.objective.restore(state)
            return
        for slot, variables in self.optimizer.slots.items():
            for name, variable in zip(self.names, variables, strict=True):
                variable.assign(state[f"{name}/{slot}"])
        self.optimizer.iterations.assign(state["step"])
        if self.loss_scale:
            self.loss_scale.restore(state)

    def counts(self) -> dict[str, float]:
        """Return the totals since the last `metrics`, not divided; waits for the device."""
        return {**self._named_totals(), "num_steps": self.num_steps}

    def restore_counts(self, counts: Mapping[str, float]) -> None:
        """Restore the totals that `counts` returned."""
        totals = dict(counts)
        self.num_steps = int(totals.pop("num_steps"))
        self.names_of_totals = tuple(totals)
        values = np.zeros(_NUM_TOTALS)
        values[: len(totals)] = list(totals.values())
        self.totals.assign(values)

    def _to_tensor(self, images: NDArray[Any]) -> tf.Tensor:
        return images_to_tensor(images, dtype=self.dtype, device=self.device, layout=self.layout)

    def _update(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        learning_rate: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> None:
        if self.optimizer is None:
            extras = complete_extras(self.objective, images, extras)
            outcome = self.objective.update(images, labels, learning_rate, noise, extras)
            check_losses(self.objective, outcome.losses, outcome.logits, labels)
            self._count(outcome, labels[: outcome.losses["hard"].shape[0]])
            return
        result = compute_gradients(
            self.objective, self.model, images, labels, noise, extras, self.loss_scale
        )
        set_learning_rate(self.optimizer, learning_rate)
        gradients = [result.by_name[name] for name in self.names]
        if self.loss_scale is None:
            self.optimizer.apply(gradients, self.variables)
        else:
            self.loss_scale.update(self.optimizer, gradients, self.variables)
        self._count(result, labels)

    def _count(self, result: Outcome, labels: tf.Tensor) -> None:
        """Add this batch to the totals, on the device."""
        sums = {f"loss_{name}": tf.reduce_sum(values) for name, values in result.losses.items()}
        sums["loss"] = tf.add_n(list(sums.values()))
        if result.logits is not None:
            expected = labels if labels.shape.rank == 1 else tf.argmax(labels, axis=1)
            hits = tf.equal(tf.argmax(result.logits, axis=1), expected)
            sums["accuracy"] = tf.reduce_sum(tf.cast(hits, tf.float64))
        sums["count"] = tf.cast(tf.shape(labels)[0], tf.float64)
        # Steps before the first non-finite loss: the count stops there. A NaN may never reach the
        # loss, because max-pools and fused ReLUs drop it; the gradients show it, once.
        # With a scaled loss such a step is skipped, and the scale decides when to give up.
        if self.loss_scale is None:
            sign = tf.linalg.global_norm(list(result.by_name.values()))
        else:
            sign = tf.where(self.loss_scale.is_lost(), np.float32(np.nan), 0)
        values = {name: tf.cast(value, tf.float64) for name, value in sums.items()}
        names = (*values, "good_steps")
        # After a resume the totals have the order of the stored run, which then stays.
        if set(names) == set(self.names_of_totals):
            names = self.names_of_totals
        self.names_of_totals = names
        before = self.totals[names.index("loss")]
        signs = [tf.cast(v, tf.float64) for v in (result.loss, before, sign)]
        is_good = tf.reduce_all(tf.math.is_finite(signs))
        # From the first bad step on the total is NaN: metrics then show it, and not an average.
        values["loss"] += tf.where(is_good, tf.zeros((), tf.float64), np.nan)
        values["good_steps"] = tf.cast(is_good, tf.float64)
        added = tf.stack([values[name] for name in names])
        self.totals.assign_add(tf.pad(added, [(0, _NUM_TOTALS - len(names))]))

    def _named_totals(self) -> dict[str, float]:
        values = np.asarray(self.totals)[: len(self.names_of_totals)]
        return dict(zip(self.names_of_totals, values.tolist(), strict=True))
