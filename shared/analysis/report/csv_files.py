"""The raw numbers of a report as CSV text, for further work with pandas."""

from collections.abc import Sequence

import pandas as pd

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.runs.reading import ExportRecord
from poc.shared.analysis.verdicts.pairs import Pair

from .answer_tables import error_of, macro_f1

SPREAD_COLUMNS = (
    "test_accuracy",
    "test_balanced_accuracy",
    "test_loss",
    "best_val_accuracy",
    "total_seconds",
    "epoch_seconds",
    "images_per_second",
    "peak_memory_bytes",
)

# From the answers, because runs of former versions lack these columns.
ANSWER_COLUMNS = {
    "test_macro_f1": macro_f1,
    "test_expected_calibration_error": error_of,
}


def csv_files(groups: Sequence[Group], pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the CSV files of a report: file name -> content."""
    frames = {
        "rows.csv": row_frame(groups),
        "runs.csv": run_frame(groups),
        "curves.csv": curve_frame(groups),
        "confusion.csv": confusion_frame(groups),
        "exports.csv": export_frame(groups),
        "pairs.csv": pd.DataFrame(
            [{**pair._asdict(), "winner": pair.winner} for pair in pairs],
            columns=[*Pair._fields, "winner"],
        ),
    }
    return {name: frame.to_csv(index=False) for name, frame in frames.items()}


def row_frame(groups: Sequence[Group]) -> pd.DataFrame:
    """Return one line per row of the report: table 1 as unrounded numbers."""
    rows = []
    for group in groups:
        summary = group.runs[0].row
        row = {"row": group.label, "runs": len(group.runs), "data": group.data[0]}
        row["threads"] = group.threads
        for name in ("total_parameters", "trainable_parameters", "weight_bytes", "macs"):
            row[name] = summary.get(name)
        for name in SPREAD_COLUMNS:
            known = group.spread(name)
            row[f"{name}_mean"] = known.mean if known else None
            row[f"{name}_sd"] = known.sd if known else None
        row["test_accuracy_low"], row["test_accuracy_high"] = group.interval or (None, None)
        for name, figure in ANSWER_COLUMNS.items():
            known = group.over_runs(figure)
            row[f"{name}_mean"] = known.mean if known else None
            row[f"{name}_sd"] = known.sd if known else None
        rows.append(row)
    return pd.DataFrame(rows)


def run_frame(groups: Sequence[Group]) -> pd.DataFrame:
    """Return one line per run: its summary."""
    return pd.DataFrame(
        [
            {"row": group.label, **run.row, "folder": run.name}
            for group in groups
            for run in group.runs
        ]
    )


def curve_frame(groups: Sequence[Group]) -> pd.DataFrame:
    """Return one line per epoch of every run."""
    return pd.DataFrame(
        [
            {"row": group.label, "seed": run.row["seed"], **line}
            for group in groups
            for run in group.runs
            for line in run.epochs
        ]
    )


def export_frame(groups: Sequence[Group]) -> pd.DataFrame:
    """Return one line per exported file."""
    rows = [
        {"row": group.label, "seed": run.row["seed"], **entry.model_dump()}
        for group in groups
        for run in group.runs
        for entry in run.exports
    ]
    return pd.DataFrame(rows, columns=["row", "seed", *ExportRecord.model_fields])


def confusion_frame(groups: Sequence[Group]) -> pd.DataFrame:
    """Return one line per count above 0 of every confusion matrix."""
    rows = []
    for group in groups:
        names = group.runs[0].record.data.class_names
        for pair in group.confused() or ():
            rows.append((group.label, names[pair.true], names[pair.predicted], pair.num_images))
    return pd.DataFrame(rows, columns=["row", "true", "predicted", "images"])
