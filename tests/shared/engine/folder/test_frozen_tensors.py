"""What never moves is stored once: split, shared with the runs beside, whole again when read."""

import hashlib
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from poc.shared.engine.folder.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from poc.shared.engine.folder.frozen_tensors import BLOCK_BYTES, FrozenTensors, frozen_names
from poc.shared.engine.folder.loop_state import LoopState, Sums
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays, read_arrays_and_metadata
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.header import count_file_bytes, read_names, read_texts
from poc.tests.faults.test_resume import FROZEN, RUN, train

NAMES = ("body/kernel", "body/bias")
COUNT = 2000  # float32 values of the body: more than a block


def make_weights(seed=0, count=COUNT):
    draw = np.random.default_rng(seed)
    return {
        "body/kernel": draw.normal(size=(count // 2, 2)).astype(np.float32),
        "body/bias": draw.normal(size=2).astype(np.float32),
        "head/kernel": draw.normal(size=(2, 3)).astype(np.float32),
    }


def make_folder(root, name):
    folder = root / name / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def write(folder, weights, name="best"):
    FrozenTensors(folder, NAMES).write(folder / f"{name}.safetensors", weights, {"epoch": "3"})
    return folder / f"{name}.safetensors"


def frozen_file(folder):
    (path,) = folder.glob("frozen-*")
    return path


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype


def test_a_file_holds_what_trains_and_reads_as_whole(tmp_path):
    folder, weights = make_folder(tmp_path, "run"), make_weights()
    path = write(folder, weights)
    # What safetensors itself finds in the two files.
    assert load_file(path).keys() == {"head/kernel"}
    assert_equal(load_file(frozen_file(folder)), {name: weights[name] for name in NAMES})
    digest = hashlib.sha256(frozen_file(folder).read_bytes()).hexdigest()
    assert frozen_file(folder).name == f"frozen-{digest}.safetensors"
    found, texts = read_arrays_and_metadata(path)
    assert_equal(found, weights)
    assert texts == {"epoch": "3", "frozen_file": frozen_file(folder).name}
    assert read_names(path) == set(weights)
    assert count_file_bytes(path) == path.stat().st_size + frozen_file(folder).stat().st_size


def test_a_tensor_that_moved_all_the_same_is_not_lost(tmp_path):
    folder, weights = make_folder(tmp_path, "run"), make_weights()
    frozen = FrozenTensors(folder, NAMES)
    frozen.write(folder / "first.safetensors", weights, {})
    moved = {**weights, "body/bias": weights["body/bias"] + 1}
    frozen.write(folder / "second.safetensors", moved, {})
    assert load_file(folder / "second.safetensors").keys() == {"head/kernel", "body/bias"}
    assert_equal(read_arrays(folder / "second.safetensors"), moved)
    assert_equal(read_arrays(folder / "first.safetensors"), weights)


@pytest.mark.parametrize(("num_bytes", "is_split"), [(BLOCK_BYTES - 4, False), (BLOCK_BYTES, True)])
def test_less_than_a_block_is_not_worth_a_file(num_bytes, is_split, tmp_path):
    folder, weights = make_folder(tmp_path, "run"), {"body/kernel": np.zeros(num_bytes // 4, "f4")}
    FrozenTensors(folder, weights).write(folder / "best.safetensors", weights, {})
    assert len(list(folder.glob("frozen-*"))) == is_split
    assert_equal(read_arrays(folder / "best.safetensors"), weights)


def test_runs_beside_each_other_share_one_file_and_outlive_each_other(tmp_path):
    first, second = make_folder(tmp_path, "a"), make_folder(tmp_path, "b")
    weights = make_weights()
    other = {**weights, "head/kernel": weights["head/kernel"] + 1}
    write(first, weights)
    path = write(second, other)
    assert frozen_file(first).samefile(frozen_file(second))
    shutil.copytree(tmp_path / "b", tmp_path / "moved")
    shutil.rmtree(tmp_path / "a")
    assert_equal(read_arrays(path), other)
    shutil.rmtree(tmp_path / "b")
    assert_equal(read_arrays(tmp_path / "moved" / "checkpoints" / path.name), other)


def test_without_hard_links_each_run_has_its_own(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    first, second = make_folder(tmp_path, "a"), make_folder(tmp_path, "b")
    write(first, make_weights())
    path = write(second, make_weights())
    assert not frozen_file(first).samefile(frozen_file(second))
    assert_equal(read_arrays(path), make_weights())


def test_a_damaged_file_of_another_run_is_not_taken(tmp_path):
    first, second = make_folder(tmp_path, "a"), make_folder(tmp_path, "b")
    write(first, make_weights())
    content = frozen_file(first).read_bytes()
    frozen_file(first).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert_equal(read_arrays(write(second, make_weights())), make_weights())
    assert [path.name for path in second.iterdir() if path.name.startswith(".")] == []


def test_a_run_restores_its_own_file(tmp_path):
    """Damaged before it goes on, or removed while it runs."""
    folder, weights = make_folder(tmp_path, "run"), make_weights()
    path = write(folder, weights)
    frozen_file(folder).write_bytes(b"damaged")
    frozen = FrozenTensors(folder, NAMES)
    frozen.write(path, weights, {})
    assert_equal(read_arrays(path), weights)
    frozen_file(folder).unlink()
    frozen.write(path, weights, {})
    assert_equal(read_arrays(path), weights)


@pytest.mark.parametrize(
    ("damage", "words"),
    [("gone", "which is not in the same folder.*poc weights convert RUN_FOLDER FILE"),
     ("changed", "which has changed since it was written"),
     ("folder", "which cannot be read")],
)  # fmt: skip
def test_a_missing_or_changed_file_is_refused_in_one_sentence(damage, words, tmp_path):
    folder = make_folder(tmp_path, "run")
    path, other = write(folder, make_weights()), frozen_file(folder)
    content = other.read_bytes()
    other.unlink()
    if damage == "changed":
        # A sound file of equal size, of other values.
        other.write_bytes(content[:-4] + np.float32(7).tobytes())
    elif damage == "folder":
        other.mkdir()
    with pytest.raises(UsageError, match=words) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(f"Got {str(path)!r}, whose frozen tensors are in")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "../frozen.safetensors", "frozen-0.safetensors", "true"])
def test_a_text_that_names_no_such_file_is_no_reference(text, tmp_path):
    from poc.shared.files.arrays import write_arrays

    write_arrays(tmp_path / "x.safetensors", make_weights(), frozen_file=text)
    assert_equal(read_arrays(tmp_path / "x.safetensors"), make_weights())


def test_a_checkpoint_without_its_frozen_file_is_no_checkpoint(tmp_path):
    folder, weights = make_folder(tmp_path, "run"), make_weights()
    checkpoint = Checkpoint(loop=LoopState(epoch=1, step=4), sums=Sums(), weights=weights)
    frozen = FrozenTensors(folder, NAMES)
    write_checkpoint(folder, checkpoint, frozen)
    write_checkpoint(folder, checkpoint, frozen)
    assert load_file(folder / "resume.safetensors").keys() == {"weights/head/kernel"}
    assert_equal(read_checkpoint(folder).weights, weights)
    frozen_file(folder).unlink()
    with pytest.raises(UsageError, match="which is not in the same folder"):
        read_checkpoint(folder)


def test_a_checkpoint_names_its_frozen_file_under_its_digest(tmp_path):
    """Another sound file in its place would give another network."""
    folder, weights = make_folder(tmp_path, "run"), make_weights()
    checkpoint = Checkpoint(loop=LoopState(epoch=1, step=4), sums=Sums(), weights=weights)
    write_checkpoint(folder, checkpoint, FrozenTensors(folder, NAMES))
    own = frozen_file(folder).name
    write(folder, make_weights(seed=1), "other")
    (other,) = (path.name for path in folder.glob("frozen-*") if path.name != own)
    content = (folder / "resume.safetensors").read_bytes()
    assert content.count(own.encode()) == 1
    (folder / "resume.safetensors").write_bytes(content.replace(own.encode(), other.encode()))
    with pytest.raises(UsageError, match="damaged or of another format"):
        read_checkpoint(folder)


def name_frozen(**changes):
    model = {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [2, 3]}}
    run = {"method": "transfer", "model": model, "input_shape": [28, 28, 1], "num_classes": 10}
    return frozen_names(resolve_networks(RunSpec.parse({**run, **changes}, "")))


def test_what_never_moves_is_what_no_stage_trains():
    run = RunSpec.parse(
        {
            "method": "scratch",
            "model": {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [2, 3]}},
            "input_shape": [28, 28, 1],
            "num_classes": 10,
        },
        "",
    )
    names = {parameter.name for parameter in declare_network(run).parameters}
    body = {name for name in names if not name.startswith("head/")}
    last_norm = {name for name in names if name.startswith("block2/norm2/")}
    assert name_frozen(method="scratch") == set()
    assert name_frozen() == body
    trained = name_frozen(method_options={"trained_blocks": 1})
    # The batch norms of a trained block stay frozen with bn_mode=frozen.
    assert trained == {n for n in body if not n.startswith("block2/") or "/norm" in n}
    assert name_frozen(method_options={"bn_mode": "adapt_last_affine"}) == body - last_norm
    # The first stage of FixRes trains the blocks, the second the last norm and the head.
    sizes = {"train_size": 20, "test_size": 24, "finetune_epochs": 1}
    found = name_frozen(method="fixres", num_epochs=3, method_options=sizes)
    assert found == body - last_norm
    everything = {**sizes, "trained_blocks": "all", "bn_mode": "adapt_all"}
    assert name_frozen(method="fixres", num_epochs=3, method_options=everything) == set()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("frozen")
    train(root / "run", FROZEN)
    return root / "run"


def test_a_finished_run_holds_its_body_once(trained):
    files = list((trained / "checkpoints").iterdir())
    assert {path.name.partition("-")[0] for path in files} == {
        *("best.safetensors", "last.safetensors", "resume.safetensors"),
        *("resume_previous.safetensors", "frozen"),
    }
    whole = sum(
        value.nbytes for value in read_arrays(trained / "checkpoints" / "best.safetensors").values()
    )
    body = frozen_file(trained / "checkpoints").stat().st_size
    assert 0.8 * whole < body
    assert sum(path.stat().st_size for path in files) < 2.5 * whole
    assert load_file(trained / "checkpoints" / "best.safetensors").keys() == {
        "head/kernel",
        "head/bias",
    }


def test_a_run_without_its_frozen_file_is_not_sent_to_the_command_that_failed(
    trained, poc, tmp_path
):
    run = tmp_path / "runs" / "copied"
    shutil.copytree(trained, run)
    name = frozen_file(run / "checkpoints").name
    (run / "checkpoints" / name).unlink()
    for command in (("weights", "convert", run, "whole.safetensors"), ("evaluate", run)):
        code, _, errors = poc(*command)
        assert code == 2
        assert f"{name!r}, which is not in the same folder" in errors
        assert "looking for a file of that name in the checkpoints folders of the runs" in errors
        assert "weights convert" not in errors


def test_a_run_folder_is_written_into_one_whole_file(trained, poc, tmp_path):
    code, output, errors = poc("weights", "convert", trained, "whole.safetensors")
    assert code == 0, errors
    assert output.startswith("whole.safetensors: lightnet_plain, ")
    best = trained / "checkpoints" / "best.safetensors"
    assert_equal(load_file(tmp_path / "whole.safetensors"), read_arrays(best))
    texts = read_texts(tmp_path / "whole.safetensors")
    assert (texts["model"], texts["classes"]) == ("lightnet_plain", "10")
    assert '"normalization"' in texts["view"]
    assert "frozen_file" not in texts


def test_a_weight_file_that_was_copied_alone_says_what_to_type(trained, poc, tmp_path):
    shutil.copy(trained / "checkpoints" / "best.safetensors", tmp_path / "alone.safetensors")
    common = ["--backend", "torch", "--output", "x", "--set", "model.layer=conv2d"]
    code, _, errors = poc("run", "--method", "transfer", "--weights", "alone.safetensors", *common)
    assert code == 2
    # At once: before a process is started, and before anything is said of their view.
    (line,) = errors.splitlines()
    assert "poc weights convert RUN_FOLDER FILE" in line
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN", "out.safetensors", "--classes", "10"], "--classes with the run folder"),
        (["RUN", "out.safetensors", "--set", "k=3"], "--set with the run folder"),
        ([".", "out.safetensors"], "has no run.json"),
        (["in.safetensors", "out.safetensors", "--model", "vgg16"], "without --classes"),
        (["RUN", "out.txt"], "Got the output"),
    ],
)
def test_wrong_use_of_convert_is_one_sentence(arguments, words, trained, poc):
    code, _, errors = poc("weights", "convert", *(trained if a == "RUN" else a for a in arguments))
    assert code == 2
    assert words in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_run_of_the_former_form_goes_on_and_is_stored_once_from_then_on(tmp_path, monkeypatch):
    """Its checkpoint and weight files are whole; what comes out has the same tensors."""
    from poc.shared.engine.folder.save_schedule import Saver
    from poc.shared.errors import Terminated
    from poc.tests.helpers.workers import stub

    train(tmp_path / "whole" / "run", FROZEN)
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({7}))
    with monkeypatch.context() as patch:
        patch.setattr("poc.shared.engine.training.loop.frozen_names", lambda run: frozenset())
        with pytest.raises(Terminated):
            train(tmp_path / "parts" / "run", FROZEN)
    before = RunFolder(tmp_path / "parts" / "run").checkpoints
    assert not list(before.glob("frozen-*"))
    train(tmp_path / "parts" / "run", FROZEN, is_resumed=True)
    expected = RunFolder(tmp_path / "whole" / "run").checkpoints
    last, best = "last.safetensors", "best.safetensors"
    assert (before / last).read_bytes() == (expected / last).read_bytes()
    # The best epoch may have been before, and its file stays as it was.
    assert_equal(read_arrays(before / best), read_arrays(expected / best))
    assert frozen_file(before).name == frozen_file(expected).name


def test_a_run_that_trains_everything_is_stored_as_before(tmp_path):
    train(tmp_path / "run", RUN)
    folder = RunFolder(tmp_path / "run").checkpoints
    assert not list(folder.glob("frozen-*"))
    assert read_texts(folder / "resume.safetensors")["format"] == "poc checkpoint 1"
    assert "frozen_file" not in read_texts(folder / "best.safetensors")
