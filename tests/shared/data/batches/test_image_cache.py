"""Caches, workers, shards and mixes: they may change the speed and never a pixel."""

import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.batches.image_cache import SourceImages, cache_key, choose_place
from poc.shared.data.batches.pipeline import Pipeline, ReadOptions, Shard
from poc.shared.data.batches.pixel_store import StoredImages
from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.sources.table import open_source
from poc.shared.data.views.mixing import draw_box, draw_mix
from poc.shared.data.views.view import plan_view
from poc.shared.errors import UsageError
from poc.shared.files.whole import write_pieces
from poc.shared.spec.data import DataSpec, TrainView

ROOT = Path(__file__).parents[4]
HEAVY = {
    "crop": "random_resized",
    "horizontal_flip": 0.5,
    "brightness": 0.2,
    "rotation_degrees": 5,
    "erasing": 0.3,
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "poc" / "images"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 smooth random photos of different sizes in two classes."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for index in range(24):
        coarse = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        path = root / f"class{index % 2}" / f"{index:02d}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse.resize(tuple(int(side) for side in generator.integers(20, 60, 2))).save(path)
    return root


def make_pipeline(photos, view=None, **changes):
    options = {"seed": 3, "is_training": True}
    options |= {key: changes.pop(key) for key in list(changes) if key not in DataSpec.model_fields}
    spec = DataSpec(
        **{
            "image_size": (16, 16),
            "batch_size": 5,
            "train_view": TrainView.parse(view or {}, "view"),
            **changes,
        }
    )
    source = photos if not isinstance(photos, Path) else open_source(f"folder:{photos}")
    return Pipeline(source, np.arange(len(source)), spec, **options)


def assert_same(left, right):
    left, right = list(left), list(right)
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for array, expected in zip(one, other, strict=True):
            assert np.array_equal(array, expected)
            assert getattr(array, "dtype", None) == getattr(expected, "dtype", None)


VIEWS = {
    "plain": {},
    "heavy": HEAVY,
    "shorter side": {"resize": "shorter_side", "crop": "shifted"},
    "mixup": {"mixup": 0.4},
    "both mixes": {**HEAVY, "mixup": 0.4, "cutmix": 1.0},
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize("channels", [1, 3])
def test_caches_change_no_pixel(photos, view, cache, channels):
    expected = make_pipeline(photos, view, cache="off", channels=channels)
    kept = make_pipeline(photos, view, cache=cache, channels=channels)
    assert (expected.place, kept.place) == ("off", cache)
    for epoch in range(2):
        assert_same(kept.epoch(epoch), expected.epoch(epoch))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_no_pixel_over_epochs_and_resumes(photos, num_workers):
    view = VIEWS["both mixes"]
    expected = make_pipeline(photos, view, cache="off")
    with make_pipeline(photos, view, cache="off", num_workers=num_workers) as pipeline:
        assert_same(pipeline.epoch(0), expected.epoch(0))
        stream = pipeline._stream
        assert stream is not None
        assert_same(pipeline.epoch(1), expected.epoch(1))
        assert pipeline._stream[1] is stream[1], "the processes must live on"
        # A resume elsewhere starts new ones.
        assert_same(pipeline.epoch(7, 2), list(expected.epoch(7))[2:])
        assert_same(pipeline.epoch(8), expected.epoch(8))
    assert pipeline._stream is None


def test_workers_share_a_mapped_file(photos):
    expected = make_pipeline(photos, HEAVY, cache="off")
    with make_pipeline(photos, HEAVY, num_workers=1) as pipeline:
        assert (pipeline.place, pipeline.num_workers) == ("disk", 1)
        assert_same(pipeline.epoch(4), expected.epoch(4))


def test_evaluation_workers_go_round(photos):
    expected = list(make_pipeline(photos, cache="off", is_training=False).epoch(0))
    with make_pipeline(photos, cache="off", is_training=False, num_workers=1) as pipeline:
        for _ in range(3):
            assert_same(pipeline.epoch(0), expected)


def test_a_file_that_breaks_stops_with_its_name(photos, tmp_path):
    import shutil

    shutil.copytree(photos, tmp_path / "set")
    pipeline = make_pipeline(tmp_path / "set", cache="off")
    list(pipeline.epoch(0))
    (tmp_path / "set" / "class1" / "03.jpg").unlink()
    with pytest.raises(Exception, match=r"class1/03\.jpg', which was readable when the run began"):
        list(pipeline.epoch(1))
    # What was decoded before is not asked for again.
    kept = make_pipeline(photos, cache="memory")
    list(kept.epoch(0))


@pytest.mark.parametrize("view", [VIEWS["heavy"], VIEWS["both mixes"]], ids=["heavy", "mixed"])
@pytest.mark.parametrize("count", [2, 3])
def test_shards_together_are_the_whole_batch(photos, view, count):
    whole = list(make_pipeline(photos, view, drop_last=True).epoch(1))
    shards = [
        list(
            make_pipeline(
                photos, view, drop_last=True, read=ReadOptions(shard=Shard(index, count))
            ).epoch(1)
        )
        for index in range(count)
    ]
    for step, batch in enumerate(whole):
        parts = [shard[step] for shard in shards]
        assert max(len(part.labels) for part in parts) <= -(-5 // count)
        for field in ("images", "labels", "indices", "targets"):
            if getattr(batch, field) is not None:
                joined = np.concatenate([getattr(part, field) for part in parts])
                assert np.array_equal(joined, getattr(batch, field))


def test_a_process_without_an_example_reads_the_first_one(photos):
    """The last batch has four examples for five processes."""
    *_, whole = make_pipeline(photos).epoch(0)
    *_, batch = make_pipeline(photos, read=ReadOptions(shard=Shard(4, 5))).epoch(0)
    assert len(whole.labels) == 4
    assert batch.indices.tolist() == whole.indices[:1].tolist()
    assert np.array_equal(batch.images, whole.images[:1])


@pytest.mark.parametrize("crop", ["five", "ten"])
def test_crops_lie_together(photos, crop):
    spec = {"eval_view": {"crop": crop, "crop_share": 0.8}}
    pipeline = make_pipeline(photos, is_training=False, **spec)
    batch = next(pipeline.epoch(0))
    count = {"five": 5, "ten": 10}[crop]
    assert pipeline.num_views == count
    assert batch.images.shape == (5 * count, 16, 16, 3)
    assert batch.labels.shape == (5,)
    kept = make_pipeline(photos, is_training=False, image_size=(20, 20))
    whole = next(kept.epoch(0)).images
    assert np.array_equal(batch.images[::count], whole[:, :16, :16])


def test_mixup_by_hand(photos):
    mixed = make_pipeline(photos, {"mixup": 0.4})
    plain = make_pipeline(photos)
    for step, (batch, other) in enumerate(zip(mixed.epoch(2), plain.epoch(2), strict=True)):
        mix = draw_mix(TrainView(mixup=0.4), (16, 16), len(other.labels), (3, 2, step))
        share = np.float32(mix.share)
        expected = share * other.images + (1 - share) * other.images[mix.partners]
        # One rounding each.
        np.testing.assert_allclose(batch.images, expected, atol=1e-6)
        one_hot = np.eye(2, dtype=np.float32)
        targets = share * one_hot[other.labels] + (1 - share) * one_hot[other.labels[mix.partners]]
        np.testing.assert_allclose(batch.targets, targets, atol=1e-6)
        np.testing.assert_allclose(batch.targets.sum(axis=1), 1, atol=1e-6)
        assert np.array_equal(batch.labels, other.labels)
        assert batch.learned is batch.targets
        assert other.learned is other.labels


def test_cutmix_by_hand(photos):
    mixed, plain = make_pipeline(photos, {"cutmix": 1.0}), make_pipeline(photos)
    for step, (batch, other) in enumerate(zip(mixed.epoch(0), plain.epoch(0), strict=True)):
        same = (batch.images == other.images).all(axis=-1)
        mix = draw_mix(TrainView(cutmix=1.0), (16, 16), len(other.labels), (3, 0, step))
        inside = np.zeros((16, 16), dtype=bool)
        box = mix.box
        inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
        assert same[:, ~inside].all()
        assert np.array_equal(batch.images[:, inside], other.images[mix.partners][:, inside])
        assert mix.share == pytest.approx(1 - inside.mean())


def test_cutmix_boxes_have_the_drawn_area():
    """Away from the border a box of share s covers 1 - s; cut off there it covers less."""
    generator = np.random.default_rng(0)
    areas = [np.prod(draw_box((1000, 1000), 0.75, generator)[2:]) / 1e6 for _ in range(2000)]
    assert max(areas) == pytest.approx(0.25, abs=0.002)
    # E of the covered length of a half side .25 with a uniform centre is .4375 of the side.
    assert np.mean(areas) == pytest.approx(0.4375**2, abs=0.01)


def test_mixes_are_not_for_evaluation(photos):
    batch = next(make_pipeline(photos, {"mixup": 1.0}, is_training=False).epoch(0))
    assert batch.targets is None


def test_cache_file_is_written_once_and_keyed_by_content(photos, cache, tmp_path):
    import shutil

    list(make_pipeline(photos, cache="disk").epoch(0))
    (first,) = cache.iterdir()
    before = first.stat().st_mtime_ns
    list(make_pipeline(photos, cache="disk").epoch(0))
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [before]
    # Another size, and other content, get files of their own; a copy elsewhere does not.
    shutil.copytree(photos, tmp_path / "copy")
    list(make_pipeline(tmp_path / "copy", cache="disk").epoch(0))
    assert len(list(cache.iterdir())) == 1
    list(make_pipeline(photos, cache="disk", image_size=(8, 8)).epoch(0))
    assert len(list(cache.iterdir())) == 2
    Image.new("RGB", (30, 30)).save(tmp_path / "copy" / "class0" / "00.jpg")
    list(make_pipeline(tmp_path / "copy", cache="disk").epoch(0))
    assert len(list(cache.iterdir())) == 3


def test_grey_is_kept_grey(tmp_path, cache):
    for index in range(8):
        path = tmp_path / "set" / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 10), index).save(path)
    pipeline = make_pipeline(tmp_path / "set", cache="disk", channels=3, image_size=(10, 10))
    batch = next(pipeline.epoch(0))
    assert batch.images.shape == (5, 10, 10, 3)
    (file,) = cache.iterdir()
    assert 800 <= file.stat().st_size < 1100


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_damaged_cache_is_written_again(photos, cache, cut):
    expected = list(make_pipeline(photos, cache="disk").epoch(0))
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-cut])
    assert_same(make_pipeline(photos, cache="disk").epoch(0), expected)
    assert StoredImages.map(file).shapes.shape == (24, 3)


def test_stored_images_round_trip(tmp_path):
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (h, 3, 3), dtype=np.uint8) for h in (2, 5, 1)]
    stored = StoredImages.write(tmp_path / "a.pixels", images)
    in_memory = StoredImages.from_images(images, 1)
    for copy in (stored, in_memory, pickle.loads(pickle.dumps(stored))):
        assert copy.stacked is None
        for position, image in enumerate(images):
            assert np.array_equal(copy.image(position), image)
        found = copy.gather(np.array([2, 0]))
        assert np.array_equal(found[1], images[0])
    assert len(pickle.dumps(stored)) < 400, "pixels must not travel"


WRITER = """
import os, sys, time
from pathlib import Path
import numpy as np
from poc.shared.data.batches.pixel_store import StoredImages

def images():
    for index in range(10_000):
        yield np.full((20, 20, 3), index % 256, dtype=np.uint8)
        if index == 200:
            print("writing", flush=True)
        time.sleep(0.0002)

StoredImages.write(Path(sys.argv[1]), images())
print("whole", flush=True)
"""


@pytest.mark.parametrize("wait_seconds", [0.0, 0.05, 0.3])
def test_a_killed_writer_leaves_a_whole_cache_or_none(tmp_path, wait_seconds):
    path = tmp_path / "kept" / "x.pixels"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    time.sleep(wait_seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not path.exists()
    assert len(list(path.parent.iterdir())) == 1, "the part that was written lies beside"
    image = np.zeros((2, 2, 1), dtype=np.uint8)
    assert len(StoredImages.write(path, [image]).shapes) == 1
    # Another process may still write, so only old leftovers go.
    (leftover,) = [item for item in path.parent.iterdir() if item != path]
    os.utime(leftover, (0, 0))
    StoredImages.write(path, [image])
    assert list(path.parent.iterdir()) == [path]


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def pieces():
        yield b"some"
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write_pieces(tmp_path / "x", pieces())
    assert not list(tmp_path.iterdir())


def test_a_cache_folder_that_cannot_be_written(photos, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    broken = str(tmp_path / "file")
    with pytest.raises(UsageError, match=r"set data\.cache_folder or data\.cache=off"):
        list(make_pipeline(photos, cache="disk", cache_folder=broken).epoch(0))
    expected = make_pipeline(photos, cache="off")
    pipeline = make_pipeline(photos, read=ReadOptions(resident_bytes=0), cache_folder=broken)
    assert_same(pipeline.epoch(0), expected.epoch(0))


def place(source, spec, *, resident_bytes=10**6, is_drawn=False):
    resize, _ = plan_view(spec, (16, 16, 3), 3, is_training=True)
    images = SourceImages(source, np.arange(len(source)), resize)
    return choose_place(images, spec, resident_bytes=resident_bytes, is_drawn=is_drawn)


def test_where_images_are_kept(photos):
    files = open_source(f"folder:{photos}")
    pixels = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    arrays = ArraySource("made", {"train": (pixels, np.array([0, 1, 0, 1]))})
    size = {"image_size": (16, 16)}
    assert place(files, DataSpec(**size)) == "memory"
    assert place(files, DataSpec(**size), resident_bytes=100) == "disk"
    assert place(arrays, DataSpec(**size), resident_bytes=100) == "off"
    assert place(files, DataSpec(**size, num_workers=2), is_drawn=True) == "disk"
    assert place(files, DataSpec(**size, num_workers=2)) == "memory"
    for kind in ("memory", "disk", "off"):
        assert place(arrays, DataSpec(**size, cache=kind)) == kind


def test_cache_key_depends_on_the_preparation(photos):
    source = open_source(f"folder:{photos}")
    keys = set()
    filters = [{"interpolation": name} for name in ("bicubic", "plain_bilinear")]
    for changes in ({}, {"image_size": (8, 8)}, {"fill": 9}, *filters):
        spec = DataSpec(**{"image_size": (16, 16), **changes})
        resize, _ = plan_view(spec, (*spec.image_size, 3), 3, is_training=True)
        keys.add(cache_key(SourceImages(source, np.arange(24), resize)))
        keys.add(cache_key(SourceImages(source, np.arange(23), resize)))
    assert len(keys) == 10


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("cache", ["off", "disk", "memory"])
def test_memory_does_not_grow_with_epochs(photos, cache):
    pipeline = make_pipeline(photos, HEAVY, cache=cache, image_size=(64, 64))
    for epoch in range(10):
        list(pipeline.epoch(epoch))
    before = resident_bytes()
    for epoch in range(10, 60):
        list(pipeline.epoch(epoch))
    # Fifty epochs of batches are 60 MB.
    assert resident_bytes() - before < 8_000_000
