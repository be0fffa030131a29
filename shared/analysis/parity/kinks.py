"""What float32 cannot judge: a unit within rounding of a ReLU's or a max-pool's kink.

There float32 may fall on either side. Where the backends differ on every noise, and on none of them
does each agree with its own float64, float64 has the word: what differs there is another program,
and what agrees there is not judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from poc.shared.spec.run import BACKENDS

from .batches import NUM_PROBES
from .rungs import Rung


def excuse_kinks(
    rungs: Sequence[Rung], exact: Sequence[Rung], own: Sequence[Sequence[Rung]]
) -> list[Rung]:
    """The rungs of the last noise, not judged where only float32 differs.

    Args:
        rungs: In float32.
        exact: The same in float64, within its bounds.
        own: The same, of each backend's float32 against its own float64.
    """
    return [
        excuse_kink(
            rung, exact[index], {name: own[side][index].error for side, name in enumerate(BACKENDS)}
        )
        for index, rung in enumerate(rungs)
    ]


def excuse_kink(rung: Rung, exact: Rung, own: Mapping[str, float]) -> Rung:
    """One of them; `own` says how far each backend is from its own float64."""
    if rung.is_passed or not exact.is_passed:
        return rung
    distances = ", ".join(f"{backend} by {error:.1e}" for backend, error in own.items())
    note = (
        f"{rung.name} cannot be judged in float32: on none of {NUM_PROBES} noises do all units "
        f"stay off their kinks (on the last one, from its own float64 differs {distances}); in "
        f"float64 the backends agree within {exact.error:.1e}"
    )
    return replace(rung, is_judged=False, notes=(*rung.notes, note))
