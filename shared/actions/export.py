"""`poc export`: write a run's best weights for deployment, and check the file by running it.

The file gets its name only after its answers match those of the trained network.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.parity.rungs import relative_error
from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.console.work_count import Report, WorkCount, noting, unheard
from poc.shared.engine.export.runtimes import (
    FORMATS,
    PRECISIONS,
    TOLERANCE,
    ExportedModel,
    find_format,
    measure_latency,
)
from poc.shared.engine.folder.decision import read_decision
from poc.shared.engine.folder.own_files import EXPORT_LEFTOVER, is_noted
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.answers import right_answers
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

NUM_IMAGES = 512
NUM_CALIBRATION_IMAGES = 200
BATCH_SIZES = (1, 64)
KEYS = ("format", "precision", "merges_shortcuts")
CHECKPOINT = Path("checkpoints") / "best.safetensors"


class Evaluation(NamedTuple):
    """Images that check a file, and the answers of the trained network.

    `images` (N * views, H, W, C), `labels` (N,), `logits` (N * views, num_classes).
    """

    pipeline: Pipeline
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    logits: NDArray[np.floating]

    def hits(self, logits: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return (N,) bool: true where these logits, (N * views, C), give the right class."""
        answers = average_views(logits, self.pipeline.num_views, self.pipeline.average)
        return right_answers(answers, self.labels)


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
    """Fold the network, write the file, run it, compare, and record it in the run folder.

    Args:
        folder: Run folder, of either backend.
        file_format: `onnx` or `tflite`.
        precision: `float32`, `float16` or `int8` (calibrated on training images).
        output: New file, or an export of this run; none: `exports/` in the run folder.
        merges_shortcuts: Write a block's last two convolutions as one; none: yes, except for int8,
            where their inputs would have to share one scale.
        num_images: Largest number of evaluation images to check the file with.
        data: New place of the run's data; none: the recorded place.
        report: Called with progress events, and with each difference from the run.

    Returns:
        The entry of `exports.json`: sizes in bytes, errors, accuracies, latencies, the decision.

    Raises:
        UsageError: As `open_trained`; the format or precision is unknown, a package is missing,
            the output is another existing file, or the decision is for other weights.
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
        decision = read_decision(folder, trained.record.class_names)
        written, backend = Path(partial) / f"model.{file_format}", FORMATS[file_format].backend
        answers = evaluate_trained(trained.run, trained.weights, trained.data, num_images, report)
        counts = write_model(trained, written, backend, precision, is_merged, report)
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
            "decision": decision.summary() if decision else None,
            "notes": list(trained.notes),
        }
        written.replace(target)
        RunFolder(folder).exports.add(row, KEYS)
    return row


def check_form(file_format: str | None, precision: str) -> str:
    """Return the format, after checking it and the precision.

    Raises:
        UsageError: There is no such format or precision.
    """
    if file_format is None:
        raise UsageError(
            f"Got no --format. Expected one of {', '.join(FORMATS)}. Try --format "
            f"{next(iter(FORMATS))}."
        )
    find_format(file_format)
    if precision not in PRECISIONS:
        raise UsageError(
            f"Got --precision {precision!r}. Expected one of {', '.join(PRECISIONS)}. Try "
            f"--precision {next(iter(PRECISIONS))}."
        )
    return file_format


def write_model(
    trained: TrainedRun,
    path: Path,
    backend: str,
    precision: str,
    merges_shortcuts: bool,
    report: Report,
) -> ExportedSize:
    """Write the folded network in the framework of the format; return its counts."""
    WorkCount(report, f"writing {precision} {path.suffix.removeprefix('.')}")
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
    """Refuse to replace a file that is not an unchanged export of this run.

    Raises:
        UsageError: The target is another file.
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
            f"Got the output {str(target)!r}, whose folder cannot be made ({error.strerror}). "
            "Expected a file in a folder that you may write to. Try --output "
            f"{target.name}, in the current folder."
        ) from None


def evaluate_trained(
    run: RunSpec, weights: Weights, data: RunData, num_images: int, report: Report = unheard
) -> Evaluation:
    """Compute logits (N * views, num_classes) of evaluation images in the run's own backend."""
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
    """Return the evaluation views of up to 200 training images: (N * views, H, W, C) float32.

    The images are evenly spaced over the training part, so every export sees the same ones.
    """
    train = data.split.train
    step = max(len(train) // NUM_CALIBRATION_IMAGES, 1)
    chosen = np.sort(train)[::step][:NUM_CALIBRATION_IMAGES]
    with Pipeline(data.source, chosen, run.data) as pipeline:
        return np.concatenate([batch.images for batch in pipeline.epoch(0)])


def describe_sizes(run: RunSpec, folder: Path, written: Path) -> dict[str, int]:
    """Return sizes in bytes: 4 per parameter, the run's checkpoint, the exported file."""
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
    """Compare the answers of the file with those of the trained network, and time them.

    Raises:
        CheckFailed: The logits of a float32 file differ by more than the tolerance.
    """
    count = WorkCount(report, "running the file on images", len(evaluation.images))
    logits = np.concatenate(list(answer(model, evaluation.images, count)))
    error = relative_error(logits, evaluation.logits)
    if precision == "float32" and not error <= TOLERANCE:
        raise CheckFailed(
            f"Got an exported file whose logits differ by {error:.1e} from the trained network's, "
            f"so it was not kept. Expected at most {TOLERANCE:.0e}. Try the other format, and "
            "report the model."
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
    """Yield the logits of each batch: (N, num_classes) for images (N, H, W, C).

    `told` is called with the number of images so far.
    """
    size = BATCH_SIZES[-1]
    for start in range(0, len(images), size):
        told(start)
        yield model.logits(np.ascontiguousarray(images[start : start + size], np.float32))
