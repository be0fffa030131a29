"""The record of a run's data and network, compared with the data and weights found now.

Every command that opens a run folder reads it here. A number about a run is then about its classes,
images and weights, or it is refused.
"""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from poc.shared.data.sources.base import Source
from poc.shared.data.sources.inspection import Note
from poc.shared.data.sources.npz import read_archive
from poc.shared.data.sources.table import SCHEMES
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.relabelling import reorder_classes
from poc.shared.data.splits.setting_check import drop_unread
from poc.shared.data.splits.split import Split, make_split
from poc.shared.errors import UsageError
from poc.shared.spec.data import SplitSpec
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import IMAGENET

from .run_folder import SPLIT, RunFolder

# A message lists up to so many class names, and of longer lists only the first few.
MAX_LISTED, NUM_NAMED = 12, 5


@dataclass(frozen=True)
class RunRecord:
    """A run's record; each comparison refuses a difference, maps it, or makes a note.

    Attributes:
        folder: Run folder.
        content: Content of `run.json`.
        is_split_anew: True if the caller sets a split of its own for the opened data.
    """

    folder: Path
    content: Mapping[str, Any]
    is_split_anew: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record of a folder.

        Raises:
            UsageError: The folder is not a run folder, or its `run.json` is malformed.
        """
        if not (folder / "run.json").is_file():
            raise UsageError(
                f"Got {str(folder)!r}, which has no run.json. Expected a run folder. "
                "Try naming the folder that `poc run` printed."
            )
        content = RunFolder(folder).read_run()
        if not isinstance(content.get("run"), dict):
            raise UsageError(
                f"Got {str(folder)!r}, whose run.json describes no run. Expected a run folder. "
                "Try naming the folder that `poc run` printed."
            )
        return cls(folder, content)

    @classmethod
    def find(cls, weights: Path) -> Self | None:
        """Read the record of the run that wrote a checkpoint; None for any other file."""
        folder = weights.parent.parent
        is_checkpoint = weights.parent.name == "checkpoints" and (folder / "run.json").is_file()
        return cls.read(folder) if is_checkpoint else None

    @cached_property
    def spec(self) -> RunSpec:
        """Return the run's spec."""
        return RunSpec.parse(self.content.get("run", {}), "run")

    @property
    def data(self) -> Mapping[str, Any]:
        """Return the record of the data; empty if the run never opened its data."""
        data = self.content.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes in the order of the logits; empty if they are not recorded."""
        names = self.data.get("class_names")
        is_whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
        return tuple(names) if is_whole and names else ()

    @cached_property
    def parts(self) -> RecordedParts | None:
        """Read the run's parts; None if the folder is from before they were kept.

        Raises:
            UsageError: The file is damaged, or belongs to another run.
        """
        path = self.folder / SPLIT
        if not path.exists():
            return None
        try:
            return RecordedParts.parse(read_archive(path), str(self.data.get("split_fingerprint")))
        except ValueError as error:
            raise UsageError(
                f"Got the run {str(self.folder)!r}, whose {SPLIT} does not name the images that it "
                f"trained on ({error}). Expected the file that the run wrote. Try restoring it, or "
                "removing it to go on without."
            ) from None

    def locate(self, given: str | None = None) -> str:
        """Find the run's data, and return its present place as `--data` takes it.

        Args:
            given: Place that the user names; None for the recorded one, absolute or, if the run
                folder and its data were moved together, relative to that folder.

        Raises:
            UsageError: The data is in neither place.
        """
        if given is not None:
            return absolute_source(given)
        text = absolute_source(self.spec.data.source)
        scheme, _, path = text.partition(":")
        if not has_path(text) or Path(path).exists():
            return text
        relative = self.data.get("relative_path")
        if isinstance(relative, str):
            moved = absolute_path(str(self.folder / relative))
            if Path(moved).exists():
                return f"{scheme}:{moved}"
        raise UsageError(
            f"Got the run {str(self.folder)!r}, whose data was in {path!r}. Expected it there, but "
            f"nothing is. Try naming its present place with --data {scheme}:PATH."
        )

    def match_classes(self, source: Source, note: Note) -> Source:
        """Put the classes of a source into the order of the run's logits.

        Raises:
            UsageError: The source has other classes; the message names both lists.
        """
        if not self.class_names:
            raise UsageError(
                f"Got the run {str(self.folder)!r}, whose run.json names no classes. Expected "
                "those of its logits. Try naming a run that has opened its data."
            )
        order = find_order(self.class_names, source.class_names)
        if order is None:
            raise UsageError(
                f"Got data with the classes {list_classes(source.class_names, self.class_names)}. "
                f"Expected {list_classes(self.class_names, source.class_names)}, as in the run "
                f"{str(self.folder)!r}. Try restoring the names, or naming its data with --data."
            )
        if order == tuple(range(len(order))):
            return source
        note("The data's classes are in another order than the run's; they are matched by name.")
        return reorder_classes(source, order)

    def find_split(self, source: Source, spec: SplitSpec, note: Note) -> Split:
        """Find the run's own parts in the data, or make parts if the data has none of its images.

        Args:
            source: Opened data, its classes matched.
            spec: Rule by which parts are made.
            note: Called with each difference from the run.
        """
        parts = self.parts
        if parts is None or self.is_split_anew:
            split = make_split(source, spec)
            self._tell_other_split(split, note)
            return split
        changes = parts.compare(source)
        if changes.new == len(source):
            split = make_split(source, drop_unread(source, spec))
            counts = ", ".join(f"{len(own)} {part}" for part, own in split.parts.items())
            note(
                f"{source.name} has none of the run's image names: it is taken for other data, and "
                f"split by the run's rule ({counts})."
            )
            return split
        split = Split(source, spec, **parts.place(source))
        if not len(split.train):
            raise UsageError(
                f"Got {source.name!r}, which has no training image of the run "
                f"{str(self.folder)!r}. Expected the run's data. Try naming it with --data."
            )
        if any(changes):
            kept = ", ".join(
                f"{len(own)} of {parts.count(part)} {part}" for part, own in split.parts.items()
            )
            note(
                f"The data has changed since the run: {changes.new} images are new and in no part, "
                f"{changes.missing} are gone, {changes.changed} have other content. The run's own "
                f"parts are used ({kept} images)."
            )
        elif self.data.get("source_fingerprint") != source.fingerprint:
            note("The data has changed since the run: the same images have other labels.")
        return split

    def _tell_other_split(self, split: Split, note: Note) -> None:
        """Report how parts that were made again differ from the run's."""
        counts = self.data.get("counts")
        counts = counts if isinstance(counts, dict) else {}
        now = ", ".join(f"{part} {len(own)}" for part, own in split.parts.items())
        before = ", ".join(f"{part} {count}" for part, count in counts.items())
        if self.data.get("split_fingerprint") != split.fingerprint:
            known = (
                "its parts are searched for images that trained the run"
                if self.parts is not None
                else "images that test it now may have trained it, since its folder names none"
            )
            note(f"The split is not the run's ({now}; was {before}); {known}.")
        elif self.data.get("source_fingerprint") != split.source.fingerprint:
            note("The data has changed since the run: the same ids have other images or labels.")

    def refuse_trained(self, split: Split, part: str) -> None:
        """Refuse to judge the run by images that it trained on.

        Raises:
            UsageError: The part has such images; the message names the first.
        """
        parts = self.parts
        if parts is None or part == "train":
            return
        found = parts.find_trained(split.source, split.parts[part], part)
        if found:
            raise UsageError(
                f"Got a {part} part of {len(split.parts[part])} images for the run "
                f"{str(self.folder)!r}, which trained on {len(found)} of them (the first is "
                f"{found[0]!r}). Expected images that it has not seen. Try leaving data.split "
                "unchanged, or naming other images with --data."
            )


def find_order(wanted: Sequence[str], found: Sequence[str]) -> tuple[int, ...] | None:
    """Return the position of each wanted name among those found; None if the names differ."""
    # Some file systems store an accented letter as two characters: the names are the same.
    names, others = (
        [unicodedata.normalize("NFC", text) for text in own] for own in (wanted, found)
    )
    if names == others:
        return tuple(range(len(names)))
    position = {name: index for index, name in enumerate(others)}
    if len(names) != len(others) or set(names) != set(others) or len(position) != len(others):
        return None
    return tuple(position[name] for name in names)


def list_classes(names: Sequence[str], others: Sequence[str]) -> str:
    """Write names for a message; of a long list, only those that the other list lacks."""
    if len(names) <= MAX_LISTED:
        return ", ".join(map(repr, names))
    only = [name for name in names if name not in set(others)]
    shown = only or list(names)
    listed = ", ".join(map(repr, shown[:NUM_NAMED]))
    rest = f" and {len(shown) - NUM_NAMED:,} more" if len(shown) > NUM_NAMED else ""
    return f"({len(names):,}{', only here' if only else ''}: {listed}{rest})"


def has_path(source: str) -> bool:
    """Tell if the text of a source names a file or a folder."""
    scheme = SCHEMES.get(source.partition(":")[0])
    return scheme is not None and scheme.takes_path


def absolute_source(source: str) -> str:
    """Make the path of a source absolute, so that it holds from any folder."""
    scheme, _, path = source.partition(":")
    return f"{scheme}:{absolute_path(path)}" if has_path(source) and path else source


def absolute_path(path: str) -> str:
    """Make a path absolute; links stay links, except where `..` has to be resolved."""
    expanded = Path(path).expanduser()
    return str(expanded.resolve() if ".." in expanded.parts else expanded.absolute())


def anchor(run: RunSpec) -> RunSpec:
    """Make all paths of a run absolute, so that its folder can be read from anywhere."""
    values = run.model_dump(mode="json")
    data = values["data"]
    data["source"] = absolute_source(data["source"])
    paths = [(data["split"], "file"), (data, "cache_folder"), (values, "initial_weights")]
    for group, key in paths:
        if group[key] not in (None, IMAGENET):
            group[key] = absolute_path(group[key])
    return RunSpec.parse(values, "")


def relative_path(run: RunSpec, folder: Path) -> str | None:
    """Return the path of the run's data relative to its folder; None if the data has no path."""
    source = run.data.source
    if not has_path(source):
        return None
    path = absolute_path(source.partition(":")[2])
    return os.path.relpath(path, folder.resolve())
