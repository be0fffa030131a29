"""The findings of `poc data describe --deep`: their file, which `poc report` reads too."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from poc.shared.errors import UsageError
from poc.shared.files.whole import read_json

FILE = "suspects.json"


class Record(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Likeness(Record):
    """Images that look alike: ids, and the class (or labels) and the part of each.

    `distance` is the smallest one in the group: bits, or one less the cosine.
    """

    ids: list[str]
    classes: list[str]
    parts: list[str]
    distance: float

    @property
    def is_across_parts(self) -> bool:
        """Return whether the images are in several parts."""
        return len(set(self.parts) - {""}) > 1

    @property
    def is_across_classes(self) -> bool:
        """Return whether the images have different classes or labels."""
        return len(set(self.classes)) > 1


class WrongLabelRecord(Record):
    """A label that is likely wrong: with one class per image, `suggested` is the likely one.

    With any number of labels, `given` says whether the image has the label `suggested`.
    """

    id: str
    given: str
    suggested: str
    probability: float


class WrongLabels(Record):
    """Likely wrong labels among the images that were answered by networks not trained on them."""

    num_answered: int
    runs: list[str]
    items: list[WrongLabelRecord]


class OutlierRecord(Record):
    """An image that is far from all others, and its mean distance to its neighbours."""

    id: str
    given: str
    distance: float


class OutlierRecords(Record):
    """Images whose mean distance is above `limit`."""

    run: str
    limit: float
    items: list[OutlierRecord]


class Findings(Record):
    """All findings about one source.

    Attributes:
        parts: Where the parts come from: `published`, the name of a run, or empty.
        num_blank: Pictures without contrast, which are compared with none.
        near_copies: Groups by perceptual hash.
        alike: Groups by the embedding of a run; None without one.
    """

    format: Literal["poc suspects 1"] = "poc suspects 1"
    source: str
    source_fingerprint: str
    num_examples: int
    parts: str
    num_blank: int
    near_copies: list[Likeness]
    alike: list[Likeness] | None = None
    wrong_labels: WrongLabels | None = None
    outliers: OutlierRecords | None = None
    remarks: list[str] = []


def read_findings(path: Path) -> Findings:
    """Read a file of findings.

    Raises:
        UsageError: It cannot be read, or is no such file.
    """
    try:
        return Findings.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"Got {str(path)!r} with {key}: {first['msg']}. Expected a file that `poc data "
            "describe --deep --output FOLDER` wrote. Try writing it again."
        ) from None


def find_files(folders: Iterable[Path]) -> list[Path]:
    """Return the files of findings in or below folders, in the order of their names."""
    return [path for folder in folders for path in sorted(folder.rglob(FILE)) if path.is_file()]
