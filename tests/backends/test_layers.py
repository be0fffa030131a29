"""Each layer kind of each backend against plain NumPy: output, gradients, running statistics."""

import numpy as np
import pytest

from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.convolution import DepthwiseConv2D, SeparableConv2D
from poc.shared.spec.networks.layers.elementwise import Activate
from poc.shared.spec.networks.layers.light import LightConv2D
from poc.shared.spec.networks.layers.merging import Add
from poc.shared.spec.networks.layers.window import same_pads
from poc.shared.spec.resolved import declare_network
from poc.tests.helpers.layers.cases import CASES, same_padding_case
from poc.tests.helpers.layers.kinds import declared_kinds
from poc.tests.helpers.workers.probe import differentiate_case, outputs_of
from poc.tests.reference import layers as reference

BATCH = 3
# Rounding of sums of at most some hundred products; float32 has 2^29 times coarser steps.
TOLERANCES = {"float64": (1e-12, 1e-10), "float32": (1e-5, 1e-4)}


def draw_case(network, seed=1, batch=BATCH):
    """Weights away from their special values, images, masks and a random projection."""
    generator = np.random.default_rng(seed)
    weights = {
        name: value + generator.uniform(0.1, 0.5, value.shape)
        for name, value in draw_weights(network.parameters, seed).items()
    }
    # Wide enough that relu6 saturates somewhere.
    images = generator.normal(0, 3, (batch, *network.input_shape))
    noise = draw_noise(network, seed=seed, step=0, batch_size=batch)
    projection = generator.normal(size=(batch, *network.nodes[-1].output_shape))
    return weights, images, noise, projection


def relative_error(first, second):
    assert first.shape == second.shape
    assert np.isfinite(first).all()
    scale = max(np.abs(second).max(initial=0), 1e-3)
    return np.abs(first - second).max(initial=0) / scale


@pytest.fixture(scope="module")
def expected():
    """Case and mode -> the reference's output, gradients and weights; computed once."""
    known = {}

    def find(case, training):
        if (case, training) not in known:
            known[case, training] = compute_reference(CASES[case], training)
        return known[case, training]

    return find


def compute_reference(network, training, batch=BATCH):
    weights, images, noise, projection = draw_case(network, batch=batch)
    trainable = {p.name for p in network.parameters if p.is_trainable}

    def total(values):
        own = {**weights, **{key: value for key, value in values.items() if key != "images"}}
        output, _ = reference.apply_network(network, own, values["images"], noise, training)
        return (output * projection).sum()

    output, after = reference.apply_network(network, weights, images, noise, training)
    arrays = {"images": images, **{name: weights[name] for name in sorted(trainable)}}
    return output, reference.differentiate(total, arrays), after


def test_the_table_has_every_kind():
    kinds = {node.layer.kind for network in CASES.values() for node in network.nodes}
    assert kinds == set(declared_kinds())


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("case", CASES)
def test_a_layer_equals_its_numpy_reference(case, precision, training, probe, expected):
    network = CASES[case]
    weights, images, noise, projection = draw_case(network)
    output, gradients, after = expected(case, training)
    found = probe.call(
        differentiate_case,
        case=case,
        precision=precision,
        weights=weights,
        images=images,
        projection=projection,
        noise=noise if training else {},
        training=training,
    )
    forward, backward = TOLERANCES[precision]
    assert found["output"].dtype == precision
    assert relative_error(found["output"], output) < forward
    assert found["gradients"].keys() == gradients.keys()
    whole = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        if name in network.cancelled_biases:
            # Exactly zero by the formula: what is computed is the rounding of other gradients.
            assert np.abs(found["gradients"][name]).max() < backward * whole, name
        else:
            assert relative_error(found["gradients"][name], gradient) < backward, name
    assert found["weights"].keys() == after.keys()
    for name, value in after.items():
        assert relative_error(found["weights"][name], value) < forward, name


ONE_VALUE = ("batch norm one value", "batch norm vector", "batch norm one value plain")


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("case", ONE_VALUE)
def test_a_batch_of_one_value_a_channel(case, precision, probe):
    """Its output is beta, its gradients are 0 but for beta's, its variance is not learned."""
    network = CASES[case]
    weights, images, _, projection = draw_case(network, batch=1)
    output, gradients, after = compute_reference(network, True, batch=1)
    assert np.array_equal(after["layer/moving_variance"], weights["layer/moving_variance"])
    assert not np.abs(gradients["images"]).max()
    found = probe.call(
        differentiate_case,
        case=case,
        precision=precision,
        weights=weights,
        images=images,
        projection=projection,
        noise={},
        training=True,
    )
    for name, value in {"output": output, **gradients}.items():
        computed = found["output"] if name == "output" else found["gradients"][name]
        assert relative_error(computed, value) < TOLERANCES[precision][1], name
    for name, value in after.items():
        assert relative_error(found["weights"][name], value) < TOLERANCES[precision][0], name


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_same_pads_is_the_smallest_padding_that_fits(kernel_size, stride):
    for size in range(1, 13):
        expected = reference.same_padding(size, kernel_size, stride)
        assert same_pads(size, kernel_size, stride) == expected, size


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_same_padding_equals_the_loop(kernel_size, stride, probe):
    sizes = [(size, 13 - size) for size in range(1, 13)]
    networks = [same_padding_case(size, kernel_size, stride) for size in sizes]
    drawn = [draw_case(network, seed) for seed, network in enumerate(networks)]
    found = probe.call(
        outputs_of,
        networks=[f"{height}x{width}x{kernel_size}x{stride}" for height, width in sizes],
        weights=[weights for weights, *_ in drawn],
        images=[images for _, images, *_ in drawn],
    )
    for network, (weights, images, *_), output in zip(networks, drawn, found, strict=True):
        expected, _ = reference.apply_network(network, weights, images)
        assert relative_error(output, expected) < 1e-12, network.input_shape


def test_running_statistics_after_three_steps(worker):
    """At rate 0 the weights stand still, so the reference can walk along (batch 16)."""
    from poc.shared.spec.run import RunSpec

    run = RunSpec.parse(
        {
            "model": {"name": "lightnet_plain", "options": {"k": 2, "widths": [3], "dropout": 0.5}},
            "input_shape": [8, 6, 2],
            "num_classes": 3,
            "precision": "float64",
        },
        "",
    )
    network = declare_network(run)
    generator = np.random.default_rng(0)
    images = [generator.normal(size=(16, 8, 6, 2)).astype(np.float32) for _ in range(3)]
    labels = np.arange(16) % 3
    weights = draw_weights(network.parameters, 0)
    found = worker.call(
        Operations.train_steps,
        run={**run.model_dump(mode="json"), "backend": worker.backend},
        weights=weights,
        batches=[{"images": batch, "labels": labels} for batch in images],
        learning_rates=[0.0, 0.0, 0.0],
    )
    losses, expected = [], dict(weights)
    for step, batch in enumerate(images):
        noise = draw_noise(network, seed=0, step=step, batch_size=16)
        logits, expected = reference.apply_network(
            network, expected, batch.astype(np.float64), noise, training=True
        )
        losses.append(reference.cross_entropy(logits, labels).mean())
    assert np.allclose(found["losses"], losses, rtol=1e-12, atol=0)
    for name, value in expected.items():
        assert relative_error(found["weights"][name], value) < 1e-12, name
    moved = [name for name in expected if not np.array_equal(expected[name], weights[name])]
    assert moved == [name for name in expected if "moving_" in name]


def test_a_tensor_that_nothing_needs_is_freed():
    net = NetworkBuilder("case", (4, 4, 1))
    net.add("first", Activate(activation="relu"))
    net.add("second", Activate(activation="tanh"))
    net.add("sum", Add(), "first", "second")
    steps = net.build().plan(["sum"], training=False)
    freed = {step.output: set(step.freed) for step in steps}
    assert freed == {"first": {"images"}, "second": set(), "sum": {"first", "second"}}


@pytest.mark.parametrize(("strides_in", "size"), [("first", (8, 16)), ("both", (4, 16))])
def test_strides_of_a_light_convolution_act_once_or_twice(strides_in, size):
    """Stride 2 in height: 16 -> 8, and 8 -> 4 in the published code, which strides both."""
    layer = LightConv2D(
        filters=5, rank=2, kernel_size=(3, 3), strides=(2, 1), strides_in=strides_in
    )
    assert layer.output_shape([(16, 16, 3)]) == (*size, 5)
    # 3x3 kernels 3 -> 2 and 2 -> 5, and their biases: whatever the strides.
    sizes = [parameter.size for parameter in layer.parameters([(16, 16, 3)])]
    assert sizes == [54, 2, 90, 5]
    # Positions of the first convolution times 54, of the second times 90.
    assert layer.macs([(16, 16, 3)]) == 8 * 16 * 54 + size[0] * size[1] * 90


@pytest.mark.parametrize("layer", ["depthwise", "separable"])
def test_unequal_strides_of_a_depthwise_convolution_are_refused(layer):
    window = {"kernel_size": (3, 3), "strides": (2, 1)}
    kinds = {
        "depthwise": DepthwiseConv2D(**window),
        "separable": SeparableConv2D(filters=2, **window),
    }
    with pytest.raises(UsageError, match=r"strides=\(2, 1\)"):
        NetworkBuilder("case", (6, 6, 2)).add("layer", kinds[layer])
