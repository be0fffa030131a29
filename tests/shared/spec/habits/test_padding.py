"""Pads of native windows, against numbers by hand and the rules of both frameworks."""

import pytest

from poc.shared.spec.habits.networks import with_habits
from poc.shared.spec.habits.padding import pad_natively
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.pooling import Pool2D
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.training.habits import HabitsSpec

SAME_AT_STRIDE_2 = ((0, 1), (0, 1))
ONE = ((1, 1), (1, 1))


def window(size, stride, padding):
    return Conv2D(filters=4, kernel_size=(size, size), strides=(stride, stride), padding=padding)


@pytest.mark.parametrize("declared", ["same", ONE, SAME_AT_STRIDE_2])
def test_a_stride_of_two_is_padded_after_in_keras_and_on_both_sides_in_pytorch(declared) -> None:
    layer, inputs = window(3, 2, declared), [(8, 8, 3)]
    pads = {
        framework: pad_natively(layer, inputs, framework).pads(inputs[0])
        for framework in ("tf", "torch")
    }
    assert pads == {"tf": SAME_AT_STRIDE_2, "torch": ONE}


def test_the_first_layer_of_a_resnet() -> None:
    layer, inputs = window(7, 2, ((3, 3), (3, 3))), [(224, 224, 3)]
    assert pad_natively(layer, inputs, "tf").pads(inputs[0]) == ((2, 3), (2, 3))
    assert pad_natively(layer, inputs, "torch") == layer


@pytest.mark.parametrize(
    "layer",
    [
        window(3, 1, "valid"),
        window(3, 3, "valid"),
        window(1, 2, "same"),
        window(4, 1, "same"),
        window(3, 1, ((2, 2), (2, 2))),
        Pool2D(kernel_size=(2, 2), strides=(2, 2), padding="valid"),
    ],
)
@pytest.mark.parametrize("framework", ["tf", "torch"])
def test_other_windows_compute_what_they_did(layer, framework) -> None:
    inputs = [(9, 9, 3)]
    padded = pad_natively(layer, inputs, framework)
    assert padded.pads(inputs[0]) == layer.pads(inputs[0])


def test_an_average_counts_padded_zeros_in_pytorch_alone() -> None:
    for mode, counted in (("average", {"tf": False, "torch": True}), ("max", {})):
        pool = Pool2D(kernel_size=(3, 3), strides=(1, 1), padding="same", mode=mode)
        for framework in ("tf", "torch"):
            found = pad_natively(pool, [(8, 8, 3)], framework)
            assert found.count_padding is counted.get(framework, False)


@pytest.mark.parametrize("size", range(1, 33))
def test_no_size_of_a_network_changes(size: int) -> None:
    for kernel in range(1, 8):
        for stride in (1, 2, 3):
            layer, inputs = window(kernel, stride, "same"), [(size, size, 3)]
            for framework in ("tf", "torch"):
                padded = pad_natively(layer, inputs, framework)
                assert padded.output_shape(inputs) == layer.output_shape(inputs)
                if framework == "tf":
                    assert padded.pads(inputs[0]) == layer.pads(inputs[0])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg16", "inception_v3", "googlenet"])
def test_shapes_of_architectures_stay(name: str) -> None:
    network = ModelSpec(name=name).declare((96, 96, 3), 10)
    for framework in ("tf", "torch"):
        changed = with_habits(network, HabitsSpec(padding="native"), framework)
        for node in changed.nodes:
            assert node.layer.output_shape(node.input_shapes) == node.output_shape
        assert [p.shape for p in changed.parameters] == [p.shape for p in network.parameters]
