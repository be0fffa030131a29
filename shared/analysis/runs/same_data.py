"""Whether runs that are read together were trained on the same data, by their records."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from poc.shared.engine.folder.record import RunRecord, list_classes
from poc.shared.errors import UsageError

SOURCE, SPLIT = "source_fingerprint", "split_fingerprint"


def require_same_data(folders: Iterable[Path], *, is_split_same: bool) -> None:
    """Refuse to pool or to pair runs of other classes, images or (where it matters) parts.

    Raises:
        UsageError: Two runs differ; names both, and what.
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
            f"received the runs {str(first.folder)!r} and {str(other.folder)!r}, which were "
            f"trained on {what}; allowed are runs on the same data: begin again in a new folder"
        )


def differs(first: Mapping[str, object], other: Mapping[str, object], key: str) -> bool:
    """Whether two records say different things under a key."""
    return bool(first.get(key) != other.get(key))
