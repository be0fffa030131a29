"""`head_fit.json` of a run that fits its head: what was chosen, and the score of each candidate."""

from pathlib import Path
from typing import TypedDict

from poc.shared.files.whole import read_object, write_json

# Also named in `RunFolder.remove_results`, which removes it.
HEAD_FIT = "head_fit.json"
NOT_CHOSEN = "none"


class Candidate(TypedDict):
    """A candidate: C or k, its metrics on the validation part, and seconds of its fit."""

    value: float
    metrics: dict[str, float]
    is_converged: bool
    seconds: float


class HeadFit(TypedDict):
    """Content of the file.

    `symbol` is C or k; `metric` is the one that chose, or `none` if the options set the number.
    """

    symbol: str
    chosen: float
    metric: str
    candidates: list[Candidate]


def write_head_fit(folder: Path, fit: HeadFit) -> None:
    """Write the file of a run folder."""
    write_json(folder / HEAD_FIT, fit)


def describe_head_fit(folder: Path) -> dict[str, object]:
    """Return the columns of a run's row: `chosen`, as `C = 0.01`, and what chose it; {} if none."""
    path = folder / HEAD_FIT
    if not path.is_file():
        return {}
    fit = read_object(path)
    return {"chosen": f"{fit['symbol']} = {fit['chosen']:g}", "chosen_by": fit["metric"]}
