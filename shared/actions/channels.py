"""`poc channels`: select the channels of a teacher that separate the labels; store and draw them.

A run with matching uses the selection as a filter. The published study keeps 512 channels of every
map that has more.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.console.work_count import Report
from poc.shared.engine.numerics.channel_statistics import top_channels
from poc.shared.engine.resolving.teacher import resolve_teacher
from poc.shared.engine.teacher import digest_weights
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import ChannelScores, Operations
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.files.collisions import digest_file, refuse_existing
from poc.shared.files.whole import read_object, write_json
from poc.shared.spec.methods.channel_selection import DIGEST, FORMER_DIGEST, SELECTION_FORMAT
from poc.shared.spec.run import RunSpec

SELECTION, SCORES, PICTURE = "channels.json", "scores.safetensors", "channels.png"
# Former files have `source` and `source_digest` for the first two.
FINGERPRINTED = ("teacher", DIGEST, "data", "keep", "taps", "source", FORMER_DIGEST)


def select_channels(
    run: RunSpec,
    output: Path,
    *,
    keep: int = 512,
    num_shards: int = 1,
    report: Report | None = None,
) -> dict[str, Any]:
    """Pass the training images through the run's teacher, and keep the best channels.

    Args:
        run: A run with a teacher; its `method_options.source_taps` are examined.
        output: Folder for `channels.json`, `scores.safetensors` and `channels.png`.
        keep: Channels to keep in each map that has more.
        num_shards: Parts of the images that are summed separately and then merged.
        report: Called with the worker's events.

    Returns:
        The content of `channels.json`.

    Raises:
        UsageError: The run has no teacher, or a file of the same name exists in `output`.
    """
    refuse_foreign(output)
    run = resolve_teacher(run)
    taps = run.method_options.get("source_taps", ())
    if run.teacher is None:
        raise UsageError(
            f"Got method={run.method!r} without a teacher. Expected a method that learns "
            "from one. Try --method l2t-ww with --teacher."
        )
    with Worker(run.backend, report=report) as worker:
        found = worker.call(
            Operations.channel_scores,
            run=run.model_dump(mode="json"),
            taps=list(taps),
            num_shards=num_shards,
        )
    content = describe_selection(run, found, keep)
    output.mkdir(parents=True, exist_ok=True)
    write_arrays(output / SCORES, found["scores"])
    draw_scores(output / PICTURE, found["scores"], keep)
    content["files"] = {name: digest_file(output / name) for name in (SCORES, PICTURE)}
    write_json(output / SELECTION, content)
    return content


def refuse_foreign(output: Path) -> None:
    """Refuse to replace files that an earlier selection did not write, or that were changed since.

    Raises:
        UsageError: The folder has such a file.
    """
    stored = read_selection_file(output / SELECTION)
    what = {key: stored[key] for key in FINGERPRINTED if key in stored}
    is_ours = stored.get("format") == SELECTION_FORMAT and stored.get("fingerprint") == fingerprint(
        what
    )
    if not is_ours:
        refuse_existing(output / SELECTION, instead="another folder")
    files = stored.get("files")
    known = files if is_ours and isinstance(files, dict) else {}
    for name in (SCORES, PICTURE):
        if known.get(name) != digest_file(output / name):
            refuse_existing(output / name, instead="another folder")


def read_selection_file(path: Path) -> dict[str, object]:
    """Read a selection's file; empty if it does not exist or is not one."""
    try:
        return read_object(path)
    except UsageError:
        return {}


def describe_selection(run: RunSpec, found: ChannelScores, keep: int) -> dict[str, Any]:
    """Return the content to store; its fingerprint covers teacher, images and choice."""
    teacher = run.teacher.model_dump(mode="json") if run.teacher else {}
    what: dict[str, object] = {"teacher": teacher, "data": found["data"], "keep": keep}
    if run.teacher is not None and run.teacher.weights is not None:
        what[DIGEST] = digest_weights(run.teacher.weights)
    taps = {
        tap: {
            "channels": top_channels(scores, keep),
            "num_channels": len(scores),
            "largest": float(scores.max()),
            "smallest_kept": float(np.sort(scores)[-min(keep, len(scores))]),
        }
        for tap, scores in found["scores"].items()
    }
    return {
        "format": SELECTION_FORMAT,
        **what,
        "labels_without_images": found["labels_without_images"],
        "num_images": found["num_images"],
        "taps": taps,
        "fingerprint": fingerprint({**what, "taps": taps}),
    }


def fingerprint(content: Mapping[str, object]) -> str:
    """Return the SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def draw_scores(path: Path, scores: Mapping[str, NDArray[np.float64]], keep: int) -> None:
    """Draw the sorted statistic of each map, one line each, and mark the cut of the selection.

    Args:
        path: PNG file.
        scores: (num_channels,) float64 per map.
        keep: Number of channels that the selection keeps.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for tap, values in scores.items():
        axes.plot(np.sort(values)[::-1], label=f"{tap} ({len(values)})")
    if any(len(values) > keep for values in scores.values()):
        axes.axvline(keep, color="grey", linestyle=":", label=f"kept: {keep}")
    axes.set(
        xlabel="channels, sorted", ylabel="deviation between labels", yscale="symlog", xscale="log"
    )
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)
