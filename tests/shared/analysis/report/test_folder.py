"""Where a report goes: over an earlier one of its own, and over nothing that somebody made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from poc.cli import cli
from poc.shared.analysis.report.folder import choose_output, read_marker
from poc.shared.analysis.report.page import write_report
from poc.shared.errors import UsageError
from poc.tests.shared.analysis.report.test_page import make_run


def poc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "poc.cli", *arguments]
    return subprocess.run(
        command, cwd=folder, text=True, check=False, timeout=120, capture_output=True
    )


def write(output: Path, *folders: Path) -> None:
    write_report(list(folders), output, title="A study", command="poc report")


def choose(root: Path, *folders: str) -> tuple[Path, list[str]]:
    notes: list[str] = []
    return choose_output([Path(name) for name in folders], root, note=notes.append), notes


def test_a_report_of_its_own_is_written_anew(tmp_path: Path) -> None:
    output = tmp_path / "report"
    write(output, make_run(tmp_path / "runs" / "1"))
    first = (output / "report.md").read_text()
    write(output, tmp_path / "runs" / "1", make_run(tmp_path / "runs" / "2", k=1))
    assert (output / "report.md").read_text() != first
    assert read_marker(output)["folders"] == [str(tmp_path / "runs" / k) for k in ("1", "2")]


@pytest.mark.parametrize("name", ["report.html", "report.md", "rows.csv"])
def test_a_file_that_somebody_changed_is_not_lost(name: str, tmp_path: Path) -> None:
    output, run = tmp_path / "report", make_run(tmp_path / "runs" / "1")
    write(output, run)
    (output / name).write_text("my remarks")
    before = {path: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(UsageError, match=rf"`poc report` did not write .* changed them: {name}\."):
        write(output, run)
    assert {path: path.read_bytes() for path in output.iterdir()} == before


@pytest.mark.parametrize("name", ["report.html", "report.json"])
def test_a_file_of_another_origin_is_not_lost(name: str, tmp_path: Path) -> None:
    output = tmp_path / "report"
    output.mkdir()
    (output / name).write_text('{"format": "mine"}')
    with pytest.raises(UsageError, match="Try another folder with --output"):
        write(output, make_run(tmp_path / "runs" / "1"))
    assert [path.name for path in output.iterdir()] == [name]


def test_files_beside_a_report_stay(tmp_path: Path) -> None:
    output, run = tmp_path / "report", make_run(tmp_path / "runs" / "1")
    output.mkdir()
    write(output, run)
    (output / "notes.txt").write_text("mine")
    (output / "report.md").unlink()
    write(output, run)
    assert (output / "notes.txt").read_text() == "mine"
    assert (output / "report.md").exists()


@pytest.mark.parametrize("name", ["cats/1.png", "run.json", "notes.txt", ".hidden"])
def test_a_folder_of_data_or_of_a_run_takes_no_report(name: str, tmp_path: Path) -> None:
    run, output = make_run(tmp_path / "runs" / "1"), tmp_path / "full"
    (output / name).parent.mkdir(parents=True)
    (output / name).write_text("mine")
    message = r"^Got the output .* and no report\. .* Try another folder with --output\."
    with pytest.raises(UsageError, match=message):
        write(output, run)
    with pytest.raises(UsageError, match="which is not a folder"):
        write(output / name, run)
    assert [path for path in output.rglob("*") if path.is_file()] == [output / name]
    done = CliRunner().invoke(cli, ["report", str(tmp_path / "nothing"), "--output", str(output)])
    # Before the runs are read.
    assert "and no report" in str(done.exception)


def test_without_a_name_the_first_free_folder_is_taken(tmp_path: Path) -> None:
    assert choose(tmp_path, "study") == (tmp_path / "report", [])
    (tmp_path / "report").mkdir()
    assert choose(tmp_path, "study") == (tmp_path / "report", [])
    (tmp_path / "report" / "thesis.md").write_text("mine")
    output, notes = choose(tmp_path, "study")
    assert output == tmp_path / "report-2"
    assert len(notes) == 1
    assert "stays unchanged" in notes[0]
    (tmp_path / "report-2").write_text("a file")
    (tmp_path / "report-3").symlink_to("nowhere")
    assert choose(tmp_path, "study")[0] == tmp_path / "report-4"


def test_without_a_name_a_report_on_the_same_folders_is_renewed(tmp_path: Path) -> None:
    """On other ones, or changed by hand, it stays."""
    study = make_run(tmp_path / "study" / "1").parent
    write(tmp_path / "report", study)
    assert choose(tmp_path, str(study))[0] == tmp_path / "report"
    assert choose(tmp_path, str(study), "more")[0] == tmp_path / "report-2"
    (tmp_path / "report" / "rows.csv").write_text("changed")
    assert choose(tmp_path, str(study))[0] == tmp_path / "report-2"


def test_the_command_leaves_a_folder_of_another_study(tmp_path: Path) -> None:
    make_run(tmp_path / "one" / "run")
    make_run(tmp_path / "two" / "run", k=1)
    assert poc(tmp_path, "report", "one").returncode == 0
    kept = (tmp_path / "report" / "report.md").read_bytes()
    done = poc(tmp_path, "report", "two")
    assert done.returncode == 0
    assert f"Written: report-2{os.sep}report.html" in done.stdout
    assert "report holds other files" in done.stderr
    assert (tmp_path / "report" / "report.md").read_bytes() == kept
    (tmp_path / "report" / "report.md").write_text("mine")
    done = poc(tmp_path, "report", "one", "--output", "report")
    assert done.returncode == 2
    assert (tmp_path / "report" / "report.md").read_text() == "mine"
