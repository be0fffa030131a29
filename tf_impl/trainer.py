"""A model under training in TensorFlow: its step, its state and its metrics."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
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
from .ranks.collectives import is_joined
from .weights import load_weights, read_weights

# Places in the vector of totals, in addition to those of a method's pairs of maps: loss terms that
# no pair has, accuracy and counts.
_NUM_TOTALS = 64


class Trainer:
    """A model under training: every step is one compiled graph."""

    def __init__(self, run: ResolvedRun, weights: Weights) -> None:
        network = run.trained_network
        self.device = find_device(run.spec)
        self.model = Model(network, dtype=run.spec.precision)
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
        # Created here: a graph that creates variables is traced twice. One vector for all totals
        # keeps the graph small, and so its tracing short.
        num_totals = _NUM_TOTALS + 2 * len(self.objective.pairs)
        self.totals = tf.Variable(tf.zeros(num_totals, tf.float64))
        self.names_of_totals: tuple[str, ...] = ()
        self.num_steps = 0
        compiled = run.spec.mode == "compiled"
        self.update, self.finish_group = self._update, self._finish_group
        self._run_logits = self.objective.logits
        self.run_teacher = self.objective.teacher_outputs
        self._run_statistics = self.model.norm_statistics
        if run.spec.mode != "eager":
            # AutoGraph would rewrite Python branches on tensors. There are none, only tf.cond.
            kwargs = {"jit_compile": compiled, "autograph": False}
            self.update = tf.function(self._update, **kwargs)
            self.finish_group = tf.function(self._finish_group, **kwargs)
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
        # In eager mode both are plain methods, which nothing traces.
        programs = (self.update, self.finish_group)
        counts = [getattr(p, "experimental_get_tracing_count", lambda: 0) for p in programs]
        return sum(int(count()) for count in counts)

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
        if is_joined():
            # Waiting for devices would ask those of the other ranks; the last step has added here.
            np.asarray(self.totals)
        else:
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
        return {**self._named_totals(), "num_steps": self.num_steps}

    def restore_counts(self, counts: Mapping[str, float]) -> None:
        """Restore the totals that `counts` returned."""
        totals = dict(counts)
        self.num_steps = int(totals.pop("num_steps"))
        self.names_of_totals = tuple(totals)
        values = np.zeros(self.totals.shape)
        values[: len(totals)] = list(totals.values())
        self.totals.assign(values)

    def _average_shares(self, numbers: StepNumbers) -> tuple[tf.Tensor | float, ...]:
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

    def _to_tensor(self, images: NDArray[Any]) -> tf.Tensor:
        return images_to_tensor(images, dtype=self.dtype, device=self.device, layout=self.layout)

    def _update(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        learning_rate: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
        average_share: tf.Tensor | float | None = None,
    ) -> None:
        if self.weight_update is None:
            extras = complete_extras(self.objective, images, extras)
            result = self.objective.update(images, labels, learning_rate, noise, extras)
            check_losses(self.objective, result.losses, result.logits, labels)
            labels = labels[: result.losses["hard"].shape[0]]
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
        self, learning_rate: tf.Tensor, average_share: tf.Tensor | float | None = None
    ) -> None:
        """Move the weights by the gradients of all batches of a group, then their average."""
        if self.weight_update is not None:
            self.weight_update.apply_group(learning_rate)
        if self.average and average_share is not None:
            self.average.move(average_share)

    def _count(self, result: Outcome, labels: tf.Tensor, share: tf.Tensor | None = None) -> None:
        """Add this batch to the totals, on the device, unless its `share` () says not to."""
        sums = {f"loss_{name}": tf.reduce_sum(values) for name, values in result.losses.items()}
        sums["loss"] = tf.add_n(list(sums.values()))
        sums |= {name: tf.reduce_sum(values) for name, values in result.watched.items()}
        if result.logits is not None:
            hits = right_answers(result.logits, labels, is_binary=self.is_binary)
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
        if share is not None:
            counted = tf.cast(tf.sign(share), tf.float64)
            values = {name: value * counted for name, value in values.items()}
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
        self.totals.assign_add(tf.pad(added, [(0, self.totals.shape[0] - len(names))]))

    def _named_totals(self) -> dict[str, float]:
        values = np.asarray(self.totals)[: len(self.names_of_totals)]
        return dict(zip(self.names_of_totals, values.tolist(), strict=True))
