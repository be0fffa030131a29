"""Every method in both backends: stopped within epochs and stages, the end is bit-equal."""

from contextlib import nullcontext
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import Terminated
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.tests.conftest import start_worker, write_interpreter
from poc.tests.helpers.commands.processes import facts
from poc.tests.helpers.workers.resume_probe import stop_after

MODEL = {"name": "lightnet_plain", "options": {"widths": [2, 3], "k": 1, "dropout": 0.3}}
DATA = {"split": {"train_per_class": 4}, "batch_size": 8}
OPTIMIZERS = {
    "sgd": {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9, "nesterov": True},
    "adam": {"name": "adam", "weight_decay": 1e-3},
    "adamw": {"name": "adamw", "weight_decay": 1e-2},
}
# Two sizes and two phases that fit small images and three epochs.
OPTIONS = {"fixres": {"train_size": 20, "test_size": 24, "finetune_epochs": 2}}
# Of a method of second order. Its gradient passes through its own update, which has no Nesterov
# form. TensorFlow adds up its second derivatives in an order that depends on the names of
# operations, and they depend on what the process built before: its first trainer differs by 1e-12
# from others. So it needs a process of its own.
PLAIN = {"nesterov": False}
# One of each kind in the fast tests: a plan of stages, and kept outputs of a source.
FAST = ("fitnets", "sgd")
CASES = [
    pytest.param(*case, marks=[] if case == FAST else pytest.mark.slow)
    for case in product(METHODS, OPTIMIZERS)
    if case[1] in (METHODS[case[0]].optimizers or OPTIMIZERS)
    if not METHODS[case[0]].fits_head
]
# Settings that every method has, each in one run; a new option joins with its row.
WEIGHTS = [0.5, 3.0, *[1.25] * 8]
SETTINGS = {
    "weights and smoothing": {"loss": {"class_weights": WEIGHTS, "label_smoothing": 0.1}},
    "focal": {"loss": {"name": "focal", "class_weights": WEIGHTS}},
}
# Options of the update, each with a stop within a group of two batches.
UPDATES = {
    "clipped": {"optimizer": {**OPTIMIZERS["sgd"], "clip_norm": 0.1}},
    "accumulated": {"optimizer": {**OPTIMIZERS["adam"], "accumulation_steps": 2}},
    "averaged": {"optimizer": OPTIMIZERS["adamw"], "ema": {"decay": 0.9}},
    "averaged, exact statistics": {"ema": {"decay": 0.9}, "norm_statistics": "exact"},
    "exempt, product": {
        "optimizer": {
            **OPTIMIZERS["sgd"],
            "weight_decay": 1e-3,
            "decay_exempt": "norms_and_biases",
            "frobenius_decay": 1e-3,
        }
    },
}
# One of them has all that a checkpoint keeps in addition.
FAST_UPDATE = "accumulated and averaged"
UPDATES[FAST_UPDATE] = UPDATES["accumulated"] | UPDATES["averaged, exact statistics"]
# A network that ends in a dense layer, as a fitted head needs it.
DENSE = {**MODEL, "options": {**MODEL["options"], "layer": "conv2d", "head": "dense"}}
# Five steps an epoch: in the first stage, between two epochs, in the second stage.
STOPS = [2, 5, 8, 14]


@pytest.fixture(scope="module")
def start_stopping_worker(backend, tmp_path_factory):
    """Starts a worker of the backend that can be told to stop."""
    folder = tmp_path_factory.mktemp(f"{backend}_stopping")
    script = Path(__file__).parents[1] / "helpers" / "workers" / "resume_probe.py"
    interpreter = write_interpreter(folder / "python", script)
    variable = {f"POC_{backend.upper()}_PYTHON": str(interpreter)}
    return lambda: start_worker(backend, folder, **variable)


@pytest.fixture(scope="module")
def stopping_worker(start_stopping_worker):
    with start_stopping_worker() as worker:
        yield worker


def make_run(method, optimizer, backend, folder):
    values = {
        "backend": backend,
        "method": method,
        "method_options": OPTIONS.get(method, {}),
        "model": MODEL,
        "data": DATA,
        "num_epochs": 3,
        "optimizer": OPTIMIZERS[optimizer] | (PLAIN if METHODS[method].is_second_order else {}),
        "schedule": {"name": "cosine"},
    }
    if METHODS[method].distillation is not None:
        source = RunSpec.parse(
            {"method": "scratch", "model": MODEL, "input_shape": [28, 28, 1], "num_classes": 10}, ""
        )
        path = folder / "source.safetensors"
        write_arrays(path, draw_weights(declare_network(source).parameters, 9))
        values["teacher"] = {"weights": str(path), "model": MODEL, "cache": True}
    return RunSpec.parse(values, "").model_dump(mode="json")


@pytest.mark.parametrize(("method", "optimizer"), CASES)
def test_a_method_resumes_to_the_same_bits(
    method, optimizer, stopping_worker, start_stopping_worker, tmp_path
):
    run = make_run(method, optimizer, stopping_worker.backend, tmp_path)
    # A command has a process of its own; here that costs seconds, and few methods need it.
    shared = partial(nullcontext, stopping_worker)
    fresh = start_stopping_worker if METHODS[method].is_second_order else shared
    stops = STOPS[2:3] if (method, optimizer) == FAST else STOPS
    check_resumes(run, fresh, stops, tmp_path)
    print(f"stops, {stopping_worker.backend}, {method}, {optimizer}: {len(stops)}, lost: 0 bits")


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.fits_head])
def test_a_fitted_head_resumes_to_the_same_bits(method, stopping_worker, tmp_path):
    """Stopped among the features, and when all are there and the head is not fitted yet."""
    values = {"backend": stopping_worker.backend, "method": method, "model": DENSE, "data": DATA}
    run = RunSpec.parse(values, "").model_dump(mode="json")
    check_resumes(run, partial(nullcontext, stopping_worker), [2, 5], tmp_path)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == FAST_UPDATE else pytest.mark.slow) for n in UPDATES],
)
def test_an_update_resumes_to_the_same_bits(name, stopping_worker, tmp_path):
    """Step 8 is the third batch of an epoch: the first of its group."""
    run = make_run("lightlayers", "sgd", stopping_worker.backend, tmp_path) | UPDATES[name]
    check_resumes(run, partial(nullcontext, stopping_worker), STOPS[2:], tmp_path)


@pytest.mark.parametrize("row", SETTINGS)
def test_a_setting_resumes_to_the_same_bits(row, stopping_worker, tmp_path):
    """Stopped in an epoch and between two; a resume reads what the stopped run has recorded."""
    run = make_run("scratch", "adam", stopping_worker.backend, tmp_path)
    run = RunSpec.parse({**run, **SETTINGS[row]}, "").model_dump(mode="json")
    check_resumes(run, partial(nullcontext, stopping_worker), STOPS[:2], tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        # The outputs of the frozen body are kept; some images are drawn only after the stops.
        pytest.param({"sampling": "balanced"}, marks=pytest.mark.slow),
        {"sampling": "balanced", "train_view": {"policy": "trivialaugment", "mixup": 0.4}},
    ],
    ids=["balanced, kept outputs", "balanced, policy"],
)
def test_drawn_images_resume_to_the_same_bits(more, stopping_worker, tmp_path):
    run = make_run("transfer", "adam", stopping_worker.backend, tmp_path)
    run["data"] |= RunSpec.parse({"data": {**DATA, **more}}, "").model_dump(mode="json")["data"]
    run["method_options"]["feature_cache"] = "off" if "train_view" in more else "memory"
    check_resumes(run, partial(nullcontext, stopping_worker), [2, 8], tmp_path)


def check_resumes(run, start, stops, tmp_path):
    """A run that is stopped after these steps ends with the bits of one that is not."""
    folders = [str(RunFolder.create(tmp_path / name).path) for name in ("whole", "parts")]

    def train(folder, steps, *, is_resumed=False):
        # As `poc run --resume` reads it.
        started = RunFolder(folder).read_run()["run"] if is_resumed else run
        with start() as worker:
            worker.call(stop_after, steps=steps)
            worker.call(
                Operations.train,
                run=started,
                folder=folder,
                command="",
                save_every="10min",
                is_resumed=is_resumed,
            )

    train(folders[0], [])
    for stop in stops:
        with pytest.raises(Terminated, match=f"step {stop}, which is saved"):
            train(folders[1], stops, is_resumed=stop != stops[0])
    train(folders[1], stops, is_resumed=True)
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")
