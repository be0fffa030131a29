"""A check, by their records, that runs were trained on the same data before they are pooled."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from poc.shared.engine.folder.record import RunRecord, list_classes
from poc.shared.errors import UsageError

SOURCE, SPLIT = "source_fingerprint", "split_fingerprint"


def require_same_data(folders: Iterable[Path], *, is_split_same: bool) -> None:
    """Refuse to pool or pair runs of different classes, images or (`is_split_same`) parts.

    Raises:
        UsageError: Two runs differ; the message names both and the difference.
    """
    records = [RunRecord.read(folder) for folder in folders]
    first = records[0]
    for other in records[1:]:
        if other.class_names != first.class_names:
            what = (
                f"the classes {list_classes(first.class_names, other.class_names)} and "
                f"{list_classes(other.class_names, first.class_names)}"
            )
        elif differs(first.data, other.data, SOURCE):
            what = "other images or labels"
        elif is_split_same and differs(first.data, other.data, SPLIT):
            what = "other parts"
        else:
            continue
        raise UsageError(
            f"Got the runs {str(first.folder)!r} and {str(other.folder)!r}, which were trained on "
            f"{what}. Expected runs on the same data. Try again in a new folder."
        )


def differs(first: Mapping[str, object], other: Mapping[str, object], key: str) -> bool:
    """Return whether two records have different values under a key."""
    return bool(first.get(key) != other.get(key))
