"""`poc data describe --deep`: look for near copies, likely wrong labels and outliers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.suspects.findings import (
    FILE,
    Findings,
    Likeness,
    OutlierRecord,
    OutlierRecords,
    WrongLabelRecord,
    WrongLabels,
)
from poc.shared.analysis.suspects.outliers import find_neighbourhood, find_outliers, near_copies
from poc.shared.analysis.suspects.wrong_labels import find_wrong_labels, require_cleanlab
from poc.shared.data.likeness.hashing import hash_images
from poc.shared.data.likeness.near_copies import Groups, join, near_pairs
from poc.shared.data.sources.base import Source
from poc.shared.data.sources.description import parts_of
from poc.shared.data.splits.relabelling import open_classes
from poc.shared.engine.console.work_count import Report, WorkCount
from poc.shared.engine.folder.record import RunRecord
from poc.shared.errors import UsageError
from poc.shared.files.collisions import write_once
from poc.shared.spec.data import DataSpec

from .embedding import open_embedding
from .nearest import name_labels
from .unseen_answers import read_records, read_unseen

# With fewer, neither a distance nor a label says what is usual.
MIN_IMAGES = 20


def examine(spec: DataSpec, runs: Sequence[Path], report: Report) -> Findings:
    """Look for suspicious images of a source.

    Args:
        spec: The source.
        runs: Run folders on it. Their test and validation answers judge the labels, and the
            embedding of the first one finds outliers and further near copies.
        report: Called with progress events.

    Raises:
        UsageError: A run saw other data, has no answers for images that it was not trained on, or a
            package is missing.
    """
    source = open_classes(spec.model_copy(update={"on_error": "skip"}))
    records = read_records(runs, source)
    if records:
        # Before the work on all images, not after it.
        require_cleanlab()
    part_of, parts = find_parts(source, records)
    # Equal contents are counted elsewhere, and would be near copies of each other.
    chosen = first_of_contents(source)
    count = WorkCount(report, "hashing images", len(chosen))
    hashes = hash_images(source, chosen.tolist(), count)
    groups = join(near_pairs(hashes), len(chosen))
    findings = Findings(
        source=source.name,
        source_fingerprint=source.fingerprint,
        num_examples=len(source),
        parts=parts,
        num_blank=int(hashes.is_blank.sum()),
        near_copies=describe_groups(groups, chosen, source, part_of),
    )
    if records:
        findings.wrong_labels = judge_labels(records, source)
        if findings.wrong_labels.num_answered < MIN_IMAGES:
            findings.remarks.append(
                f"Labels are judged if {MIN_IMAGES} images or more are answered."
            )
        add_embedding(findings, records[0], chosen, source, report)
    return findings


def find_parts(source: Source, records: Sequence[RunRecord]) -> tuple[Mapping[int, str], str]:
    """Return the part of each position, and where the parts come from.

    They are those of the first run, or the published ones.
    """
    parts = records[0].parts if records else None
    if parts is None:
        return parts_of(source), "published" if source.partitions else ""
    places = parts.place(source)
    found = {int(index): part for part, indices in places.items() for index in indices}
    return found, str(records[0].folder)


def first_of_contents(source: Source) -> NDArray[np.int64]:
    """Return the first position of each content, (k,) int64, ascending."""
    return np.sort(np.unique(np.asarray(source.digests), return_index=True)[1]).astype(np.int64)


def describe_groups(
    groups: Groups, chosen: NDArray[np.int64], source: Source, part_of: Mapping[int, str]
) -> list[Likeness]:
    """Return groups of positions in `chosen`, (k,) int64, with ids, classes and parts."""
    return [
        Likeness(
            ids=[source.ids[index] for index in own],
            classes=[name_labels(source, index) for index in own],
            parts=[part_of.get(index, "") for index in own],
            distance=distance,
        )
        for members, distance in zip(groups.members, groups.distances, strict=True)
        for own in (chosen[members].tolist(),)
    ]


def judge_labels(records: Sequence[RunRecord], source: Source) -> WrongLabels:
    """Find the labels that are likely wrong, by the answers of runs.

    Raises:
        UsageError: A run has no answers that count, or cleanlab is missing.
    """
    unseen = read_unseen(records, source)
    labels = source.labels[unseen.places]
    names = source.class_names
    found = find_wrong_labels(unseen.shares, labels) if len(labels) >= MIN_IMAGES else []
    items = []
    for item in found:
        index = int(unseen.places[item.place])
        given = names[item.label]
        if source.is_multi_label:
            given = "has it" if source.labels[index, item.label] else "has it not"
        items.append(
            WrongLabelRecord(
                id=source.ids[index],
                given=given,
                suggested=names[item.suggested],
                probability=item.probability,
            )
        )
    folders = [str(record.folder) for record in records]
    return WrongLabels(num_answered=len(labels), runs=folders, items=items)


def add_embedding(
    findings: Findings,
    record: RunRecord,
    chosen: NDArray[np.int64],
    source: Source,
    report: Report,
) -> None:
    """Add near copies and outliers among `chosen`, (k,) int64, by the embedding of a run."""
    if len(chosen) < MIN_IMAGES:
        findings.remarks.append(f"Outliers are searched among {MIN_IMAGES} images or more.")
        return
    with open_embedding(record.folder, report, source.name) as embedding:
        features = embedding.features(chosen, report, "embedding images")
    near = find_neighbourhood(features)
    part_of, _ = find_parts(source, [record])
    groups = join(near_copies(near), len(chosen))
    findings.alike = describe_groups(groups, chosen, source, part_of)
    far = find_outliers(near)
    findings.outliers = OutlierRecords(
        run=str(record.folder),
        limit=far.limit,
        items=[
            OutlierRecord(id=source.ids[index], given=name_labels(source, index), distance=distance)
            for index, distance in zip(chosen[far.places].tolist(), far.distances, strict=True)
        ],
    )


def store_findings(findings: Findings, output: Path) -> Path:
    """Write the findings into a folder, where `poc report` finds them.

    Raises:
        UsageError: Another file has their name, or the folder cannot be written.
    """
    path = output / FILE
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_once(path, (findings.model_dump_json(indent=1) + "\n").encode())
    except OSError as error:
        raise UsageError(
            f"Got the output {str(output)!r}, which cannot be written ({error.strerror}). Expected "
            "a folder that you may write to. Try --output ~/findings, in your home."
        ) from None
    return path
