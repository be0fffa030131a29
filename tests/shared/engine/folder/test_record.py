"""A run's record against what is there now: every reader, every mismatch; the run's own parts."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from poc import cli
from poc.shared.actions import ablation as removal
from poc.shared.actions import evaluate as evaluation
from poc.shared.actions.exports import written_file
from poc.shared.actions.weights import factorize as low_rank
from poc.shared.actions.weights import verify as verification
from poc.shared.engine.folder.record import RunRecord, find_order, list_classes
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.trained_run import open_trained
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.arrays import read_arrays, write_arrays
from poc.tests.faults.test_resume import train

MODEL = {"name": "lightnet_residual", "options": {"layer": "conv2d", "widths": [2, 3]}}
COMMANDS = {
    "evaluate": ["evaluate", "run"],
    "export": ["export", "run", "--format", "onnx"],
    "verify": ["weights", "verify", "run"],
    "factorize": ["weights", "factorize", "run", "--rank", "1", "--output", "factors"],
    "removal": ["models", "removal", "run"],
}


def picture(seed):
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8))


def add_images(root, names, first=0):
    for seed, name in enumerate(names, start=first):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)


def make_archive(path, names, labels, extra=0):
    """An npz source of 40 images (and `extra` more) without published parts."""
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
    np.savez(path, images=images, labels=np.asarray(labels), class_names=np.array(names))


def train_run(folder, source, **changes):
    run = {
        "method": "scratch",
        "model": MODEL,
        "data": {"source": source, "batch_size": 16},
        "num_epochs": 1,
        **changes,
    }
    train(folder, run)
    return RunFolder(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs of the stub: `run` on class folders, `run` of `packed` on an archive."""
    root = tmp_path_factory.mktemp("trained")
    names = [f"{name}/{i}.png" for name in ("dark", "light") for i in range(20)]
    (root / "folders").mkdir()
    add_images(root / "folders" / "data", names)
    train_run(root / "folders" / "run", f"folder:{root}/folders/data")
    (root / "packed").mkdir()
    make_archive(root / "packed" / "data.npz", ["dark", "light"], [0, 1] * 20)
    train_run(root / "packed" / "run", f"npz:{root}/packed/data.npz")
    return root


class Opened(CheckFailed):
    """The record was accepted: the command goes on to a framework."""


@pytest.fixture
def poc(trained, tmp_path, monkeypatch, capsys):
    """Runs `poc` in a copy of a trained run and its data, up to the start of a framework."""

    def refuse_to_start(*arguments, **options):
        raise Opened("opened")

    for module in (evaluation, removal, verification, written_file):
        monkeypatch.setattr(module, "Worker", refuse_to_start)
    monkeypatch.setattr(low_rank, "evaluate_trained", refuse_to_start)

    def copy(kind):
        shutil.copytree(trained / kind, tmp_path / "here")
        monkeypatch.chdir(tmp_path / "here")
        # The record says where the data lay; here the copy lies.
        record = RunFolder("run").read_run()
        place = "folder:data" if kind == "folders" else "npz:data.npz"
        record["run"]["data"]["source"] = place
        RunFolder("run").write_run(record)
        return tmp_path / "here"

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["poc", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, capsys.readouterr().err

    call.copy = copy
    return call


def rename(here):
    (here / "data" / "light").rename(here / "data" / "bright")


def add_class(here):
    add_images(here / "data", [f"grey/{i}.png" for i in range(9)], first=100)


def remove_class(here):
    add_class(here)
    shutil.rmtree(here / "data" / "light")


def reorder(here):
    make_archive(here / "data.npz", ["light", "dark"], [1, 0] * 20)


def swap_names(here):
    """The same names, exchanged: each image now bears the other name."""
    make_archive(here / "data.npz", ["dark", "light"], [1, 0] * 20)


def add_some(here):
    add_images(here / "data", [f"dark/new{i}.png" for i in range(11)], first=200)


def remove_some(here):
    parts = RunRecord.read(here / "run").parts
    for name in parts.ids[parts.is_in("test")][:3]:
        (here / "data" / str(name)).unlink()


def change_some(here):
    add_images(here / "data", ["dark/3.png", "light/4.png"], first=300)


def forget_parts(here):
    (here / "run" / "split.npz").unlink()
    add_some(here)


def damage_parts(here):
    with np.load(here / "run" / "split.npz") as file:
        arrays = dict(file)
    arrays["members"] = np.roll(arrays["members"], 1)
    np.savez(here / "run" / "split.npz", **arrays)


def exchange_weights(here):
    path = here / "run" / "checkpoints" / "best.safetensors"
    arrays = read_arrays(path)
    arrays["head/kernel"] = arrays["head/kernel"][:, :1]
    write_arrays(path, arrays)


def change_lineage(here):
    path = here / "run" / "checkpoints" / "best.safetensors"
    write_arrays(path, read_arrays(path), lineage="keras")


def remove_data(here):
    (here / "data").rename(here / "elsewhere")


def regroup(here):
    """The same pictures below train and test, where the test part has all of them."""
    for name in ("dark", "light"):
        shutil.copytree(here / "data" / name, here / "data" / "test" / name)
        (here / "data" / "train").mkdir(exist_ok=True)
        (here / "data" / name).rename(here / "data" / "train" / name)


def replace_data(here):
    shutil.rmtree(here / "data")
    add_images(here / "data", [f"{n}/x{i}.png" for n in ("dark", "light") for i in range(9)], 400)


def break_record(here):
    (here / "run" / "run.json").write_text("{}")


def forget_classes(here):
    record = RunFolder(here / "run").read_run()
    RunFolder(here / "run").write_run({**record, "data": {}})


# What happens to the data or the folder -> kind of data, exit code (1: accepted), words of it.
MISMATCHES = {
    "nothing": (lambda here: None, "folders", 1, []),
    "a renamed class": (
        rename,
        "folders",
        2,
        ["classes 'bright', 'dark'. Expected 'dark', 'light',"],
    ),
    "one class more": (add_class, "folders", 2, ["'dark', 'light'", "'dark', 'grey', 'light'"]),
    "another class": (remove_class, "folders", 2, ["'dark', 'light'", "'dark', 'grey'"]),
    "another order": (reorder, "packed", 1, ["another order", "matched by name"]),
    "other labels": (swap_names, "packed", 1, ["the same images have other labels"]),
    "images added": (add_some, "folders", 1, ["11 images are new and in no part", "8 of 8 test"]),
    "images gone": (remove_some, "folders", 1, ["3 are gone", "(26 of 26 train", "5 of 8 test"]),
    "images changed": (change_some, "folders", 1, ["2 have other content"]),
    "parts not kept": (forget_parts, "folders", 1, ["may have trained it, since"]),
    "parts damaged": (damage_parts, "folders", 2, ["split.npz", "not those of the run"]),
    "other weights": (exchange_weights, "folders", 2, ["head/kernel of shape (3, 1)"]),
    "other lineage": (change_lineage, "folders", 2, ["lineage 'keras'"]),
    "no data": (remove_data, "folders", 2, ["there, but nothing is", "--data folder:PATH"]),
    "trained images test": (regroup, "folders", 2, ["which trained on 26 of them", "test/dark/"]),
    "other images": (replace_data, "folders", 1, ["has none of the run's image names"]),
    "no record": (break_record, "folders", 2, ["describes no run"]),
    "no classes": (forget_classes, "folders", 2, ["names no classes"]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("mismatch", MISMATCHES)
def test_every_reader_meets_every_mismatch(mismatch, command, poc):
    change, kind, code, words = MISMATCHES[mismatch]
    here = poc.copy(kind)
    change(here)
    found, errors = poc(*COMMANDS[command])
    assert found == code, errors
    last = errors.splitlines()[-1]
    assert last.startswith("poc: Got ") if code == 2 else last == "poc: opened"
    assert "Traceback" not in errors
    assert [word for word in words if word not in errors] == []
    if mismatch == "nothing":
        assert errors == "poc: opened\n"
    assert not (here / "run" / "exports" / "float32.onnx").exists()
    assert code == 1 or not (here / "factors").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_data_is_found_where_the_user_says(command, poc):
    here = poc.copy("folders")
    remove_data(here)
    code, errors = poc(*COMMANDS[command], "--data", "folder:elsewhere")
    assert (code, errors) == (1, "poc: opened\n")
    (here / "elsewhere" / "dark").rename(here / "elsewhere" / "black")
    code, errors = poc(*COMMANDS[command], "--data", "folder:elsewhere")
    assert code == 2
    assert "'black', 'light'" in errors


def test_evaluation_says_which_views_are_not_those_of_the_run(poc):
    poc.copy("folders")
    options = ["--set", "image_size=[16,12]", "--set", "eval_view.crop=ten"]
    code, errors = poc("evaluate", "run", *options)
    assert code == 1
    assert "image_size is [16, 12], was None; eval_view.crop is ten, was none" in errors
    assert "shape (16, 12, 1); it was trained on (8, 8, 1)" in errors


@pytest.mark.parametrize(
    ("assignment", "word"),
    [
        ("normalization=tf", "Expected 'unit', with which it was trained"),
        ("channels=3", "conv1/kernel of shape"),
        ("num_epochs=3", "does not set the data"),
        ("class_pattern=[0-9]", "Expected 'dark', 'light', as in the run"),
    ],
)
def test_evaluation_refuses_what_contradicts_the_training(assignment, word, poc):
    poc.copy("folders")
    code, errors = poc("evaluate", "run", "--set", assignment)
    assert code == 2
    assert word in errors


def test_a_split_of_one_s_own_never_tests_on_what_was_trained_on(poc):
    here = poc.copy("folders")
    settings = ["--set", "split.kind=fractions", "--set", "split.fractions=[0.1,0.1,0.8]"]
    code, errors = poc("evaluate", "run", *settings)
    assert code == 2
    # Of 32 images that would test, all but those of the run's own test and val parts trained it.
    assert "which trained on " in errors
    code, errors = poc("evaluate", "run", *settings, "--part", "train")
    assert code == 1
    assert "The split is not the run's" in errors
    parts = RunRecord.read(here / "run").parts
    found = zip(parts.ids, parts.is_in("test"), strict=True)
    lines = [f"{name},{'test' if is_test else 'train'}" for name, is_test in found]
    (here / "list.csv").write_text("\n".join(lines))
    code, errors = poc("evaluate", "run", "--set", "split.kind=listed", "--set", "file=list.csv")
    assert (code, "searched for images that trained" in errors) == (1, True)


def test_a_class_order_is_mapped_to_the_run_s_own_numbers(poc):
    """Labels, parts and pixels are those of the run; the archive lists its classes otherwise."""
    here = poc.copy("packed")
    with open_trained(here / "run").data as before:
        labels, fingerprint = before.source.labels.copy(), before.source.fingerprint
        parts = before.split.part_ids
    reorder(here)
    with open_trained(here / "run").data as after:
        np.testing.assert_array_equal(after.source.labels, labels)
        assert after.source.class_names == ("dark", "light")
        assert after.source.fingerprint == fingerprint
        assert after.split.part_ids == parts


def test_images_that_were_added_move_no_image_into_another_part(poc):
    here = poc.copy("folders")
    with open_trained(here / "run").data as before:
        parts = before.split.part_ids
    add_some(here)
    notes = []
    with open_trained(here / "run", note=notes.append).data as after:
        assert after.split.part_ids == parts
        assert list(after.notes) == notes
    assert len(notes) == 1
    # Drawn again, the parts would be others: that is what the stored ones are for.
    with open_trained(here / "run", assignments=["split.seed=0"], part="train").data as drawn:
        assert drawn.split.part_ids != parts


def test_the_record_is_found_again_with_its_data_wherever_both_are_moved(trained, tmp_path):
    """`run.json` names the folder itself and how it lies from the run folder."""
    root = tmp_path / "study"
    shutil.copytree(trained / "folders", root / "first")
    record = RunFolder(root / "first" / "run").read_run()
    record["run"]["data"]["source"] = f"folder:{tmp_path}/gone/data"
    RunFolder(root / "first" / "run").write_run(record)
    assert record["data"]["relative_path"] == "../data"
    root.rename(tmp_path / "moved")
    run = open_trained(tmp_path / "moved" / "first" / "run")
    with run.data:
        assert run.run.data.source == f"folder:{tmp_path}/moved/first/data"
    with pytest.raises(UsageError, match=r"--data folder:PATH"):
        RunRecord(tmp_path / "moved" / "other" / "run", record).locate()


def test_names_are_compared_as_texts_and_not_as_bytes():
    assert find_order(["a\u0308", "b"], ["b", "\u00e4"]) == (1, 0)
    assert find_order(["a", "b"], ["a", "b"]) == (0, 1)
    assert find_order(["a", "b", "c"], ["c", "a", "b"]) == (1, 2, 0)
    assert find_order(["a", "a"], ["a", "a"]) == (0, 1)
    for other in (["a", "c"], ["a"], ["a", "b", "c"], ["a", "a"], ["B", "a"]):
        assert find_order(["a", "b"], other) is None
    assert find_order(["a", "a", "b"], ["b", "a", "a"]) is None


def test_of_many_classes_a_message_names_those_that_differ():
    many = [f"class {number}" for number in range(1000)]
    other = [*many[:500], "x", "y", *many[502:]]
    assert list_classes(many, other) == "(1,000, only here: 'class 500', 'class 501')"
    assert list_classes(other, many) == "(1,000, only here: 'x', 'y')"
    assert list_classes(many, []) == (
        "(1,000, only here: 'class 0', 'class 1', 'class 2', 'class 3', 'class 4' and 995 more)"
    )
    assert list_classes(many, many).startswith("(1,000: 'class 0'")
    assert list_classes(["[b]", "\x1b[2J"], []) == r"'[b]', '\x1b[2J'"


def test_a_run_keeps_every_image_with_its_part(trained):
    folder = trained / "folders" / "run"
    record = json.loads((folder / "run.json").read_text())
    parts = RunRecord.read(folder).parts
    assert {part: parts.count(part) for part in record["data"]["counts"]} == {
        "train": 26,
        "val": 6,
        "test": 8,
    }
    assert parts.fingerprint == record["data"]["split_fingerprint"]
    assert sorted(parts.ids) == sorted(f"{c}/{i}.png" for c in ("dark", "light") for i in range(20))


def test_an_evaluation_is_written_over_another_one_and_over_nothing_else(tmp_path, monkeypatch):
    """Refused before any work."""

    def reach(*arguments, **options):
        raise InterruptedError

    monkeypatch.setattr(evaluation, "open_trained", reach)
    path = tmp_path / "outputs.npz"
    values, ids = np.zeros((2, 3), dtype=np.float32), ["a", "b"]
    evaluation.write_outputs(path, values, values, np.zeros(2, dtype=np.int64), ids)
    for target in (path, tmp_path / "new.npz"):
        with pytest.raises(InterruptedError):
            evaluation.evaluate_folder(tmp_path / "run", export=target)
    np.savez(tmp_path / "data.npz", images=values)
    (tmp_path / "run.json").write_text("{}")
    for name in ("data.npz", "run.json"):
        with pytest.raises(UsageError, match=r"Got --export .* exists\..* Try naming another"):
            evaluation.evaluate_folder(tmp_path / "run", export=tmp_path / name)
