"""Differences of rounding in float32: units on a kink of a ReLU or max-pool, and sums of roundings.

At a kink float32 may fall on either side. If the backends differ with every noise, and with none of
them does each agree with its own float64, then float64 decides. It also decides where each backend
agrees with its own float64, but the sum of both roundings is above the bound. A difference in
float64 is a different program. Agreement settles the rung if the loss, which has no kink, agrees in
float32 too. Otherwise float32 alone could have a fault, and the rung is not judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from poc.shared.spec.run import BACKENDS

from .batches import NUM_PROBES
from .rungs import Rung


def excuse_rounding(
    rungs: Sequence[Rung], exact: Sequence[Rung], own: Sequence[Sequence[Rung]]
) -> list[Rung]:
    """Return the rungs of the last noise; float64 decides about those that differ in float32.

    Args:
        rungs: Both backends in float32; the first one compares losses.
        exact: The same rungs in float64, with the bounds of float64.
        own: Per backend, the same rungs of its float32 against its own float64.
    """
    has_equal_losses = rungs[0].is_passed and exact[0].is_passed
    return [
        excuse_rung(
            rung,
            exact[index],
            {name: own[side][index].error for side, name in enumerate(BACKENDS)},
            has_equal_losses=has_equal_losses,
        )
        for index, rung in enumerate(rungs)
    ]


def excuse_rung(
    rung: Rung, exact: Rung, own: Mapping[str, float], *, has_equal_losses: bool
) -> Rung:
    """Return one rung, settled by float64 or not judged if only float32 differs.

    Args:
        rung: Both backends in float32.
        exact: The same rung in float64.
        own: Backend -> relative error of its float32 against its own float64.
        has_equal_losses: The losses agree in both precisions.
    """
    if rung.is_passed or not exact.is_passed:
        return rung
    distances = ", ".join(f"{backend} by {error:.1e}" for backend, error in own.items())
    is_sum = all(error <= rung.tolerance for error in own.values())
    reason = (
        "the roundings of both backends add up to more than the bound (float32 differs"
        if is_sum
        else f"with none of {NUM_PROBES} noises do all units stay off their kinks (with the last "
        "one, float32 differs"
    )
    note = (
        f"{rung.name} cannot be judged in float32: {reason} from the backend's own float64: "
        f"{distances}); in float64 the backends agree within {exact.error:.1e}"
    )
    return replace(rung, is_judged=False, is_settled=has_equal_losses, notes=(*rung.notes, note))
