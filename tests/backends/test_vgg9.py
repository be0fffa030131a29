"""The last pool of VGG9-BN, by hand: the largest of four pixels, not their mean."""

import numpy as np
import pytest

from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec

EPSILON = 1e-5
# The largest pixel of each quarter of the image, which four 2x2 max-pools leave of it.
QUARTERS = np.array([[1.0, 2.0], [3.0, 6.0]])
HEAD, BIAS = np.array([[1.0, -1.0, 0.5]]), np.array([0.0, 0.0, 10.0])
# The maximum is 6, the mean (1 + 2 + 3 + 6) / 4 = 3; times the head, plus its bias.
LOGITS = {True: [6.0, -6.0, 13.0], False: [3.0, -3.0, 11.5]}


def declare(last_pool):
    options = {"width": 1e-3, "last_pool": last_pool}
    values = {
        "method": "scratch",
        "model": {"name": "vgg9_bn", "options": options},
        "input_shape": [32, 32, 1],
        "num_classes": 3,
        "precision": "float64",
    }
    return RunSpec.parse(values, "")


def identity_weights(network):
    """One channel a layer, kernels that copy a pixel, norms that change nothing."""
    weights = {}
    for parameter in network.parameters:
        layer, _, kind = parameter.name.rpartition("/")
        value = np.zeros(parameter.shape)
        if layer == "head":
            value = HEAD if kind == "kernel" else BIAS
        elif kind == "kernel":
            value[1, 1] = 1.0
        elif kind == "gamma":
            value += 1.0
        elif kind == "moving_variance":
            value += 1.0 - EPSILON
        weights[parameter.name] = value
    return weights


@pytest.mark.parametrize("last_pool", [True, False])
def test_the_last_map_is_max_pooled_and_then_averaged(last_pool, worker):
    run = declare(last_pool)
    image = np.zeros((1, 32, 32, 1))
    # Anywhere within its quarter.
    for (row, column), value in np.ndenumerate(QUARTERS):
        image[0, 16 * row + 5, 16 * column + 11, 0] = value
    spec = {**run.model_dump(mode="json"), "backend": worker.backend}
    arrays = {"weights": identity_weights(declare_network(run)), "images": image}
    maps = worker.call(Operations.features, run=spec, taps=["reduction5", "logits"], **arrays)
    np.testing.assert_allclose(maps["reduction5"][0, :, :, 0], QUARTERS, rtol=1e-12)
    np.testing.assert_allclose(maps["logits"], [LOGITS[last_pool]], rtol=1e-12)


def test_the_authors_pool_is_the_default_and_no_weight_depends_on_it():
    with_pool, without = declare_network(declare(True)), declare_network(declare(False))
    names = [node.name for node in with_pool.nodes]
    assert names[-3:] == ["stage5/pool", "pool", "head"]
    assert [node.name for node in without.nodes] == [n for n in names if n != "stage5/pool"]
    assert with_pool.parameters == without.parameters
    default = RunSpec.parse({"method": "scratch", "model": {"name": "vgg9_bn"}}, "")
    assert default.model_spec.options == {"last_pool": True}
