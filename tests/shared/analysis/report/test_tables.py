"""Tables for people: words they read, one order of rows, no column that says nothing."""

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table as TerminalTable

from poc.shared.analysis.report.page import read_study, write_report
from poc.shared.analysis.runs.groups import group_runs
from poc.shared.analysis.runs.reading import read_runs
from poc.shared.analysis.runs.row_labels import place_row, shorten_numbers
from poc.shared.analysis.tables.markdown import escape
from poc.shared.analysis.tables.table import Table, drop_silent_columns
from poc.shared.analysis.tables.terminal import COLUMNS, comparison_table, timing_table
from poc.shared.analysis.tables.verdicts import rival_table
from poc.tests.shared.analysis.report.test_page import make_run, read_page

ROWS_CSV = [
    "row", "runs", "data", "threads", "total_parameters", "trainable_parameters", "weight_bytes",
    "macs", "test_accuracy_mean", "test_accuracy_sd", "test_balanced_accuracy_mean",
    "test_balanced_accuracy_sd", "test_loss_mean", "test_loss_sd", "best_val_accuracy_mean",
    "best_val_accuracy_sd", "total_seconds_mean", "total_seconds_sd", "epoch_seconds_mean",
    "epoch_seconds_sd", "images_per_second_mean", "images_per_second_sd", "peak_memory_bytes_mean",
    "peak_memory_bytes_sd", "test_accuracy_low", "test_accuracy_high", "test_macro_f1_mean",
    "test_macro_f1_sd", "test_expected_calibration_error_mean",
    "test_expected_calibration_error_sd",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("__background__", "&#95;&#95;background&#95;&#95;"),
        ("_a b_", "&#95;a b&#95;"),
        ("(a)_b_", "(a)&#95;b&#95;"),
        # Between letters and digits it is no sign.
        ("batch_size=7 k_3 é_ß", "batch_size=7 k_3 é_ß"),
        ("a|b *c* [d] $e$ ~f~ `g` \\", "a&#124;b &#42;c&#42; &#91;d&#93; &#36;e&#36; &#126;f&#126; "
         "&#96;g&#96; &#92;"),
    ],
)  # fmt: skip
def test_names_are_shown_as_they_are(text, expected):
    assert escape(text) == expected


def make_shuffled_study(root: Path) -> Path:
    """Rows whose folders' names put them in an order of no meaning."""
    names = iter("gbhaefcd")
    for k in (10, 2):
        for backend in ("torch", "tf"):
            for seed in (1, 0):
                accuracy = 0.9 if (k, backend) == (2, "torch") else 0.6
                make_run(
                    root / next(names), k=k, backend=backend, seed=seed, accuracy=accuracy,
                    intra_op_threads=2,
                )  # fmt: skip
    return root


ORDER = ["k=2 tf", "k=2 torch", "k=10 tf", "k=10 torch"]


def first_cells(page: str, title: str) -> list[str]:
    """The first cell of each line of a Markdown table."""
    lines = page.split(f"# {title}")[1].split("\n\n")[1].splitlines()[2:]
    return [line.split(" | ")[0].removeprefix("| ") for line in lines]


def test_every_table_has_its_rows_in_one_order(tmp_path: Path) -> None:
    study = make_shuffled_study(tmp_path / "study")
    write_report([study], tmp_path / "report", title="x", command="x")
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    twice = [name for name in ORDER for _ in range(2)]
    assert first_cells(page, "Table 1")[:4] == ORDER
    assert first_cells(page, "Table 2") == ORDER
    assert first_cells(page, "Numbers of the bar charts") == ORDER
    assert first_cells(page, "Numbers of the learning curves: loss") == twice
    assert first_cells(page, "Every run") == twice
    assert pd.read_csv(tmp_path / "report" / "rows.csv")["row"].tolist() == ORDER
    assert pd.read_csv(tmp_path / "report" / "runs.csv")["row"].tolist() == twice


def test_the_order_does_not_depend_on_the_order_of_the_folders(tmp_path: Path) -> None:
    study = make_shuffled_study(tmp_path / "study")
    folders = sorted(study.iterdir())
    for given in (folders, folders[::-1]):
        assert [group.label for group in group_runs(read_runs(given)[0])] == ORDER


def test_rows_are_ordered_by_method_then_by_numbers_then_by_framework() -> None:
    labels = [
        ("kd k=1 tf", "tf"),
        ("kd k=1 torch", "torch"),
        ("kd k=1 torch temperature=2.0", "torch"),
        ("kd k=1 tf temperature=10.0", "tf"),
        ("kd k=2 tf", "tf"),
        ("kd k=10 tf", "tf"),
        ("scratch tf", "tf"),
        ("scratch torch", "torch"),
    ]
    rows = [(label.split(), backend) for label, backend in labels[::-1]]
    assert sorted(rows, key=lambda item: place_row(*item)) == rows[::-1]


def test_both_frameworks_of_a_setting_are_named_alike(tmp_path: Path) -> None:
    """k=3 is the default: it is told of tf, beside k=5 tf; so it is told of torch."""
    for k, backend in ((3, "torch"), (3, "tf"), (5, "tf")):
        make_run(tmp_path / f"{k}-{backend}", k=k, backend=backend)
    labels = [group.label for group in group_runs(read_runs([tmp_path])[0])]
    assert labels == ["k=3 tf", "k=3 torch", "k=5 tf"]


def test_headings_are_words_and_files_have_machine_names(tmp_path: Path) -> None:
    study = make_shuffled_study(tmp_path / "study")
    result = write_report([study], tmp_path / "report", title="x", command="x")
    source = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    headings = [part.split("</th>")[0] for part in source.split('<th scope="col"')[1:]]
    names = [heading.split(">", 1)[1] for heading in headings]
    assert "95 % interval" in names
    assert "validation accuracy, kept epoch" in names
    assert [name for name in names if "_" in name] == []
    assert list(pd.read_csv(tmp_path / "report" / "rows.csv").columns) == ROWS_CSV
    assert {"test_accuracy", "best_epoch", "total_seconds"} <= set(
        pd.read_csv(tmp_path / "report" / "runs.csv").columns
    )
    assert list(result["rivals"][0]) == [
        "row", "best", "test_accuracy_mean", "difference", "low", "high", "winner", "reason",
        "remedy",
    ]  # fmt: skip


def test_a_rivals_numbers_are_those_of_its_pair(tmp_path: Path) -> None:
    """The best row less the other: above 0, whichever of the two stands first in the pair."""
    study = make_shuffled_study(tmp_path / "study")
    result = write_report([study], tmp_path / "report", title="x", command="x")
    pairs = {(pair["first"], pair["second"]): pair for pair in result["pairs"]}
    assert [rival["best"] for rival in result["rivals"]] == ["k=2 torch"] * 3
    signs = set()
    for rival in result["rivals"]:
        key = (rival["best"], rival["row"])
        sign = 1 if key in pairs else -1
        pair = pairs[key] if sign == 1 else pairs[key[::-1]]
        ends = sorted(sign * pair[name] for name in ("low", "high"))
        assert rival["difference"] == sign * pair["difference"] > 0
        assert [rival["low"], rival["high"]] == ends
        assert rival["winner"] == pair["winner"] == "k=2 torch"
        signs.add(sign)
    assert signs == {1, -1}


def test_a_column_that_says_nothing_is_dropped() -> None:
    rows = [["a", "1", "", "-"], ["b", "-", "", "-"]]
    table = drop_silent_columns(Table(title="", columns=["row", "x", "y", "z"], rows=rows))
    assert table.columns == ["row", "x"]
    assert table.rows == [["a", "1"], ["b", "-"]]


def test_what_would_settle_it_stands_only_where_something_is_open(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "1", k=1, accuracy=0.3)
    make_run(tmp_path / "runs" / "3", k=3, accuracy=0.9)
    settled = rival_table(read_study([tmp_path / "runs"]).headline.rivals)
    assert settled is not None
    assert list(settled.columns) == ["row", "test accuracy", "apart (interval)", "verdict"]
    assert settled.note == ""
    make_run(tmp_path / "runs" / "4", k=4, accuracy=0.89)
    still_open = rival_table(read_study([tmp_path / "runs"]).headline.rivals)
    assert still_open is not None
    assert list(still_open.columns)[-1] == "what would settle it"
    assert "four studies of five" in still_open.note


def printed(table: TerminalTable) -> list[list[str]]:
    """Lines of a table, as cells that two blanks or more keep apart."""
    stream = io.StringIO()
    Console(file=stream, width=200).print(table)
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in
            stream.getvalue().splitlines()]  # fmt: skip


SUMMARY = {
    "method": "lightlayers", "model": "lightnet_plain", "options": {"k": 3}, "seed": 0,
    "threads": 2, "total_parameters": 6135, "trainable_parameters": 5911, "weight_bytes": 24540,
    "macs": 974064, "test_accuracy": 0.767, "test_accuracy_low": 0.73981,
    "test_accuracy_high": 0.79212, "test_loss": 0.6705, "num_epochs": 20, "best_epoch": 15,
    "best_val_accuracy": 0.75,
    "peak_memory_bytes": 938024960, "import_seconds": 3.93, "build_seconds": 0.197,
    "first_step_seconds": 1.58, "epoch_seconds": 0.808, "eval_seconds": 0.032,
    "total_seconds": 19.38, "images_per_second": 2377,
}  # fmt: skip


def test_the_comparison_is_printed_in_words() -> None:
    rows = [{**SUMMARY, "backend": name} for name in ("tf", "torch")]
    lines = printed(comparison_table(rows))
    assert ["test accuracy", "0.7670", "0.7670"] in lines
    # Beside the headline's, which is of the method: over seeds too.
    interval = "95 % interval, these test images alone"
    assert [interval, "0.740 to 0.792", "0.740 to 0.792"] in lines
    assert ["validation accuracy, kept epoch", "0.7500", "0.7500"] in lines
    assert ["parameters", "6,135", "6,135"] in lines
    assert ["size of the weights, kB", "24.5", "24.5"] in lines
    assert ["kept epoch", "15", "15"] in lines
    assert ["peak memory, MB", "938", "938"] in lines
    times = printed(timing_table(rows))
    assert ["training epoch, s", "0.808", "0.808", "1.00"] in times
    words = [line[0] for line in [*lines, *times] if line]
    assert [word for word in words if "_" in word] == []
    assert {line.title for line in COLUMNS.values()} & {"test_accuracy"} == set()


@pytest.mark.parametrize("missing", ["test_accuracy_low", "test_accuracy_high"])
def test_without_both_ends_there_is_no_interval(missing: str) -> None:
    lines = printed(comparison_table([{**SUMMARY, "backend": "tf", missing: None}]))
    assert not any(line and line[0].startswith("95 % interval") for line in lines)


def test_a_phone_reads_words_line_by_line(tmp_path: Path) -> None:
    """Tables of words carry each cell's heading; tables of numbers scroll in a box of their own."""
    study = make_shuffled_study(tmp_path / "study")
    write_report([study], tmp_path / "report", title="x", command="x")
    page = read_page(tmp_path / "report" / "report.html")
    tables = [attributes for tag, attributes in page.tags if tag == "table"]
    stacked = [item for item in tables if item.get("class") == "stacked"]
    assert 2 <= len(stacked) < len(tables)
    titles = {str(item["data-title"]) for tag, item in page.tags if "data-title" in item}
    assert {"verdict", "apart (interval)"} <= titles
    source = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert source.count('<div class="scroll"><table') == len(tables)


def test_counted_numbers_are_written_short():
    assert shorten_numbers("[0.5555555555555556, 5.0]") == "[0.555556, 5.0]"
    assert shorten_numbers("0.5555555555555556") == "0.5555555555555556"
