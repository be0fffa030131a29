"""`poc data`, seen from the shell."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.describe_data import draw_facts
from poc.shared.data.sources.description import describe_source
from poc.shared.data.sources.table import SCHEMES, open_source
from poc.shared.errors import UsageError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    for index in range(36):
        path = (
            tmp_path
            / "photos"
            / ("ant", "bee", "cat")[index % 3]
            / f"person{index // 6}_{index}.png"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (10 + index % 4, 12, 3)
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def poc(*arguments):
    command = [sys.executable, "-m", "poc.cli", "data", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_list():
    rows = json.loads(poc("list", "--json").stdout)
    assert [row["form"] for row in rows] == [scheme.form for scheme in SCHEMES.values()]
    assert {"embedded", "folder:PATH"} <= {row["form"] for row in rows}
    assert "folder:PATH" in poc("list").stdout


def test_describe(photos, tmp_path):
    (photos / "ant" / "empty.png").write_bytes(b"")
    done = poc("describe", f"folder:{photos}", "--json", "--output", tmp_path / "pictures")
    facts = json.loads(done.stdout)
    assert (facts["num_examples"], facts["num_classes"]) == (36, 3)
    assert facts["counts"] == {"ant": 12, "bee": 12, "cat": 12}
    assert facts["balance"]["majority_accuracy"] == pytest.approx(1 / 3)
    assert facts["unreadable"] == {"ant/empty.png": "is empty (0 bytes)"}
    assert sum(facts["sizes"]["histogram"]["counts"]) == 36
    for path in facts["pictures"]:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
    text = poc("describe", f"folder:{photos}").stdout
    for words in ("ant/empty.png: is empty", "majority baseline", "0.3333", "Shorter side"):
        assert words in text


def test_describe_finds_duplicates():
    pixels = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    pixels[5] = pixels[0]
    from poc.shared.data.sources.arrays import ArraySource

    labels = np.array([0, 1])
    source = ArraySource(
        "made", {"train": (pixels[:4], np.tile(labels, 2)), "test": (pixels[4:], labels)}
    )
    duplicates = describe_source(source)["duplicates"]
    assert duplicates == {
        "num_contents": 1,
        "num_across_parts": 1,
        "num_across_classes": 1,
        "ids": [["train/000000", "test/000001"]],
    }


def test_embedded_has_no_duplicates_across_parts():
    facts = describe_source(open_source("embedded"))
    assert facts["duplicates"]["num_across_parts"] == 0
    assert facts["parts"]["test"] == dict.fromkeys(facts["counts"], 100)


def test_split_and_verify(photos, tmp_path):
    file = tmp_path / "split.json"
    by_group = ["--set", r"split.group_pattern='(person\d+)'", "--set", "split.kind=fractions"]
    done = poc("split", f"folder:{photos}", "--output", file, *by_group, "--json")
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout)["counts"].values()) == 36
    done = poc("verify", file, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["leaks"] == []

    photos.rename(tmp_path / "moved")
    moved = f"folder:{tmp_path / 'moved'}"
    assert poc("verify", file).returncode == 2
    assert poc("verify", file, "--data", moved).returncode == 0

    (tmp_path / "moved" / "ant" / "person0_0.png").rename(tmp_path / "moved" / "ant" / "new.png")
    done = poc("verify", file, "--data", moved)
    assert done.returncode == 2
    assert "1 missing: ant/person0_0.png; 1 new: ant/new.png" in done.stderr


def test_verify_fails_on_a_leak(photos, tmp_path):
    file = tmp_path / "split.json"
    assert poc("split", f"folder:{photos}", "--output", file).returncode == 0
    done = poc("verify", file, "--group-pattern", r"person\d+")
    assert done.returncode == 1
    assert "Got a split that leaks: group person" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["describe", "folder:/no/such"], "there is no folder"),
        (["describe", "nonsense"], "folder:PATH"),
        (["verify", "/no/such.json"], "cannot be read"),
        (["split", "embedded", "--output", "/no/such/folder/x"], "cannot be written"),
        (["split", "embedded", "--output", "x", "--set", "split.kind=none"], "split.kind"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, words):
    done = poc(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_names_with_line_breaks_stay_in_their_line(photos, tmp_path):
    (photos / "cat").rename(photos / "c\nt\x1b[2J")
    (photos / "ant" / "no\rtes.txt").write_text("x")
    for arguments in (["describe"], ["split", "--output", tmp_path / "split.json"]):
        done = poc(arguments[0], f"folder:{photos}", *arguments[1:])
        assert done.returncode == 0
        assert not set(done.stdout + done.stderr) & set("\x1b\r")
        assert any(line.strip().startswith("c\\nt\\x1b[2J") for line in done.stdout.splitlines())


def test_pictures_are_drawn_twice_and_over_nothing_else(photos, tmp_path):
    facts = describe_source(open_source(f"folder:{photos}"))
    output = tmp_path / "pictures"
    paths = draw_facts(facts, output)
    before = [path.read_bytes() for path in paths]
    assert draw_facts(facts, output) == paths
    assert [path.read_bytes() for path in paths] == before
    paths[0].unlink()
    paths[1].write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"exists\..* Try naming another folder, or remove it"):
        draw_facts(facts, output)
    assert [path.name for path in output.iterdir()] == [paths[1].name]
    assert paths[1].read_bytes() == b"mine"
    with pytest.raises(UsageError, match="cannot be written"):
        draw_facts(facts, paths[1] / "below")
