"""`poc explain`: a folder with a picture per image, the numbers, and a page that shows them."""

import re
from collections.abc import Sequence
from pathlib import Path

from poc.shared.actions.new_images.listed_paths import list_paths
from poc.shared.analysis.report.folder import is_free, write_files
from poc.shared.engine.console.work_count import Report, noting
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.shown_names import say

from .explain import Unreadable, Wish
from .overlays import draw_overlay
from .pages import (
    Facts,
    ImageRow,
    describe_image,
    explain_method,
    find_largest,
    write_json,
    write_page,
)
from .plan import plan_explanations

JSON, PAGE = "explanations.json", "index.html"
# Letters of an image's name in the name of its picture.
MAX_STEM = 40


def explain_files(
    folder: Path,
    paths: Sequence[str],
    output: Path,
    wish: Wish,
    *,
    command: str,
    report: Report,
) -> list[ImageRow]:
    """Explain a run's answers for images, and write a picture of each, the numbers and a page.

    Args:
        folder: Run folder.
        paths: As `list_paths` takes them.
        output: New or empty folder.
        wish: How.
        command: Command line, for the page.
        report: Called with progress events, and with each sentence for the user.

    Returns:
        A row per image.

    Raises:
        UsageError: The folder is no trained run, there is no image, an option is wrong, or the
            output has files; then nothing was computed or written.
        CheckFailed: A map is not finite.
    """
    refuse_full(output)
    note = noting(report)
    plan = plan_explanations(folder, wish, note)
    items = list_paths(paths, note)
    write_files(output, {})
    rows = []
    for number, one in enumerate(plan.explain(items, report), start=1):
        picture = name_picture(number, str(one.name))
        if not isinstance(one, Unreadable):
            write_files(output, {picture: draw_overlay(one, plan.method)})
        rows.append(describe_image(one, plan.method, picture))
    facts: Facts = {
        "run": str(folder),
        "command": command,
        "checkpoint": wish.checkpoint,
        "method": plan.method.name,
        "settings": plan.method.facts(),
        "backends": sorted(plan.backends),
        "num_views": plan.trained.answering.view.num_views,
        "largest_difference": find_largest(rows),
    }
    notes = explain_method(plan.method, facts["num_views"])
    write_files(output, {JSON: write_json(facts, rows), PAGE: write_page(facts, rows, notes)})
    return rows


def refuse_full(output: Path) -> None:
    """Refuse a folder with files, and a path that is no folder.

    Raises:
        UsageError: See above.
    """
    if not is_free(output):
        what = "has files" if output.is_dir() else "is no folder"
        raise UsageError(
            f"Got --output {str(output)!r}, which {what}. Expected a new folder or an empty one. "
            "Try another name, or remove it."
        )


def name_picture(number: int, name: str) -> str:
    """Return the name of an image's picture: its number, and its own name in plain letters."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem)[:MAX_STEM].strip("_") or "image"
    return f"{number:04d}_{stem}.png"


def describe_rows(rows: Sequence[ImageRow]) -> str:
    """Say how many images are explained, and how far the frameworks' maps are apart."""
    count = say(sum(not row["problem"] for row in rows), "image")
    largest = find_largest(rows)
    if largest is None:
        return f"{count} explained."
    return f"{count} explained; the frameworks' maps differ by at most {largest:.1e}."


def refuse_unreadable(rows: Sequence[ImageRow]) -> None:
    """Fail if a file could not be read; its row says why.

    Raises:
        CheckFailed: See above.
    """
    if bad := [row for row in rows if row["problem"]]:
        raise CheckFailed(
            f"{len(bad):,} of {say(len(rows), 'file')} cannot be read; their rows say why"
        )
