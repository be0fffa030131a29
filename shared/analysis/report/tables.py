"""The tables of a report, with cells that are not yet escaped."""

from collections.abc import Mapping, Sequence

from poc.shared.analysis.runs.groups import Group, by_data, list_threads, name_data
from poc.shared.analysis.runs.reading import ExportRecord, Problem, Run
from poc.shared.analysis.statistics.intervals import Spread, spread
from poc.shared.analysis.tables.table import Table, drop_silent_columns
from poc.shared.analysis.tables.terminal import KEPT_EPOCH
from poc.shared.analysis.verdicts.findings import baseline, list_machines, machine_of
from poc.shared.engine.numerics.metrics import wilson_interval
from poc.shared.shown_names import say

from .answer_tables import macro_f1

FACTS: Mapping[str, str] = {
    "num_cpus": "processors",
    "poc_version": "version of poc",
    "git_commit": "state of the code",
    "intra_op_threads": "threads of an operation",
    "inter_op_threads": "threads between operations",
    "is_tf32_enabled": "TF32",
}
"""Key of a record's environment -> its words in the table; other keys lose their underscores."""
ANSWERS = {"True": "yes", "False": "no", "None": "-", "[]": "none"}
ENVIRONMENT_FIRST = ("framework", "version", "device", "processor", "num_cpus", "platform")


def main_table(groups: Sequence[Group]) -> Table:
    """Return table 1, the accuracy first: one line per row, then the majority baseline."""
    names = name_data([members[0].data for members in by_data(groups)])
    has_several = len(names) > 1
    machines = list_machines([run for group in groups for run in group.runs])
    columns = [
        "row",
        *(["data"] if has_several else []),
        "test accuracy",
        "95 % interval",
        "runs",
        "total, s",
        "per epoch, s",
        "parameters",
        "trainable",
        "size, kB",
        "threads",
        *(["machine"] if len(machines) > 1 else []),
    ]
    rows = []
    for group in groups:
        summary = group.runs[0].row
        letters = sorted({machines[machine_of(run)] for run in group.runs})
        rows.append(
            [
                group.label,
                *([names[group.data]] if has_several else []),
                write(group.spread("test_accuracy")),
                write_interval(group),
                str(len(group.runs)),
                write(group.spread("total_seconds"), "{:,.1f}"),
                write(group.spread("epoch_seconds"), "{:,.2f}"),
                f"{summary['total_parameters']:,}",
                f"{summary['trainable_parameters']:,}",
                f"{summary['weight_bytes'] / 1e3:,.1f}",
                group.threads,
                *([", ".join(letters)] if len(machines) > 1 else []),
            ]
        )
    rows += baseline_rows(groups, columns)
    return drop_silent_columns(
        Table(
            title="Table 1: the rows, mean ± sd over seeds",
            columns=columns,
            rows=rows,
            words=["row", "data"],
        )
    )


def further_table(groups: Sequence[Group]) -> Table:
    """Return table 2, with what table 1 lacks: further metrics, multiply-adds, speed, memory."""
    columns = [
        "row",
        "balanced accuracy",
        "macro F1",
        "test loss",
        KEPT_EPOCH,
        "million multiply-adds",
        "training images per second",
        "peak memory, MB",
    ]
    rows = []
    for group in groups:
        macs = group.runs[0].row.get("macs")
        rows.append(
            [
                group.label,
                write(group.spread("test_balanced_accuracy")),
                write(group.over_runs(macro_f1)),
                write(group.spread("test_loss"), "{:.3f}"),
                write(group.spread("best_val_accuracy")),
                f"{macs / 1e6:,.2f}" if macs else "-",
                write(group.spread("images_per_second"), "{:,.0f}"),
                write(group.spread("peak_memory_bytes"), "{:,.0f}", 1e-6),
            ]
        )
    return drop_silent_columns(
        Table(
            title="Table 2: further figures, mean ± sd over seeds",
            columns=columns,
            rows=rows,
            words=["row"],
        )
    )


def export_table(groups: Sequence[Group]) -> Table | None:
    """Return the table of exported files: means over the runs that were exported.

    Returns None if no run was exported.
    """
    rows = []
    for group in groups:
        for key, entries in exports_by_kind(group).items():
            values = {
                name: spread([float(getattr(entry, name)) for entry in entries])
                for name in EXPORT_COLUMNS
            }
            cells = [write(values[name], *form) for name, form in EXPORT_COLUMNS.items()]
            rows.append([group.label, " ".join(key), str(len(entries)), *cells])
    if not rows:
        return None
    return Table(
        title="Exported files, mean ± sd over the runs that were exported",
        columns=[
            "row",
            "file",
            "runs",
            "weights, kB",
            "safetensors, kB",
            "file, kB",
            "logit error",
            "accuracy trained",
            "accuracy of the file",
            "1 image, ms",
            "64 images, ms",
        ],
        rows=rows,
        note="Weights as trained have 4 bytes per parameter. The logit error is relative to the "
        "largest logit. Accuracies are those on the images that the file was checked on. "
        "Latencies are medians on one thread.",
        words=["row", "file"],
    )


EXPORT_COLUMNS: Mapping[str, tuple[str, float]] = {
    "weight_bytes": ("{:,.1f}", 1e-3),
    "safetensors_bytes": ("{:,.1f}", 1e-3),
    "file_bytes": ("{:,.1f}", 1e-3),
    "logit_error": ("{:.1e}", 1.0),
    "trained_accuracy": ("{:.4f}", 1.0),
    "exported_accuracy": ("{:.4f}", 1.0),
    "latency_1_seconds": ("{:.3f}", 1e3),
    "latency_64_seconds": ("{:.2f}", 1e3),
}
"""Field of an export's record -> its format and the scale of its unit."""


def exports_by_kind(group: Group) -> dict[tuple[str, ...], list[ExportRecord]]:
    """Group the records of a row's exports by format, precision and treatment of shortcuts.

    Of files at several places, the last one of each run counts.
    """
    found: dict[tuple[str, ...], list[ExportRecord]] = {}
    for run in group.runs:
        for kind, entry in {describe_kind(entry): entry for entry in run.exports}.items():
            found.setdefault(kind, []).append(entry)
    return dict(sorted(found.items()))


def describe_kind(entry: ExportRecord) -> tuple[str, ...]:
    """Return the words that tell the kind of an exported file."""
    kept = () if entry.merges_shortcuts else ("shortcuts kept",)
    return (entry.format, entry.precision, *kept)


def baseline_rows(groups: Sequence[Group], columns: Sequence[str]) -> list[list[str]]:
    """Return one line per data set: the accuracy of always answering the most frequent class."""
    rows = []
    names = name_data([members[0].data for members in by_data(groups)])
    for members in by_data(groups):
        known = baseline(members[0])
        if known is None:
            continue
        name, share = known
        cells = dict.fromkeys(columns, "")
        cells |= {"row": f"majority baseline: always “{name}”", "test accuracy": f"{share:.4f}"}
        num_images = members[0].num_test_images
        low, high = wilson_interval(round(share * num_images), num_images)
        cells["95 % interval"] = f"{low:.3f} to {high:.3f}"
        if "data" in cells:
            cells["data"] = names[members[0].data]
        rows.append(list(cells.values()))
    return rows


def write(value: Spread | None, form: str = "{:.4f}", scale: float = 1.0) -> str:
    """Return `mean ± sd` in another scale, or a dash."""
    if value is None:
        return "-"
    sd = None if value.sd is None else value.sd * scale
    return Spread(value.mean * scale, sd, value.num_values).write(form)


def write_interval(group: Group) -> str:
    """Return a row's interval, `low to high`, or a dash."""
    return f"{group.interval.low:.3f} to {group.interval.high:.3f}" if group.interval else "-"


def problem_table(problems: Sequence[Problem]) -> Table:
    """Return the table of folders that are left out, with the reasons."""
    rows = [[problem.name, problem.reason] for problem in problems]
    columns = ["folder", "reason"]
    return Table(
        title="Left out of this report", columns=columns, rows=rows, words=columns, is_stacked=True
    )


def run_table(groups: Sequence[Group]) -> Table:
    """Return the table of every run."""
    rows = []
    for group in groups:
        for run in group.runs:
            accuracy = run.row["test_accuracy"]
            rows.append(
                [
                    group.label,
                    str(run.row["seed"]),
                    list_threads([run.row]),
                    "-" if accuracy is None else f"{accuracy:.4f}",
                    f"{run.row['best_epoch']} of {len(run.epochs)}",
                    f"{run.row['total_seconds']:,.1f}",
                    run.name,
                ]
            )
    columns = ["row", "seed", "threads", "test accuracy", "kept epoch", "total, s", "folder"]
    return Table(title="Every run", columns=columns, rows=rows, words=["row", "folder"])


def environment_table(runs: Sequence[Run]) -> Table:
    """Return the table of environments, one column per different one."""
    machines = list_machines(runs)
    found: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        values = {key: str(value) for key, value in run.record.environment.items()}
        found.setdefault(tuple(sorted(values.items())), []).append(run)
    keys = {key for values in found for key, _ in values}
    ordered = [key for key in ENVIRONMENT_FIRST if key in keys]
    ordered += sorted(keys - set(ordered))
    columns = ["", *(say(len(members), "run") for members in found.values())]
    letters = [machines[machine_of(members[0])] for members in found.values()]
    rows = [["machine", *letters]]
    rows += [
        [name_fact(key), *(write_fact(dict(values).get(key)) for values in found)]
        for key in ordered
    ]
    return Table(title="Environment", columns=columns, rows=rows, words=columns, is_stacked=True)


def name_fact(key: str) -> str:
    """Return a key of the environment in words."""
    return FACTS.get(key) or key.removeprefix("is_").replace("_", " ")


def write_fact(value: str | None) -> str:
    """Return a value of the environment in words; a dash if it is not recorded."""
    return "-" if value is None else ANSWERS.get(value, value)
