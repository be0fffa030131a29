"""`poc evaluate`: evaluate a trained run at another size or with other crops; store its outputs.

Nothing is trained, and the run folder is not changed.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.data.sources.npz import read_archive
from poc.shared.engine.console.work_count import Report, WorkCount, noting, unheard
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.numerics.answers import right_answers
from poc.shared.engine.numerics.metrics import (
    average_views,
    classification_metrics,
    probabilities,
    wilson_interval,
)
from poc.shared.engine.run_data import RunData
from poc.shared.engine.summary.answer_columns import (
    describe_answers,
    describe_classes,
    find_positive,
)
from poc.shared.engine.summary.fixres_columns import describe_values
from poc.shared.engine.trained_run import TrainedRun, open_trained
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.files.collisions import refuse_existing
from poc.shared.files.whole import write_bytes
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec

PARTS = ("train", "val", "test")
OUTPUTS = ("embeddings", "softmax", "logits", "labels", "ids")


def evaluate_folder(
    folder: Path,
    assignments: Iterable[str] = (),
    *,
    checkpoint: str = "best",
    part: str = "test",
    export: Path | None = None,
    positive: str | None = None,
    data: str | None = None,
    report: Report = unheard,
) -> dict[str, object]:
    """Evaluate a checkpoint of a run.

    Args:
        folder: Run folder.
        assignments: Changes of its `data`, as `key=value`: `image_size=[224,224]`,
            `eval_view.crop=ten`, `eval_view.average=logits` …
        checkpoint: File in `checkpoints`, without its ending.
        part: train (in the evaluation view), val or test.
        export: npz file for `embeddings` (N, F; the mean of several crops), `softmax` (`sigmoid`
            with any number of labels) and `logits` (N, C), `labels` and `ids` (N,); none: no file.
        positive: Positive one of two classes; none: the second.
        data: New place of the run's data; none: the recorded place.
        report: Called with progress events, and with each difference from the run.

    Returns:
        Metrics, their interval, figures of each class, the crops and their average, the latency and
        the statistics of the embeddings.

    Raises:
        UsageError: As `open_trained`; the part is unknown, `export` is another existing file, or
            `positive` is not one of two classes.
    """
    check_part_name(part)
    place = 1
    if positive is not None:
        place = find_positive(RunRecord.read(folder).class_names, positive)
    if export is not None and not is_written_before(export):
        refuse_existing(export, "--export")
    trained = open_trained(
        folder,
        data=data,
        assignments=assignments,
        checkpoint=checkpoint,
        part=part,
        note=noting(report),
    )
    measured, names = measure_part(trained, part, report), trained.record.class_names
    if export is not None:
        write_outputs(export, measured.logits, measured.embeddings, measured.labels, measured.ids)
    return {
        "folder": str(folder),
        "checkpoint": checkpoint,
        "part": part,
        "backend": trained.run.backend,
        **measured.describe(),
        **describe_answers(measured.logits, measured.labels, names, place),
        "classes": describe_classes(measured.logits, measured.labels, names),
        "notes": list(trained.notes),
    }


class Measured(NamedTuple):
    """Outputs of a network for a part.

    `logits` (N, C), `embeddings` (N, F), `labels` (N,), `ids` (N,), `latency_seconds` of one image.
    """

    pipeline: Pipeline
    logits: NDArray[np.floating]
    embeddings: NDArray[np.floating]
    labels: NDArray[np.int64]
    ids: list[str]
    latency_seconds: float

    def describe(self) -> dict[str, object]:
        """Return the metrics, their interval, crops, latency and embedding statistics."""
        hits = int(right_answers(self.logits, self.labels).sum())
        low, high = wilson_interval(hits, len(self.labels))
        num_views = self.pipeline.num_views
        return {
            "size": list(self.pipeline.image_shape[:2]),
            "crops": num_views,
            "average": self.pipeline.average if num_views > 1 else None,
            "images": len(self.labels),
            "hits": hits,
            **classification_metrics(self.logits, self.labels),
            "accuracy_low": low,
            "accuracy_high": high,
            "latency_seconds": self.latency_seconds,
            "embedding": describe_values(self.embeddings),
        }


def measure_part(trained: TrainedRun, part: str, report: Report) -> Measured:
    """Compute the outputs for a part, and the latency, in the backend that trained the run.

    Raises:
        UsageError: The part is empty.
    """
    run, opened = trained.run, trained.data
    WorkCount(report, f"starting {run.backend}")
    with opened, Worker(run.backend) as worker:
        pipeline, ids = find_part(run, opened, part)
        count = WorkCount(report, f"computing {part} images", len(ids))
        outputs = list(run_batches(worker, run, trained.weights, pipeline, count))
        WorkCount(report, "measuring the latency of one image")
        seconds = worker.call(
            Operations.measure_latency,
            run=run.model_dump(mode="json"),
            weights=trained.weights,
            num_images=pipeline.num_views,
        )
    labels = opened.source.labels[pipeline.indices]
    logits, embeddings = (np.concatenate(values) for values in zip(*outputs, strict=True))
    return Measured(pipeline, logits, embeddings, labels, ids, seconds)


def check_part_name(part: str) -> None:
    """Refuse an unknown part.

    Raises:
        UsageError: It is not train, val or test.
    """
    if part not in PARTS:
        raise UsageError(
            f"Got --part {part!r}. Expected one of {', '.join(PARTS)}. Try --part {PARTS[-1]}."
        )


def find_part(run: RunSpec, data: RunData, part: str) -> tuple[Pipeline, list[str]]:
    """Return a part in the evaluation view, and the ids of its examples.

    Raises:
        UsageError: The part is empty in the run's split.
    """
    indices = data.split.parts[part]
    if not len(indices):
        full = [name for name in PARTS if len(data.split.parts[name])]
        raise UsageError(
            f"Got --part {part}, which is empty in the run's split. Expected a part with images. "
            f"Try --part {' or '.join(full)}."
        )
    ids = [data.source.ids[index] for index in indices]
    return Pipeline(data.source, indices, run.data), ids


def run_batches(
    worker: Worker,
    run: RunSpec,
    weights: Weights,
    pipeline: Pipeline,
    told: Callable[[int], None],
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Yield logits (N, C) and embeddings (N, F) per batch, averaged over crops.

    `told` is called with the number of images so far.
    """
    tap, done = declare_network(run).embedding, 0
    for batch in pipeline.epoch(0):
        found = worker.call(
            Operations.features,
            run=run.model_dump(mode="json"),
            weights=weights,
            images=batch.images,
            taps=["logits", tap],
        )
        done += len(batch.labels)
        told(done)
        values = found[tap].reshape(len(batch.labels), pipeline.num_views, -1)
        yield (
            average_views(found["logits"], pipeline.num_views, pipeline.average),
            values.mean(axis=1),
        )


def write_outputs(
    path: Path,
    logits: NDArray[np.floating],
    embeddings: NDArray[np.floating],
    labels: NDArray[np.int64],
    ids: list[str],
) -> None:
    """Write the npz file, atomically.

    Args:
        path: File to write.
        logits: (N, C) floats; the file has their softmax too, or their sigmoid for labels (N, C).
        embeddings: (N, F) floats.
        labels: (N,) or (N, C) int64.
        ids: N ids of examples.

    Raises:
        UsageError: The file cannot be written.
    """
    buffer, is_multi_label = io.BytesIO(), labels.ndim == 2
    shares = probabilities(logits, is_multi_label=is_multi_label).astype(np.float32)
    save = partial(
        np.savez_compressed,
        buffer,
        embeddings=embeddings,
        logits=logits,
        labels=labels,
        ids=np.asarray(ids, dtype=np.str_),
    )
    if is_multi_label:
        save(sigmoid=shares)
    else:
        save(softmax=shares)
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        raise UsageError(
            f"Got --export {str(path)!r}, which cannot be written ({error.strerror}). Expected a "
            "file in a folder that exists. Try --export features.npz, or make the folder first."
        ) from None


def is_written_before(path: Path) -> bool:
    """Return true if `write_outputs` wrote the file; only then may it be replaced."""
    try:
        kinds = {"sigmoid": "softmax"}
        return {kinds.get(name, name) for name in read_archive(path)} == {*OUTPUTS}
    except ValueError:
        return False
