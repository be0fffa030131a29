"""The gradient of a logit at a tap: each backend against plain NumPy, at every tap of two nets."""

import numpy as np
import pytest

from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.dense import Dense, Flatten
from poc.shared.spec.networks.layers.elementwise import Dropout
from poc.shared.spec.networks.layers.merging import Concatenate
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.nodes import find_last_map
from poc.shared.spec.resolved import declare_network
from poc.tests.helpers.architectures.table import SMALL_CASES
from poc.tests.reference import layers as reference

# Rounding of sums of some hundred products; float32 has 2^29 times coarser steps.
TOLERANCES = {"float64": 1e-10, "float32": 1e-4}
# Values of a map whose derivative the reference takes, one at a time.
NUM_PLACES = 6
BATCH = 3
# A convolution that keeps (4, 4), and one that leaves a single pixel of it.
SMALL = Conv2D(filters=2, kernel_size=(3, 3), padding="same")
WIDE = Conv2D(filters=2, kernel_size=(4, 4), padding="valid")
LIGHT = "lightnet_plain mnist k=3"
RESIDUAL = "resnet32_cifar"
# Its auxiliary head is a branch that the logits do not read.
BRANCHED = "googlenet auxiliary"


def find_case(start):
    return SMALL_CASES[next(name for name in SMALL_CASES if name.startswith(start))]


def draw(run, seed=0):
    """Weights off their special values, images, and a class of each image."""
    generator = np.random.default_rng(seed)
    network = declare_network(run)
    weights = {
        name: value + generator.uniform(0.0, 0.1, value.shape)
        for name, value in draw_weights(network.parameters, seed).items()
    }
    images = generator.normal(size=(BATCH, *run.input_shape))
    return network, weights, images, np.array([2, 0, 1])


def ask(worker, run, tap, weights, images, labels):
    fields = {**run.model_dump(mode="json"), "backend": worker.backend}
    found = worker.call(
        Operations.map_and_gradient,
        run=fields,
        weights=weights,
        images=images,
        labels=labels,
        tap=tap,
    )
    return found["map"], found["gradient"]


def differ(first, second):
    assert first.shape == second.shape
    assert np.isfinite(first).all()
    return np.abs(first - second).max() / np.abs(second).max()


def expected_at(network, weights, images, labels, node, places):
    """The map of a node, and the derivative (N, places) of each image's logit, by complex steps."""
    value = reference.all_values(network, weights, images)[0][node]
    found = []
    for place in places:
        moved = value.astype(np.complex128)
        moved[(slice(None), *place)] += 1e-30j
        values, _ = reference.all_values(network, weights, images, given={node: moved})
        logits = values[network.output][np.arange(len(images)), labels]
        found.append(np.imag(logits) / 1e-30)
    return value, np.stack(found, axis=1)


def choose_places(shape, seed=1):
    generator = np.random.default_rng(seed)
    return [tuple(int(generator.integers(0, side)) for side in shape) for _ in range(NUM_PLACES)]


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("start", [LIGHT, RESIDUAL])
def test_every_tap_equals_the_reference(start, precision, worker):
    run = find_case(start).run(precision=precision)
    network, weights, images, labels = draw(run)
    for tap in (*network.taps, "logits"):
        node = network.node_of(tap)
        places = choose_places(network.shape_of(node))
        value, derivatives = expected_at(network, weights, images, labels, node, places)
        found, gradient = ask(worker, run, tap, weights, images, labels)
        assert found.dtype == gradient.dtype == precision
        assert gradient.shape == found.shape == value.shape
        assert differ(found, value) < TOLERANCES[precision], tap
        chosen = np.stack([gradient[(slice(None), *place)] for place in places], axis=1)
        scale = np.abs(gradient).max()
        assert np.abs(derivatives).max() > 1e-3 * scale or tap == "logits"
        assert np.abs(chosen - derivatives).max() < TOLERANCES[precision] * scale, tap


def test_the_gradient_at_the_logits_is_one_at_the_class(worker):
    run = find_case(LIGHT).run(precision="float64")
    network, weights, images, labels = draw(run)
    found, gradient = ask(worker, run, "logits", weights, images, labels)
    assert np.array_equal(gradient, np.eye(network.num_classes)[labels])
    assert np.abs(found).max() > 0


def test_a_tap_inside_a_block_has_the_ways_through_it_alone(worker):
    """The shortcut beside it does not count: the map is what is moved, not what made it."""
    run = find_case(RESIDUAL).run(precision="float64")
    network, weights, images, labels = draw(run)
    inner = next(node for node in network.nodes if node.layer.kind == "add").inputs
    for node in inner:
        places = choose_places(network.shape_of(node))
        _, derivatives = expected_at(network, weights, images, labels, node, places)
        _, gradient = ask(worker, run, node, weights, images, labels)
        chosen = np.stack([gradient[(slice(None), *place)] for place in places], axis=1)
        assert np.abs(derivatives).max() > 0
        assert np.abs(chosen - derivatives).max() < 1e-10 * np.abs(gradient).max(), node


def test_a_branch_that_the_logits_do_not_read_has_gradient_zero(worker):
    run = find_case(BRANCHED).run(precision="float64")
    network, weights, images, labels = draw(run)
    needed = {node.name for node in network.needed([network.output])}
    beside = [node.name for node in network.nodes if node.name not in needed]
    assert beside
    found, gradient = ask(worker, run, beside[-1], weights, images, labels)
    assert np.abs(found).max() > 0
    assert gradient.shape == found.shape
    assert not gradient.any()


def test_a_network_that_is_kept_gives_the_same_for_each_batch_and_tap(worker):
    run = find_case(RESIDUAL).run(precision="float64")
    network, weights, images, labels = draw(run)
    fields = {**run.model_dump(mode="json"), "backend": worker.backend}
    worker.call(Operations.start_explaining, run=fields, weights=weights)
    for tap in (next(iter(network.taps)), find_last_map(network.needed([network.output]))):
        for part in (slice(None), slice(1, 2)):
            given = {"images": images[part], "labels": labels[part], "tap": tap}
            kept = worker.call(Operations.explain_batch, **given)
            found, gradient = ask(worker, run, tap, weights, images[part], labels[part])
            assert np.abs(gradient).max() > 0
            assert np.array_equal(kept["map"], found)
            assert np.array_equal(kept["gradient"], gradient)


def test_an_unknown_tap_is_refused(worker):
    run = find_case(LIGHT).run()
    _, weights, images, labels = draw(run)
    with pytest.raises(UsageError, match="Got the tap 'block9'"):
        ask(worker, run, "block9", weights, images, labels)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        # A pooled map and one that dropout made say less of where things are.
        ([("a", SMALL), ("b", Pool2D(kernel_size=(2, 2))), ("c", Dropout(rate=0.5))], "a"),
        # A map of one pixel says nothing of it, unless there is no other.
        ([("a", SMALL), ("b", WIDE)], "a"),
        ([("b", WIDE)], "b"),
        ([], None),
    ],
)
def test_the_last_map_by_hand(layers, expected):
    net = NetworkBuilder("case", (4, 4, 2))
    for name, layer in layers:
        net.add(name, layer)
    net.add("flatten", Flatten())
    net.add("head", Dense(units=3))
    assert find_last_map(net.build().nodes) == expected


def test_a_branch_is_no_last_map():
    """Half of what the classifier reads goes around the branch, and all of it through the first."""
    net = NetworkBuilder("case", (4, 4, 2))
    first = net.add("first", SMALL)
    branch = net.add("branch", SMALL, first)
    ends = [net.add(f"end {name}", WIDE, name) for name in (first, branch)]
    net.add("joined", Concatenate(), *ends)
    net.add("pool", GlobalPool())
    net.add("head", Dense(units=3))
    assert find_last_map(net.build().nodes) == "first"


# Architectures of many layers compile for minutes in the ladder; here nothing is compiled.
@pytest.mark.parametrize("name", SMALL_CASES)
def test_both_backends_agree_at_the_last_map_of_every_architecture(name, workers):
    run = SMALL_CASES[name].run(precision="float64")
    network, weights, images, labels = draw(run)
    tap = find_last_map(network.needed([network.output]))
    assert tap is not None
    first, second = (ask(worker, run, tap, weights, images, labels) for worker in workers)
    assert differ(first[0], second[0]) < TOLERANCES["float64"]
    assert differ(first[1], second[1]) < TOLERANCES["float64"]
