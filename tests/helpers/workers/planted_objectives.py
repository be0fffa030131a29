"""A worker whose methods can be spoilt: loss terms of wrong shapes, outputs that relate images."""

import runpy
import sys
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.training.output_cache import KeptOutputs

BACKEND = sys.argv[-1]


def module(name: str) -> Any:
    return import_module(f"poc.{BACKEND}_impl.{name}")


def mean(values: Any, axis: int | None = None) -> Any:
    if BACKEND == "torch":
        return values.mean() if axis is None else values.mean(axis)
    import tensorflow as tf

    return tf.reduce_mean(values, axis)


# From one value an example (N,) to what a method gives as a term.
TERMS = {
    "scalar": mean,
    "column": lambda values: values[:, None],
    "pairs": lambda values: values[:, None] * values,
    "part": lambda values: values[:2],
    # The mean of v_i * v_j over all pairs (i, j), as a share of each example.
    "share": lambda values: mean(values[:, None] * values, 1),
}


@cache
def originals() -> dict[str, Any]:
    """The methods as they are, whatever is planted later."""
    return dict(module("methods").OBJECTIVES)


def plant_term(operations: ServedOperations, form: str) -> None:
    """Give what learns from labels alone a further term, and spoil one of l2t-ww's update."""
    originals()
    objectives, change = module("methods").OBJECTIVES, TERMS[form]

    class Supervised(originals()["supervised"]):
        def losses(self, *arguments: Any) -> Any:
            terms, logits = super().losses(*arguments)
            return {**terms, "relation": change(terms["hard"])}, logits

    class L2TWW(originals()["l2t_ww"]):
        def update(self, *arguments: Any) -> Any:
            outcome = super().update(*arguments)
            spoilt = {"matching": change(outcome.losses["matching"])}
            return outcome._replace(losses={**outcome.losses, **spoilt})

    objectives.update(supervised=Supervised, l2t_ww=L2TWW)


def transposed(values: Any) -> Any:
    if BACKEND == "torch":
        return values.T
    import tensorflow as tf

    return tf.transpose(values)


# From a teacher's logits (N, C) to what a method wants to be kept.
OUTPUTS = {
    "pairs": lambda values: values @ transposed(values),
    "mean of a row": lambda values: mean(values @ transposed(values), 1),
    "less the mean": lambda values: values - mean(values, 0),
    "itself": lambda values: 2 * values,
}


def plant_output(operations: ServedOperations, form: str) -> None:
    """Let distillation ask for a further output of its teacher."""
    originals()
    objectives, change = module("methods").OBJECTIVES, OUTPUTS[form]

    class Distillation(originals()["kd"]):
        def teacher_outputs(self, images: Any) -> Any:
            outputs = super().teacher_outputs(images)
            return {**outputs, "relation": change(outputs["teacher_logits"])}

    objectives.update(kd=Distillation)


def remove_objective(operations: ServedOperations, name: str) -> None:
    """A tree that does not have an objective yet."""
    originals()
    del module("methods").OBJECTIVES[name]


def uproot(operations: ServedOperations) -> None:
    """Take the methods as they are."""
    module("methods").OBJECTIVES.update(originals())


def keep_once(
    operations: ServedOperations, run: dict[str, Any], images: np.ndarray
) -> dict[str, bool]:
    """Keep what a new trainer computes of a batch: whether each stays as computed, bit by bit."""
    resolved = operations._prepare(run)
    trainer = operations._backend.Trainer(resolved, starting_weights(resolved))
    rows = np.arange(len(images))
    kept = KeptOutputs(rows, setting="teacher.cache", precision=resolved.spec.precision)
    found = kept.look_up(rows, images, trainer.teacher_outputs)
    computed = trainer.teacher_outputs(images)
    return {name: np.array_equal(found[name], value) for name, value in computed.items()}


def step_once(
    operations: ServedOperations, run: dict[str, Any], images: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """One step of a new trainer: its means."""
    resolved = operations._prepare(run)
    trainer = operations._backend.Trainer(resolved, starting_weights(resolved))
    noise = draw_noise(resolved.trained_network, seed=0, step=0, batch_size=len(labels))
    trainer.step(images, labels, 1e-3, noise)
    return trainer.metrics()


if __name__ == "__main__":
    for operation in (plant_term, plant_output, remove_objective, uproot, keep_once, step_once):
        setattr(ServedOperations, operation.__name__, operation)
    sys.argv = ["server", BACKEND]
    runpy.run_module("poc.shared.engine.server", run_name="__main__")
