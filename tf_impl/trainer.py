"""One training step in TensorFlow, and what the loop asks of a model under training."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from poc.shared.engine.backend import Known
from poc.shared.engine.noise import Noise
from poc.shared.spec.initializers import Weights
from poc.shared.spec.methods import find_method
from poc.shared.spec.run import RunSpec

from .border import (
    images_to_tensor,
    known_to_tensors,
    labels_to_tensor,
    map_to_array,
    noise_to_tensors,
    rate_to_tensor,
)
from .device import find_device
from .gradients import Gradients, compute_gradients
from .methods import OBJECTIVES
from .models import Model
from .optimizers import build_optimizer, set_learning_rate
from .weights import load_weights, named_variables, read_weights, trainable_names


class Trainer:
    """A model under training: every step is one compiled graph."""

    def __init__(self, run: RunSpec, weights: Weights) -> None:
        network = run.trained_network
        self.device = find_device(run)
        self.model = Model(network, dtype=run.precision)
        load_weights(self.model, weights)
        self.objective = OBJECTIVES[find_method(run.method).objective](run, self.model, weights)
        self.names = trainable_names(self.model)
        variables = named_variables(self.model)
        declared = {parameter.name: parameter for parameter in network.parameters}
        self.variables = [variables[name] for name in self.names]
        self.optimizer = build_optimizer(
            run.optimizer,
            self.variables,
            [declared[name].weight_decay for name in self.names],
            [declared[name].rate_factor for name in self.names],
        )
        self.dtype = run.precision
        self.totals: dict[str, tf.Variable] = {}
        self.num_steps = 0
        compiled = run.mode == "compiled"
        self.update, self._run_logits = self._update, self.objective.logits
        self.run_source = self.objective.source_outputs
        self._run_statistics = self.model.norm_statistics
        if run.mode != "eager":
            self.update = tf.function(self._update, jit_compile=compiled)
            self.run_source = tf.function(self.run_source, jit_compile=compiled)
            self._run_logits = tf.function(self._run_logits, jit_compile=compiled)
            self._run_statistics = tf.function(self._run_statistics, jit_compile=compiled)

    def step(
        self,
        images: NDArray[Any],
        labels: NDArray[Any],
        learning_rate: float,
        noise: Noise,
        known: Known | None = None,
    ) -> None:
        """One update; never waits for the device."""
        self.prepared_step(images, labels, learning_rate, noise, known)()

    def prepared_step(
        self,
        images: NDArray[Any],
        labels: NDArray[Any],
        learning_rate: float,
        noise: Noise,
        known: Known | None = None,
    ) -> Callable[[], None]:
        """The update with its arguments on the device already."""
        arguments = (
            images_to_tensor(images, dtype=self.dtype, device=self.device),
            labels_to_tensor(labels, dtype=self.dtype, device=self.device),
            rate_to_tensor(learning_rate),
            noise_to_tensors(noise, device=self.device),
            known_to_tensors(known or {}, dtype=self.dtype, device=self.device),
        )

        def run() -> None:
            self.update(*arguments)
            self.num_steps += 1

        return run

    @property
    def num_compilations(self) -> int:
        """Programs that were traced or compiled for the update so far."""
        count = getattr(self.update, "experimental_get_tracing_count", lambda: 0)
        return int(count())

    def source_outputs(self, images: NDArray[Any]) -> dict[str, NDArray[np.floating]]:
        """What the objective computes from what is frozen, each (N, …); empty without such."""
        return map_to_array(
            self.run_source(images_to_tensor(images, dtype=self.dtype, device=self.device))
        )

    def metrics(self) -> dict[str, float]:
        """Means over the steps since the last call; waits for the device."""
        totals = {name: float(total) for name, total in self.totals.items()}
        for total in self.totals.values():
            total.assign(0.0)
        num_steps, self.num_steps = self.num_steps, 0
        count = totals.pop("count", 0.0)
        good_steps = int(totals.pop("good_steps", 0.0))
        means = {name: total / max(count, 1.0) for name, total in totals.items()}
        return {**means, "count": count, "bad_step": good_steps if good_steps < num_steps else -1}

    def wait(self) -> None:
        """Return when the device has done all that was asked of it."""
        tf.test.experimental.sync_devices()

    def load(self, weights: Weights) -> None:
        """Replace the weights; the optimiser's state stays."""
        load_weights(self.model, weights)

    def logits(self, images: NDArray[Any], known: Known | None = None) -> NDArray[np.floating]:
        """(N, num_classes) in evaluation mode; what is known of the frozen part is not computed."""
        outputs: NDArray[np.floating] = np.asarray(
            self._run_logits(
                images_to_tensor(images, dtype=self.dtype, device=self.device),
                known_to_tensors(known or {}, dtype=self.dtype, device=self.device),
            )
        )
        return outputs

    def norm_statistics(self, images: NDArray[Any]) -> dict[str, NDArray[np.floating]]:
        """Mean and Bessel-corrected variance of this batch at every batch norm, each (C,)."""
        return map_to_array(
            self._run_statistics(images_to_tensor(images, dtype=self.dtype, device=self.device))
        )

    def weights(self, names: Collection[str] | None = None) -> Weights:
        """Canonical weights, running statistics included; of these `names` alone."""
        return read_weights(self.model, names)

    def state(self) -> dict[str, NDArray[Any]]:
        """Optimiser slots as `parameter/slot`, and its step counter."""
        slots = {
            f"{name}/{slot}": np.asarray(variable)
            for slot, variables in self.optimizer.slots.items()
            for name, variable in zip(self.names, variables, strict=True)
        }
        return {**slots, "step": np.asarray(self.optimizer.iterations)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` gave."""
        for slot, variables in self.optimizer.slots.items():
            for name, variable in zip(self.names, variables, strict=True):
                variable.assign(state[f"{name}/{slot}"])
        self.optimizer.iterations.assign(state["step"])

    def counts(self) -> dict[str, float]:
        """Totals since the last `metrics`, as they stand; waits for the device."""
        totals = {name: float(total) for name, total in self.totals.items()}
        return {**totals, "num_steps": self.num_steps}

    def restore_counts(self, counts: Mapping[str, float]) -> None:
        """Take back what `counts` gave."""
        totals = dict(counts)
        self.num_steps = int(totals.pop("num_steps"))
        for name, total in totals.items():
            self._total(name).assign(total)

    def _update(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        learning_rate: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        known: Mapping[str, tf.Tensor],
    ) -> None:
        result = compute_gradients(self.objective, self.model, images, labels, noise, known)
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.apply([result.by_name[name] for name in self.names], self.variables)
        self._count(result, labels)

    def _count(self, result: Gradients, labels: tf.Tensor) -> None:
        """Add this batch to the totals, on the device."""
        sums = {f"loss_{name}": tf.reduce_sum(values) for name, values in result.losses.items()}
        sums["loss"] = tf.add_n(list(sums.values()))
        if result.logits is not None:
            expected = labels if labels.shape.rank == 1 else tf.argmax(labels, axis=1)
            hits = tf.equal(tf.argmax(result.logits, axis=1), expected)
            sums["accuracy"] = tf.reduce_sum(tf.cast(hits, tf.float64))
        sums["count"] = tf.cast(tf.shape(labels)[0], tf.float64)
        for name, value in sums.items():
            self._total(name).assign_add(tf.cast(value, tf.float64))
        # Steps before the first non-finite loss: it stops counting there. A NaN may never reach the
        # loss, since max-pools and fused ReLUs drop it; the gradients show it, once.
        norm = tf.linalg.global_norm(list(result.by_name.values()))
        signs = [tf.cast(v, tf.float64) for v in (result.loss, self._total("loss"), norm)]
        is_good = tf.reduce_all(tf.math.is_finite(signs))
        self._total("loss").assign_add(tf.where(is_good, tf.zeros((), tf.float64), np.nan))
        self._total("good_steps").assign_add(tf.cast(is_good, tf.float64))

    def _total(self, name: str) -> tf.Variable:
        if name not in self.totals:
            with tf.init_scope():
                self.totals[name] = tf.Variable(0.0, dtype=tf.float64, name=name)
        return self.totals[name]
