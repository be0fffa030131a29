"""The case that float32 cannot judge: a unit within rounding of a kink of a ReLU or max-pool.

There float32 may fall on either side of the kink. If the backends differ with every noise, and with
none of them does each agree with its own float64, then float64 decides: a difference in float64 is
a different program, and a rung that agrees in float64 is not judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from poc.shared.spec.run import BACKENDS

from .batches import NUM_PROBES
from .rungs import Rung


def excuse_kinks(
    rungs: Sequence[Rung], exact: Sequence[Rung], own: Sequence[Sequence[Rung]]
) -> list[Rung]:
    """Return the rungs of the last noise; those that differ only in float32 are not judged.

    Args:
        rungs: Both backends in float32.
        exact: The same rungs in float64, with the bounds of float64.
        own: Per backend, the same rungs of its float32 against its own float64.
    """
    return [
        excuse_kink(
            rung, exact[index], {name: own[side][index].error for side, name in enumerate(BACKENDS)}
        )
        for index, rung in enumerate(rungs)
    ]


def excuse_kink(rung: Rung, exact: Rung, own: Mapping[str, float]) -> Rung:
    """Return one rung, not judged if only float32 differs.

    Args:
        rung: Both backends in float32.
        exact: The same rung in float64.
        own: Backend -> relative error of its float32 against its own float64.
    """
    if rung.is_passed or not exact.is_passed:
        return rung
    distances = ", ".join(f"{backend} by {error:.1e}" for backend, error in own.items())
    note = (
        f"{rung.name} cannot be judged in float32: with none of {NUM_PROBES} noises do all units "
        f"stay off their kinks (with the last one, float32 differs from the backend's own float64: "
        f"{distances}); in float64 the backends agree within {exact.error:.1e}"
    )
    return replace(rung, is_judged=False, notes=(*rung.notes, note))
