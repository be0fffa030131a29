"""Combinations that cannot work: refused in under a second, before a process or a file exists."""

import time

import pytest

from poc.cli import cli
from poc.shared.actions import comparison
from poc.shared.engine.launch import batch_size
from poc.shared.engine.launch import run as launch
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec

# Settings -> words of the message: what does not fit what.
IMPOSSIBLE = {
    "method x source": (["method=kd"], ["'kd'", "without a teacher", "--teacher"]),
    "source x method": (["method=scratch", "teacher.weights=FILE"], ["'scratch'", "kd"]),
    "source x nothing": (["method=kd", "teacher.weights=nowhere"], ["'nowhere'"]),
    "source x model": (
        ["method=kd", "teacher.weights=FILE", "teacher.model.name=lightnet_residual"],
        ["FILE"],
    ),
    "source x views": (
        ["method=kd", "teacher.weights=FILE", "teacher.cache=true", "train_view.shift=0.1"],
        ["teacher.cache=true", "random views"],
    ),
    "source x normalisation": (
        ["method=kd", "teacher.weights=FILE", "teacher.normalization=tf"],
        ["data.normalization='unit'", "'tf'"],
    ),
    "method x model": (["method=lightlayers", "model=vgg16"], ["'lightlayers'", "'vgg16'"]),
    "model x images": (["method=scratch", "model=conv2d_chain"], ["conv2d_chain"]),
    "model x image size": (
        ["method=scratch", "model=conv2d_chain", "data.source=folder:.", "image_size=[20,20]"],
        ["conv2d_chain"],
    ),
    "normalisation x grey": (["normalization=torch"], ["'torch'", "data.channels=3"]),
    "weights x nothing": (["initial_weights=nowhere"], ["'nowhere'"]),
    "weights x model": (
        ["model=lightnet_residual", "initial_weights=FILE"],
        ["FILE", "without", "lightnet_residual has"],
    ),
    "weights x options": (
        ["model.k=7", "initial_weights=FILE"],
        ["FILE", "block1/conv1/reduce/kernel", "for lightnet_plain"],
    ),
    "weights x method": (
        ["method=transfer", "model=lightnet_plain", "initial_weights=HEAD", "new_head=false"],
        ["HEAD", "gives 7 classes. Expected 10", "new_head=true"],
    ),
    "imagenet x model": (["initial_weights=imagenet"], ["imagenet", "lightnet_plain"]),
    "nesterov x momentum": (
        ["optimizer.name=sgd", "optimizer.momentum=0.0", "optimizer.nesterov=true"],
        ["nesterov", "momentum"],
    ),
    "decay of products x model": (
        ["method=scratch", "model=vgg9_bn", "image_size=[32,32]", "optimizer.frobenius_decay=1e-4"],
        ["frobenius_decay=0.0001 for vgg9_bn", "model.factors", "optimizer.weight_decay=0.0001"],
    ),
    "clipping x own update": (
        ["method=l2t-ww", "teacher.weights=FILE", "optimizer.clip_norm=2.0"],
        ["optimizer.clip_norm=2.0", "'l2t-ww'", "Try method_options.clip_norm=2.0 instead"],
    ),
    "accumulation x own update": (
        ["method=l2t-ww", "teacher.weights=FILE", "optimizer.accumulation_steps=4"],
        ["optimizer.accumulation_steps=4", "'l2t-ww'", "a smaller data.batch_size"],
    ),
    "decay of products x own update": (
        ["method=l2t-ww", "teacher.weights=FILE", "optimizer.frobenius_decay=0.1"],
        ["optimizer.frobenius_decay=0.1", "'l2t-ww'", "optimizer.weight_decay=0.1"],
    ),
    "crop x resize": (["train_view.resize=shorter_side"], ["crop", "different sizes"]),
    "options x model": (["model=vgg16", "method=scratch", "model.k=2"], ["model.k"]),
    "removed x model": (
        ["model=lightnet_residual", "model.removed=['block9']", "method=scratch"],
        ["block9"],
    ),
    "factors x model": (
        ["method=scratch", "model=resnet18", "image_size=[64,64]", "model.factors={nope={rank=2}}"],
        ["'nope'", "20 convolutions", "`poc models summary resnet18`"],
    ),
    "factors x light layers": (["model.factors={nope={rank=2}}"], ["Try removing model.factors"]),
    "factors x number": (["model.factors={conv1=1}"], ["model.factors.conv1=1", "rank, variant"]),
    "blocks x time": (
        ["method=scratch", "model=resnet32_cifar", "model.blocks_per_stage=1000000"],
        ["blocks_per_stage=1000000", "200"],
    ),
    "classes x machine": (
        [
            "method=transfer",
            "initial_weights=FILE",
            "model=lightnet_plain",
            f"num_classes={'9' * 22}",
        ],
        ["head of lightnet_plain", "Expected at most", "classes"],
    ),
    "teacher x architecture": (
        ["method=kd", "teacher.weights=FILE", "model=resnet32_cifar"],
        ["FILE", "resnet32_cifar", "teacher.model"],
    ),
    "pairs x maps": (
        ["method=fitnets", "teacher.weights=FILE", 'pairs=["block1>logits"]'],
        ["student 'logits'", "Try block1 or block2 or block3."],
    ),
    "pairs x form": (
        ["method=fitnets", "teacher.weights=FILE", 'pairs=["block1"]'],
        ['Try method_options.pairs=["block1>block1"].'],
    ),
    "rows x batch": (
        ["method=semckd", "teacher.weights=FILE", "row_length=32", "batch_size=64"],
        ["row_length=32", "data.batch_size=64", "Try leaving row_length out."],
    ),
    "rows x one image": (
        ["method=semckd", "teacher.weights=FILE", "batch_size=1"],
        ["data.batch_size=1 for semckd", "at least 2"],
    ),
    "rows x range": (
        ["method=semckd", "precision=float16"],
        ["'semckd'", "65,504", "precision=bfloat16"],
    ),
    "fold x folds": (["split.kind=kfold", "split.num_folds=3", "split.fold=3"], ["fold"]),
    "focal x smoothing": (
        ["loss.name=focal", "loss.label_smoothing=0.1"],
        ["'focal'", "loss.label_smoothing=0.1", "Try loss.name=cross_entropy"],
    ),
    "focal x mixup": (["loss.name=focal", "train_view.mixup=0.4"], ["'focal'", "mixup=0.4"]),
    "class weights x classes": (
        ["loss.class_weights=[1.0, 2.0]"],
        ["[1.0, 2.0], of length 2, for 10 classes", "Try loss.class_weights=balanced"],
    ),
    "labels x kd": (
        ["loss.name=binary_cross_entropy", "method=kd"],
        ["the method 'kd'", "--method scratch"],
    ),
    "labels x class weights": (
        ["loss.name=binary_cross_entropy", "loss.class_weights=[1, 2]"],
        ["with loss.class_weights", "removing loss.class_weights"],
    ),
    "labels x smoothing": (
        ["loss.name=binary_cross_entropy", "loss.label_smoothing=0.1"],
        ["with loss.label_smoothing"],
    ),
    "labels x sampling": (
        ["loss.name=binary_cross_entropy", "sampling=balanced"],
        ["with data.sampling='balanced'", "removing data.sampling"],
    ),
    "class weights x sampling": (
        ["loss.class_weights=balanced", "sampling=balanced"],
        ["Expected one of them", "removing loss.class_weights"],
    ),
    "labels x mean of five crops": (
        ["loss.name=binary_cross_entropy", "eval_view.crop=five", "image_size=[16,16]"],
        ["data.eval_view.average=logits"],
    ),
    "labels x one class per image": (
        ["loss.name=binary_cross_entropy"],
        ["one class each", "Try loss.name=cross_entropy"],
    ),
    "class weights x nothing": (["loss.class_weights=[0, 0]"], ["not all 0"]),
    "sampling x order": (["sampling=balanced", "shuffle=false"], ["data.sampling", "shuffle"]),
    "one cycle x warm-up": (
        ["schedule.name=one_cycle", "schedule.warmup_steps=5"],
        ["schedule.warmup_steps=5", "rise_fraction"],
    ),
    "held-out half x batch of one": (
        ["method=l2t-ww", "method_options.meta_batch=held_out", "batch_size=1"],
        ["data.batch_size=1", "Try data.batch_size=2"],
    ),
    "milestone x run": (["schedule.name=step", "schedule.milestones=[30]"], ["milestones"]),
}


@pytest.fixture
def weights(tmp_path):
    run = RunSpec.parse(
        {
            "method": "scratch",
            "model": {"name": "lightnet_plain"},
            "input_shape": [28, 28, 1],
            "num_classes": 10,
        },
        "",
    )
    paths = {"FILE": tmp_path / "source.safetensors", "HEAD": tmp_path / "head.safetensors"}
    for path, num_classes in zip(paths.values(), (10, 7), strict=True):
        own = run.replace(num_classes=num_classes)
        write_arrays(path, draw_weights(declare_network(own).parameters, 0))
    return paths


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_it_is_refused_at_once(name, weights, tmp_path, monkeypatch):
    def loaded(*arguments, **options):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(launch, "Worker", loaded)
    monkeypatch.setattr("poc.shared.engine.launch.imagenet.Worker", loaded)
    assignments, words = IMPOSSIBLE[name]

    def fill(text):
        for name, path in weights.items():
            text = text.replace(name, str(path))
        return text

    assignments = [fill(text) for text in assignments]
    started = time.process_time()
    with pytest.raises(UsageError) as caught:
        launch.launch_run(
            load_run(None, assignments), tmp_path / "run", command="", overwrite=False, report=print
        )
    assert time.process_time() - started < 1
    message = str(caught.value)
    assert [word for word in words if fill(word) not in message] == []
    assert message.startswith("Got ")
    assert "\n" not in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["compare", "--method", "kd"], "without a teacher"),
        (["compare", "--method", "kd", "--batch-size", "auto"], "without a teacher"),
        (["compare", "--save-every", "soon"], "--save-every 'soon'"),
        (["compare", "--set", "patience=2", "--set", "min_validation_images=999"], "patience"),
        (["run", "--backend", "tf", "--method", "kd", "--batch-size", "auto"], "without a teacher"),
    ],
)
def test_a_command_refuses_it_before_it_tries_batches_or_climbs(arguments, word, monkeypatch):
    def loaded(*arguments, **options):
        raise AssertionError("a worker was started")

    for module in (launch, batch_size, comparison):
        monkeypatch.setattr(module, "Worker", loaded)
    with pytest.raises(UsageError, match=word):
        cli.main(arguments, standalone_mode=False)
