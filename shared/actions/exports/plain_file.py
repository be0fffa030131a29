"""A run's network as a file for prepared images, checked on a few of them: for its latency."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from poc.shared.data.sources.base import Pixels
from poc.shared.engine.console.work_count import Report, noting, unheard
from poc.shared.engine.export.runtimes import FORMATS, ExportedModel, find_format, open_file
from poc.shared.engine.folder.own_files import EXPORT_LEFTOVER
from poc.shared.engine.trained_run import open_trained

from .written_file import Form, write_answering

NUM_IMAGES = 16


class PlainFile(NamedTuple):
    """An exported file, opened.

    Attributes:
        path: The file.
        model: It in its runtime.
        shown: (n, H, W, C) uint8, images of the network's size.
    """

    path: Path
    model: ExportedModel
    shown: Pixels


def format_of(backend: str) -> str:
    """Return the file format of a framework.

    Raises:
        UsageError: A module that it needs is not installed.
    """
    name = next(name for name, form in FORMATS.items() if form.backend == backend)
    find_format(name)
    return name


def write_plain_file(
    run: Path, target: Path, *, num_images: int = NUM_IMAGES, report: Report = unheard
) -> PlainFile:
    """Write the best weights of a run in its own framework's format; no entry is noted.

    The check reads validation images, not test images, if the run has both.

    Args:
        run: Run folder.
        target: New file, without the ending of its format; it may replace an older one.
        num_images: Largest number of images to check the file with.
        report: Called with progress events.

    Raises:
        UsageError: As `open_trained`, or a module of the format is not installed.
        CheckFailed: The file does not answer like the trained network.
    """
    trained = open_trained(run, note=noting(report))
    with trained.data:
        file_format = format_of(trained.run.backend)
        form = Form(
            file_format=file_format,
            precision="float32",
            is_merged=True,
            kinds=("view",),
            decision=None,
            num_images=num_images,
        )
        if trained.data.val is not None:
            trained = replace(trained, data=replace(trained.data, test=None))
        target.parent.mkdir(parents=True, exist_ok=True)
        path = target.with_name(f"{target.name}.{file_format}")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=EXPORT_LEFTOVER) as partial:
            written = Path(partial) / f"model.{file_format}"
            shown = write_answering(trained, form, written, report).shown
            written.replace(path)
    return PlainFile(path, open_file(path), shown)
