"""Channels of a source that were chosen beforehand, as `poc channels` writes them."""

import json
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers import Shape

SELECTION_FORMAT = "poc channels 1"


def read_selection(path: str) -> dict[str, tuple[int, ...]]:
    """Tap -> kept source channels, from a file of `poc channels`.

    Raises:
        UsageError: Unreadable, or another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["format"] != SELECTION_FORMAT:
            raise ValueError(content["format"])
        return {tap: tuple(row["channels"]) for tap, row in content["taps"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"received method_options.channels_file={path!r}, which is no selection of channels "
            f"({error!r}); make one with `poc channels`"
        ) from None


def check_channels(
    tap: str, channels: tuple[int, ...] | None, shape: Shape
) -> tuple[int, ...] | None:
    """The kept channels of a tap, none where all are kept."""
    if channels is not None and (not channels or max(channels) >= shape[-1]):
        raise UsageError(
            f"received channels of the tap {tap!r} that its {shape[-1]} channels do not hold; make "
            "a selection for this source with `poc channels`"
        )
    return None if channels is None or len(channels) == shape[-1] else channels
