"""Both backends' workers under one run, and what the rungs of the ladder ask of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
from .rungs import LOSS
from .trajectories import Steps

# A backend's values on some batches, in a precision that is the run's own where none is named.
Evaluate = Callable[..., Arrays]


class Caller(Protocol):
    """What the ladder needs of a worker."""

    def call(
        self, operation: Operation[Given, Found], *nothing: Given.args, **arguments: Given.kwargs
    ) -> Found:
        """Run one operation in the backend's process."""


class BackendPair:
    """Two workers; `changes` are fields of the run that one backend alone sees."""

    def __init__(
        self,
        run: ResolvedRun,
        first: Caller,
        second: Caller,
        changes: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.run, self.workers, self._changes = run.spec, (first, second), changes
        self._spec = run.spec.model_dump(mode="json")
        self._meta_names = {parameter.name for parameter in run.meta_parameters}

    def probes(self, batches: Sequence[Batch]) -> Iterator[list[Batch]]:
        """See `draw_probes`."""
        return draw_probes(batches, self.run.seed, self.run.precision)

    def in_double(self, evaluate: Evaluate, batches: Sequence[Batch]) -> list[Arrays] | None:
        """Both backends' values in float64; none for a run in float64, which can always judge."""
        if self.run.precision == "float64":
            return None
        return [evaluate(worker, batches, "float64") for worker in self.workers]

    def gradients(
        self, weights: Weights, worker: Caller, batches: Sequence[Batch], precision: str = ""
    ) -> Arrays:
        """Loss and gradients of the first batch."""
        run = self.run_of(worker, precision)
        result = worker.call(
            Operations.loss_and_gradients, run=run, weights=weights, batch=batches[0]
        )
        return {LOSS: np.asarray(result["loss"]), **result["gradients"]}

    def trajectory(
        self,
        steps: Steps,
        weights: Weights,
        worker: Caller,
        batches: Sequence[Batch],
        precision: str = "",
    ) -> Arrays:
        """Loss of each step, and the weights after the last one."""
        result = worker.call(
            Operations.train_steps,
            run=self.run_of(worker, precision, steps.optimizer),
            weights=weights,
            batches=list(batches),
            learning_rates=steps.learning_rates,
        )
        losses = {f"{LOSS} {step}": np.asarray(v) for step, v in enumerate(result["losses"])}
        return {**losses, **self.judged_weights(result["weights"])}

    def judged_weights(self, weights: Weights) -> Weights:
        """All of them; in float32 without what is trained outside the network.

        Adam's first steps on it follow the sign of a hyper-gradient that float32 cannot tell.
        """
        is_rough = self.run.precision == "float32"
        outside = self._meta_names if is_rough else set()
        return {name: value for name, value in weights.items() if name not in outside}

    def tables(self) -> list[list[ParameterRow]]:
        """Both parameter tables."""
        return [
            worker.call(Operations.parameters, run=self.run_of(worker)) for worker in self.workers
        ]

    def features(
        self, weights: Weights, images: NDArray[np.floating], taps: Sequence[str]
    ) -> list[dict[str, NDArray[np.floating]]]:
        """Both backends' maps in evaluation mode."""
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
        """A backend's run, in another precision or by another rule where named."""
        backend = BACKENDS[0] if worker is self.workers[0] else BACKENDS[1]
        run = {**self._spec, "backend": backend, **self._changes.get(backend, {})}
        run["precision"] = precision or self.run.precision
        run["optimizer"] = {**run["optimizer"], **({"name": optimizer} if optimizer else {})}
        return run
