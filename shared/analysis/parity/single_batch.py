"""Rungs of one batch, judged on the first noise on which float32 can tell programs apart."""

from collections.abc import Callable, Sequence

from poc.shared.files.arrays import Arrays

from .backend_pair import BackendPair, Evaluate
from .batches import Batch
from .kinks import excuse_rounding
from .rungs import Rung, compare, is_smooth, split
from .tolerances import TOLERANCES, Tolerances

# Makes rungs of both backends' values.
Compare = Callable[[Sequence[Arrays], Tolerances], list[Rung]]


def judge_batch(
    pair: BackendPair,
    evaluate: Evaluate,
    compare_values: Compare,
    batches: Sequence[Batch],
    tolerances: Tolerances,
) -> list[Rung]:
    """Compare what both backends compute from a batch, on one noise after another.

    Args:
        pair: The backends.
        evaluate: Computes a backend's values (…) on the batches.
        compare_values: Makes rungs of them.
        batches: Images (N, H, W, C) float32 and labels (N,).
        tolerances: Those of the run's precision.
    """
    for probe in pair.probes(batches):
        values = [evaluate(worker, probe) for worker in pair.workers]
        rungs = compare_values(values, tolerances)
        if all(rung.is_passed for rung in rungs):
            return rungs
        found = pair.in_double(evaluate, probe)
        if found is None:
            return rungs
        doubles = found
        if is_smooth(values, doubles, tolerances.gradients):
            break
    exact = compare_values(doubles, TOLERANCES["float64"])
    own = [compare_values(both, tolerances) for both in zip(values, doubles, strict=True)]
    return excuse_rounding(rungs, exact, own)


def compare_loss_and_gradients(values: Sequence[Arrays], tolerances: Tolerances) -> list[Rung]:
    """Compare the loss () of both backends, then their gradients (…), if anything is trained."""
    parts = [split(value) for value in values]
    loss = compare("loss", [part[0] for part in parts], tolerances.logits)
    if not any(part[1] for part in parts):
        return [loss]
    return [loss, compare("gradients", [part[1] for part in parts], tolerances.gradients)]


def compare_map_and_gradient(values: Sequence[Arrays], tolerances: Tolerances) -> list[Rung]:
    """Compare both backends' map (N, h, w, c) at a tap and the gradient at it, as one rung."""
    return [compare("gradient at a tap", values, tolerances.gradients)]
