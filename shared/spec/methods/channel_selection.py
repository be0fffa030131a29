"""Reader of the files of `poc channels`, which name chosen channels of a teacher."""

import json
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers.declaration import Shape

SELECTION_FORMAT = "poc channels 1"
# Key of the digest of the teacher's weights, and its former name.
DIGEST, FORMER_DIGEST = "teacher_digest", "source_digest"


def read_selection(path: str) -> dict[str, tuple[int, ...]]:
    """Read a file of `poc channels`: tap -> indices of the kept channels.

    Raises:
        UsageError: The file is unreadable or has another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["format"] != SELECTION_FORMAT:
            raise ValueError(content["format"])
        return {tap: tuple(row["channels"]) for tap, row in content["taps"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"Got method_options.channels_file={path!r}, which is not a selection of channels "
            f"({error!r}). Expected a file of `poc channels`. Try making one with this command."
        ) from None


def check_channels(
    tap: str, channels: tuple[int, ...] | None, shape: Shape
) -> tuple[int, ...] | None:
    """Return the kept channels of a tap; none if all are kept.

    Raises:
        UsageError: No channel is kept, or one that the tap does not have.
    """
    if channels is not None and (not channels or max(channels) >= shape[-1]):
        raise UsageError(
            f"Got {len(channels)} kept channels of the tap {tap!r}, the largest index "
            f"{max(channels, default=None)}. Expected at least one, with indices from 0 to "
            f"{shape[-1] - 1}. Try a new selection for this teacher with `poc channels`."
        )
    return None if channels is None or len(channels) == shape[-1] else channels
