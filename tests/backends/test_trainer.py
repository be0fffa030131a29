"""Optimisers against NumPy, resuming, repeating, and what happens when a loss is not finite."""

import json
import math

import numpy as np
import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import CheckFailed
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.tests.helpers.measured.separate_process import measured
from poc.tests.helpers.workers.probe import count_steps, optimize, resume
from poc.tests.reference import optimizers as reference

OPTIMIZERS = {
    "sgd": {"name": "sgd", "momentum": 0.0},
    "momentum": {"name": "sgd", "momentum": 0.9},
    "nesterov": {"name": "sgd", "momentum": 0.8, "nesterov": True},
    "adam": {"name": "adam"},
    "adam betas": {"name": "adam", "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-4},
    "adamw": {"name": "adamw"},
}
RATES = [0.02] * 25 + [0.002] * 25


def reference_history(spec, value, target, layer_decay, run_decay):
    """The value after each step of minimising sum((value - target)^4).

    The layer's decay is a term of that loss; so is the run's, but for AdamW.
    """
    is_decoupled = spec["name"] == "adamw"
    decay = layer_decay if is_decoupled else layer_decay + run_decay

    def gradient(current):
        return 4 * (current - target) ** 3

    if spec["name"] == "sgd":
        return reference.sgd(
            value,
            gradient,
            RATES,
            momentum=spec["momentum"],
            nesterov=spec.get("nesterov", False),
            weight_decay=decay,
        )
    return reference.adam(
        value,
        gradient,
        RATES,
        beta1=spec.get("beta1", 0.9),
        beta2=spec.get("beta2", 0.999),
        epsilon=spec.get("epsilon", 1e-8),
        weight_decay=decay,
        decoupled_decay=run_decay if is_decoupled else 0.0,
    )


@pytest.mark.parametrize("run_decay", [0.0, 0.3], ids=["no decay", "decay"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_equals_its_formula(name, run_decay, probe):
    """50 steps across a drop of the rate; the layers' own decays differ between variables."""
    generator = np.random.default_rng(0)
    shapes, decays = [(3, 2), (4,), (2,)], [0.1, 0.0, 0.1]
    values = [generator.normal(size=shape) for shape in shapes]
    targets = [generator.normal(size=shape) for shape in shapes]
    found = probe.call(
        optimize,
        optimizer={**OPTIMIZERS[name], "weight_decay": run_decay},
        values=values,
        weight_decays=decays,
        targets=targets,
        learning_rates=RATES,
    )
    for index, (value, target, decay) in enumerate(zip(values, targets, decays, strict=True)):
        expected = reference_history(OPTIMIZERS[name], value, target, decay, run_decay)
        assert np.abs(expected[0] - value).max() > 1e-4
        for step, wanted in enumerate(expected):
            assert np.allclose(found[step][index], wanted, rtol=1e-12, atol=1e-13), step


TINY = {
    "model": {"name": "lightnet_plain", "options": {"k": 2, "widths": [3], "dropout": 0.3}},
    "input_shape": [6, 6, 1],
    "num_classes": 3,
}


def tiny_run(backend, **fields):
    return RunSpec.parse({**TINY, "backend": backend, **fields}, "")


def draw_batches(count, size=5):
    generator = np.random.default_rng(0)
    return [
        {
            "images": generator.uniform(size=(size, 6, 6, 1)).astype(np.float32),
            "labels": generator.integers(0, 3, size),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_state_and_weights_are_all_that_a_resume_needs(optimizer, probe):
    run = tiny_run(
        probe.backend, optimizer={"name": optimizer, "momentum": 0.9, "weight_decay": 0.01}
    )
    found = probe.call(
        resume,
        run=run.model_dump(mode="json"),
        weights=draw_weights(declare_network(run).parameters, 0),
        batches=draw_batches(6),
    )
    slots = {"sgd": {"momentum"}}.get(optimizer, {"exp_avg", "exp_avg_sq"})
    trainable = [p.name for p in declare_network(run).parameters if p.is_trainable]
    assert found["state"].keys() == {f"{n}/{s}" for n in trainable for s in slots} | {"step"}
    for first, second in (
        ("state", "given_back"),
        ("straight", "resumed"),
        ("straight_state", "resumed_state"),
    ):
        assert found[first].keys() == found[second].keys()
        for name, value in found[first].items():
            assert np.array_equal(found[second][name], value), (first, name)


def test_the_optimizer_state_is_the_same_in_both_backends(workers):
    states = []
    for worker in workers:
        run = tiny_run(worker.backend, precision="float64")
        found = worker.call(
            Operations.train_steps,
            run=run.model_dump(mode="json"),
            weights=draw_weights(declare_network(run).parameters, 0),
            batches=draw_batches(4),
            learning_rates=[1e-3] * 4,
        )
        states.append(found["state"])
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert value.shape == states[1][name].shape, name
        scale = np.abs(value).max()
        assert np.allclose(value, states[1][name], rtol=0, atol=1e-9 * scale), name
    assert states[0]["step"] == 4


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_trainer_that_is_used_again_starts_anew(worker, optimizer):
    """Bit for bit, whatever was trained with it in between."""
    run = tiny_run(worker.backend, optimizer={"name": optimizer})
    first, second = (
        {
            "weights": draw_weights(declare_network(run).parameters, seed),
            "batches": draw_batches(3, 5 + seed),
        }
        for seed in (0, 1)
    )
    found = [
        worker.call(
            Operations.train_steps,
            run=run.model_dump(mode="json"),
            learning_rates=[1e-3] * 3,
            **arguments,
        )
        for arguments in (first, second, first)
    ]
    assert found[0]["losses"] == found[2]["losses"] != found[1]["losses"]
    for part in ("weights", "state"):
        for name, value in found[0][part].items():
            assert np.array_equal(found[2][part][name], value), (part, name)


def test_metrics_are_means_and_name_the_first_bad_step(probe):
    """Since the last call: means over examples, and the index of the first non-finite loss."""
    run = tiny_run(probe.backend)
    good, other = draw_batches(2)
    bad = {**good, "images": np.full_like(good["images"], np.nan)}
    small = {key: value[:2] for key, value in other.items()}
    found = probe.call(
        count_steps,
        run=run.model_dump(mode="json"),
        weights=draw_weights(declare_network(run).parameters, 0),
        groups=[[good, small], [good], [], [good, other, bad, good]],
    )
    assert [metrics["bad_step"] for metrics in found] == [-1, -1, -1, 2]
    assert [metrics["count"] for metrics in found[:3]] == [7, 5, 0]
    assert found[0]["loss"] == pytest.approx(found[0]["loss_hard"])
    assert 0 <= found[0]["accuracy"] <= 1
    assert math.isfinite(found[1]["loss"])
    assert math.isnan(found[3]["loss"])


EMBEDDED = {
    "model": {"name": "lightnet_plain", "options": {"k": 1, "widths": [2, 3], "dropout": 0.2}},
    "data": {"split": {"train_per_class": 8}, "batch_size": 32},
    "num_epochs": 2,
}
SECONDS = ("seconds", "images_per_second", "processor_share")


def train(worker, folder, **fields):
    run = RunSpec.parse({**EMBEDDED, "backend": worker.backend, **fields}, "")
    output = RunFolder.create(folder)
    row = worker.call(
        Operations.train,
        run=run.model_dump(mode="json"),
        folder=str(output.path),
        command="test",
        save_every="10min",
    )
    return output, row


def without_seconds(line):
    return {key: value for key, value in line.items() if not key.endswith(SECONDS)}


def test_the_same_run_twice_is_bit_equal(backend, tmp_path):
    """With as many threads as a user's run has."""
    with Worker(backend, log=tmp_path / "log") as worker:
        first, first_row = train(worker, tmp_path / "first")
        second, second_row = train(worker, tmp_path / "second")
    lines = [[without_seconds(line) for line in run.read_metrics()] for run in (first, second)]
    assert len(lines[0]) == 2
    assert json.dumps(lines[0]) == json.dumps(lines[1])
    ignored = {"folder", "peak_memory_bytes"}
    rows = [
        {key: value for key, value in without_seconds(row).items() if key not in ignored}
        for row in (first_row, second_row)
    ]
    assert rows[0] == rows[1]
    for name in ("best", "last"):
        files = [(run.checkpoints / f"{name}.safetensors").read_bytes() for run in (first, second)]
        assert files[0] == files[1]


def test_another_seed_is_another_run(worker, tmp_path):
    runs = [train(worker, tmp_path / str(seed), seed=seed)[0] for seed in (0, 1)]
    losses = [run.read_metrics()[-1]["train/loss"] for run in runs]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("num_epochs", [1, 4])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(worker, num_epochs, tmp_path):
    """One step an epoch: the first is sound, and its checkpoint outlives the second."""
    data = {"split": {"train_per_class": 8}, "batch_size": 80 if num_epochs > 1 else 20}
    folder = tmp_path / "run"
    with pytest.raises(CheckFailed, match=r"not finite at step 1 \(epoch") as caught:
        train(
            worker,
            folder,
            data=data,
            num_epochs=num_epochs,
            optimizer={"learning_rate": 1e30},
        )
    assert "optimizer.learning_rate" in str(caught.value)
    output = RunFolder(folder)
    record = output.read_run()
    assert record["status"] == "failed"
    assert record["error"] == str(caught.value)
    if num_epochs == 1:
        assert not (output.checkpoints / "last.safetensors").exists()
        return
    weights = read_arrays(output.checkpoints / "last.safetensors")
    assert all(np.isfinite(value).all() for value in weights.values())
    checkpoint = output.read_checkpoint()
    assert checkpoint.loop.epoch == 1
    assert all(np.isfinite(value).all() for value in checkpoint.weights.values())


def test_a_worker_goes_on_after_a_failed_operation(worker):
    with pytest.raises(CheckFailed):
        train_in_nowhere(worker)
    assert worker.call(Operations.describe)["version"]


def train_in_nowhere(worker):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        train(worker, Path(folder) / "run", optimizer={"learning_rate": 1e30})


@pytest.mark.tf
def test_totals_have_a_place_for_each_pair_of_maps():
    """SemCKD watches a value per pair: 23 maps of a teacher and 12 of a student are 276 of them."""
    found = measured("../workers/many_totals_tf.py", "276")
    counted = found["counted"]
    assert found["restored"] == counted
    # Two images, each with the number of the pair.
    assert [counted[f"pair_weight/{pair}"] for pair in (0, 1, 275)] == [0, 2, 550]
    assert (counted["count"], counted["num_steps"], counted["good_steps"]) == (2, 1, 1)
