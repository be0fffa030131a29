"""Which folders are parts and which are classes, and what is said of everything else."""

import os
from pathlib import Path

import pytest
from PIL import Image

from poc.shared.data.sources.class_folders.layout import find_word
from poc.shared.data.sources.class_folders.listing import describe_ignored, list_folder
from poc.shared.data.sources.table import open_source
from poc.shared.errors import UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def make(root, *folders, count=2):
    """Small pictures of different content in each of these folders."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            colour = (sum(map(ord, folder)) % 256, len(folder), index)
            Image.new("RGB", (4, 3), colour).save(root / folder / f"{index}.png")
    return root


def product(*levels):
    """Every path of one folder a level."""
    paths = [""]
    for level in levels:
        paths = [f"{path}/{name}".lstrip("/") for path in paths for name in level]
    return paths


TWO = ("cat", "dog")
REFUSED = {
    "training_set and test_set, twice": (
        [f"{p}/{p}/{c}" for p in ("training_set", "test_set") for c in TWO],
        "'training_set', 'test_set' look like parts",
        "giving one part alone, such as 'folder:{root}/training_set/training_set',",
    ),
    "seg_train, seg_test, seg_pred": (
        [*product(["seg_train"], ["seg_train"], TWO), *product(["seg_test"], TWO), "seg_pred/x"],
        "'seg_train', 'seg_test' look like parts",
        "'folder:{root}/seg_train/seg_train',",
    ),
    "train2017 and val2017": (
        product(["train2017", "val2017"], TWO),
        "'train2017', 'val2017' look like parts",
        "'folder:{root}/train2017',",
    ),
    "valid and test": (
        product(["valid", "test"], TWO),
        "with the parts 'test', 'valid' and no train",
        "folder:{root}/valid",
    ),
    "train and test without classes": (
        ["train", "test"],
        "with the parts 'test', 'train' without folders in train",
        "folder:{root}/train",
    ),
    "three parts a level deeper": (
        product(["chest_xray"], ["train", "val", "test"], TWO),
        "whose folder 'chest_xray' holds the parts 'test', 'train', 'val'",
        "giving 'folder:{root}/chest_xray'",
    ),
    "two sets": (
        product(["first", "second"], ["train", "test"], TWO),
        "whose folder 'first' holds the parts 'test', 'train'",
        "giving 'folder:{root}/first'",
    ),
    "a set two levels deeper": (
        product(["data"], ["set"], TWO),
        "with images of 1 class.",
        "giving 'folder:{root}/data/set'",
    ),
    "parts two levels deeper": (
        product(["data"], ["set"], ["train", "test"], TWO),
        "with images of 1 class.",
        "giving 'folder:{root}/data/set'",
    ),
    "train in train": (
        product(["train"], ["train"], TWO) + product(["test"], ["test"], TWO),
        "whose part 'train' holds one folder, 'train', that holds folders",
        "folder:{root}/train/train",
    ),
    "test in test": (
        product(["train"], TWO) + product(["test"], ["test"], TWO),
        "whose part 'test' holds one folder, 'test', that holds folders",
        "folder:{root}/test/test",
    ),
    "val and dev": (
        product(["train", "val", "dev"], TWO),
        "with the folders 'train', 'dev', 'val', two of which are one part",
        "renaming or moving one",
    ),
}


@pytest.mark.parametrize(("folders", "words", "remedy"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_level_too_high_is_refused_with_the_path_to_give(
    tmp_path, folders, words, remedy, on_error
):
    make(tmp_path, *folders)
    with pytest.raises(UsageError) as error:
        open_source(f"folder:{tmp_path}", on_error=on_error)
    assert words in str(error.value)
    assert remedy.format(root=tmp_path) in str(error.value)


def test_the_path_that_is_given_can_be_given(tmp_path):
    """What a refusal names is followed until the set opens."""
    make(tmp_path, *product(["a"], ["b"], ["chest"], ["train", "test"], TWO))
    text = f"folder:{tmp_path}"
    for _ in range(5):
        try:
            source = open_source(text)
        except UsageError as error:
            text = str(error).split("giving ")[-1].split("'")[1]
    assert text == f"folder:{tmp_path}/a/b/chest"
    assert set(source.partitions) == {"train", "test"}


TAKEN = {
    "classes": (TWO, TWO),
    "a class called test": (["test", "other"], ["other", "test"]),
    "a class called train": (["bus", "car", "train"], ["bus", "car", "train"]),
    "tests of two outcomes": (
        product(["test_positive", "test_negative"], ["p1", "p2"]),
        ["test_negative", "test_positive"],
    ),
    "batches": (product(TWO, ["batch1", "batch2"]), TWO),
    "patients": (["cat/p1", "cat/p2", "dog/p3"], TWO),
    "both": (["cat", "cat/more", "dog"], TWO),
    "numbered": (["n01440764", "n01443537"], ["n01440764", "n01443537"]),
    "birds": (["001.Albatross", "002.Albatross"], ["001.Albatross", "002.Albatross"]),
    "deep": (["cat/2019/may/a", "dog/2020/june/b"], TWO),
    "classes whose images stand in parts": (product(TWO, ["train", "test"]), TWO),
}


@pytest.mark.parametrize(("folders", "classes"), TAKEN.values(), ids=TAKEN)
def test_classes_with_folders_in_them_are_read(tmp_path, folders, classes):
    source = open_source(f"folder:{make(tmp_path, *folders)}")
    assert source.class_names == tuple(classes)
    assert source.partitions == {}
    assert len(source) == 2 * len(folders)


def test_a_test_of_one_class_is_a_test(tmp_path):
    make(tmp_path, *product(["train"], TWO, ["p1", "p2"]), "test/cat/p3", "test/cat/p4")
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == TWO
    assert [source.ids[index] for index in source.partitions["test"][::2]] == [
        "test/cat/p3/0.png",
        "test/cat/p4/0.png",
    ]


def test_folders_of_the_same_names_in_every_class_are_told(tmp_path):
    source = open_source(f"folder:{make(tmp_path, *product(TWO, ['day', 'night']))}")
    (remark,) = source.remarks
    assert "every class holds the folders 'day', 'night', which are taken together" in remark
    assert f"give one folder alone, such as folder:{tmp_path}/cat" in remark
    assert not open_source(f"folder:{make(tmp_path / 'b', 'x/1', 'x/2', 'y/3')}").remarks


def test_a_class_that_is_called_like_a_part_is_told(tmp_path):
    source = open_source(f"folder:{make(tmp_path, *product(['train_set'], TWO), 'other')}")
    assert source.class_names == ("other", "train_set")
    assert "'train_set' is taken as a class" in source.remarks[0]


def test_dev_validates_and_is_told(tmp_path):
    source = open_source(f"folder:{make(tmp_path, *product(['train', 'dev', 'test'], TWO))}")
    assert {part: len(found) for part, found in source.partitions.items()} == dict.fromkeys(
        ["train", "val", "test"], 4
    )
    assert [text.split(": ")[-1] for text in source.remarks] == [
        "the folder 'dev' is taken as the validation part."
    ]


def test_every_folder_that_is_not_used_is_told(tmp_path):
    make(tmp_path, *product(["train", "test"], TWO), "extra/cat", "unlabelled")
    source = open_source(f"folder:{tmp_path}")
    assert source.unused == ["extra", "unlabelled"]
    assert "'extra', 'unlabelled' next to 'train', 'test' is not used" in source.remarks[0]
    assert len(source) == 8


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("training_set", "train"),
        ("seg_train", "train"),
        ("Train2017", "train"),
        ("TESTSET", "test"),
        ("valid-images", "val"),
        ("trainer", None),
        ("contest", None),
        ("invalid", None),
        ("cat", None),
    ],
)
def test_words_that_mean_a_part(name, part):
    assert find_word(name) == part


def test_files_left_aside_are_counted_by_suffix(tmp_path):
    make(tmp_path, *TWO)
    for index in range(3):
        (tmp_path / "cat" / f"{index}.HEIC").write_bytes(b"x")
    (tmp_path / "dog" / "scan.jxl").write_bytes(b"x")
    (tmp_path / "dog" / "IMG_0001").write_bytes(b"x")
    (tmp_path / "dog" / "notes.txt").write_bytes(b"x")
    (tmp_path / "cover.jpg").write_bytes(b"x")
    source = open_source(f"folder:{tmp_path}")
    assert len(source) == 4
    assert describe_ignored(source.ignored) == (
        "4 images of a kind that is not read, convert them (3 .heic, 1 .jxl); "
        "1 image that lies in no class folder (1 .jpg); 1 file without a suffix; "
        "1 file that is no image (1 .txt)"
    )
    assert describe_ignored([]) == ""


def test_images_beside_the_classes_of_a_part_are_left_aside(tmp_path):
    make(tmp_path, *product(["train", "test"], TWO), "test")
    Image.new("RGB", (4, 3)).save(tmp_path / "stray.png")
    source = open_source(f"folder:{tmp_path}")
    assert sorted(source.ignored) == ["stray.png", "test/0.png", "test/1.png"]


@pytest.fixture
def locked(monkeypatch):
    """Folders that may not be listed, also for a user who may read everything."""
    names, scan, listing = set(), os.scandir, os.listdir

    def refuse(function):
        def guarded(path="."):
            if os.fspath(path) in names:
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return function(path)

        return guarded

    monkeypatch.setattr(os, "scandir", refuse(scan))
    monkeypatch.setattr(os, "listdir", refuse(listing))
    return names


def test_a_folder_that_cannot_be_listed_is_refused_or_counted(tmp_path, locked):
    make(tmp_path, *product(TWO, ["first", "second"]))
    locked.add(str(tmp_path / "cat" / "second"))
    with pytest.raises(UsageError, match="1 unreadable folder and 0 empty classes") as error:
        open_source(f"folder:{tmp_path}")
    assert "cat/second/ cannot be listed (Permission denied)" in str(error.value)
    source = open_source(f"folder:{tmp_path}", on_error="skip")
    assert source.unreadable == {"cat/second/": "cannot be listed (Permission denied)"}
    assert len(source) == 6


def test_a_whole_class_that_cannot_be_listed_is_no_silence(tmp_path, locked):
    make(tmp_path, "cat", "dog", "emu")
    locked.add(str(tmp_path / "cat"))
    with pytest.raises(UsageError, match="1 unreadable folder and 1 empty class"):
        open_source(f"folder:{tmp_path}")
    source = open_source(f"folder:{tmp_path}", on_error="skip")
    assert (list(source.unreadable), list(source.empty_classes)) == (["cat/"], ["cat"])


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_that_cannot_be_listed_is_refused_under_skip_too(tmp_path, locked, part):
    make(tmp_path, *product(["train", "test"], TWO))
    locked.add(str(tmp_path / part))
    with pytest.raises(UsageError, match="cannot be listed \\(Permission denied"):
        open_source(f"folder:{tmp_path}", on_error="skip")


def test_a_pipe_in_a_class_is_named_and_not_opened(tmp_path):
    make(tmp_path, *TWO)
    os.mkfifo(tmp_path / "cat" / "p.jpg")
    (tmp_path / "dog" / "folder.jpg").mkdir()
    source = open_source(f"folder:{tmp_path}", on_error="skip")
    assert len(source) == 4
    assert "a named pipe and no regular file" in source.unreadable["cat/p.jpg"]


def test_a_relative_path_is_named_as_it_was_given(tmp_path, monkeypatch):
    make(tmp_path / "set", *product(["one"], ["train", "test"], TWO))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"Try giving 'folder:set/one'\.$"):
        list_folder("folder:set", Path("set"))
