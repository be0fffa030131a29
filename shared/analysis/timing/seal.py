"""The checksum of a bench file: whether its content is what `poc bench` wrote.

It shows accidents and careless edits, in every field alike. It is no signature: whoever changes the
file on purpose can make its checksum anew.
"""

import hashlib
import json
from collections.abc import Mapping

from poc.shared.files.whole import finite

CHECKSUM = "checksum"


def seal(content: Mapping[str, object]) -> dict[str, object]:
    """The content as JSON gives it back, with its checksum."""
    stored = json.loads(json.dumps(finite(content)))
    return {**stored, CHECKSUM: checksum_of(stored)}


def checksum_of(content: Mapping[str, object]) -> str:
    """Sha256 over every key and value but the checksum itself, whatever the order of the keys."""
    kept = {key: value for key, value in content.items() if key != CHECKSUM}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_intact(content: Mapping[str, object]) -> bool:
    """Whether the stored checksum is that of the content."""
    return content.get(CHECKSUM) == checksum_of(content)


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of a JSON file, as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: A key stands twice; a reader might look at the one, a program at the other.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the keys {[key for key, _ in pairs]} are not all different")
    return found
