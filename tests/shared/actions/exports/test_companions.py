"""The script beside an exported file: short, and each of its steps as poc does it."""

import itertools
import os
import runpy
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.exports.companions import (
    name_script,
    refuse_foreign_companions,
    write_companions,
    write_script,
)
from poc.shared.actions.exports.parent import made_parent
from poc.shared.actions.new_images.given_images import Item, UnreadableImage, read_picture
from poc.shared.actions.new_images.labels import write_answers
from poc.shared.actions.new_images.predict import Predictions
from poc.shared.actions.new_images.trained_network import Answering
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.engine.export.preprocess import Rule
from poc.shared.engine.folder.own_files import is_noted
from poc.shared.engine.numerics.metrics import average_views
from poc.shared.errors import UsageError
from poc.tests.helpers.export.small_onnx import default_spec, describe, write_file

NAMES = ["cat", "dog"]


def start_script(folder, monkeypatch, spec=None, shape=(12, 10, 3), names=NAMES, **changes):
    """The names of the script after it has opened a file and labelled nothing."""
    path = folder / "model.onnx"
    write_file(path, spec or default_spec(), shape, names, **changes)
    script = write_script("onnx", (spec or default_spec()).interpolation)
    (folder / "predict_onnx.py").write_text(script)
    monkeypatch.setattr(sys, "argv", ["predict_onnx.py", str(path)])
    return runpy.run_path(str(folder / "predict_onnx.py"))


@pytest.mark.parametrize("file_format", ["onnx", "tflite"])
@pytest.mark.parametrize(("interpolation", "most"), [("bilinear", 60), ("plain_bilinear", 70)])
def test_it_has_few_lines_that_fit_a_page(file_format, interpolation, most):
    lines = write_script(file_format, interpolation).splitlines()
    assert len(lines) < most
    assert max(map(len, lines)) <= 100
    compile("\n".join(lines), name_script(file_format), "exec")
    imports = [line for line in lines if line.startswith(("import", "from"))]
    known = {
        "json,",
        "sys,",
        "zipfile,",
        "numpy",
        "PIL",
        "onnxruntime",
        "ai_edge_litert.interpreter",
    }
    assert {word for line in imports for word in line.split()[1:] if word in known} >= {
        "numpy",
        "PIL",
    }
    assert not any("poc" in line.split() for line in imports)


def write_odd_files(folder):
    """A file of each kind that a camera, a scanner or a web page makes."""
    draw = np.random.default_rng(0)
    colour = Image.fromarray(draw.integers(0, 256, (21, 17, 3), dtype=np.uint8))
    wide = Image.fromarray(draw.integers(0, 65536, (21, 17), dtype=np.uint16))
    alpha = Image.fromarray(draw.integers(0, 256, (21, 17), dtype=np.uint8))
    clear, grey_clear = colour.copy(), Image.merge("LA", (colour.convert("L"), alpha))
    clear.putalpha(alpha)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        colour.save(folder / f"turned {orientation}.jpg", exif=exif)
    palette = colour.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(folder / "palette.png")
    palette.save(folder / "clear palette.png", transparency=3)
    pictures = {
        "grey": colour.convert("L"), "bits": colour.convert("1"), "wide grey": wide,
        "clear": clear, "clear grey": grey_clear,
    }  # fmt: skip
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    colour.convert("CMYK").save(folder / "inks.jpg")
    colour.convert("L").save(folder / "clear level.png", transparency=9)
    return sorted(folder.glob("*.*g"))


@pytest.mark.parametrize("channels", [1, 3])
def test_it_decodes_as_poc_does(channels, tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    paths = write_odd_files(tmp_path / "images")
    script = start_script(tmp_path, monkeypatch, shape=(12, 10, channels))
    assert len(paths) == 17
    for path in paths:
        expected = read_picture(Item(path.name, path), channels)
        found = script["read"](path)
        assert (found.mode, found.size) == (expected.mode, expected.size)
        assert np.array_equal(np.asarray(found), np.asarray(expected)), path.name


@pytest.mark.parametrize("block", [bytes(16), b"II*\0\x08\0\0"], ids=["zeros", "cut off"])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_damaged_exif_block_is_as_if_absent(block, ending, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    plain, damaged = (tmp_path / f"{name}.{ending}" for name in ("plain", "damaged"))
    Image.fromarray(pixels).save(plain)
    Image.fromarray(pixels).save(damaged, exif=b"Exif\0\0" + block)
    script = start_script(tmp_path, monkeypatch)
    expected = np.asarray(Image.open(plain).convert("RGB"))
    assert np.array_equal(np.asarray(script["read"](damaged)), expected)


def test_any_error_of_a_reader_is_the_line_of_its_image(tmp_path, monkeypatch, capsys):
    """Pillow's readers of damaged files raise more than its documentation names."""
    (tmp_path / "a.png").touch()
    script = start_script(tmp_path, monkeypatch)

    def fail(path):
        raise struct.error("unpack requires a buffer of 2 bytes")

    monkeypatch.setattr(Image, "open", fail)
    assert script["fails"](str(tmp_path / "a.png"))
    assert "a.png\t(unreadable)\tunpack requires" in capsys.readouterr().out


RULES = ("squash", "shorter_side", "height", "fit")
VIEWS = [
    (rule, crop)
    for rule, crop in itertools.product(RULES, ("none", "centre", "five", "ten"))
    if crop != "none" or rule in ("squash", "fit")
]


@pytest.mark.parametrize("interpolation", ["bicubic", "plain_bilinear"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("rule", "crop"), VIEWS)
def test_it_shows_what_the_network_sees(rule, crop, channels, interpolation, tmp_path, monkeypatch):
    """With a fill, a filter other than the default, and pictures narrower than the crop."""
    spec = default_spec(
        interpolation=interpolation,
        fill=90,
        eval_view={"resize": rule, "crop": crop, "crop_share": 0.7},
    )
    shape = (12, 10, channels)
    script = start_script(tmp_path, monkeypatch, spec, shape)
    view, draw = EvaluationView(spec, shape), np.random.default_rng(0)
    for size in [(30, 41), (41, 30), (9, 9), (60, 11), (11, 60), (12, 10), (17, 14)]:
        pixels = draw.integers(0, 256, (*size, channels), dtype=np.uint8)
        picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        found = np.stack([np.asarray(one) for one in script["views"](picture)])
        assert np.array_equal(found.reshape(len(found), *shape), view.pixels(picture)), size


THRESHOLD = {"positive": "dog", "rule": "sensitivity", "log_odds": -1.5, "probability": 0.18}
REJECTION = {"rule": "answered", "share": 0.5, "log_odds": 0.9, "probability": 0.71}
DECISIONS = {
    "none": None,
    "temperature": Rule(temperature=2.5),
    "threshold": Rule(temperature=2.5, threshold=THRESHOLD),
    "rejection": Rule(temperature=0.5, rejection=REJECTION),
}


@pytest.mark.parametrize("average", ["softmax", "logits"])
@pytest.mark.parametrize("num_views", [1, 5])
@pytest.mark.parametrize("case", [*DECISIONS, "labels"])
def test_it_answers_as_poc_does(case, num_views, average, tmp_path, monkeypatch):
    crop = "five" if num_views == 5 else "none"
    spec = default_spec(eval_view={"crop": crop, "average": average})
    known = {"decision": DECISIONS.get(case), "is_multi_label": case == "labels"}
    script = start_script(tmp_path, monkeypatch, spec, **known)
    logits = np.random.default_rng(0).normal(size=(40, num_views, 2)) * 6
    answering = Answering(
        class_names=NAMES,
        view=EvaluationView(spec, (12, 10, 3)),
        decision=describe(spec, (12, 10, 3), NAMES, **known).rule(),
        is_multi_label=case == "labels",
    )
    averaged = average_views(logits.reshape(-1, 2), num_views, average)
    found = Predictions(names=[str(i) for i in range(40)], logits=averaged, answering=answering)
    rows = list(write_answers(found))
    for row, own in zip(rows, logits, strict=True):
        label, probability = script["answer"](own)
        assert label == ("(unsure)" if row.label is None else row.label)
        expected = row.probabilities.max() if row.probability is None else row.probability
        # It has four digits.
        assert float(probability) == pytest.approx(expected, abs=5.001e-5)
    # The mean of softmaxes has no probability of a label above 1/2.
    is_bare = (case, num_views, average) == ("labels", 5, "softmax")
    assert len({row.label for row in rows}) > (0 if is_bare else 1)


def test_a_foreign_file_beside_an_export_stays(tmp_path):
    known = describe(default_spec(), (12, 10, 3), NAMES)
    refuse_foreign_companions(tmp_path, "onnx", [])
    row = {"file": "model.onnx", "companions": write_companions(tmp_path, "onnx", known)}
    assert is_noted(tmp_path / "preprocess.json", [row])
    refuse_foreign_companions(tmp_path, "onnx", [row])
    # The script is the same for every run, what the file says about itself is not.
    with pytest.raises(UsageError, match=r"preprocess\.json'?, which exists"):
        refuse_foreign_companions(tmp_path, "onnx", [])
    (tmp_path / "predict_onnx.py").write_text("my own")
    with pytest.raises(UsageError, match=r"predict_onnx\.py'?, which exists"):
        refuse_foreign_companions(tmp_path, "onnx", [row])
    assert (tmp_path / "predict_onnx.py").read_text() == "my own"


def run_script(folder, *arguments):
    """Start the script as a user does, and return what it did."""
    (folder / "predict_onnx.py").write_text(write_script("onnx"))
    command = [sys.executable, str(folder / "predict_onnx.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_without_an_argument_it_says_its_usage_in_one_line(tmp_path):
    done = run_script(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "python predict_onnx.py [FILE.onnx] IMAGE..." in line
    # There is no file beside it either.
    assert run_script(tmp_path, "a.png").stderr == done.stderr


def test_an_image_that_cannot_be_read_is_a_line_beside_the_others(tmp_path):
    """The file is that of the export, whatever its precision; float32 comes first."""
    (tmp_path / "no.png").write_text("no image")
    Image.new("RGB", (12, 10)).save(tmp_path / "yes.png")
    write_file(tmp_path / "int8.onnx", default_spec(), (12, 10, 3), NAMES)
    paths = [tmp_path / "no.png", tmp_path / "gone.png", tmp_path / "yes.png"]
    done = run_script(tmp_path, *paths)
    assert done.returncode == 1, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [str(path) for path in paths]
    assert [line[1] == "(unreadable)" for line in lines] == [True, True, False]
    assert "No such file" in lines[1][2]
    assert done.stderr == ""
    write_file(tmp_path / "float32.onnx", default_spec(), (12, 10, 3), ["ox", "ox"])
    done = run_script(tmp_path, paths[-1])
    assert (done.returncode, done.stdout.split("\t")[1]) == (0, "ox")


def test_pixels_that_poc_refuses_get_no_label(tmp_path, monkeypatch):
    """Floats and grey beyond 16 bits would be cut to black or white, and labelled as that."""
    pixels = np.linspace(0, 1, 120).reshape(12, 10)
    beyond, below = (np.int32(pixels * 2**24), np.int32(pixels * -9))
    odd = {"floats": np.float32(pixels), "beyond": beyond, "below": below}
    script = start_script(tmp_path, monkeypatch)
    for name, values in odd.items():
        path = tmp_path / f"{name}.tif"
        Image.fromarray(values).save(path)
        with pytest.raises(UnreadableImage):
            read_picture(Item(name, path), 3)
        with pytest.raises(ValueError, match="not 16 bits"):
            script["read"](path)


def test_odd_paths_do_not_stop_it(tmp_path):
    """A named pipe would be waited for, and the terminal may lack the letters of a name."""
    os.mkfifo(tmp_path / "pipe.png")
    latin = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Image.new("RGB", (12, 10)).save(latin)
    write_file(tmp_path / "float32.onnx", default_spec(), (12, 10, 3), NAMES)
    (tmp_path / "predict_onnx.py").write_text(write_script("onnx"))
    command = [sys.executable, "predict_onnx.py", "pipe.png", latin, "漢.png", "long" * 100]
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr, len(lines)) == (1, "", 4)
    assert lines[0] == ["pipe.png", "(unreadable)", "it is no regular file"]
    assert lines[1][0].endswith("/caf\\udce9.png")
    assert lines[1][1] in NAMES
    assert [line[0] for line in lines[2:]] == ["\\u6f22.png", "long" * 100]


@pytest.mark.parametrize("place", ["exports/a.onnx", "new/exports/a.onnx"])
def test_an_export_that_fails_leaves_no_empty_folder(place, tmp_path):
    target = tmp_path / place

    def fail():
        with made_parent(target):
            assert target.parent.is_dir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []
    # A folder that was there stays.
    target.parent.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.parent.is_dir()
