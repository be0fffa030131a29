"""No printed command can rot: each is taken by the tool as it stands, on data of the named kind.

A command that trains is planned: options, config, keys, data, recipe, weights and networks are made
as ever, and it stops where a process would start. Those of docs/getting_started.md are trained as
well, among the slow tests; test_readme.py runs the README's. What reads a finished run works on a
real one.
Where the named data or weights are not at hand (ImageNet, tfds, the paper's dogs), it must come as
far as asking for them.
"""

import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from poc.cli import cli
from poc.shared.actions import bench, comparison, probe, rates
from poc.shared.actions.cards import package
from poc.shared.actions.demonstration import serve
from poc.shared.actions.habits import experiment
from poc.shared.actions.study import study
from poc.shared.engine.launch import run as launch
from poc.shared.engine.launch import sweep
from poc.shared.engine.ranks.place import ALONE
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.errors import UsageError
from poc.tests.helpers.commands.printed import ROOT, commands_of, printed_commands
from poc.tests.helpers.export.small_onnx import default_spec, write_file

DATA = ROOT.parent / "shared" / "data"
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there"),
]
# Of commands whose data or weights are of other people: they come as far as asking for them.
ELSEWHERE = re.compile(
    r"imagenet_resnet|resnext101_\w+\.toml|inception_resnet_v2_dogs|/paper_|/study_|cifar100\b"
    r"|chest_xray|--weights imagenet|cifar100_|cifar10_|FILE\.pth"
)
ASKS = re.compile(r"\b(PATH|FILE|RUN_FOLDER|SOURCE|tfds|imagenet|keras|torchvision)\b")
# Cells of a sweep that are planned: the rest differs in a number.
NUM_PLANNED_CELLS = 4


class Planned(Exception):  # noqa: N818 - it is no error
    """All that comes before a process was done."""


def plan(run, *_, **__):
    """Open the data, let the recipe fill in, and declare the networks of all stages."""
    resolved, data = resolve(run)
    with data:
        for stage in resolved.stages:
            assert resolved.at_stage(stage.name).trained_network.parameters
        next(iter(data.train.epoch(0)))
    return resolved.spec


def plan_run(run, folder, *_, **__):
    raise Planned(plan(run))


def plan_cells(cells, *_, **__):
    for cell in cells[:NUM_PLANNED_CELLS]:
        plan(cell.run)
    raise Planned


def plan_parity(run, *_, **__):
    plan(run)
    return []


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with everything that the commands name, made by a few of them."""
    folder = tmp_path_factory.mktemp("printed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name in ("configs", "docs"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "made").mkdir()
        (folder / "PATH").symlink_to(DATA / "photos")
        (folder / "FASHION").symlink_to(DATA / "fashion_mnist")
        shutil.copy(ROOT / "docs/results/bench/2026-11-28-l2t_ww.json", "stored.json")
        weights = DATA / "weights"
        for target, source, model, classes in (
            ("LITE0.safetensors", "efficientnet_lite0_imagenet", "efficientnet_lite0", 1000),
            ("DOGS.safetensors", "mobilenetv2_dogs19", "mobilenet_v2", 19),
            ("r32.safetensors", "resnet32_tinyimagenet", "resnet32_cifar", 200),
        ):
            file = weights / f"{source}.safetensors"
            call(f"poc weights convert {file} {target} --model {model} --classes {classes}")
        draw_xrays(folder / "XRAYS")
        write_file(folder / "network.onnx", default_spec(), (12, 10, 1), ["normal", "pneumonia"])
        few = "--data idx:FASHION --set data.split.train_per_class"
        small = "--model lightnet_plain --set layer=conv2d --set widths=[4,6]"
        for run in (
            "--config scratch/embedded_teacher --epochs 1 --output runs/teacher",
            "--epochs 1 --output default",
            f"--config scratch/fashion_mnist_teacher {few}=20 --epochs 1 "
            "--output runs/fashion_teacher",
            "--config scratch/vit_embedded --set data.split.train_per_class=4 --epochs 1 "
            "--output runs/vit",
            f"--config scratch/fashion_mnist_vgg9 {few}=6 --epochs 1 --output runs/vgg9",
            f"--method scratch {small} --data folder:PATH --set image_size=[32,32] --epochs 1 "
            "--output photos",
            f"--method scratch {small} --data folder:XRAYS --epochs 1 --output runs/xrays",
            f"--method fixres --weights none {small} --set train_size=16 --set test_size=24 "
            "--set finetune_epochs=1 --epochs 2 --set data.channels=3 --output cell",
        ):
            call(f"poc run --backend torch {run}")
        call("poc config init --output my.toml")
        shutil.copy("r32.safetensors", "runs/resnet32_tinyimagenet.safetensors")
        call("poc weights factorize runs/teacher --budget-macs 0.4 --output halved")
    return folder


def draw_xrays(folder):
    """Two classes of noise, with enough images for a threshold."""
    random = np.random.default_rng(0)
    for name in ("normal", "pneumonia"):
        (folder / name).mkdir(parents=True)
        for number in range(160):
            pixels = random.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    lines = [f"{name}/{n}.png,{name},{n}" for name in ("normal", "pneumonia") for n in range(160)]
    (folder / "labels.csv").write_text("\n".join(["path,diagnosis,number", *lines]) + "\n")


def call(command):
    """Run a command in this process."""
    return cli.main(shlex.split(command)[1:], standalone_mode=False)


@pytest.fixture
def planning(workplace, monkeypatch):
    """The workplace, where what would start a training process is planned."""
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    monkeypatch.setattr(launch, "train_in_workers", plan_run)
    monkeypatch.setattr(launch, "train_on_ray", plan_ranks)
    monkeypatch.setattr(sweep, "run_sweep", plan_cells)
    monkeypatch.setattr(probe, "run_sweep", plan_cells)
    monkeypatch.setattr(experiment, "run_sweep", plan_cells)
    monkeypatch.setattr(comparison, "check_parity", plan_parity)
    monkeypatch.setattr(comparison, "check_rank_parity", plan_parity)
    monkeypatch.setattr(rates, "sweep_in_worker", plan_run)
    # A page would be served until somebody ends it.
    monkeypatch.setattr(serve, "open_page", plan_page)
    # Every format is exported in processes: test_export_files writes packages.
    monkeypatch.setattr(package, "package_run", plan_package)
    monkeypatch.setattr(study, "search_and_test", plan_study)
    monkeypatch.setattr(bench, "prove_parity", lambda spec, report: ("not climbed", {}))
    monkeypatch.setattr(bench, "run_bench", lambda spec, **_: plan_run(spec.run, None))
    return workplace


def plan_ranks(rank, *_, **__):
    """Stop where a cluster would be asked for, with a run that could be trained."""
    rank(ALONE, False, lambda event: None)


def plan_study(wish, search):
    """Stop where the search would begin, with the runs of all candidates made."""
    assert search.list_first()
    raise Planned


def plan_page(runs, wish, report):
    """Stop where a page would open, on runs that exist."""
    assert all((run / "run.json").is_file() for run in runs), runs
    raise Planned


def plan_package(run, output, **_):
    """Stop where a package would be written, of a run that exists, into a file of a zip's name."""
    assert (run / "run.json").is_file(), run
    assert output.suffix == ".zip", output
    raise Planned


RUNS = (
    "RUN",
    "RUN_FOLDER",
    "DIR",
    "conv",
    "study",
    "methods",
    "sizes",
    "embedded",
    "bf16",
    "four",
    "goog_tf",
)
NAMES = {
    **dict.fromkeys((*RUNS, "goog_torch", "runs/collapse"), "runs/teacher"),
    **dict.fromkeys(("runs/first", "runs/second"), "runs/teacher"),
    **dict.fromkeys(("bench.json", "FILE"), "stored.json"),
    "idx:PATH": "idx:FASHION",
    "csv:FILE": "csv:XRAYS/labels.csv",
    **dict.fromkeys(("idx:FASHION_MNIST", "idx:fashion_mnist"), "idx:FASHION"),
    "folder:OTHER": "folder:PATH",
    "folder:photos": "folder:PATH",
    "folder:../shared/data/photos": "folder:PATH",
    **dict.fromkeys(("LITE0", "lite0.safetensors"), "LITE0.safetensors"),
    **dict.fromkeys(("DOGS", "mobilenetv2_dogs19.safetensors"), "DOGS.safetensors"),
    "FILE.safetensors": "r32.safetensors",
    "resnet32_tinyimagenet.safetensors": "r32.safetensors",
    "CHECKPOINT": str(DATA / "weights" / "resnet32_tinyimagenet.safetensors"),
}


NEW_IMAGES = {
    **dict.fromkeys(("photos", "new_photos", "PATH"), "XRAYS/normal"),
    "photo.jpg": "XRAYS/normal/0.png",
    "more/**/*.png": "XRAYS/**/1*.png",
    "FILE.onnx": "network.onnx",
}


def fit(command):
    """The words of a command with its names for files and folders replaced by the workplace's."""
    words, names = shlex.split(command), dict(NAMES)
    if "GRID/" in command or words[1] == "grid":
        names |= dict.fromkeys(("grid", "DIR", "GRID", "CONTROL"), "cell")
    if words[1] == "evaluate" and "--data" in words:
        names |= dict.fromkeys(RUNS, "photos")
    if words[1] == "calibrate" or "--positive" in words:
        names |= dict.fromkeys(RUNS, "runs/xrays")
    if "--answered-accuracy" in words:
        # Of noise, no more answers are right.
        names["0.95"] = "0.3"
    if words[1:3] == ["weights", "convert"]:
        name = "mobilenetv2_dogs19" if "mobilenet_v2" in words else "efficientnet_lite0_imagenet"
        names["FILE"] = str(DATA / "weights" / f"{name}.safetensors")
    if words[1] == "predict":
        names |= NEW_IMAGES
    if words[1] == "explain":
        # One image each, since pictures take time; and a class of the embedded images.
        names |= {**dict.fromkeys(NEW_IMAGES, "XRAYS/normal/0.png"), "dog": "Bag"}
    if "lwf" in words and "--student" not in words:
        names["RUN_FOLDER"] = "default"
    if "--weights" in words:
        names["FILE"] = "DOGS.safetensors" if "mobilenet_v2" in words else "LITE0.safetensors"
        if "lora_embedded" in command:
            names["FILE"] = "runs/vit/checkpoints/best.safetensors"
        if "collapse" in command:
            names["FILE"] = "runs/vgg9/checkpoints/best.safetensors"
    fitted = ["cell" if word.startswith("GRID/") else names.get(word, word) for word in words[2:]]
    made = f"made/{len(list(Path('made').iterdir()))}"
    for option in ("--output", "--image", "--report", "--export", "--csv"):
        if option in fitted:
            fitted[fitted.index(option) + 1] = made + Path(words[words.index(option) + 1]).suffix
    if "sqlite:///mlflow.db" in words:
        fitted[-1] = f"sqlite:///{made}.db"
    if words[1:3] == ["weights", "convert"]:
        fitted[2] = f"{made}.safetensors"
    return shlex.join([*words[:2], *fitted])


COMMANDS = printed_commands()


@pytest.mark.parametrize("command", [c for c in COMMANDS if not ELSEWHERE.search(c)])
def test_a_printed_command_is_taken(command, planning, capsys):
    fitted = fit(command)
    try:
        call(fitted)
    except Planned:
        return
    except (UsageError, click.UsageError) as error:
        pytest.fail(f"{COMMANDS[command]} prints {command}, here {fitted}: {error}")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [c for c in COMMANDS if ELSEWHERE.search(c)])
def test_a_command_on_data_of_others_asks_for_them(command, tmp_path, monkeypatch, planning):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    with pytest.raises(UsageError) as caught:
        call(command)
    assert ASKS.search(str(caught.value)), caught.value


TRAINS = re.compile(r"poc (run|compare|parity|sweep|probe|bench|rates) (?!.*--resume)")
STARTED = [
    command
    for command in commands_of(ROOT / "docs" / "getting_started.md")
    if TRAINS.match(f"{command} ")
]


def shorten(command):
    """The command with as little training as it can have."""
    kind = command.split()[1]
    if kind == "bench":
        return f"{command} --processes 2 --warmup 1 --steps 5 --seconds 0.1"
    if "fixres" in command:
        return f"{command} --epochs 2 --set finetune_epochs=1"
    return command if kind == "parity" else f"{command} --epochs 1"


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.parametrize("command", STARTED)
def test_a_command_of_getting_started_trains(command, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    call(shorten(fit(command)))
    assert capsys.readouterr().out


def test_rot_is_seen(planning):
    """An option, a key or a config that is gone."""
    for command in (
        "poc run --backend torch --colour red",
        "poc run --backend torch --set colour=red",
        "poc run --backend torch --config configs/scratch/gone.toml",
    ):
        with pytest.raises((UsageError, click.UsageError)):
            call(fit(command))
