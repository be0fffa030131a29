"""`--weights`: settings that a weight file fills in, and the refusal of a run without one."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from poc.shared.errors import UsageError

if TYPE_CHECKING:
    from poc.shared.spec.reading.pretrained import WeightDefaults
    from poc.shared.spec.run import RunSpec

# `--weights none` asks for random values where a method expects trained ones.
NO_WEIGHTS = "none"


def weight_defaults(tell: Callable[[str], None]) -> "WeightDefaults":
    """Return the settings that a weight file fills in, where the command line leaves them open.

    Args:
        tell: Prints a note; it gets each note once.
    """
    from functools import cache

    from poc.shared.actions.weights.foreign import locate_canonical
    from poc.shared.spec.reading.pretrained import WeightDefaults
    from poc.shared.weights.header import describe_weights

    tell_once = cache(tell)
    # A sweep asks for every cell: a file is read and hashed once for each model.
    located: dict[tuple[str, str, str], str] = {}

    def locate(path: str, values: Mapping[str, object]) -> str:
        key = (path, repr(values.get("model")), str(values.get("method")))
        if key not in located:
            located[key] = locate_canonical(path, values, tell_once)
        return located[key]

    return WeightDefaults(describe=describe_weights, locate=locate, note=tell_once)


def require_weights(spec: "RunSpec", given: object) -> None:
    """Refuse to fine-tune an untrained body, unless `--weights none` asks for it.

    Raises:
        UsageError: The method starts from weights and no weights are named.
    """
    from poc.shared.spec.methods.table import find_method

    if (
        find_method(spec.method).fine_tuning
        and spec.initial_weights is None
        and given != NO_WEIGHTS
    ):
        raise UsageError(
            f"Got method={spec.method!r} without --weights. Expected a file, imagenet, or none for "
            "random values. Try --weights FILE (`poc weights convert` makes one)."
        )
