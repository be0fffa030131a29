"""Files are data: damaged, absurd and hostile ones are refused in one sentence."""

import gzip
import io
import json
import os
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

from poc.shared.data.sources.arrays import open_npz
from poc.shared.data.sources.decoding import decode_file, inspect_file
from poc.shared.data.sources.idx import IMAGES_MAGIC, LABELS_MAGIC, read_idx
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.split import Split, make_split
from poc.shared.engine.folder.checkpoints import read_checkpoint
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays
from poc.shared.files.whole import read_object
from poc.shared.spec.data import SplitSpec
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.run import RunSpec
from poc.tests.faults.test_resume import RUN, train
from poc.tests.helpers.damage.fuzzing import attempt, bounded, fuzz

NUM_FAST, NUM_SLOW = 150, 3000


def npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def image_bytes(form, mode="RGB", **options):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def idx_bytes(magic, *shape):
    return struct.pack(f">{1 + len(shape)}i", magic, *shape) + bytes(int(np.prod(shape)))


ARRAYS = {"a/kernel": np.ones((2, 3), np.float32), "step": np.asarray(3), "empty": np.zeros((0, 2))}
IMAGES = np.zeros((4, 3, 3), np.uint8)
NPZ = [
    npz_bytes(images=IMAGES, labels=np.array([0, 1, 0, 1])),
    npz_bytes(
        train_images=IMAGES, train_labels=np.array([0, 1, 0, 1]), class_names=np.array(["a", "b"])
    ),
]
PICTURES = [
    image_bytes("PNG"),
    image_bytes("PNG", "P"),
    image_bytes("PNG", "LA"),
    image_bytes("JPEG"),
    image_bytes("JPEG", "CMYK"),
    image_bytes("GIF"),
    image_bytes("BMP"),
    image_bytes("TIFF", compression="tiff_lzw"),
    image_bytes("WEBP"),
    image_bytes("PPM"),
]
TOML = b"""
method = "kd"
num_epochs = 3
[model]
name = "lightnet_plain"
[model.options]
k = 2
widths = [4, 8]
[data.split]
kind = "fractions"
fractions = [0.5, 0.25, 0.25]
[data.train_view]
area = [0.1, 1.0]
"""


def read_picture(path):
    """As a folder does: inspected first, decoded only where that found no fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        facts = inspect_file(path)
        if facts.error:
            raise UsageError(f"Got {facts.error}")
        try:
            picture = decode_file(path, 3)
        except Exception as error:
            raise UsageError(f"Got {error}") from None
    assert (picture.size, picture.mode) == ((facts.width, facts.height), "RGB")


def read_gz(path):
    target = path.with_suffix(".gz")
    target.write_bytes(path.read_bytes())
    read_idx(target, IMAGES_MAGIC)


READERS = {
    "safetensors": (read_arrays, [save(ARRAYS), save({}), save(ARRAYS, {"epoch": "3"})]),
    "npz": (lambda path: open_npz("npz:x", path), NPZ),
    "json": (read_object, [json.dumps({"a": [1, 2.5, None], "b": {"c": "é"}}).encode()]),
    "toml": (load_run, [TOML]),
    "image": (read_picture, PICTURES),
    "idx images": (lambda p: read_idx(p, IMAGES_MAGIC), [idx_bytes(IMAGES_MAGIC, 3, 4, 5)]),
    "idx labels": (lambda p: read_idx(p, LABELS_MAGIC), [idx_bytes(LABELS_MAGIC, 3)]),
    "idx gzip": (read_gz, [gzip.compress(idx_bytes(IMAGES_MAGIC, 3, 4, 5))]),
}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files(name, tmp_path):
    reader, corpus = READERS[name]
    fuzz(name, reader, corpus, tmp_path / "file", NUM_FAST)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files(name, tmp_path):
    """Eight readers by three thousand."""
    reader, corpus = READERS[name]
    fuzz(name, reader, corpus, tmp_path / "file", NUM_SLOW, seed=1)


@pytest.mark.parametrize("num_cases", [NUM_FAST, pytest.param(NUM_SLOW, marks=pytest.mark.slow)])
def test_damaged_run_folders_and_splits(num_cases, tmp_path):
    train(tmp_path / "run", {**RUN, "num_epochs": 1})
    folder = RunFolder(tmp_path / "run")
    source = open_source("embedded")
    split = make_split(source, SplitSpec())
    checkpoint = (folder.checkpoints / "resume.safetensors").read_bytes()

    def read_split(path):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"Got {error}") from None
        Split.from_json(text, source)

    def read_checkpoint_file(path):
        (tmp_path / "resume.safetensors").write_bytes(path.read_bytes())
        read_checkpoint(tmp_path)

    lines = (folder.path / "metrics.jsonl").read_bytes()
    fuzz("checkpoint", read_checkpoint_file, [checkpoint], tmp_path / "c", num_cases)
    fuzz(
        "metrics",
        lambda p: RunFolder(tmp_path).read_metrics(),
        [lines],
        tmp_path / "metrics.jsonl",
        num_cases,
    )
    fuzz("split", read_split, [split.to_json().encode()], tmp_path / "s", num_cases // 10)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../../etc", "a\x00b", "1e-3", "inf", "é" * 9])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def paths_of(settings_class, prefix=()):
    """Every field of the run spec, as a path."""
    for name, field in settings_class.model_fields.items():
        yield (*prefix, name)
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and hasattr(candidate, "model_fields"):
                yield from paths_of(candidate, (*prefix, name))


PATHS = sorted(set(paths_of(RunSpec)))


def bounds(num_examples):
    return settings(
        max_examples=num_examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def parse_with(path, value):
    values = {}
    target = values
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = value
    RunSpec.parse(values, "")


@pytest.mark.parametrize("num_cases", [300, pytest.param(4000, marks=pytest.mark.slow)])
def test_any_value_in_any_field_of_the_spec(num_cases):
    @bounds(num_cases)
    @given(st.sampled_from(PATHS), VALUES)
    def check(path, value):
        attempt(parse_with, path, value)

    with bounded():
        check()


@pytest.mark.parametrize("num_cases", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_any_header_of_safetensors(num_cases, tmp_path):
    entry = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F64", "I64", "BF16", "F8_E4M3", "U128", "BOOL", ""]),
            "shape": st.lists(st.integers(-1, 1 << 62), max_size=4),
            "data_offsets": st.lists(st.integers(-1, 1 << 40), min_size=1, max_size=3),
        }
    )
    header = st.dictionaries(st.text(max_size=6), entry | VALUES, max_size=3)

    @bounds(num_cases)
    @given(header, st.binary(max_size=64), st.integers(0, 1 << 63) | st.none())
    def check(tree, data, length):
        text = json.dumps(tree).encode()
        size = len(text) if length is None else length
        (tmp_path / "file").write_bytes(struct.pack("<Q", size) + text + data)
        attempt(read_arrays, tmp_path / "file")

    with bounded():
        check()


@pytest.mark.parametrize("num_cases", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_any_header_of_npy(num_cases, tmp_path):
    shapes = st.lists(st.integers(-2, 1 << 62), max_size=4).map(tuple)
    names = st.sampled_from(["images", "labels"])
    types = st.sampled_from(["|u1", "<i8", "|O", "<U4", "|V8", "<f8", "|S0", "<U999999999", "x"])

    @bounds(num_cases)
    @given(types, shapes, st.booleans(), st.binary(max_size=40), names)
    def check(dtype, shape, order, data, name):
        header = repr({"descr": dtype, "fortran_order": order, "shape": shape}).encode() + b"\n"
        member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data
        with zipfile.ZipFile(tmp_path / "file", "w") as archive:
            archive.writestr(f"{name}.npy", member)
        attempt(open_npz, "npz:x", tmp_path / "file")

    with bounded():
        check()


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_bombs_and_absurd_shapes_are_refused_before_they_grow(tmp_path):
    """Each would take gigabytes."""
    path = tmp_path / "file"
    with bounded():
        header = repr({"descr": "|u1", "fortran_order": False, "shape": (1 << 40,)}).encode()
        npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        zip_of(path, **{"images.npy": npy})
        assert not attempt(open_npz, "npz:x", path)

        # A directory that promises 100 GB, over a few bytes.
        raw = bytearray(path.read_bytes())
        place = raw.rindex(b"PK\x01\x02")
        raw[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
        path.write_bytes(raw)
        assert not attempt(open_npz, "npz:x", path)

        path.write_bytes(struct.pack(">4i", IMAGES_MAGIC, 1 << 30, 4096, 4096))
        assert not attempt(read_idx, path, IMAGES_MAGIC)
        bomb = tmp_path / "bomb.gz"
        bomb.write_bytes(gzip.compress(struct.pack(">4i", IMAGES_MAGIC, 1, 1, 1) + bytes(10**8)))
        assert not attempt(read_idx, bomb, IMAGES_MAGIC)

        for size in ((100_000, 100_000), (2**31 - 1, 1), (1, 2**31 - 1)):
            chunk = struct.pack(">2I5B", *size, 8, 2, 0, 0, 0)
            png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + chunk
            path.write_bytes(png + struct.pack(">I", zlib.crc32(b"IHDR" + chunk)))
            assert not attempt(read_picture, path)
        path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
        assert not attempt(read_arrays, path)
        path.write_bytes(b'{"a":' + b"[" * 200_000)
        assert not attempt(read_object, path)
        path.write_bytes(b"a = " + b"[" * 200_000)
        assert not attempt(load_run, path)


@pytest.mark.parametrize("reader", ["safetensors", "npz", "json", "toml"])
def test_a_pipe_or_a_device_is_refused(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = READERS[reader][0]
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(UsageError):
            read(path)


def test_pickles_are_refused_wherever_arrays_are_read(tmp_path):
    """An object array would run code when it is loaded."""

    class Bomb:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    np.savez(tmp_path / "file.npz", images=np.array([Bomb()], dtype=object), labels=np.zeros(1))
    with pytest.raises(UsageError, match="cannot be read as npz"):
        open_npz("npz:x", tmp_path / "file.npz")
    assert not (tmp_path / "ran").exists()


def test_a_postscript_file_with_an_image_s_name_is_not_run(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    assert inspect_file(path).error == "is no image that Pillow knows"
