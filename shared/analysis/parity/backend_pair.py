"""Both backends' workers under one run, and the computations that the ladder requests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.step_numbers import AVERAGE_PREFIX
from poc.shared.engine.worker.operations import (
    Found,
    Given,
    Operation,
    Operations,
    ParameterRow,
    RunFields,
)
from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.run import BACKENDS

from .batches import Batch, draw_probes
from .kept_branches import cancelled_by_chance, without_rounding
from .rungs import LOSS
from .trajectories import Steps

# Computes a backend's values on some batches, in the run's precision unless another is given.
Evaluate = Callable[..., Arrays]


class Caller(Protocol):
    """The part of a worker that the ladder needs."""

    def call(
        self, operation: Operation[Given, Found], *nothing: Given.args, **arguments: Given.kwargs
    ) -> Found:
        """Run one operation in the backend's process."""


class BackendPair:
    """The workers of both backends, the first of tf, the second of torch.

    `changes` are, per backend, fields of the run that this backend alone gets.
    """

    def __init__(
        self,
        run: ResolvedRun,
        first: Caller,
        second: Caller,
        changes: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.run, self.workers, self._changes = run.spec, (first, second), changes
        self._spec = run.spec.model_dump(mode="json")
        self._network = run.trained_network
        self._num_classes = run.network.num_classes
        self._meta_names = {parameter.name for parameter in run.meta_parameters}

    def probes(self, batches: Sequence[Batch]) -> Iterator[list[Batch]]:
        """Yield the batches with one noise after another, as `draw_probes` does."""
        return draw_probes(batches, self.run.seed, self.run.precision)

    def in_double(self, evaluate: Evaluate, batches: Sequence[Batch]) -> list[Arrays] | None:
        """Return both backends' values (…) in float64; None for a run that is in float64 itself."""
        if self.run.precision == "float64":
            return None
        return [evaluate(worker, batches, "float64") for worker in self.workers]

    def gradients(
        self, weights: Weights, worker: Caller, batches: Sequence[Batch], precision: str = ""
    ) -> Arrays:
        """Compute the first batch's loss () and gradients (…), by canonical name of the tensor.

        A gradient that is zero with the noise of this step, but for rounding, is zero.
        """
        run = self.run_of(worker, precision)
        result = worker.call(
            Operations.loss_and_gradients, run=run, weights=weights, batch=batches[0]
        )
        noise = draw_noise(
            self._network, seed=self.run.seed, step=0, batch_size=len(batches[0]["images"])
        )
        gradients = without_rounding(
            result["gradients"],
            cancelled_by_chance(self._network, noise),
            precision or self.run.precision,
        )
        return {LOSS: np.asarray(result["loss"]), **gradients}

    def map_and_gradient(
        self,
        weights: Weights,
        tap: str,
        worker: Caller,
        batches: Sequence[Batch],
        precision: str = "",
    ) -> Arrays:
        """Compute a map (N, h, w, c) of the first batch, and the gradient of logits at it.

        Image k has the logit of class k modulo the number of classes, so that each class has one.
        """
        images = batches[0]["images"]
        found = worker.call(
            Operations.map_and_gradient,
            run=self.run_of(worker, precision),
            weights=weights,
            images=images,
            labels=np.arange(len(images)) % self._num_classes,
            tap=tap,
        )
        return {tap: found["map"], f"gradient at {tap}": found["gradient"]}

    def trajectory(
        self,
        steps: Steps,
        weights: Weights,
        worker: Caller,
        batches: Sequence[Batch],
        precision: str = "",
    ) -> Arrays:
        """Train some steps: return the loss () of each, and the `Weights` after the last one.

        Averages of the weights (…), if the run keeps them, are among these.
        """
        result = worker.call(
            Operations.train_steps,
            run=self.run_of(worker, precision, steps.optimizer),
            weights=weights,
            batches=list(batches),
            learning_rates=steps.learning_rates,
        )
        losses = {f"{LOSS} {step}": np.asarray(v) for step, v in enumerate(result["losses"])}
        averages = {k: v for k, v in result["state"].items() if k.startswith(AVERAGE_PREFIX)}
        return {**losses, **self.judged_weights(result["weights"]), **averages}

    def judged_weights(self, weights: Weights) -> Weights:
        """Return the `Weights` to compare: in float32, without those outside the network.

        Adam's first steps on these follow the sign of a hyper-gradient, which float32 cannot
        determine.
        """
        is_rough = self.run.precision == "float32"
        outside = self._meta_names if is_rough else set()
        return {name: value for name, value in weights.items() if name not in outside}

    def tables(self) -> list[list[ParameterRow]]:
        """Return the parameter tables of both backends."""
        return [
            worker.call(Operations.parameters, run=self.run_of(worker)) for worker in self.workers
        ]

    def features(
        self, weights: Weights, images: NDArray[np.floating], taps: Sequence[str]
    ) -> list[dict[str, NDArray[np.floating]]]:
        """Compute both backends' maps in evaluation mode.

        Args:
            weights: Canonical name -> array.
            images: (N, H, W, C).
            taps: Names of the maps.

        Returns:
            Tap -> map, (N, ...), per backend.
        """
        return [
            worker.call(
                Operations.features,
                run=self.run_of(worker),
                weights=weights,
                images=images,
                taps=taps,
            )
            for worker in self.workers
        ]

    def run_of(self, worker: Caller, precision: str = "", optimizer: str = "") -> RunFields:
        """Return a backend's run, with another precision or update rule if given."""
        backend = BACKENDS[0] if worker is self.workers[0] else BACKENDS[1]
        run = {**self._spec, "backend": backend, **self._changes.get(backend, {})}
        run["precision"] = precision or self.run.precision
        run["optimizer"] = {**run["optimizer"], **({"name": optimizer} if optimizer else {})}
        return run
