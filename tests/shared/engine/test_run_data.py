"""What a run tells and records of its data: left out, left aside, shared by two parts."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.splits.leaks import find_leaks, note_leaks
from poc.shared.data.splits.split import make_split
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.errors import CheckFailed
from poc.shared.spec.data import SplitSpec
from poc.shared.spec.reading.config import load_run


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos(tmp_path):
    """Published parts of 10, 4 and 4 images a class, all different."""
    generator = np.random.default_rng(0)
    for part, count in {"train": 10, "val": 4, "test": 4}.items():
        for name in ("cat", "dog"):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "set"


def describe(root, *assignments):
    """The notes of a run on this folder and what its `run.json` would say."""
    told = []
    run = load_run(None, [f"data.source=folder:{root}", *assignments])
    _, data = resolve(run, told.append)
    with data:
        described = data.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["notes"] == told
    return told, described


def test_a_sound_folder_is_told_nothing_of(photos):
    told, described = describe(photos)
    assert told == []
    assert described["leaks"] == {"num_contents": 0, "num_groups": 0, "first": []}
    assert (described["num_ignored"], described["ignored"]) == (0, {})
    assert described["unused_folders"] == []


def test_images_of_other_kinds_are_told_and_counted(photos):
    for index in range(6):
        (photos / "train" / "cat" / f"{index}.HEIC").write_bytes(b"x")
    (photos / "train" / "dog" / "IMG").write_bytes(b"x")
    told, described = describe(photos)
    assert told == [
        f"Ignored in folder:{photos}: 6 images of a kind that is not read, convert them "
        "(6 .heic); 1 file without a suffix; poc data describe names them."
    ]
    assert described["num_ignored"] == 7
    assert described["ignored"] == {".heic": 6, "no suffix": 1}
    assert described["num_skipped"] == 0


def test_folders_that_are_not_used_are_told_and_named(photos):
    (photos / "extra").mkdir()
    told, described = describe(photos)
    assert described["unused_folders"] == ["extra"]
    assert "'extra' next to 'train', 'val', 'test' is not used" in told[0]


def test_the_same_content_in_two_parts_is_told_and_counted(photos):
    for index in range(2):
        shutil.copy(
            photos / "train" / "cat" / f"{index}.png", photos / "test" / "dog" / f"c{index}.png"
        )
    shutil.copy(photos / "train" / "cat" / "3.png", photos / "train" / "cat" / "again.png")
    told, described = describe(photos)
    (note,) = told
    assert f"The parts of folder:{photos} share 2 contents" in note
    assert "in train (train/cat/0.png) and test (test/dog/c0.png) and 1 more" in note
    assert described["leaks"]["num_contents"] == 2
    assert described["leaks"]["first"][0]["ids"] == {
        "train": ["train/cat/0.png"],
        "test": ["test/dog/c0.png"],
    }


def test_groups_that_published_parts_divide_are_told(photos):
    told, described = describe(photos, r"data.split.group_pattern='(\d+)[.]png'")
    assert described["leaks"]["num_groups"] == 4
    assert "share 4 groups" in told[0]


def test_leaks_of_arrays_are_found_too():
    pixels = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    pixels[7] = pixels[0]
    labels = np.array([0, 1])
    source = ArraySource(
        "made", {"train": (pixels[:6], np.tile(labels, 3)), "test": (pixels[6:], labels)}
    )
    split = make_split(source, SplitSpec(val_on_test=True))
    leaks = find_leaks(split)
    assert [leak.ids for leak in leaks] == [{"train": ["train/000000"], "test": ["test/000001"]}]
    assert note_leaks(split, leaks).startswith("The parts of made share 1 content, which makes")
    assert note_leaks(split, []) == ""


def test_16_bits_that_use_little_of_their_range_are_told(photos):
    for index in range(10):
        values = np.linspace(0, 4095 if index < 7 else 65_535, 64).astype(np.uint16)
        Image.fromarray(values.reshape(8, 8)).save(photos / "train" / "cat" / f"{index}.png")
    told, _ = describe(photos)
    assert (
        "7 of 10 images of more than 8 bits in folder:"
        f"{photos} use little of their range: with 8 bits they span at most 17 of 256" in told[0]
    )


def test_unreadable_files_are_told_under_skip(photos):
    (photos / "train" / "cat" / "0.png").write_bytes(b"")
    told, described = describe(photos, "data.on_error=skip")
    assert told == ["Left out: 1 unreadable path and 0 empty classes (run.json names them)."]
    assert described["skipped"] == {"train/cat/0.png": "is empty (0 bytes)"}


def test_an_example_in_two_parts_is_still_refused(photos, tmp_path):
    """What is shared by content is told; one example in two parts is an error of the split."""
    from poc.shared.engine import run_data as datasets

    run = load_run(None, [f"data.source=folder:{photos}"])
    source = datasets.open_classes(run.data)
    split = make_split(source, run.data.split)
    broken = type(split)(source, split.spec, split.train, split.train[:1], split.test)
    with pytest.raises(CheckFailed, match="also validate or test"):
        datasets.make_pipelines(source, broken, run)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        # 20 images in batches of 8 are 3 steps an epoch.
        (["num_epochs=2", "warmup_steps=6"],
         ["Training ends inside the warm-up: 6 steps, schedule.warmup_steps=6."]),
        (["num_epochs=2", "warmup_steps=5"], []),
        (["num_epochs=1", "drop_last=true", "warmup_steps=9"],
         ["Training ends inside the warm-up: 2 steps, schedule.warmup_steps=9."]),
        (["num_epochs=1"], []),
    ],
)  # fmt: skip
def test_a_warm_up_longer_than_the_training_is_told(photos, settings, told):
    assert describe(photos, "batch_size=8", *settings)[0] == told
