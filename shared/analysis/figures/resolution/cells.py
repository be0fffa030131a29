"""Cells of the FixRes grid, read from run folders, and the rules for comparing them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from poc.shared.analysis.runs.predictions import Predictions, read_predictions
from poc.shared.analysis.runs.reading import Run, find_run_folders, read_or_explain
from poc.shared.data.views.object_size import AREA
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.launch.sweep import kind_of_failure
from poc.shared.errors import UsageError
from poc.shared.spec.methods.transfer_learning import FixResOptions
from poc.shared.spec.views import Interval, TrainView

METHOD = "fixres"
# The failure of a finished run that was not tested, as those of a study's search.
UNTESTED = "no test part"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of the grid.

    If it has no numbers, `failure` is the kind of failure, or that it was not tested, and `error`
    the recorded message.
    """

    backend: str
    seed: int
    train_size: int
    test_size: int
    crop_share: float
    row: Mapping[str, Any]
    # Least and largest area that training shows, as shares of the image's.
    area: Interval = AREA
    before: Predictions | None = None
    after: Predictions | None = None
    failure: str = ""
    error: str = ""
    class_names: tuple[str, ...] = ()
    source_fingerprint: str = ""


def read_grid(folders: Iterable[Path]) -> list[Cell]:
    """Read every FixRes run in or below the folders, failed ones with their reason.

    Raises:
        UsageError: A folder is missing, or there is no such run.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"Got {str(folder)!r}, which is not a folder. Expected the folder of a sweep. Try "
                "the folder that `poc sweep --output` named."
            )
    paths = [path for folder in folders for path in find_run_folders(folder)]
    cells = [cell for path in paths if (cell := read_cell(path)) is not None]
    if not cells:
        raise UsageError(
            f"Got {', '.join(str(folder) for folder in folders)} with no run of the method fixres. "
            "Expected at least one. Try the folder of a sweep of fixres."
        )
    return sorted(cells, key=lambda c: (c.backend, c.train_size, c.test_size, c.seed))


def read_cell(path: Path) -> Cell | None:
    """Read the cell of a folder; None if it is a run of another method or has not begun."""
    try:
        record = RunRecord.read(path)
        run = record.spec
    except UsageError:
        return None
    if run.method != METHOD:
        return None
    options = cast(FixResOptions, run.method_settings)
    place = partial(
        Cell,
        backend=run.backend,
        seed=run.seed,
        train_size=options.train_size,
        test_size=options.test_size,
        # Without a crop the test uses the entire image.
        crop_share=run.data.eval_view.crop_share if run.data.eval_view.crop != "none" else 1.0,
        area=shown_area(run.data.train_view),
    )
    found = read_or_explain(path)
    if not isinstance(found, Run):
        content = record.content
        error = str(content.get("error", found.reason))
        failure = content.get("failure") or kind_of_failure(error)
        return place(row={}, failure=str(failure), error=error)
    classes = len(found.record.data.class_names)
    before = read_predictions(path, classes, "predictions_before.npz")
    return place(
        row=found.row,
        before=before,
        after=found.predictions,
        failure="" if "before_test_accuracy" in found.row else UNTESTED,
        class_names=record.class_names,
        source_fingerprint=str(record.data.get("source_fingerprint")),
    )


def shown_area(view: TrainView) -> Interval:
    """Return the least and largest area of an image that its training view shows, as shares."""
    if view.crop == "random_resized":
        return view.area
    share = view.crop_share if view.crop in ("centre", "shifted") else 1.0
    return share**2, share**2


def explain_failures(cells: Sequence[Cell]) -> str | None:
    """Return a sentence with the first cell's reason if no cell has numbers; None otherwise."""
    if not all(cell.failure for cell in cells):
        return None
    first = cells[0]
    place = f"{first.backend}, {first.train_size} to {first.test_size}"
    what = f"all {len(cells)} cells failed, the first"
    if len(cells) == 1:
        what = "the one cell failed"
    why = (first.error or first.failure).splitlines()[0]
    return f"Got no accuracies, because {what} ({place}) with: {why}"


def control_of(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """Find the cell that was trained at this one's test size on the same data.

    Backend and seed are also the same. Returns None for a cell that is its own control.
    """
    for other in cells:
        is_control = other.train_size == other.test_size == cell.test_size
        is_control &= describe_data(other) == describe_data(cell)
        if is_control and (other.backend, other.seed) == (cell.backend, cell.seed):
            return None if other is cell else other
    return None


def describe_data(cell: Cell) -> tuple[tuple[str, ...], str]:
    """Return the facts that must be equal in two cells that are compared."""
    return cell.class_names, cell.source_fingerprint


def data_warning(cells: Sequence[Cell]) -> str | None:
    """Return a sentence if the cells were not all trained on the same data; None otherwise."""
    kinds = {describe_data(cell) for cell in cells if not cell.failure}
    if len(kinds) < 2:
        return None
    return (
        f"These runs were trained on {len(kinds)} different sets of images or classes; only runs "
        "on the same set are compared."
    )


def grid_of_runs(runs: Sequence[Run]) -> list[Cell]:
    """Read the FixRes cells of a report's runs, without those that were not tested."""
    paths = [Path(run.name) for run in runs if run.record.run.get("method") == METHOD]
    cells = [cell for path in paths if (cell := read_cell(path)) is not None]
    return [cell for cell in cells if cell.failure != UNTESTED]
