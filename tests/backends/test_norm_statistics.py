"""Batch-norm statistics of a batch against plain NumPy, and of a whole run in both backends."""

import numpy as np
import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.step_numbers import AVERAGE_PREFIX
from poc.shared.engine.worker.operations import Operations
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.tests.helpers.workers.probe import norm_statistics
from poc.tests.reference.layers import apply_network

OPTIONS = {"k": 2, "widths": [3, 4], "dropout": 0.5, "norm_momentum": 0.0}
RUN = {
    "model": {"name": "lightnet_residual", "options": OPTIONS},
    "method": "scratch",
    "input_shape": [9, 8, 2],
    "num_classes": 3,
}
# Rounding alone: no kink lies between the two computations.
TOLERANCES = {"float64": 1e-10, "float32": 1e-5}


@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_batchs_statistics_are_those_of_numpy(precision, probe):
    """A running value that keeps nothing of itself is the batch's; evaluation drops nothing."""
    run = RunSpec.parse({**RUN, "backend": probe.backend, "precision": precision}, "")
    network = declare_network(run)
    weights = draw_weights(network.parameters, 0)
    images = np.random.default_rng(0).normal(size=(5, 9, 8, 2)).astype(np.float32)
    kept = {name: np.ones((5, *shape), bool) for name, (shape, _) in network.dropouts.items()}
    _, after = apply_network(network, weights, images.astype(np.float64), kept, True)
    answer = probe.call(
        norm_statistics, run=run.model_dump(mode="json"), weights=weights, images=images
    )
    found = answer["found"]
    assert found.keys() == {p.name for p in network.parameters if "/moving_" in p.name}
    for name, value in found.items():
        scale = np.abs(after[name]).max()
        assert np.abs(value - after[name]).max() < TOLERANCES[precision] * scale, name
    for name, value in answer["weights"].items():
        assert np.array_equal(value, weights[name].astype(precision)), name


def train(worker, folder, **fields):
    run = RunSpec.parse(
        {
            **{key: RUN[key] for key in ("model", "method")},
            "data": {"split": {"train_per_class": 8}, "batch_size": 32},
            "num_epochs": 1,
            "precision": "float64",
            "backend": worker.backend,
            "norm_statistics": "exact",
            **fields,
        },
        "",
    )
    output = RunFolder.create(folder)
    worker.call(
        Operations.train,
        run=run.model_dump(mode="json"),
        folder=str(output.path),
        command="test",
        save_every="10min",
    )
    return read_arrays(output.checkpoints / "best.safetensors")


def test_a_run_keeps_the_same_exact_statistics_in_both_backends(workers, tmp_path):
    found = [train(worker, tmp_path / worker.backend) for worker in workers]
    running = train(workers[1], tmp_path / "running", norm_statistics="running")
    names = [name for name in found[0] if "/moving_" in name]
    assert len(names) == 12
    for name in found[0]:
        scale = np.abs(found[0][name]).max()
        assert np.abs(found[0][name] - found[1][name]).max() <= 1e-9 * scale, name
    # What is trained does not depend on the statistics; what is evaluated does.
    different = {
        name for name, value in running.items() if not np.array_equal(value, found[1][name])
    }
    assert different <= set(names)
    assert len(different) > 6


def test_an_average_is_judged_with_statistics_of_its_own(probe, tmp_path):
    """One batch has all training images, so that its statistics are those of the pass."""
    fields = {"ema": {"decay": 0.5}, "data": {"split": {"train_per_class": 8}, "batch_size": 80}}
    best = train(probe, tmp_path / "run", num_epochs=3, **fields)
    checkpoint = RunFolder(tmp_path / "run").read_checkpoint()
    averages = {name: checkpoint.trainer_state[AVERAGE_PREFIX + name] for name in best}
    run = RunSpec.parse(RunFolder(tmp_path / "run").read_run()["run"], "")
    run, data = resolve(run)
    with data:
        images = next(iter(data.train_as_evaluated.epoch(0))).images
    assert len(images) == 80

    def measure(weights):
        found = probe.call(
            norm_statistics, run=run.spec.model_dump(mode="json"), weights=weights, images=images
        )
        return found["found"]

    statistics, others = measure(averages), measure(checkpoint.weights)
    assert statistics
    for name, value in best.items():
        expected = statistics.get(name, averages[name])
        assert np.abs(value - expected).max() <= 1e-12 * np.abs(expected).max(), name
    # Those of the training's own weights are others, and are in its own files.
    last = read_arrays(RunFolder(tmp_path / "run").last)
    for name, value in others.items():
        assert np.abs(last[name] - value).max() <= 1e-12 * np.abs(value).max(), name
    moved = [np.abs(value - statistics[name]).max() for name, value in others.items()]
    assert max(moved) > 1e-4
