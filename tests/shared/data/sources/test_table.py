"""Sources: what they hold, and that wrong ones are refused in one sentence."""

import gzip
import hashlib
import importlib.util
import struct
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from poc.shared.data.sources.embedded.build import build
from poc.shared.data.sources.idx import LABELS_MAGIC, read_idx
from poc.shared.data.sources.table import open_source
from poc.shared.errors import UsageError

ROOT = Path(__file__).parents[4]
FASHION_MNIST = ROOT.parent / "shared" / "data" / "fashion_mnist"
EMBEDDED = files("poc.shared.data.sources.embedded")

needs_fashion_mnist = pytest.mark.skipif(
    not FASHION_MNIST.is_dir(), reason="the original Fashion-MNIST files are not on this machine"
)


def write_idx(path, array, magic, shape=None):
    """An IDX file of these bytes; `shape` overrides what the header announces."""
    shape = array.shape if shape is None else shape
    content = struct.pack(f">{1 + len(shape)}i", magic, *shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_idx_folder(folder, suffix="", num_train=20, num_test=10):
    generator = np.random.default_rng(0)
    arrays = {}
    for prefix, count in (("train", num_train), ("t10k", num_test)):
        images = generator.integers(0, 256, (count, 5, 4), dtype=np.uint8)
        labels = (np.arange(count) % 2).astype(np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", images, 2051)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", labels, 2049)
        arrays[prefix] = (images, labels)
    return arrays


def assert_teaches(error, *words):
    """Check for three sentences: the value received, the values allowed, the remedy."""
    message = str(error.value)
    assert message.startswith("Got ")
    assert ". Expected " in message
    assert ". Try " in message.split(". Expected ")[1]
    assert message.endswith(".")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_embedded_content():
    source = open_source("embedded")
    assert len(source) == 3000
    assert source.image_shape == (28, 28, 1)
    assert source.class_names[0] == "T-shirt/top"
    assert source.class_names[9] == "Ankle boot"
    counts = {part: np.bincount(source.labels[at]) for part, at in source.partitions.items()}
    assert set(counts) == {"train", "test"}
    assert counts["train"].tolist() == [200] * 10
    assert counts["test"].tolist() == [100] * 10
    assert source.ids[0] == "train/000000"
    assert source.ids[2000] == "test/000000"
    assert len(set(source.ids)) == 3000


def test_embedded_train_and_test_do_not_overlap():
    source = open_source("embedded")
    images = {part: source.images(at) for part, at in source.partitions.items()}
    train = {image.tobytes() for image in images["train"]}
    assert not train & {image.tobytes() for image in images["test"]}


def test_embedded_fingerprint_is_stable():
    """A changed value means that every stored split and result refers to other data."""
    expected = "8308ff17d03e614fba7d7c0360fc34a50d28fd757bfc72f2fbe5643474190c68"
    assert open_source("embedded").fingerprint == expected


def test_embedded_provenance_names_the_file():
    digest = hashlib.sha256((EMBEDDED / "fashion_mnist.npz").read_bytes()).hexdigest()
    text = (EMBEDDED / "PROVENANCE.md").read_text(encoding="utf-8")
    assert digest in text
    assert "MIT License" in text
    assert "Zalando SE" in text


@needs_fashion_mnist
def test_embedded_is_rebuilt_byte_for_byte():
    assert build(FASHION_MNIST) == (EMBEDDED / "fashion_mnist.npz").read_bytes()


@needs_fashion_mnist
def test_full_fashion_mnist():
    source = open_source(f"idx:{FASHION_MNIST}")
    train, test = source.partitions["train"], source.partitions["test"]
    assert np.bincount(source.labels[train]).tolist() == [6000] * 10
    assert np.bincount(source.labels[test]).tolist() == [1000] * 10
    assert source.labels[test][:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    images = source.images(test)
    assert images.mean() == pytest.approx(73.15, abs=0.005)
    assert images.std() == pytest.approx(89.87, abs=0.005)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_reads_plain_and_gzipped(tmp_path, suffix):
    arrays = write_idx_folder(tmp_path, suffix)
    source = open_source(f"idx:{tmp_path}")
    assert source.labels.dtype == np.int64
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = arrays[prefix]
        at = source.partitions[part]
        assert np.array_equal(source.images(at)[..., 0], images)
        assert np.array_equal(source.labels[at], labels)
        assert np.array_equal(source.image(at[3]), images[3][..., np.newaxis])


def test_idx_without_test_files(tmp_path):
    write_idx_folder(tmp_path)
    for path in tmp_path.glob("t10k-*"):
        path.unlink()
    assert set(open_source(f"idx:{tmp_path}").partitions) == {"train"}


@pytest.mark.parametrize(
    "damage",
    ["missing labels", "magic", "short header", "short", "long", "huge", "negative", "counts"],
)
def test_damaged_idx_is_refused(tmp_path, damage):
    write_idx_folder(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte"
    labels = tmp_path / "train-labels-idx1-ubyte"
    pixels = np.zeros((20, 5, 4), dtype=np.uint8)
    if damage == "missing labels":
        labels.unlink()
    elif damage == "magic":
        write_idx(images, pixels, 2049)
    elif damage == "short header":
        images.write_bytes(images.read_bytes()[:10])
    elif damage == "short":
        images.write_bytes(images.read_bytes()[:-1])
    elif damage == "long":
        images.write_bytes(images.read_bytes() + b"\0")
    elif damage == "huge":
        write_idx(images, pixels, 2051, shape=(2**31 - 1, 4096, 4096))
    elif damage == "negative":
        write_idx(images, pixels, 2051, shape=(20, -5, -4))
    elif damage == "counts":
        write_idx(labels, np.zeros(19, dtype=np.uint8), 2049)
    with pytest.raises(UsageError) as error:
        open_source(f"idx:{tmp_path}")
    assert_teaches(error)


@pytest.mark.parametrize("keep", [0, 5, 30, -9])
def test_damaged_gzip_is_refused(tmp_path, keep):
    path = tmp_path / "labels.gz"
    write_idx(path, np.arange(200, dtype=np.uint8), LABELS_MAGIC)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UsageError) as error:
        read_idx(path, LABELS_MAGIC)
    assert_teaches(error, "labels.gz")


def test_flipped_bits_in_gzip_are_refused(tmp_path):
    path = tmp_path / "labels.gz"
    noise = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8)
    write_idx(path, noise, LABELS_MAGIC)
    content = bytearray(path.read_bytes())
    content[2000] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(UsageError) as error:
        read_idx(path, LABELS_MAGIC)
    assert_teaches(error)


def test_npz_with_published_parts(tmp_path):
    images = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)
    labels = np.array([[0], [1], [2], [0], [1], [2]])
    np.savez(
        tmp_path / "set.npz",
        train_images=images,
        train_labels=labels,
        val_images=images[:3],
        val_labels=labels[:3],
        class_names=np.array(["a", "b", "ü"]),
    )
    source = open_source(f"npz:{tmp_path / 'set.npz'}")
    assert source.class_names == ("a", "b", "ü")
    assert source.image_shape == (4, 4, 3)
    assert {part: at.tolist() for part, at in source.partitions.items()} == {
        "train": [0, 1, 2, 3, 4, 5],
        "val": [6, 7, 8],
    }
    assert np.array_equal(source.images(source.partitions["val"]), images[:3])


def test_npz_without_parts_publishes_nothing(tmp_path):
    images = np.zeros((4, 3, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=images, labels=np.array([0, 1, 0, 1], dtype=np.uint8))
    source = open_source(f"npz:{tmp_path / 'set.npz'}")
    assert source.partitions == {}
    assert source.class_names == ("0", "1")
    assert source.ids == ("all/000000", "all/000001", "all/000002", "all/000003")


GOOD_IMAGES = np.zeros((4, 3, 3), dtype=np.uint8)
GOOD_LABELS = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": GOOD_IMAGES},
        {"train_images": GOOD_IMAGES},
        {"other": GOOD_IMAGES},
        {"images": GOOD_IMAGES.astype(np.float32), "labels": GOOD_LABELS},
        {"images": GOOD_IMAGES[0], "labels": GOOD_LABELS},
        {"images": np.zeros((4, 3, 3, 2), dtype=np.uint8), "labels": GOOD_LABELS},
        {"images": GOOD_IMAGES[:0], "labels": GOOD_LABELS[:0]},
        {"images": GOOD_IMAGES, "labels": GOOD_LABELS[:3]},
        {"images": GOOD_IMAGES, "labels": GOOD_LABELS.astype(float)},
        {"images": GOOD_IMAGES, "labels": GOOD_LABELS - 1},
        {"images": GOOD_IMAGES, "labels": GOOD_LABELS * 10**9},
        {"images": GOOD_IMAGES, "labels": GOOD_LABELS, "class_names": np.array(["only"])},
        {"images": GOOD_IMAGES, "labels": GOOD_LABELS, "class_names": np.array([1, 2])},
        {"images": GOOD_IMAGES, "labels": np.array([0, 1, 0, "x"], dtype=object)},
        {
            "train_images": GOOD_IMAGES,
            "train_labels": GOOD_LABELS,
            "test_images": GOOD_IMAGES[:, :2],
            "test_labels": GOOD_LABELS,
        },
    ],
)
def test_unsuitable_npz_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(UsageError) as error:
        open_source(f"npz:{tmp_path / 'set.npz'}")
    assert_teaches(error)


@pytest.mark.parametrize("damage", ["empty", "text", "npy", "cut", "flipped"])
def test_damaged_npz_is_refused(tmp_path, damage):
    path = tmp_path / "set.npz"
    np.savez_compressed(
        path,
        images=np.random.default_rng(0).integers(0, 256, (40, 9, 9), dtype=np.uint8),
        labels=np.arange(40) % 2,
    )
    content = bytearray(path.read_bytes())
    if damage == "npy":
        with path.open("wb") as stream:
            np.save(stream, GOOD_IMAGES)
    else:
        content[1000] ^= 0xFF
        damaged = {
            "empty": b"",
            "text": b"not an archive",
            "cut": content[:-40],
            "flipped": content,
        }
        path.write_bytes(damaged[damage])
    with pytest.raises(UsageError) as error:
        open_source(f"npz:{path}")
    assert_teaches(error, "set.npz")


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "embedded:x", "idx", "npz:", "idx:/no/such/folder", "npz:/no/such/file.npz"],
)
def test_wrong_source_is_refused(text):
    with pytest.raises(UsageError) as error:
        open_source(text)
    assert_teaches(error, text)


def test_fingerprint_follows_content_labels_and_ids(tmp_path):
    def fingerprint(images, labels, part="train"):
        np.savez(tmp_path / "set.npz", **{f"{part}images": images, f"{part}labels": labels})
        return open_source(f"npz:{tmp_path / 'set.npz'}").fingerprint

    first = fingerprint(GOOD_IMAGES, GOOD_LABELS, "train_")
    assert first == fingerprint(GOOD_IMAGES, GOOD_LABELS, "train_")
    changed = GOOD_IMAGES.copy()
    changed[2, 1, 1] = 1
    others = {
        fingerprint(changed, GOOD_LABELS, "train_"),
        fingerprint(GOOD_IMAGES, 1 - GOOD_LABELS, "train_"),
        fingerprint(GOOD_IMAGES.reshape(4, 1, 9), GOOD_LABELS, "train_"),
        fingerprint(GOOD_IMAGES, GOOD_LABELS, ""),
    }
    assert first not in others
    assert len(others) == 4


READ_MOCK_DATA = """
import sys
import numpy as np
import tensorflow_datasets as tfds
from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.split import make_split
from poc.shared.spec.data import DataSpec, SplitSpec

with tfds.testing.mock_data(num_examples=300):
    dogs = open_source("tfds:stanford_dogs")
    assert len(dogs.class_names) == 120 and len(dogs) == 600 and dogs.image_shape is None
    assert dogs.labels.shape == (600,) and dogs.labels.dtype == np.int64
    image = dogs.image(299)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert dogs.ids[300] == "test/000000"
    spec = DataSpec(image_size=(8, 6), batch_size=7)
    batch = next(Pipeline(dogs, np.arange(300, 320), spec).epoch(0))
    assert batch.images.shape == (7, 8, 6, 3)
    assert batch.labels.tolist() == dogs.labels[300:307].tolist()

    pets = open_source("tfds:oxford_iiit_pet")  # two image and two class features
    assert len(pets.class_names) == 37 and pets.image(0).shape[2] == 3

    digits = open_source("tfds:mnist")
    assert digits.image_shape == (28, 28, 1) and len(digits.fingerprint) == 64
    split = make_split(digits, SplitSpec())
    assert len(split.train) == 270 and len(split.val) == 30 and len(split.test) == 300
    assert next(Pipeline(digits, split.val, DataSpec()).epoch(0)).images.shape == (30, 28, 28, 1)
loaded = {"tensorflow", "torch", "keras", "torchvision"} & set(sys.modules)
assert not loaded, loaded
"""


def run_python(code, tmp_path):
    """A fresh interpreter that finds the package as this one does."""
    package = Path(importlib.util.find_spec("poc").submodule_search_locations[0])
    link = tmp_path / "path" / "poc"
    link.parent.mkdir()
    link.symlink_to(package.resolve(), target_is_directory=True)
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(link.parent), "HOME": str(tmp_path), "TFDS_DATA_DIR": str(tmp_path)},
    )


def test_tfds_is_read_without_a_framework(tmp_path):
    done = run_python(READ_MOCK_DATA, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dataset_info.json" not in done.stderr


REFUSALS = """
from poc.shared.data.sources.table import open_source
from poc.shared.errors import UsageError
for text in ("tfds:no_such_set", "tfds:mnist", "tfds:mnist:no_such_config", "tfds:imdb_reviews"):
    try:
        open_source(text)
    except UsageError as error:
        print(error)
"""


def test_tfds_refusals_name_the_remedy(tmp_path):
    done = run_python(REFUSALS, tmp_path)
    assert done.returncode == 0, done.stderr
    unknown, unprepared, config, text_set = done.stdout.splitlines()
    assert "does not know" in unknown
    assert "tfds build mnist --file_format=array_record" in unprepared
    assert "no_such_config" in config
    assert "Try an image-classification set" in text_set
