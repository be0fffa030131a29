"""From the text of `--data` to a source."""

from collections.abc import Callable
from pathlib import Path

from poc.shared.errors import UsageError

from .arrays import open_embedded, open_npz
from .idx import open_idx
from .source import Source

__all__ = ["SCHEMES", "Source", "open_source"]


def _open_tfds(name: str, rest: str) -> Source:
    # Loaded only when asked for: tensorflow-datasets takes a third of a second.
    from .tfds import open_tfds

    return open_tfds(name, rest)


# Scheme -> (what stands after the colon, opener of (whole text, text after the colon)).
SCHEMES: dict[str, tuple[str, Callable[[str, str], Source]]] = {
    "embedded": ("", lambda name, _: open_embedded(name)),
    "idx": ("PATH", lambda name, rest: open_idx(name, Path(rest).expanduser())),
    "npz": ("PATH", lambda name, rest: open_npz(name, Path(rest).expanduser())),
    "tfds": ("NAME[:CONFIG]", _open_tfds),
}


def open_source(text: str) -> Source:
    """Open `embedded`, `idx:PATH`, `npz:PATH` or `tfds:NAME[:CONFIG]`.

    Raises:
        UsageError: Unknown scheme, missing path, damaged or unsuitable content.
    """
    scheme, _, rest = text.partition(":")
    if scheme not in SCHEMES or bool(rest) != bool(SCHEMES[scheme][0]):
        allowed = ", ".join(
            f"{key}:{value[0]}" if value[0] else key for key, value in SCHEMES.items()
        )
        raise UsageError(
            f"received the data source {text!r}; allowed are {allowed}: choose one of them"
        )
    return SCHEMES[scheme][1](text, rest)
