"""Names as they stand, whatever they hold; outputs of any encoding, full, or without a reader."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

from poc.shared.actions.describe_data import read_facts
from poc.shared.analysis.tables.terminal import show
from poc.shared.engine.console.output import replace_by_ascii
from poc.shared.engine.console.progress import SweepProgress
from poc.shared.shown_names import say
from poc.shared.spec.data import DataSpec

ROOT = Path(__file__).parents[2]
NAMES = [
    "on [/off]",
    "[red]dog",
    "cat [old]",
    ":cat:",
    "[bold]x[/bold]",
    "\\[a]",
    "a|b",
    "<b>`$x$`",
]


def poc(*arguments: str, **settings) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "poc.cli", *arguments]
    return subprocess.run(command, text=True, check=False, timeout=120, **settings)


@pytest.mark.parametrize(
    ("count", "what", "written"),
    [
        (2, "epoch", "2 epochs"),
        (1, "epoch", "1 epoch"),
        (2, "batch", "2 batches"),
        (3, "empty class", "3 empty classes"),
        (1200, "image", "1,200 images"),
    ],
)
def test_a_count_has_its_noun(count, what, written):
    assert say(count, what) == written


def test_every_name_is_printed_as_it_stands(capsys):
    table = Table("[i]heading", title=":cat: [/c]", title_justify="left", box=None)
    for name in NAMES:
        table.add_row(name)
    show(table)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines == [":cat: [/c]", "[i]heading", *NAMES]


def test_a_name_does_not_command_the_terminal(capsys):
    table = Table(box=None, show_header=False)
    table.add_row("a\x1b[2J\x07b\u202ec")
    show(table)
    assert capsys.readouterr().out.strip() == "a\\x1b[2J\\x07b\\u202ec"


def test_the_lines_of_progress_are_text_too(capsys):
    with SweepProgress(2) as progress:
        row = {"cell": "k=[1]", "status": "failed", "failure": ":x:", "error": "of [/off]\n…"}
        progress.update(row, 2)
    assert capsys.readouterr().err.strip() == "k=[1]: :x:: of [/off] (1 of 2)"


def test_rich_is_reached_through_one_door():
    """Whoever makes a console of his own reads names as markup again."""
    pattern = re.compile(r"rich\.console|from rich import|rich\.markup|\bConsole\(")
    found = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "shared").rglob("*.py"))
        if pattern.search(path.read_text())
    ]
    assert found == ["shared/engine/console/terminal.py"]
    text = (ROOT / "shared" / "engine" / "console" / "progress.py").read_text()
    assert text.count("TextColumn(") == text.count("markup=False") == 2


@pytest.fixture
def source(tmp_path):
    names = np.array(["on [/off]", "off ± ├"])
    arrays = {"images": np.zeros((30, 8, 8), np.uint8), "labels": np.arange(30) % 2}
    np.savez(tmp_path / "d.npz", class_names=names, **arrays)
    return f"npz:{tmp_path / 'd.npz'}"


@pytest.mark.parametrize(
    ("encoding", "name", "bar"),
    [
        ("utf-8", "off ± ├", "█" * 30),
        ("cp1252", "off ± ?", "#" * 30),
        ("ascii", "off +- ?", "#" * 30),
    ],
)
def test_an_output_without_our_signs_gets_ascii(encoding, name, bar, source):
    settings = {"env": {**os.environ, "PYTHONIOENCODING": encoding}, "capture_output": True}
    done = poc("data", "describe", source, encoding=encoding, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert name in done.stdout
    assert "on [/off]" in done.stdout
    assert bar in done.stdout


def test_names_are_no_mathematics_in_a_picture(tmp_path):
    names = np.array(["$\\frac{$", "\N{CAT FACE}\x1b[2J"])
    arrays = {"images": np.zeros((4, 8, 8), np.uint8), "labels": np.arange(4) % 2}
    np.savez(tmp_path / "d.npz", class_names=names, **arrays)
    facts = read_facts(DataSpec(source=f"npz:{tmp_path / 'd.npz'}"), tmp_path / "pictures")
    assert [Path(path).name for path in facts["pictures"]] == [
        "class_counts.png",
        "image_sizes.png",
    ]


def test_only_encoding_errors_are_mended():
    with pytest.raises(UnicodeDecodeError):
        replace_by_ascii(UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"))


COMMANDS = [
    ["models", "list"],
    ["models", "list", "--json"],
    ["--help"],
    ["data", "describe", "embedded"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_output_is_one_sentence(command):
    with Path("/dev/full").open("w") as full:
        done = poc(*command, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "standard output takes nothing more (No space left on device)" in done.stderr


@pytest.mark.parametrize("command", COMMANDS[-2:], ids=" ".join)
def test_a_reader_that_has_gone_is_one_sentence(command):
    reader, writer = os.pipe()
    os.close(reader)
    done = poc(*command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 141
    assert len(done.stderr.splitlines()) == 1
    assert "standard output takes nothing more (its reader has gone)" in done.stderr


def test_a_refusal_that_nobody_can_read_keeps_its_exit_code():
    with Path("/dev/full").open("w") as full:
        done = poc("models", "lisst", stdout=subprocess.PIPE, stderr=full)
    assert (done.returncode, done.stdout) == (2, "")
