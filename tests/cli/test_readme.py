"""The README, as a new user meets it: in an empty folder, with a few photos of his own."""

import csv
import re
import shlex
import shutil
from collections import defaultdict
from statistics import mean
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from poc.shared.analysis.figures.drawing import PAPERS
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.architectures.table import MODELS
from poc.tests.cli.test_printed_commands import TRAINS, call
from poc.tests.helpers.commands.printed import ROOT, commands_of

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
STUDY = ROOT / "docs" / "results" / "2026-11-29-front-door"
PICTURES = [ROOT / "docs" / "images" / f"accuracy_against_cost_{paper}.svg" for paper in PAPERS]
NUM_PHOTOS = 8


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """A folder with nothing but photos: a bright class and a dark one, of several sizes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for name, low in (("bright", 128), ("dark", 0)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(NUM_PHOTOS):
            pixels = random.integers(low, low + 128, (72 + index, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.jpg")
    return tmp_path


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.torch
def test_every_command_runs_on_own_photos(empty_folder, capsys):
    """In the README's order, each in the folder that the ones before it left."""
    commands = {command.split()[1]: command for command in commands_of(ROOT / "README.md")}
    assert [*commands] == [
        *("study", "data", "predict", "sweep", "report", "explain", "demo", "package")
    ]
    # The shortest budget of a study.
    commands["study"] = commands["study"].replace(" 15m ", " 3m ")
    # A page that waits for visitors; test_demo_page.py visits it.
    del commands["demo"]
    shutil.copytree(empty_folder / "photos" / "bright", empty_folder / "new_photos")
    for command in commands.values():
        if "RUN_FOLDER" in command:
            run = next((empty_folder / "methods").glob("*scratch*torch*/run.json")).parent
            command = command.replace("RUN_FOLDER", shlex.quote(str(run)))
        call(f"{command} --epochs 1" if TRAINS.match(f"{command} ") else command)
    labels = (empty_folder / "labels.csv").read_text(encoding="utf-8")
    assert len(labels.splitlines()) == 1 + NUM_PHOTOS
    assert (empty_folder / "model.zip").is_file()
    assert list((empty_folder / "why").iterdir())
    printed = capsys.readouterr().out
    assert "bright" in printed
    assert "lightlayers torch" in printed
    page = (empty_folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "Accuracy against cost" in page
    assert (empty_folder / "report" / PICTURES[0].name).is_file()


def test_its_make_targets_are_there():
    named = re.findall(r"^ +make (\w+)", TEXT, re.MULTILINE)
    assert named == ["setup", "run"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name}:.*## ", makefile, re.MULTILINE) for name in named)


def test_it_names_every_method_and_every_model():
    names = set(re.findall(r"`([\w-]+)`", TEXT))
    first, last = re.findall(r"`(efficientnet_b\d)` to `(efficientnet_b\d)`", TEXT)[0]
    between = {name for name in MODELS if first < name < last}
    assert set(METHODS) - names == set()
    assert set(MODELS) - names - between == set()


def read_rows():
    """Rows of the study that the picture shows: settings, cost and accuracy of each run."""
    with STUDY.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_its_picture_shows_the_stored_runs(picture):
    label = ElementTree.parse(picture).getroot().get("aria-label")
    found = dict(re.findall(r"([^;:]+) (0\.\d{3})[;.]", label.split(": ", 1)[1]))
    accuracies = defaultdict(lambda: defaultdict(list))
    for row in read_rows():
        setting = row["row"].replace(f" {row['backend']}", "")
        accuracies[setting][row["backend"]].append(float(row["test_accuracy"]))
    expected = {
        setting: f"{mean(mean(values) for values in own.values()):.3f}"
        for setting, own in accuracies.items()
    }
    assert {name.strip(): value for name, value in found.items()} == expected
    assert len(expected) >= 8


def test_its_excerpt_is_what_was_printed():
    """The page for beginners has the printed text in full."""
    page = ROOT / "docs" / "getting_started.md"
    printed = page.read_text(encoding="utf-8").splitlines()
    block = TEXT.split("## A comparison")[1].split("\n## ")[0].splitlines()
    lines = [line for line in block if line.startswith("    ")]
    assert len(lines) >= 10
    assert [line for line in lines if line not in printed] == []
