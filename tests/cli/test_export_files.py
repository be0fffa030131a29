"""From a run on image files to a script in an empty environment: the same labels all the way."""

import json
import subprocess
import sys
import zipfile
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.exports.description import describe_licence
from poc.shared.engine.export.preprocess import Preprocess
from poc.shared.engine.export.runtimes import open_file
from poc.shared.engine.folder.record import RunRecord
from poc.shared.files.arrays import write_arrays

NAMES = ["ant", "bee", "cow"]
TRAINING = [
    *("--method", "scratch", "--set", "model=lightnet_residual", "--k", "2"),
    *("--set", "model.widths=[4,6]", "--epochs", "2", "--batch-size", "16"),
    *("--set", "image_size=24x20"),
]
# What an own view asks of the script and of the file.
VIEWS = {
    "torch picture": ["--set", "data.normalization=torch"],
    "caffe crops": [
        *("--set", "eval_view.resize=shorter_side", "--set", "eval_view.crop=ten"),
        *("--set", "data.normalization=caffe", "--set", "data.interpolation=bicubic"),
    ],
}
PACKAGES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """JPEG and PNG files of three classes in many sizes; some turned, clear, grey or with inks."""
    root, draw = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for place, name in enumerate(NAMES):
        (root / name).mkdir()
        for number in range(24):
            colours = draw.integers(0, 200, (5, 6, 3), dtype=np.uint8)
            colours[..., place] += 55
            size = tuple(map(int, draw.integers(24, 90, 2)))
            picture = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)
            write_photo(picture, root / name / str(number), number)
    return root


def write_photo(picture, path, number):
    """Write a picture in one of six forms."""
    exif = Image.Exif()
    exif[0x0112] = 1 + number % 8
    kind = number % 6
    if kind < 2:
        picture.save(f"{path}.jpg", exif=exif)
    elif kind == 2:
        picture.putalpha(picture.convert("L"))
        picture.save(f"{path}.png")
    elif kind == 3:
        picture.convert("P", palette=Image.Palette.ADAPTIVE).save(f"{path}.png")
    elif kind == 4:
        picture.convert("CMYK").save(f"{path}.jpg")
    else:
        wide = np.asarray(picture.convert("L")).astype(np.uint16) * 201
        Image.fromarray(wide).save(f"{path}.png")


@pytest.fixture(scope="module")
def empty_python(tmp_path_factory):
    """An interpreter that has NumPy, Pillow and the two runtimes alone."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    # The versions that trained: another Pillow may decode or resize otherwise.
    names = ("numpy", "pillow", *PACKAGES.values())
    wanted = [f"{name}=={version(name)}" for name in names]
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *wanted],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"pip cannot install {' '.join(wanted)} here: {done.stderr[-200:]}")
    return python


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("view", VIEWS)
def test_the_scripts_label_files_as_the_run_does(view, photos, empty_python, poc, tmp_path):
    run = tmp_path / "run"
    code, _, errors = poc(
        "run", "--backend", "torch", "--data", f"folder:{photos}", *TRAINING, *VIEWS[view],
        "--output", run,
    )  # fmt: skip
    assert code == 0, errors
    with np.load(run / "predictions.npz") as stored:
        paths = [str(photos / name) for name in stored["ids"]]
        expected = [NAMES[place] for place in stored["logits"].argmax(axis=1)]
    assert len(paths) >= 9
    for file_format in PACKAGES:
        code, output, errors = poc("export", run, "--format", file_format, "--json")
        assert code == 0, errors
        row = json.loads(output)
        assert (row["is_from_files"], row["num_changed"]) == (True, 0)
        can_resize = (file_format, view) == ("onnx", "torch picture")
        assert row["input"] == ("picture" if can_resize else "view")
        assert ("takes prepared images" in errors) == (
            (file_format, view) == ("onnx", "caffe crops")
        )
        file = run / "exports" / f"float32.{file_format}"
        script = run / "exports" / f"predict_{file_format}.py"
        done = subprocess.run(
            [empty_python, "-I", script, file, *paths], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        assert [line[0] for line in lines] == paths
        assert [line[1] for line in lines] == expected
        code, output, errors = poc("predict", file, *paths, "--json")
        assert code == 0, errors
        assert [each["label"] for each in json.loads(output)["rows"]] == expected
        known = Preprocess.read(open_file(file).metadata, file)
        assert (known.class_names, known.normalization) == (NAMES, view.split()[0])


@pytest.mark.parametrize(
    ("initial", "texts", "words"),
    [
        (None, {}, "started from random numbers"),
        (None, {}, "Fashion-MNIST, whose images have the MIT licence"),
        ("imagenet", {}, "Fashion-MNIST, whose images have the MIT licence"),
        ("imagenet", {}, "started from 'imagenet', whose licence is not known"),
        (None, {"license": "CC-BY-4.0"}, "names the licence 'CC-BY-4.0'"),
    ],
)
def test_the_licence_is_that_of_the_header_or_said_to_be_unknown(initial, texts, words, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "best.safetensors"
    write_arrays(path, {"a/kernel": np.zeros(2, dtype=np.float32)}, **texts)
    run = {"method": "scratch", "initial_weights": initial, "model": {"name": "resnet18"}}
    record = RunRecord(tmp_path, {"run": run})
    assert words in describe_licence(tmp_path, record.spec)


@pytest.mark.slow
def test_a_package_labels_photos_in_an_empty_environment(photos, empty_python, poc, tmp_path):
    """As its reader would: unzip it anywhere, and give the script a photo."""
    run = tmp_path / "run"
    code, _, errors = poc(
        "run", "--backend", "torch", "--data", f"folder:{photos}", *TRAINING, "--output", run
    )
    assert code == 0, errors
    with np.load(run / "predictions.npz") as stored:
        paths = [str(photos / name) for name in stored["ids"]]
        expected = [NAMES[place] for place in stored["logits"].argmax(axis=1)]
    for name in ("one", "two"):
        code, _, errors = poc("package", run, "--output", tmp_path / f"{name}.zip")
        assert code == 0, errors
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    unpacked = tmp_path / "somewhere else"
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(unpacked)
    for file_format in PACKAGES:
        script = unpacked / f"predict_{file_format}.py"
        done = subprocess.run(
            [empty_python, "-I", script, *paths], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert [line.split("\t")[1] for line in done.stdout.splitlines()] == expected
