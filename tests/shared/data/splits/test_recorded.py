"""A source's record against the run that learns from it: classes by name, and what may differ."""

import json
import shutil
import sys

import numpy as np
import pytest

from poc import cli
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.server import operations
from poc.shared.engine.teacher import digest_weights, starting_weights, teacher_weights
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.methods.channel_selection import SELECTION_FORMAT
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.dense import Flatten
from poc.shared.spec.networks.layers.elementwise import BatchNorm
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks
from poc.shared.weights.class_order import reordered_head
from poc.tests.helpers.workers import stub
from poc.tests.shared.engine.folder.test_record import MODEL, add_images, make_archive, train_run

CLASSES = ["ant", "bee", "cat"]
# Method and its options -> whether it compares the logits of both sides.
LEARNERS = {
    "kd": (["method=kd"], True),
    "attention_transfer with a soft loss": (["method=attention_transfer", "alpha=0.5"], True),
    "fitnets in two stages": (["method=fitnets"], True),
    "attention_transfer": (["method=attention_transfer"], False),
    "semckd": (["method=semckd"], True),
    "semckd without a soft loss": (["method=semckd", "soft_weight=0.0"], False),
    "fitnets in one stage": (["method=fitnets", "method_options.stages=one"], False),
    "lwf": (["method=lwf"], False),
    "l2t-ww": (["method=l2t-ww"], False),
}


def test_every_method_that_distils_is_a_learner():
    distilling = {name for name, row in METHODS.items() if row.distillation is not None}
    assert {load_run(None, settings).method for settings, _ in LEARNERS.values()} == distilling


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run on an archive of three classes."""
    root = tmp_path_factory.mktemp("teacher")
    make_archive(root / "data.npz", CLASSES, [0, 1, 2] * 20)
    train_run(root / "run", f"npz:{root}/data.npz")
    return root


def learn(learner, source, archive, *assignments):
    """The resolved run and its notes."""
    notes = []
    settings = [
        *LEARNERS[learner][0],
        f"teacher.weights={source}",
        f"data.source=npz:{archive}",
        "model=lightnet_residual",
        "model.layer=conv2d",
        "model.widths=[2,3]",
        *assignments,
    ]
    resolved, data = resolve(load_run(None, settings), notes.append)
    data.close()
    return resolved.spec, " ".join(notes)


def permuted(path, order):
    """The teacher's archive with its classes listed in another order."""
    labels = np.argsort(order)[[0, 1, 2] * 20]
    make_archive(path, [CLASSES[old] for old in order], labels)
    return path


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_same_classes_need_no_word(learner, teacher):
    run, notes = learn(learner, teacher / "run", teacher / "data.npz")
    assert "class" not in notes
    assert run.teacher.class_order is None


@pytest.mark.parametrize("learner", LEARNERS)
def test_another_order_is_mapped_where_logits_are_compared(learner, teacher, tmp_path):
    run, notes = learn(learner, teacher / "run", permuted(tmp_path / "data.npz", [2, 0, 1]))
    compares = LEARNERS[learner][1]
    assert ("matched by name" in notes) == compares
    assert run.teacher.class_order == ((2, 0, 1) if compares else None)


@pytest.mark.parametrize("learner", LEARNERS)
def test_other_classes_are_refused_where_logits_are_compared_and_told_elsewhere(
    learner, teacher, tmp_path
):
    make_archive(tmp_path / "data.npz", ["ant", "bee", "dog"], [0, 1, 2] * 20)
    if LEARNERS[learner][1]:
        with pytest.raises(UsageError) as caught:
            learn(learner, teacher / "run", tmp_path / "data.npz")
        assert "'ant', 'bee', 'cat'" in str(caught.value)
        assert "'ant', 'bee', 'dog'" in str(caught.value)
        return
    _, notes = learn(learner, teacher / "run", tmp_path / "data.npz")
    assert "was trained on other classes, 'ant', 'bee', 'cat'" in notes


def test_a_mapped_source_gives_the_same_numbers_in_other_columns(teacher, tmp_path):
    """Its last layer is what gives logits: column i of the run was column order[i] of the source.

    The head is dense, so that its outputs can be computed by hand from any vector of features.
    """
    order = [2, 0, 1]
    archive = permuted(tmp_path / "data.npz", order)
    run, _ = learn("kd", teacher / "run", archive)
    own = read_arrays(teacher / "run" / "checkpoints" / "best.safetensors")
    mapped = teacher_weights(run, resolve_networks(run).teacher_network)
    features = np.random.default_rng(0).normal(size=(5, own["head/kernel"].shape[0]))
    before = features @ own["head/kernel"] + own["head/bias"]
    after = features @ mapped["head/kernel"] + mapped["head/bias"]
    for column, name in enumerate(np.array(CLASSES)[order]):
        np.testing.assert_array_equal(after[:, column], before[:, CLASSES.index(name)])
    assert own.keys() == mapped.keys()
    for name in own.keys() - {"head/kernel", "head/bias"}:
        np.testing.assert_array_equal(mapped[name], own[name])
    # What the trainers of both backends start from.
    started = starting_weights(resolve_networks(run))
    np.testing.assert_array_equal(started["source/head/kernel"], mapped["head/kernel"])
    # A resume reads the order from the run's spec and finds it to be the same.
    again, _ = learn("kd", teacher / "run", archive, f"teacher.class_order={order}")
    assert again.teacher.class_order == tuple(order)


@pytest.mark.parametrize(
    ("order", "word"),
    [("[0,1,2]", r"Expected \[2, 0, 1\].*class names"), ("[0,1]", r"Expected \[.*class names")],
)
def test_an_order_that_the_names_contradict_is_refused(order, word, teacher, tmp_path):
    archive = permuted(tmp_path / "data.npz", [2, 0, 1])
    with pytest.raises(UsageError, match=word):
        learn("kd", teacher / "run", archive, f"teacher.class_order={order}")


def test_a_file_names_no_classes_and_says_so_or_is_told(teacher, tmp_path):
    file = tmp_path / "teacher.safetensors"
    shutil.copy(teacher / "run" / "checkpoints" / "best.safetensors", file)
    archive = permuted(tmp_path / "data.npz", [2, 0, 1])
    model = ["teacher.model=lightnet_residual", "teacher.model.layer=conv2d"]
    model.append("teacher.model.widths=[2,3]")
    run, notes = learn("kd", file, archive, *model)
    assert "names no classes: its logits are taken in the order 'cat', 'ant', 'bee'" in notes
    run, notes = learn("kd", file, archive, *model, "teacher.class_order=[2,0,1]")
    assert "names no classes" not in notes
    own = read_arrays(file)["head/bias"]
    np.testing.assert_array_equal(
        teacher_weights(run, resolve_networks(run).teacher_network)["head/bias"], own[[2, 0, 1]]
    )
    with pytest.raises(UsageError, match=r"class_order=\[0, 0, 1\].*each of 0 to 2 once"):
        learn("kd", file, archive, *model, "teacher.class_order=[0,0,1]")


def test_a_light_head_is_mapped_in_its_last_factor(tmp_path, teacher):
    light = {"name": "lightnet_plain", "options": {"widths": [2, 3], "k": 1, "head_rank": 3}}
    train_run(tmp_path / "run", f"npz:{teacher}/data.npz", model=light)
    run, _ = learn("kd", tmp_path / "run", permuted(tmp_path / "data.npz", [2, 0, 1]))
    own = read_arrays(tmp_path / "run" / "checkpoints" / "best.safetensors")
    changed = teacher_weights(run, resolve_networks(run).teacher_network)
    for name, values in own.items():
        expected = values[..., [2, 0, 1]] if name.startswith("head/expand/") else values
        np.testing.assert_array_equal(changed[name], expected)


def test_a_layer_that_does_not_end_in_the_logits_cannot_be_mapped():
    net = NetworkBuilder("odd", (8, 8, 1))
    net.add("conv", Conv2D(filters=3, kernel_size=(8, 8), strides=(8, 8)))
    net.add("norm", BatchNorm(momentum=0.9, epsilon=1e-5))
    net.add("flat", Flatten())
    network = net.build()
    weights = draw_weights(network.parameters, 0)
    with pytest.raises(UsageError, match="last layer 'norm' that gives more than its logits"):
        reordered_head(network, weights, [2, 0, 1])


def test_a_source_of_other_images_is_told(teacher, tmp_path):
    images = np.zeros((60, 12, 12), dtype=np.uint8)
    images[:, 0, 0] = range(60)
    labels = np.array([0, 1, 2] * 20)
    np.savez(tmp_path / "data.npz", images=images, labels=labels, class_names=np.array(CLASSES))
    _, notes = learn("kd", teacher / "run", tmp_path / "data.npz")
    assert "was trained on images of shape (8, 8, 1) and sees (12, 12, 1) here" in notes


def test_a_head_that_is_kept_from_another_run_is_told(teacher, tmp_path):
    """`--weights` of a run with as many classes keeps its head."""
    file = teacher / "run" / "checkpoints" / "best.safetensors"
    make_archive(tmp_path / "data.npz", ["ant", "bee", "dog"], [0, 1, 2] * 20)
    settings = [f"initial_weights={file}", "method=scratch", "model=lightnet_residual"]
    settings += ["model.layer=conv2d", "model.widths=[2,3]"]
    for archive, is_told in ((tmp_path / "data.npz", True), (teacher / "data.npz", False)):
        notes = []
        run = load_run(None, [*settings, f"data.source=npz:{archive}"])
        resolve(run, notes.append)[1].close()
        assert ("was trained on the classes 'ant', 'bee', 'cat'" in " ".join(notes)) == is_told


def test_a_damaged_record_of_a_source_is_one_sentence(teacher, tmp_path):
    shutil.copytree(teacher / "run", tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"run": 3}')
    with pytest.raises(UsageError, match=r"run\.json describes no run"):
        learn("kd", tmp_path / "run", teacher / "data.npz")


def test_a_source_whose_class_folder_was_renamed_is_refused(tmp_path):
    names = [f"{name}/{i}.png" for name in ("dark", "light") for i in range(20)]
    add_images(tmp_path / "data", names)
    train_run(tmp_path / "run", f"folder:{tmp_path}/data")
    (tmp_path / "data" / "light").rename(tmp_path / "data" / "bright")
    run = load_run(
        None,
        [
            "method=kd",
            f"teacher.weights={tmp_path}/run",
            f"data.source=folder:{tmp_path}/data",
            "model=lightnet_residual",
        ],
    )
    with pytest.raises(UsageError, match=r"'dark', 'light'.*'bright', 'dark'"):
        resolve(run)


def test_a_teacher_without_a_record_of_its_data_says_so(teacher, tmp_path):
    """Folders of before class names were recorded."""
    shutil.copytree(teacher / "run", tmp_path / "run")
    record = RunFolder(tmp_path / "run").read_run()
    RunFolder(tmp_path / "run").write_run({"run": record["run"]})
    _, notes = learn("kd", tmp_path / "run", teacher / "data.npz")
    assert "names no classes" in notes


@pytest.mark.parametrize("key", ["teacher_digest", "source_digest"], ids=["today", "former"])
def test_channels_that_were_selected_for_another_teacher_are_refused(key, teacher, tmp_path):
    weights = teacher / "run" / "checkpoints" / "best.safetensors"
    selection = {"format": SELECTION_FORMAT, "taps": {}}
    option = f"method_options.channels_file={tmp_path}/channels.json"
    for digest, is_refused in ((digest_weights(str(weights)), False), ("0" * 64, True)):
        content = {**selection, key: digest}
        (tmp_path / "channels.json").write_text(json.dumps(content))
        if is_refused:
            with pytest.raises(UsageError, match="selected for another teacher"):
                learn("l2t-ww", teacher / "run", teacher / "data.npz", option)
        else:
            learn("l2t-ww", teacher / "run", teacher / "data.npz", option)


def test_a_selection_of_channels_says_what_the_teacher_was_trained_on(
    teacher, tmp_path, monkeypatch
):
    make_archive(tmp_path / "data.npz", ["ant", "bee", "dog"], [0, 1, 2] * 20)
    monkeypatch.setattr(operations, "measure_channel_scores", lambda *a, **o: {})
    events = []
    run = {
        "method": "l2t-ww",
        "model": MODEL,
        "data": {"source": f"npz:{tmp_path}/data.npz"},
        "teacher": {"weights": str(teacher / "run")},
    }
    operations.ServedOperations(stub, events.append, 0.0).channel_scores(run=run, taps=[])
    assert any("was trained on other classes" in event["text"] for event in events)


def test_parity_refuses_what_a_run_would_refuse(teacher, tmp_path, monkeypatch, capsys):
    make_archive(tmp_path / "data.npz", ["ant", "bee", "dog"], [0, 1, 2] * 20)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            *("poc", "parity", "--method", "kd", "--teacher", str(teacher / "run")),
            *("--model", "lightnet_residual", "--data", f"npz:{tmp_path}/data.npz"),
        ],
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "'ant', 'bee', 'cat'" in capsys.readouterr().err
