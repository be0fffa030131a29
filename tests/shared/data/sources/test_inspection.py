"""What a look at a file remembers, when it is believed, and where caches lie."""

import hashlib
import json
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.describe_data import check_split, store_split
from poc.shared.data.batches import image_cache as keeping
from poc.shared.data.batches.image_cache import SourceImages, cache_key
from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.data.sources import decoding, inspection
from poc.shared.data.sources.table import open_source
from poc.shared.data.views.view import plan_view
from poc.shared.engine.launch.imagenet import cache_folder
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files import cache as files_cache
from poc.shared.files.cache import NOWHERE, cache_root, expand_home
from poc.shared.files.regular_files import UnfitFile
from poc.shared.spec.data import DataSpec


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("POC_CACHE", raising=False)
    # The files of a test are younger than what a look may rely on.
    monkeypatch.setattr(inspection, "SECONDS_UNSURE", 0.0)
    return folder


@pytest.fixture
def looked(monkeypatch):
    """Names of the files that are looked at."""
    names, look = [], inspection.inspect_file
    monkeypatch.setattr(
        inspection, "inspect_file", lambda path: names.append(path.name) or look(path)
    )
    return names


def write(root, shade=0):
    """Bitmaps of one size and one time, whatever they show."""
    for label, name in enumerate("ab"):
        for index in range(12):
            path = root / name / f"{index:02d}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            level = (100 * label + 5 * index + shade) % 256
            Image.new("RGB", (4, 4), (level, level, level)).save(path)
            os.utime(path, (0, 0))
    time.sleep(0.02)  # More than a step of the clock of files.
    return root


def replace(path, shade, *, in_place):
    """Other content, the same size and time; in place: also the same inode."""
    new = path.with_name("new.tmp")
    Image.new("RGB", (4, 4), (shade, shade, shade)).save(new, "BMP")
    if in_place:
        path.write_bytes(new.read_bytes())
        new.unlink()
    else:
        new.replace(path)
    os.utime(path, (0, 0))


def test_files_are_looked_at_once(tmp_path, looked):
    write(tmp_path)
    first = open_source(f"folder:{tmp_path}")
    assert len(looked) == 24
    assert open_source(f"folder:{tmp_path}").fingerprint == first.fingerprint
    assert len(looked) == 24


def test_files_dated_into_the_future_are_looked_at_once(tmp_path, looked):
    for path in write(tmp_path).glob("*/*"):
        os.utime(path, (time.time() + 1e9,) * 2)
    time.sleep(0.02)
    for _ in range(2):
        open_source(f"folder:{tmp_path}")
    assert len(looked) == 24


@pytest.mark.parametrize("in_place", [False, True])
def test_a_file_of_equal_size_and_time_is_another(tmp_path, looked, in_place):
    write(tmp_path)
    first = open_source(f"folder:{tmp_path}")
    looked.clear()
    path = tmp_path / "a" / "03.bmp"
    before = path.stat()
    replace(path, 250, in_place=in_place)
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    second = open_source(f"folder:{tmp_path}")
    assert looked == ["03.bmp"]
    assert second.fingerprint != first.fingerprint
    assert second.digests[3] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_changed_just_before_the_look_is_looked_at_again(tmp_path, looked, monkeypatch):
    """Within the clock's step a second change leaves no trace."""
    monkeypatch.setattr(inspection, "SECONDS_UNSURE", 60.0)
    write(tmp_path)
    for _ in range(2):
        open_source(f"folder:{tmp_path}")
    assert len(looked) == 48


@pytest.mark.parametrize("reason", [UnfitFile("needs a decoder"), MemoryError()])
def test_an_error_that_is_over_is_forgotten(tmp_path, monkeypatch, reason):
    """A decoder that is installed later, or memory that is free again, leaves the file as it is."""
    name, decode = f"folder:{write(tmp_path)}", decoding.decode
    broken = (tmp_path / "a" / "03.bmp").read_bytes()

    def fail(content, channels=None):
        if content == broken:
            raise reason
        return decode(content, channels)

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "decode", fail)
        assert list(open_source(name, on_error="skip").unreadable) == ["a/03.bmp"]
    assert not open_source(name, on_error="skip").unreadable


def test_a_pixel_cache_is_of_the_files_as_they_are(tmp_path):
    write(tmp_path / "set")

    def pixels():
        source = open_source(f"folder:{tmp_path / 'set'}")
        pipeline = Pipeline(source, np.arange(len(source)), DataSpec(cache="disk"))
        assert pipeline.place == "disk"
        return np.concatenate([batch.images for batch in pipeline.epoch(0)])

    before = pixels()
    write(tmp_path / "set", shade=90)
    after = pixels()
    assert not np.array_equal(before, after)
    source = open_source(f"folder:{tmp_path / 'set'}")
    stacked = np.stack([source.image(index) for index in range(len(source))])
    assert np.allclose(after, stacked / 255, atol=1e-6)


def test_other_rules_of_decoding_make_another_pixel_cache(tmp_path, monkeypatch):
    source = open_source(f"folder:{write(tmp_path)}")
    base, _ = plan_view(DataSpec(), (4, 4, 3), 3, is_training=True)
    images = SourceImages(source, np.arange(24), base)
    before = cache_key(images)
    assert cache_key(images) == before
    monkeypatch.setattr(keeping, "DECODING", "poc decoding 1, Pillow 0.1")
    assert cache_key(images) != before


def test_a_file_that_is_replaced_during_a_run_is_named(tmp_path):
    """Its pixels would be kept under the hash of the former content."""
    source = open_source(f"folder:{write(tmp_path)}")
    expected = source.image(3)
    replace(tmp_path / "a" / "03.bmp", 250, in_place=False)
    with pytest.raises(CheckFailed, match=r"03\.bmp', which was readable .* now"):
        source.image(3)
    assert np.array_equal(source.image(2) + 5, expected)


def test_other_rights_are_no_other_content(tmp_path):
    source = open_source(f"folder:{write(tmp_path)}")
    expected = source.image(3)
    (tmp_path / "a" / "03.bmp").chmod(0o600)
    assert np.array_equal(source.image(3), expected)


def test_verify_believes_no_memory(tmp_path, cache, monkeypatch):
    """Not even one that says of every file what was true before."""
    write(tmp_path / "set")
    store_split(DataSpec(source=f"folder:{tmp_path / 'set'}"), tmp_path / "split.json")
    assert check_split(tmp_path / "split.json")[1] == []
    replace(tmp_path / "set" / "a" / "03.bmp", 250, in_place=False)
    monkeypatch.setattr(inspection, "is_sure", lambda row, now: row is not None)
    open_source(f"folder:{tmp_path / 'set'}")
    with pytest.raises(UsageError, match=r"1 changed: a/03\.bmp"):
        check_split(tmp_path / "split.json")


def test_a_split_is_written_twice_and_over_nothing_else(tmp_path):
    spec, file = DataSpec(source=f"folder:{write(tmp_path / 'set')}"), tmp_path / "split.json"
    store_split(spec, file)
    stored = file.read_bytes()
    store_split(spec, file)
    assert file.read_bytes() == stored
    for path, content in ((file, stored + b" "), (tmp_path / "run.json", b"{}")):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"exists\..* Try naming another file, or remove it"):
            store_split(spec, path)
        assert path.read_bytes() == content
    with pytest.raises(UsageError, match="which exists"):
        store_split(spec, tmp_path / "set")


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other"}', "{", "rows"])
def test_a_foreign_inspection_file_is_ignored(tmp_path, cache, content):
    write(tmp_path)
    open_source(f"folder:{tmp_path}")
    (store,) = (cache / "poc" / "inspections").iterdir()
    if content == "rows":
        stored = json.loads(store.read_text(encoding="utf-8"))
        content = json.dumps({**stored, "files": {"a/00.bmp": [0, {"stamp": 7}]}})
    store.write_text(content, encoding="utf-8")
    assert len(open_source(f"folder:{tmp_path}")) == 24
    assert len(json.loads(store.read_text(encoding="utf-8"))["files"]) == 24


def test_another_version_of_pillow_looks_again(tmp_path, looked, monkeypatch):
    write(tmp_path)
    open_source(f"folder:{tmp_path}")
    monkeypatch.setattr(inspection, "FORMAT", "poc inspection 2, poc decoding 2, Pillow 0.1")
    open_source(f"folder:{tmp_path}")
    assert len(looked) == 48


def test_one_root_for_all_caches(tmp_path, cache, monkeypatch):
    assert cache_root() == cache / "poc"
    assert cache_folder() == cache / "poc" / "weights"
    monkeypatch.setenv("POC_CACHE", str(tmp_path / "mine"))
    assert cache_root() == tmp_path / "mine"
    assert cache_folder() == tmp_path / "mine" / "weights"
    assert cache_root(str(tmp_path / "given")) == tmp_path / "given"
    monkeypatch.delenv("POC_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_root() == Path("/home/someone/.cache/poc")


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """A user without an entry in the list of users and without HOME."""

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(Path, "expanduser", lambda path: no_home())
    monkeypatch.setattr(files_cache.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary" / f"poc-{os.getuid()}"


def test_without_a_home_caches_lie_in_a_folder_of_the_user_alone(homeless, tmp_path):
    assert cache_root() == homeless
    assert stat.S_IMODE(homeless.stat().st_mode) == 0o700
    assert cache_root() == homeless
    assert len(open_source(f"folder:{write(tmp_path / 'set')}")) == 24
    assert len(list((homeless / "inspections").iterdir())) == 1
    assert expand_home("~/x") == Path("~/x")


@pytest.mark.parametrize(
    "plant",
    [
        lambda path: path.mkdir(0o777) or path.chmod(0o777),
        lambda path: path.write_bytes(b""),
        lambda path: (path.parent / "other").mkdir() or path.symlink_to(path.parent / "other"),
    ],
    ids=["others write", "a file", "a link"],
)
def test_a_folder_that_others_could_fill_is_not_believed(homeless, tmp_path, plant):
    plant(homeless)
    assert cache_root() == NOWHERE
    source = open_source(f"folder:{write(tmp_path / 'set')}")
    pipeline = Pipeline(source, np.arange(24), DataSpec(batch_size=24))
    assert len(list(pipeline.epoch(0))) == 1
    with pytest.raises(UsageError, match="cannot take the decoded images"):
        list(Pipeline(source, np.arange(24), DataSpec(cache="disk")).epoch(0))
