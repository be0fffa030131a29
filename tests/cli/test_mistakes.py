"""Things that people type wrongly: exit code 2, and what to type instead."""

import re

import numpy as np
import pytest

from poc.shared.engine.folder.former_runs import RUN_FORMAT
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.run import resume_run
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.reading.keys import list_keys
from poc.shared.spec.reading.shipped import describe_config, find_config, shipped_configs
from poc.shared.spec.run import RunSpec

RUN = ["run", "--backend", "torch"]


def settings(*texts):
    return [*RUN, *(word for text in texts for word in ("--set", text))]


def photos(folder):
    """A folder of images whose scheme the user forgets."""
    (folder / "photos" / "cat").mkdir(parents=True)
    return folder / "photos"


def idx(folder):
    (folder / "digits").mkdir()
    (folder / "digits" / "train-images-idx3-ubyte").write_bytes(b"")
    return folder / "digits"


def archive(folder):
    np.savez(folder / "a.npz", images=np.zeros((2, 8, 8), np.uint8), labels=np.arange(2))
    return folder / "a.npz"


def odd_weights(folder):
    write_arrays(folder / "odd.safetensors", {"some.tensor": np.zeros(3, np.float32)})
    return folder / "odd.safetensors"


def weights_of(name, folder):
    """A canonical file of a model."""
    network = ModelSpec(name=name).declare(find_model(name).example_input, 10)
    arrays = {p.name: np.zeros(p.shape, np.float32) for p in network.parameters}
    write_arrays(folder / "w.safetensors", arrays, model=name)
    return folder / "w.safetensors"


def run_folder(folder):
    """A run folder with its best weights, which somebody names in their place."""
    (folder / "run" / "checkpoints").mkdir(parents=True)
    write_arrays(folder / "run" / "checkpoints" / "best.safetensors", {"b": np.zeros(1)})
    return folder / "run"


def weights_cut_short(folder):
    """The first half of a file."""
    path = weights_of("conv2d_chain", folder)
    path.write_bytes(path.read_bytes()[:3000])
    return path


def weights_renamed(folder):
    return weights_of("conv2d_chain", folder).rename(folder / "w.pth")


# Arguments (a function makes what it needs in the folder), what the answer tells to type.
MISTAKES = {
    "--lr": ([*RUN, "--lr", "0.1"], "--set learning_rate=VALUE"),
    "--learning-rate": ([*RUN, "--learning-rate", "0.1"], "--set learning_rate=VALUE"),
    "--source": ([*RUN, "--source", "x"], "its new name, --teacher. Try --teacher PATH"),
    "--target": ([*RUN, "--target", "vgg9_bn"], "its new name, --student. Try --student NAME"),
    "source.weights": (settings("method=kd", "source.weights=x"), "Try teacher"),
    "both -q and -v": ([*RUN, "-q", "-v"], "Try removing one"),
    "--device": ([*RUN, "--device", "gpu"], "--set device=VALUE"),
    "--epoch": ([*RUN, "--epoch", "3"], "Try --epochs VALUE"),
    "--num-epochs": ([*RUN, "--num-epochs", "3"], "Try --epochs VALUE"),
    "--batch_size": ([*RUN, "--batch_size", "3"], "Try --batch-size VALUE,"),
    "--batch": ([*RUN, "--batch", "3"], "Try --batch-size VALUE,"),
    "--batchsize": ([*RUN, "--batchsize", "3"], "--batch-size"),
    "--optimizer": ([*RUN, "--optimizer", "adam"], "--set optimizer.name=VALUE"),
    "--out": ([*RUN, "--out", "x"], "--output"),
    "--image-size": ([*RUN, "--image-size", "64"], "--set image_size=VALUE"),
    "epochs=3": ([*RUN, "epochs=3"], "--set num_epochs=3"),
    "k=3": ([*RUN, "k=3"], "--set k=3"),
    "--set epochs": (settings("epochs=3"), "num_epochs"),
    "--set lr": (settings("lr=0.1"), "learning_rate"),
    "--set optimizer.lr": (settings("optimizer.lr=0.1"), "learning_rate"),
    "--set wd": (settings("wd=0.1"), "weight_decay"),
    "--set learningrate": (settings("learningrate=0.1"), "learning_rate"),
    "--set scheduler": (settings("scheduler=cosine"), "schedule.name"),
    "--set workers": (settings("workers=2"), "num_workers"),
    "--set imgsz": (settings("imgsz=224"), "image_size"),
    "--set data.imagesize": (settings("data.imagesize=[8,8]"), "image_size"),
    "--set horizontal_flp": (settings("train_view.horizontal_flp=0.5"), "horizontal_flip"),
    "--set nonsense": (settings("nonsense=1"), "poc config keys"),
    "image_size=224": (settings("image_size=224"), "image_size=[224, 224]"),
    "fractions of two": (settings("data.split.fractions=[0.8,0.2]"), "[0.64, 0.16, 0.2]"),
    "optimizer=adamw": (settings("optimizer=adamw"), "Try optimizer.name=adamw"),
    "schedule=cosine": (settings("schedule=cosine"), "Try schedule.name=cosine"),
    "split=kfold": (settings("split=kfold"), "Try data.split.kind=kfold"),
    "optimizer=3": (settings("optimizer=3"), "learning_rate"),
    "twice one option": ([*RUN, "--epochs", "3", "--epochs", "5"], "--epochs 2 times"),
    "twice one setting": (settings("k=2", "k=3"), "k=2 and k=3"),
    "option and setting": ([*settings("num_epochs=4"), "--epochs", "3"], "Expected one value"),
    "optimizer nearly": (settings("optimizer.name=sdg"), "Try optimizer.name=sgd."),
    "optimizer of no such name": (settings("optimizer.name=x"), "Try optimizer.name=adam, the"),
    "choice by the recipe": (
        settings("schedule.name=x"),
        "Try removing schedule.name, which leaves",
    ),
    "choice without a default": (
        settings("method=kd", "teacher.normalization=x"),
        "Try teacher.normalization=unit.",
    ),
    "number above": (settings("optimizer.beta2=3"), "Try optimizer.beta2=0.999, the default."),
    "number without a default": (settings("data.channels=2.5"), "an example of `poc config keys`"),
    "entry of a list": (
        settings('split.fractions=["a",0.5,0.5]'),
        "Try data.split.fractions=[0.64, 0.16, 0.2], the default.",
    ),
    "rank of nothing": (
        settings("model.factors.conv1.rank=0"),
        "Try model.factors.conv1.rank=1.",
    ),
    "method nearly": (["run", "--backend", "tf", "--method", "lightlayer"], "Try lightlayers."),
    "method": (["run", "--backend", "tf", "--method", "atention-transfer"], "Try attention_tran"),
    "model of another method": (
        ["run", "--backend", "tf", "--model", "lightnet-plane", "--method", "kd"],
        "Try lightnet_plain",
    ),
    "resnet18 for lightlayers": (
        [*RUN, "--method", "lightlayers", "--model", "resnet18"],
        "Try --model lightnet_plain, or --method scratch.",
    ),
    "teacher of a method without": (
        settings("method=scratch", "teacher.weights=x"),
        "Try --method kd, or remove the teacher.",
    ),
    "block nearly": (
        settings("method=scratch", "model=resnet18", 'model.removed=["layr3/1"]'),
        "Try layer3/1.",
    ),
    "blocks of a model without": (
        settings("method=scratch", "model=simple_cnn", 'model.removed=["block1"]'),
        "Expected none, since this model has no blocks. Try removing model.removed.",
    ),
    "factor nearly": (
        settings(
            *("method=scratch", "model=resnet18"),
            'model.factors={"layer1/1/con1" = {variant = "spatial", rank = 1}}',
        ),
        "Try layer1/1/conv1.",
    ),
    "tensorflow": (["run", "--backend", "tensorflow"], "Try backend=tf"),
    "pytorch": (["run", "--backend", "pytorch"], "Try backend=torch"),
    "cuda": (settings("device=cuda"), "Try device=gpu"),
    "export of no format": (["export", "runs/x"], "one of onnx, tflite. Try --format onnx"),
    "model without a method": ([*RUN, "--model", "resnet18"], "or --method scratch"),
    "option of another model": (
        settings("lineage=keras"),
        "lightnet_plain is the default model of lightlayers: --model names another",
    ),
    "--data path": (lambda f: [*RUN, "--data", photos(f)], "Try writing folder:"),
    "--data idx path": (lambda f: [*RUN, "--data", idx(f)], "Try writing idx:"),
    "--data npz path": (lambda f: [*RUN, "--data", archive(f)], "Try writing npz:"),
    "--data nothing": ([*RUN, "--data", "phots"], "Try writing folder:phots, if that is a folder"),
    "--data nearly": ([*RUN, "--data", "foldr:photos"], "Try writing folder:photos."),
    "--data embedded nearly": ([*RUN, "--data", "embeded"], "Try embedded."),
    "--data tfds": ([*RUN, "--data", "tfds"], "Try tfds:NAME[:CONFIG]."),
    "resnet-18": ([*RUN, "--model", "resnet-18"], "Try resnet18"),
    "mobilenetv2": ([*RUN, "--model", "mobilenetv2"], "Try mobilenet_v2"),
    "--weights run folder": (
        lambda f: [*RUN, "--method", "transfer", "--weights", run_folder(f)],
        "checkpoints/best.safetensors",
    ),
    "--weights nofile": ([*RUN, "--method", "transfer", "--weights", "none.pt"], "is no file"),
    "weights cut short": (
        lambda f: [*RUN, "--method", "scratch", "--weights", weights_cut_short(f)],
        "damaged or no safetensors file",
    ),
    "weights renamed": (
        lambda f: [*RUN, "--method", "scratch", "--weights", weights_renamed(f)],
        "a safetensors file by its content. Expected a name with the suffix of its content. Try "
        "renaming it to 'w.saf",
    ),
    "learning_rate=nan": (settings("learning_rate=nan"), "Expected a finite number"),
    "two of three fractions": (settings("split.fractions=[0.5,0.5]"), "of 3 entries (got 2)"),
    "four fractions": (settings("split.fractions=[1,2,3,4]"), "of 3 entries (got 4)"),
    "no widths": (settings("widths=[]"), "of at least 1 entry (got 0)"),
    "one size": (settings("image_size=[32]"), "of 2 entries (got 1)"),
    "no config": ([*RUN, "--config", ""], "a folder or an empty name. Expected a TOML file"),
    "grey images for RGB weights": (
        lambda f: [
            *settings("image_size=[32,32]", "normalization=unit"),
            *("--method", "transfer", "--weights", weights_of("resnet32_cifar", f)),
        ],
        "Try --set channels=3, which repeats the grey channel",
    ),
    "channels=1 for RGB weights": (
        lambda f: [
            *settings("channels=1", "image_size=[32,32]", "normalization=unit"),
            *("--method", "transfer", "--weights", weights_of("resnet32_cifar", f)),
            *("--data", f"folder:{photos(f)}"),
        ],
        "Try --set channels=3 instead of channels=1",
    ),
    "config of a method": ([*RUN, "--config", "kd"], "Try kd/cifar100_resnet110_resnet20 or kd/"),
    "config of no such name": ([*RUN, "--config", "zzz"], "Try lightlayers/embedded."),
    "imagenet weights": (
        [
            *RUN,
            "--method",
            "transfer",
            "--model",
            "efficientnet_lite0",
            "--weights",
            "imagenet",
            "-q",
        ],
        "Try --model efficientnet_b0, or name",
    ),
    "imagenet weights of none near": (
        [*RUN, "--method", "transfer", "--model", "googlenet", "--weights", "imagenet", "-q"],
        "Try --model mobilenet_v2, or name",
    ),
    "config nearly": ([*RUN, "--config", "lightlayers/embeded"], "lightlayers/embedded"),
    "data command": (["data", "describ"], "describe"),
    "batch of more than all": (
        settings("data.split.train_per_class=4", "batch_size=64", "drop_last=true"),
        "batch_size",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_what_to_type(name, poc, tmp_path):
    arguments, answer = MISTAKES[name]
    code, output, errors = poc(*(arguments(tmp_path) if callable(arguments) else arguments))
    assert (code, output) == (2, "")
    assert errors.startswith("poc: ")
    assert answer in errors
    # At most three sentences of a length that is read, and the page of that very command.
    assert len(errors) < 420
    assert len(re.findall(r"\.(?= [A-Z])", errors)) <= 2
    if " --help`" in errors:
        assert re.search(f"[Ss]ee `poc {arguments[0]} --help`", errors)


@pytest.mark.parametrize(
    ("arguments", "file", "answer"),
    [
        (["--model", "resnet18"], "resnet18",
         "for the method 'lightlayers', the default. Expected one of lightnet_plain, "
         "lightnet_residual, conv2d_chain. Try --method transfer for a new head on these weights"),
        ([], "resnet18", "Try --method transfer for a new head on these weights"),
        (["--method", "lightlayers", "--model", "resnet18"], "resnet18",
         "for the method 'lightlayers'. Expected one of"),
        (["--method", "transfer"], "odd",
         "efficientnet_lite0 is the default model of transfer: --model names another"),
    ],
)  # fmt: skip
def test_weights_for_something_else_are_answered_with_what_to_type(
    arguments,
    file,
    answer,
    poc,
    tmp_path,
):
    path = odd_weights(tmp_path) if file == "odd" else weights_of(file, tmp_path)
    code, output, errors = poc(*RUN, *arguments, "--weights", path)
    assert (code, output) == (2, "")
    assert answer in errors.splitlines()[-1]


def test_there_are_forty() -> None:
    assert len(MISTAKES) >= 40


def test_a_shipped_config_is_found_from_any_folder(poc):
    code, output, _ = poc("config", "list")
    assert code == 0
    assert "lightlayers/embedded: " in output
    code, shown, _ = poc("config", "show", "lightlayers/embedded")
    assert code == 0
    assert shown == shipped_configs()["lightlayers/embedded"].read_text(encoding="utf-8")
    # As a page prints it, in a folder that holds no configs.
    code, again, _ = poc("config", "show", "configs/lightlayers/embedded.toml")
    assert again == shown


def test_a_file_of_ones_own_comes_before_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "configs" / "lightlayers" / "embedded.toml"
    own.parent.mkdir(parents=True)
    own.write_text("seed = 5")
    assert find_config("configs/lightlayers/embedded.toml").read_text() == "seed = 5"
    assert find_config("lightlayers/embedded").read_text() != "seed = 5"


def test_a_folder_hides_no_shipped_config_and_a_file_does_not_silently(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "lightlayers" / "embedded"
    own.mkdir(parents=True)
    assert find_config("lightlayers/embedded").name == "embedded.toml"
    own.rmdir()
    own.write_text("seed = 5")
    with pytest.raises(UsageError, match=r"Try configs/lightlayers/embedded for the shipped"):
        find_config("lightlayers/embedded")
    assert find_config("configs/lightlayers/embedded").read_text() != "seed = 5"
    assert find_config(own).read_text() == "seed = 5"


@pytest.mark.parametrize("arguments", [[], ["weights"]])
def test_a_group_alone_prints_its_page(arguments, poc):
    code, output, errors = poc(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("Usage: poc")
    assert "\nCommands:\n" in errors
    assert "\\n" not in errors


def test_every_shipped_config_says_what_it_is():
    for name, config in shipped_configs().items():
        command, summary = describe_config(config)
        assert name in command
        assert len(summary) > 10


def test_every_key_is_listed_once_with_its_meaning():
    rows = list(list_keys("kd", "resnet18"))
    keys = [row["key"] for row in rows]
    assert len(keys) == len(set(keys))
    assert all(row["description"] for row in rows)
    known = {"optimizer.learning_rate", "data.train_view.mixup", "method_options.temperature"}
    assert known <= set(keys)


def test_a_finished_run_that_is_resumed_says_so(tmp_path):
    folder, told = RunFolder(tmp_path / "run"), []
    folder.path.mkdir()
    folder.write_run({"format": RUN_FORMAT, "run": RunSpec().model_dump(mode="json")})
    folder.write_summary({"test_accuracy": 0.5})
    folder.mark("finished")
    row = resume_run(folder.path, command="poc run", report=told.append)
    assert row == {"test_accuracy": 0.5, "folder": str(folder.path)}
    (event,) = told
    assert event["text"] == f"The run of {folder.path} had finished: this is its row."
