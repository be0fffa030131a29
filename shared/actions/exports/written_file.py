"""Writing of an exported file, and the check of its answers."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.data.sources.base import Pixels
from poc.shared.engine.console.work_count import Report, WorkCount, noting
from poc.shared.engine.export.embedding import embed
from poc.shared.engine.export.onnx_resize import add_resize
from poc.shared.engine.export.preprocess import InputKind, Preprocess
from poc.shared.engine.export.runtimes import FORMATS, ExportedModel, open_file
from poc.shared.engine.folder.decision import Decision
from poc.shared.engine.run_data import RunData
from poc.shared.engine.trained_run import TrainedRun
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import ExportedSize, Operations
from poc.shared.errors import CheckFailed
from poc.shared.spec.run import RunSpec

from .check import answer_both, describe_answers
from .description import describe_file

NUM_CALIBRATION_IMAGES = 200


@dataclass(frozen=True, kw_only=True)
class Form:
    """Form of the file.

    Attributes:
        file_format: `onnx` or `tflite`.
        precision: `float32`, `float16` or `int8`.
        is_merged: True if a block's last two convolutions become one.
        kinds: Kinds of input to try; the first that passes the check is kept.
        decision: The decision of the run, if it has one.
        num_images: Largest number of images to check it with; None: all.
    """

    file_format: str
    precision: str
    is_merged: bool
    kinds: tuple[InputKind, ...]
    decision: Decision | None
    num_images: int | None


class Written(NamedTuple):
    """A written file that answers like the trained network, opened.

    Attributes:
        known: The description in it.
        model: The file in its runtime.
        counts: Counts of its network.
        answers: The comparison of its answers.
        shown: (n, H, W, C) uint8, what the network sees of the first images.
    """

    known: Preprocess
    model: ExportedModel
    counts: ExportedSize
    answers: Mapping[str, object]
    shown: Pixels


def write_answering(trained: TrainedRun, form: Form, path: Path, report: Report) -> Written:
    """Write the file, and check its answers.

    Raises:
        CheckFailed: The float32 file does not answer like the trained network.
    """
    network = path.with_name(f"network{path.suffix}")
    counts = write_model(trained, network, form, report)
    for kind in form.kinds:
        known = describe_file(trained, form.decision, kind, form.precision)
        shutil.copyfile(network, path)
        if kind == "picture":
            add_resize(path, known.size, trained.run.data)
        embed(path, known.write())
        model = open_file(path)
        both = answer_both(trained, model, known, form.num_images, report)
        try:
            answers = describe_answers(both, form.precision)
        except CheckFailed as error:
            if kind == form.kinds[-1]:
                raise
            noting(report)(f"The file takes prepared images (--input view): {error}")
            continue
        break
    return Written(known, model, counts, answers, both.shown)


def write_model(trained: TrainedRun, path: Path, form: Form, report: Report) -> ExportedSize:
    """Write the folded network in the framework of the format; return its counts."""
    WorkCount(report, f"writing {form.precision} {form.file_format}")
    with Worker(FORMATS[form.file_format].backend, log=path.with_name("log")) as worker:
        return worker.call(
            Operations.export,
            run=trained.run.model_dump(mode="json"),
            weights=trained.weights,
            path=str(path.resolve()),
            precision=form.precision,
            calibration=calibration_images(trained.run, trained.data),
            merges_shortcuts=form.is_merged,
        )


def calibration_images(run: RunSpec, data: RunData) -> Pixels:
    """Return the evaluation views of up to 200 training images: (N * views, H, W, C) uint8.

    The images are evenly spaced over the training part, so every export sees the same ones.
    """
    train = data.split.train
    step = max(len(train) // NUM_CALIBRATION_IMAGES, 1)
    chosen = np.sort(train)[::step][:NUM_CALIBRATION_IMAGES]
    # Without a normalisation, the pipeline gives the pixels themselves.
    plain = run.data.model_copy(update={"normalization": "none"})
    with Pipeline(data.source, chosen, plain) as pipeline:
        return np.concatenate([batch.images.astype(np.uint8) for batch in pipeline.epoch(0)])
