"""The data of a finished run, opened once more to show its images."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from poc.shared.data.sources.base import Source
from poc.shared.data.sources.inspection import ignore
from poc.shared.data.splits.relabelling import open_classes
from poc.shared.engine.folder.record import RunRecord


@dataclass(frozen=True)
class Reopened:
    """Data of a run, unchanged since, with the classes in the run's order."""

    source: Source

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Return the position of each id."""
        return {name: index for index, name in enumerate(self.source.ids)}

    def picture(self, name: str) -> Image.Image:
        """Return the image of an id.

        Raises:
            Exception: Anything that a reader raises on a damaged file.
        """
        return self.source.picture(self.positions[name])


def reopen(folder: Path) -> Reopened | str:
    """Open the data of a run at its recorded place.

    Returns:
        The data, or the reason why there is none: it is gone, cannot be read, or has changed since
        the run.
    """
    try:
        record = RunRecord.read(folder)
        spec = record.spec.data.model_copy(update={"source": record.locate()})
        source = record.match_classes(open_classes(spec), ignore)
        fingerprint = source.fingerprint
    except Exception as error:  # Readers of data raise anything; the report goes on without.
        return describe_fault(error)
    if fingerprint != record.data.get("source_fingerprint"):
        return f"its images or labels at {record.locate()!r} have changed since the run"
    return Reopened(source)


def describe_fault(error: BaseException) -> str:
    """Return what an error found, without what it expected and advised."""
    text = str(error) or type(error).__name__
    return text.partition(". Expected")[0].removeprefix("Got ").rstrip(".")
