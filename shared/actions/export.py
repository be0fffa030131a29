"""`poc export`: a run's best weights as a file for deployment, checked by running that file.

The file is renamed to its place only after it has answered like the trained network.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.parity.rungs import relative_error
from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.console.work_count import Report, WorkCount, noting, unheard
from poc.shared.engine.export.runtimes import (
    FORMATS,
    PRECISIONS,
    ExportedModel,
    find_format,
    measure_latency,
)
from poc.shared.engine.folder.own_files import EXPORT_LEFTOVER, is_noted
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.metrics import average_views
from poc.shared.engine.run_data import RunData
from poc.shared.engine.trained_run import TrainedRun, open_trained
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import ExportedSize, Operations
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.collisions import digest_file, refuse_existing
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.shared.weights.header import count_file_bytes

from .count import BYTES_PER_WEIGHT

# float32 sums taken in another order; float16 and int8 are other numbers, whose error is stated.
TOLERANCE = 1e-5
NUM_IMAGES = 512
NUM_CALIBRATION_IMAGES = 200
BATCH_SIZES = (1, 64)
KEYS = ("format", "precision", "merges_shortcuts")
CHECKPOINT = Path("checkpoints") / "best.safetensors"


class Evaluation(NamedTuple):
    """Images that a file is judged on, and what the trained network says about them.

    `images` (N * views, H, W, C), `labels` (N,), `logits` (N * views, num_classes).
    """

    pipeline: Pipeline
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    logits: NDArray[np.floating]

    def hits(self, logits: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(N,) whether these logits answer rightly."""
        answers = average_views(logits, self.pipeline.num_views, self.pipeline.average)
        return np.asarray(answers.argmax(axis=1) == self.labels)


def export_run(
    folder: Path,
    *,
    file_format: str | None,
    precision: str = "float32",
    output: Path | None = None,
    merges_shortcuts: bool | None = None,
    num_images: int = NUM_IMAGES,
    data: str | None = None,
    report: Report = unheard,
) -> dict[str, object]:
    """Fold, write, run, compare, measure, and note it in the run folder.

    Args:
        folder: Run folder, of either backend.
        file_format: `onnx` or `tflite`.
        precision: `float32`, `float16` or `int8` (calibrated on training images).
        output: New file, or an export of this run; none: `exports/` in the run folder.
        merges_shortcuts: Write a block's last two convolutions as one; none: but for int8, where
            their inputs would have to share one scale.
        num_images: Evaluation images that the file is judged on, at most.
        data: Where the run's data lies now; none: where it lay.
        report: Called with progress events, and with what differs from the run.

    Returns:
        Sizes in bytes, errors, accuracies and latencies: the entry of `exports.json`.

    Raises:
        UsageError: As `open_trained`, unknown format or precision, a package is missing, or the
            output is something else that exists.
        CheckFailed: The float32 file does not answer like the trained network.
    """
    file_format = check_form(file_format, precision)
    is_merged = precision != "int8" if merges_shortcuts is None else merges_shortcuts
    target = output or folder / "exports" / f"{precision}.{file_format}"
    refuse_foreign_file(target, folder)
    trained = open_trained(folder, data=data, note=noting(report))
    make_parent(target)
    beside = tempfile.TemporaryDirectory(dir=target.parent, prefix=EXPORT_LEFTOVER)
    with trained.data, beside as partial:
        written, backend = Path(partial) / f"model.{file_format}", FORMATS[file_format].backend
        answers = evaluate_trained(trained.run, trained.weights, trained.data, num_images, report)
        WorkCount(report, f"writing {precision} {file_format}")
        counts = write_model(trained, written, backend, precision, is_merged)
        row = {
            "format": file_format,
            "precision": precision,
            "merges_shortcuts": is_merged,
            "file": str(target),
            "sha256": digest_file(written),
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            **describe_sizes(trained.run, folder, written),
            **counts,
            **describe_answers(FORMATS[file_format].open(written), answers, precision, report),
            "notes": list(trained.notes),
        }
        written.replace(target)
        RunFolder(folder).exports.add(row, KEYS)
    return row


def check_form(file_format: str | None, precision: str) -> str:
    """The format, if there are such a format and such a precision.

    Raises:
        UsageError: There are not.
    """
    if file_format is None:
        raise UsageError(
            f"received no --format; allowed are {', '.join(FORMATS)}: add --format "
            f"{next(iter(FORMATS))}, say"
        )
    find_format(file_format)
    if precision not in PRECISIONS:
        raise UsageError(
            f"received the precision {precision!r}; allowed are {', '.join(PRECISIONS)}: choose one"
        )
    return file_format


def write_model(
    trained: TrainedRun, path: Path, backend: str, precision: str, merges_shortcuts: bool
) -> ExportedSize:
    """Let the format's framework write the folded network; returns what it counted."""
    with Worker(backend, log=path.with_name("log")) as worker:
        return worker.call(
            Operations.export,
            run=trained.run.model_dump(mode="json"),
            weights=trained.weights,
            path=str(path.resolve()),
            precision=precision,
            calibration=calibration_images(trained.run, trained.data),
            merges_shortcuts=merges_shortcuts,
        )


def refuse_foreign_file(target: Path, folder: Path) -> None:
    """Refuse to replace what is no export of this run, as it was written.

    Raises:
        UsageError: Something else is there.
    """
    if not is_noted(target, RunFolder(folder).exports.own()):
        refuse_existing(target)


def make_parent(target: Path) -> None:
    """Make the folder of a file.

    Raises:
        UsageError: It cannot be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"received the output {str(target)!r}, whose folder cannot be made ({error.strerror}); "
            "name a file in a folder that you may write to"
        ) from None


def evaluate_trained(
    run: RunSpec, weights: Weights, data: RunData, num_images: int, report: Report = unheard
) -> Evaluation:
    """The trained network's logits of evaluation images, from the backend that trained it."""
    pipeline = data.test or data.val or data.train
    images, labels, logits, left = [], [], [], num_images
    WorkCount(report, f"starting {run.backend}")
    with Worker(run.backend) as worker:
        total = min(num_images, pipeline.examples)
        count = WorkCount(report, "computing images as they were trained", total)
        for batch in pipeline.epoch(0):
            taken = min(left, len(batch.labels))
            images.append(batch.images[: taken * pipeline.num_views])
            labels.append(batch.labels[:taken])
            spec = run.model_dump(mode="json")
            logits.append(
                worker.call(Operations.logits, run=spec, weights=weights, images=images[-1])
            )
            left -= taken
            count(num_images - left)
            if not left:
                break
    parts = (np.concatenate(part) for part in (images, labels, logits))
    return Evaluation(pipeline, *parts)


def calibration_images(run: RunSpec, data: RunData) -> NDArray[np.float32]:
    """Training images in the evaluation view, evenly spaced over the training part."""
    train = data.split.train
    step = max(len(train) // NUM_CALIBRATION_IMAGES, 1)
    chosen = np.sort(train)[::step][:NUM_CALIBRATION_IMAGES]
    with Pipeline(data.source, chosen, run.data) as pipeline:
        return np.concatenate([batch.images for batch in pipeline.epoch(0)])


def describe_sizes(run: RunSpec, folder: Path, written: Path) -> dict[str, int]:
    """Bytes: 4 a parameter of the trained network, its checkpoint, the exported file."""
    total = sum(parameter.size for parameter in declare_network(run).parameters)
    return {
        "total_parameters": total,
        "weight_bytes": BYTES_PER_WEIGHT * total,
        "safetensors_bytes": count_file_bytes(folder / CHECKPOINT),
        "file_bytes": written.stat().st_size,
    }


def describe_answers(
    model: ExportedModel, evaluation: Evaluation, precision: str, report: Report = unheard
) -> dict[str, object]:
    """How the file answers beside the trained network, and how fast.

    Raises:
        CheckFailed: A float32 file answers otherwise.
    """
    count = WorkCount(report, "running the file on images", len(evaluation.images))
    logits = np.concatenate(list(answer(model, evaluation.images, count)))
    error = relative_error(logits, evaluation.logits)
    if precision == "float32" and not error <= TOLERANCE:
        raise CheckFailed(
            f"the exported file's logits differ by {error:.1e} from the trained network's, allowed "
            f"is {TOLERANCE:.0e}; the file was not kept"
        )
    trained, exported = evaluation.hits(evaluation.logits), evaluation.hits(logits)
    WorkCount(report, "measuring the file's latency")
    latencies = {size: measure_latency(model, evaluation.images, size) for size in BATCH_SIZES}
    return {
        "logit_error": error,
        "num_images": len(evaluation.labels),
        "trained_accuracy": float(trained.mean()),
        "exported_accuracy": float(exported.mean()),
        "num_lost": int((trained & ~exported).sum()),
        "num_gained": int((exported & ~trained).sum()),
        "runtime": model.runtime,
        "num_threads": 1,
        **{f"latency_{size}_seconds": value["seconds"] for size, value in latencies.items()},
        **{f"latency_{size}_calls": int(value["calls"]) for size, value in latencies.items()},
    }


def answer(
    model: ExportedModel, images: NDArray[np.float32], told: Callable[[int], None]
) -> Iterator[NDArray[np.float32]]:
    """Logits, a batch at a time; `told` is called with the number of images so far."""
    size = BATCH_SIZES[-1]
    for start in range(0, len(images), size):
        told(start)
        yield model.logits(np.ascontiguousarray(images[start : start + size], np.float32))


def describe_export(row: Mapping[str, Any]) -> str:
    """The sentence below the table."""
    if row["precision"] == "float32":
        return (
            f"Checked by running it: logits of {row['num_images']} images differ by at most "
            f"{row['logit_error']:.1e} of the largest (allowed {TOLERANCE:.0e})."
        )
    change = row["exported_accuracy"] - row["trained_accuracy"]
    return (
        f"Logits differ by up to {row['logit_error']:.1e} of the largest. Of {row['num_images']} "
        f"images {row['num_lost']} right answers are lost and {row['num_gained']} gained: accuracy "
        f"{row['trained_accuracy']:.4f} becomes {row['exported_accuracy']:.4f} ({change:+.4f})."
    )
