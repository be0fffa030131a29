"""The checksum of a bench file, which shows that its content is as `poc bench` wrote it.

It detects accidents and careless edits in any field. It is not a signature: a person who changes
the file on purpose can compute a new checksum.
"""

import hashlib
import json
from collections.abc import Mapping

from poc.shared.files.whole import finite

CHECKSUM = "checksum"


def seal(content: Mapping[str, object]) -> dict[str, object]:
    """Return the content as it will be read back from JSON, with its checksum."""
    stored = json.loads(json.dumps(finite(content)))
    return {**stored, CHECKSUM: checksum_of(stored)}


def checksum_of(content: Mapping[str, object]) -> str:
    """Return the SHA-256 of all keys and values except the checksum, in any order of the keys."""
    kept = {key: value for key, value in content.items() if key != CHECKSUM}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_intact(content: Mapping[str, object]) -> bool:
    """Return whether the stored checksum is that of the content."""
    return content.get(CHECKSUM) == checksum_of(content)


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Build an object of a JSON file; for use as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: A key occurs twice: a reader might see one value, a program use the other.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"Got the keys {[key for key, _ in pairs]}. Expected different keys.")
    return found
