"""What a run folder says about its data and its network, compared with what is there now.

Everyone who opens a run folder reads it here, so that a number about a run is a number about its
classes, its images and its weights, or a refusal.
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
from poc.shared.data.splits.split import Split, make_split
from poc.shared.errors import UsageError
from poc.shared.spec.data import SplitSpec
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import IMAGENET

from .run_folder import SPLIT, RunFolder

# Class names of a message: all of so many, else the first few.
MAX_LISTED, NUM_NAMED = 12, 5


@dataclass(frozen=True)
class RunRecord:
    """A run's record; the comparisons refuse, map, or tell.

    Attributes:
        folder: Run folder.
        content: `run.json`.
        is_split_anew: Whether the caller sets a split of his own for what is opened.
    """

    folder: Path
    content: Mapping[str, Any]
    is_split_anew: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record of a folder.

        Raises:
            UsageError: It is no run folder, or its `run.json` is malformed.
        """
        if not (folder / "run.json").is_file():
            raise UsageError(
                f"received {str(folder)!r}, which holds no run.json; name the folder "
                "that `poc run` printed"
            )
        content = RunFolder(folder).read_run()
        if not isinstance(content.get("run"), dict):
            raise UsageError(
                f"received {str(folder)!r}, whose run.json holds no run; name the folder "
                "that `poc run` printed"
            )
        return cls(folder, content)

    @classmethod
    def find(cls, weights: Path) -> Self | None:
        """The record of the run whose checkpoint a weight file is; none: it is none."""
        folder = weights.parent.parent
        is_checkpoint = weights.parent.name == "checkpoints" and (folder / "run.json").is_file()
        return cls.read(folder) if is_checkpoint else None

    @cached_property
    def spec(self) -> RunSpec:
        """The run's spec."""
        return RunSpec.parse(self.content.get("run", {}), "run")

    @property
    def data(self) -> Mapping[str, Any]:
        """What is recorded of the data; empty where the run never opened it."""
        data = self.content.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The run's classes in the order of its logits; empty where they are not recorded."""
        names = self.data.get("class_names")
        is_whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
        return tuple(names) if is_whole and names else ()

    @cached_property
    def parts(self) -> RecordedParts | None:
        """The run's parts; none in folders from before they were kept.

        Raises:
            UsageError: The file is damaged, or not that of this run.
        """
        path = self.folder / SPLIT
        if not path.exists():
            return None
        try:
            return RecordedParts.parse(read_archive(path), str(self.data.get("split_fingerprint")))
        except ValueError as error:
            raise UsageError(
                f"received the run {str(self.folder)!r}, whose {SPLIT} does not say which images "
                f"it trained on ({error}); restore it, or remove it to go on without"
            ) from None

    def locate(self, given: str | None = None) -> str:
        """Where the run's data lies now, as `--data` takes it.

        Args:
            given: What the user says; none: where it lay, else where it lies as seen from the
                run folder, which may have been moved together with it.

        Raises:
            UsageError: It is in neither place.
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
            f"received the run {str(self.folder)!r}, whose data lay in {path!r}, where nothing is "
            f"now; say where it lies: --data {scheme}:PATH"
        )

    def match_classes(self, source: Source, note: Note) -> Source:
        """The source with its classes in the order of the run's logits.

        Raises:
            UsageError: It has other classes; names both lists.
        """
        if not self.class_names:
            raise UsageError(
                f"received the run {str(self.folder)!r}, whose run.json names no classes; name a "
                "run that has opened its data"
            )
        order = find_order(self.class_names, source.class_names)
        if order is None:
            raise UsageError(
                f"received the run {str(self.folder)!r} of the classes "
                f"{list_classes(self.class_names, source.class_names)} for data with the classes "
                f"{list_classes(source.class_names, self.class_names)}; allowed are the run's own "
                "classes: give them their names back, or name the run's data with --data"
            )
        if order == tuple(range(len(order))):
            return source
        note("The data's classes stand in another order than the run's; they are matched by name.")
        return reorder_classes(source, order)

    def find_split(self, source: Source, spec: SplitSpec, note: Note) -> Split:
        """The run's own parts where they can be found, else parts that are made; tells changes.

        Args:
            source: Opened data, its classes matched.
            spec: How parts are made.
            note: Told what differs from the run.
        """
        parts = self.parts
        if parts is None or self.is_split_anew:
            split = make_split(source, spec)
            self._tell_other_split(split, note)
            return split
        changes = parts.compare(source)
        if changes.new == len(source):
            split = make_split(source, spec)
            counts = ", ".join(f"{len(own)} {part}" for part, own in split.parts.items())
            note(
                f"{source.name} has none of the run's image names: taken for other data, split by "
                f"the run's rule ({counts})."
            )
            return split
        split = Split(source, spec, **parts.place(source))
        if not len(split.train):
            raise UsageError(
                f"received {source.name!r} for the run {str(self.folder)!r}, whose training images "
                "are all gone from it; allowed is the run's data: name it with --data"
            )
        if any(changes):
            kept = ", ".join(
                f"{len(own)} of {parts.count(part)} {part}" for part, own in split.parts.items()
            )
            note(
                f"The data has changed since the run: {changes.new} images are new and in no part, "
                f"{changes.missing} are gone, {changes.changed} hold other content. The run's own "
                f"parts are used ({kept} images)."
            )
        elif self.data.get("source_fingerprint") != source.fingerprint:
            note("The data has changed since the run: the same images have other labels.")
        return split

    def _tell_other_split(self, split: Split, note: Note) -> None:
        """Say what is known about parts that were made again."""
        counts = self.data.get("counts")
        counts = counts if isinstance(counts, dict) else {}
        now = ", ".join(f"{part} {len(own)}" for part, own in split.parts.items())
        before = ", ".join(f"{part} {count}" for part, count in counts.items())
        if self.data.get("split_fingerprint") != split.fingerprint:
            known = (
                "images that trained the run are looked for"
                if self.parts is not None
                else "the run folder does not say which images trained it, so some may be among "
                "those that test it now"
            )
            note(f"The split is not the run's ({now}; was {before}); {known}.")
        elif self.data.get("source_fingerprint") != split.source.fingerprint:
            note("The data has changed since the run: the same ids hold other images or labels.")

    def refuse_trained(self, split: Split, part: str) -> None:
        """Refuse to judge the run by images that it trained on.

        Raises:
            UsageError: Some of the part are such images; names the first.
        """
        parts = self.parts
        if parts is None or part == "train":
            return
        found = parts.find_trained(split.source, split.parts[part], part)
        if found:
            raise UsageError(
                f"received a {part} part of {len(split.parts[part])} images for the run "
                f"{str(self.folder)!r}, which trained on {len(found)} of them (the first is "
                f"{found[0]!r}); allowed are images that it has not seen: leave data.split as it "
                "was, or name other images with --data"
            )


def find_order(wanted: Sequence[str], found: Sequence[str]) -> tuple[int, ...] | None:
    """Position of each wanted name among those found; none: they are not the same names."""
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
    """The names as a message shows them; of many, those that the other list does not have."""
    if len(names) <= MAX_LISTED:
        return ", ".join(map(repr, names))
    only = [name for name in names if name not in set(others)]
    shown = only or list(names)
    listed = ", ".join(map(repr, shown[:NUM_NAMED]))
    rest = f" and {len(shown) - NUM_NAMED:,} more" if len(shown) > NUM_NAMED else ""
    return f"({len(names):,}{', only here' if only else ''}: {listed}{rest})"


def has_path(source: str) -> bool:
    """Whether the text of a source names a file or a folder."""
    scheme = SCHEMES.get(source.partition(":")[0])
    return scheme is not None and scheme.form.endswith(":PATH")


def absolute_source(source: str) -> str:
    """The source as it is found from any folder."""
    scheme, _, path = source.partition(":")
    return f"{scheme}:{absolute_path(path)}" if has_path(source) and path else source


def absolute_path(path: str) -> str:
    """The path as it is found from any folder; links stay links."""
    expanded = Path(path).expanduser()
    return str(expanded.resolve() if ".." in expanded.parts else expanded.absolute())


def anchor(run: RunSpec) -> RunSpec:
    """The run with its files named so that its folder can be read from anywhere."""
    values = run.model_dump(mode="json")
    data = values["data"]
    data["source"] = absolute_source(data["source"])
    for group, key in (
        (data["split"], "file"),
        (data, "cache_folder"),
        (values, "initial_weights"),
    ):
        if group[key] not in (None, IMAGENET):
            group[key] = absolute_path(group[key])
    return RunSpec.parse(values, "")


def relative_path(run: RunSpec, folder: Path) -> str | None:
    """Path of the run's data as seen from its folder; none: the data is no file."""
    source = run.data.source
    if not has_path(source):
        return None
    path = absolute_path(source.partition(":")[2])
    return os.path.relpath(path, folder.resolve())
