"""LoRA in each backend's trainer: what moves, what a resume needs, and the merged network."""

import numpy as np
import pytest

from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.weights.merging import merge_run
from poc.tests.helpers.architectures.table import ARCHITECTURES
from poc.tests.helpers.workers.probe import resume

# Row of the architectures -> targets, and how many tensors of terms they have.
ROWS = {
    "vit_ti16": (["attention", "dense"], 2 * (4 + 2) * 2),
    "dinov2_s14": (["*/query", "block2/dense1"], (2 + 1) * 2),
    "lightnet_plain mnist conv2d": (["conv"], 4 * 2),
}


def make_run(row, backend, **fields):
    lora = {"rank": 2, "alpha": 3.0, "targets": ROWS[row][0]}
    run = ARCHITECTURES[row].small_run("float64", method="transfer", lora=lora, **fields)
    return run.replace(backend=backend)


def draw(run):
    """Starting weights, moved a little, so that every tensor acts and no B is zero."""
    generator = np.random.default_rng(1)
    return {
        name: value + generator.uniform(0.01, 0.05, value.shape)
        for name, value in draw_weights(declare_network(run).parameters, 0).items()
    }


def draw_batches(run, size=6):
    generator = np.random.default_rng(0)
    return [
        {
            "images": generator.uniform(size=(size, *run.input_shape)).astype(np.float32),
            "labels": generator.integers(0, run.num_classes, size),
        }
        for _ in range(3)
    ]


@pytest.mark.parametrize("row", ROWS)
def test_only_the_declared_tensors_move_and_a_resume_is_exact(row, probe):
    """After six steps every other tensor has the bits that it began with."""
    run = make_run(row, probe.backend, optimizer={"name": "adamw", "weight_decay": 0.1})
    before = draw(run)
    found = probe.call(
        resume, run=run.model_dump(mode="json"), weights=before, batches=draw_batches(run)
    )
    after = found["straight"]
    moved = {name for name, value in after.items() if value.tobytes() != before[name].tobytes()}
    terms = {name for name in before if "/lora/" in name}
    head = {name for name in before if name.startswith("head/")}
    assert len(terms) == ROWS[row][1]
    assert moved == terms | head
    declared = resolve_networks(run).trained_network.parameters
    assert moved == {p.name for p in declared if p.is_trainable}
    for first, second in (("straight", "resumed"), ("straight_state", "resumed_state")):
        assert found[first].keys() == found[second].keys()
        for name, value in found[first].items():
            assert np.array_equal(value, found[second][name]), name


@pytest.mark.parametrize("row", ROWS)
def test_the_merged_network_gives_the_same_logits(row, probe):
    """In float64, within the rounding of another order of sums."""
    run = make_run(row, probe.backend)
    weights, images = draw(run), draw_batches(run)[0]["images"]
    plain, merged = merge_run(run, weights)
    expected, found = (
        probe.call(Operations.logits, run=one.model_dump(mode="json"), weights=own, images=images)
        for one, own in ((run, weights), (plain, merged))
    )
    assert np.abs(expected).max() > 0.1
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()
