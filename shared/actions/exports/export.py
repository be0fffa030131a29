"""`poc export`: write a run's best weights for deployment, and check the file by running it.

The file gets its name only after its answers match those of the trained network.
"""

import tempfile
import time
from pathlib import Path

from poc.shared.actions.count import BYTES_PER_WEIGHT
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.console.work_count import Report, WorkCount, noting, unheard
from poc.shared.engine.export.onnx_resize import refusal_of
from poc.shared.engine.export.preprocess import INPUT_KINDS, InputKind, Preprocess
from poc.shared.engine.export.runtimes import (
    FORMATS,
    PRECISIONS,
    find_format,
)
from poc.shared.engine.folder.decision import digest_checkpoint, read_decision
from poc.shared.engine.folder.own_files import EXPORT_LEFTOVER, is_noted
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.trained_run import TrainedRun, open_trained
from poc.shared.errors import UsageError
from poc.shared.files.collisions import digest_file, refuse_existing
from poc.shared.spec.data import DataSpec
from poc.shared.spec.resolved import declare_network
from poc.shared.weights.header import count_file_bytes

from .check import measure_latencies
from .companions import refuse_foreign_companions, write_companions
from .parent import made_parent
from .written_file import Form, write_answering

KEYS = ("format", "precision", "merges_shortcuts")
CHECKPOINT = Path("checkpoints") / "best.safetensors"


def export_run(
    folder: Path,
    *,
    file_format: str | None,
    precision: str = "float32",
    input_kind: str | None = None,
    output: Path | None = None,
    merges_shortcuts: bool | None = None,
    num_images: int | None = None,
    data: str | None = None,
    report: Report = unheard,
) -> dict[str, object]:
    """Fold the network, write the file, run it, compare, and record it in the run folder.

    Args:
        folder: Run folder, of either backend.
        file_format: `onnx` or `tflite`.
        precision: `float32`, `float16` or `int8` (calibrated on training images).
        input_kind: `view` or `picture`, see `Preprocess`; none: `picture` where it passes the
            check.
        output: New file, or an export of this run; none: `exports/` in the run folder.
        merges_shortcuts: Write a block's last two convolutions as one; none: yes, except for int8,
            where their inputs would have to share one scale.
        num_images: Largest number of evaluation images to check the file with; none: all.
        data: New place of the run's data; none: the recorded place.
        report: Called with progress events, and with each difference from the run.

    Returns:
        The entry of `exports.json`: sizes in bytes, errors, accuracies, latencies, the decision.

    Raises:
        UsageError: As `open_trained`; the format, precision or input is unknown or impossible, a
            package is missing, the output is another existing file, or the decision is for other
            weights.
        CheckFailed: The float32 file does not answer like the trained network.
    """
    file_format = check_form(file_format, precision, input_kind)
    target = output or folder / "exports" / f"{precision}.{file_format}"
    refuse_foreign_files(target, folder, file_format)
    trained = open_trained(folder, data=data, note=noting(report))
    with trained.data:
        form = Form(
            file_format=file_format,
            precision=precision,
            is_merged=precision != "int8" if merges_shortcuts is None else merges_shortcuts,
            kinds=choose_kinds(input_kind, file_format, trained.run.data, noting(report)),
            decision=read_decision(folder, trained.record.class_names),
            num_images=num_images,
        )
        with (
            made_parent(target),
            tempfile.TemporaryDirectory(dir=target.parent, prefix=EXPORT_LEFTOVER) as partial,
        ):
            written = Path(partial) / f"model.{file_format}"
            known, row = write_checked(trained, form, written, report)
            row = {**row, "file": str(target), "sha256": digest_file(written)}
            written.replace(target)
        row["companions"] = write_companions(target.parent, file_format, known)
        RunFolder(folder).exports.add(row, KEYS)
    return row


def check_form(file_format: str | None, precision: str, input_kind: str | None) -> str:
    """Return the format, after checking it, the precision and the input.

    Raises:
        UsageError: There is no such format, precision or input.
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
    if input_kind not in (None, *INPUT_KINDS):
        raise UsageError(
            f"Got --input {input_kind!r}. Expected one of {', '.join(INPUT_KINDS)}. Try --input "
            f"{next(iter(INPUT_KINDS))}."
        )
    if input_kind == "picture" and file_format != "onnx":
        raise UsageError(
            f"Got --input picture with --format {file_format}, which cannot resize as the run "
            "does. Expected --format onnx with it. Try --input view."
        )
    return file_format


def choose_kinds(
    wanted: str | None, file_format: str, data: DataSpec, note: Note
) -> tuple[InputKind, ...]:
    """Return what the file may take, the first choice first.

    Args:
        wanted: The kind that the user names, if any.
        file_format: Format of the file.
        data: The run's settings of its data.
        note: Called with the reason if an ONNX file cannot take pictures of any size.

    Raises:
        UsageError: The user wants pictures of any size, and no file can take them.
    """
    if wanted == "view" or file_format != "onnx":
        return ("view",)
    reason = refusal_of(data)
    if not reason:
        return ("picture",) if wanted else ("picture", "view")
    if wanted:
        raise UsageError(
            f"Got --input picture for a run where {reason}. Expected a run whose images are "
            "squashed or fitted, without crops. Try --input view."
        )
    note(f"The file takes prepared images (--input view), since {reason}.")
    return ("view",)


def write_checked(
    trained: TrainedRun, form: Form, path: Path, report: Report
) -> tuple[Preprocess, dict[str, object]]:
    """Write the file, and check it; return what it says about itself, and its entry so far.

    Raises:
        CheckFailed: The float32 file does not answer like the trained network.
    """
    written = write_answering(trained, form, path, report)
    WorkCount(report, "measuring the file's latency")
    row: dict[str, object] = {
        "format": form.file_format,
        "precision": form.precision,
        "merges_shortcuts": form.is_merged,
        "input": written.known.kind,
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **describe_sizes(trained, path),
        **written.counts,
        **written.answers,
        **measure_latencies(written.model, written.shown),
        "checkpoint_sha256": digest_checkpoint(trained.record.folder),
        "decision": form.decision.summary() if form.decision else None,
        "notes": list(trained.notes),
    }
    return written.known, row


def refuse_foreign_files(target: Path, folder: Path, file_format: str) -> None:
    """Refuse to replace a file that is not an unchanged export of this run, or next to one.

    Raises:
        UsageError: The target, or a file with the name of a companion, is another file.
    """
    known = RunFolder(folder).exports.own()
    if not is_noted(target, known):
        refuse_existing(target)
    refuse_foreign_companions(target.parent, file_format, known)


def describe_sizes(trained: TrainedRun, written: Path) -> dict[str, int]:
    """Return sizes in bytes: 4 per parameter, the run's checkpoint, the exported file."""
    total = sum(parameter.size for parameter in declare_network(trained.run).parameters)
    return {
        "total_parameters": total,
        "weight_bytes": BYTES_PER_WEIGHT * total,
        "safetensors_bytes": count_file_bytes(trained.record.folder / CHECKPOINT),
        "file_bytes": written.stat().st_size,
    }
