"""Which method, and at which tap; what occlusion asks a network, by hand."""

import numpy as np
import pytest

from poc.shared.actions.explanations.methods import Occlusion, choose_method
from poc.shared.actions.explanations.occlusion import plan_patches
from poc.shared.errors import UsageError
from poc.shared.spec.resolved import declare_network
from poc.tests.helpers.architectures.table import SMALL_CASES

NETWORK = declare_network(SMALL_CASES["lightnet_plain mnist k=3"].run())
AUXILIARY = declare_network(SMALL_CASES["googlenet auxiliary"].run())


class Reader:
    """A network whose probability of class k is the mean of channel k."""

    def logits(self, images):
        return images.mean(axis=(1, 2))

    def shares(self, logits):
        return logits.astype(np.float64)


def test_the_default_is_the_last_map():
    method = choose_method("gradcam", NETWORK)
    assert method.facts() == {"tap": "block2/relu2", "tap_shape": [6, 5, 6]}
    assert method.show(np.zeros((6, 5))).shape == NETWORK.input_shape[:2]


def test_a_tap_or_a_layer_can_be_named():
    assert choose_method("gradcam", NETWORK, tap="block1").tap == "block1"
    assert choose_method("gradcam", NETWORK, tap="block1/relu1").tap_shape == (12, 10, 4)


@pytest.mark.parametrize(
    ("network", "tap", "words"),
    [
        (NETWORK, "block9", "Got the tap 'block9'"),
        (NETWORK, "logits", "a vector of shape .* Try --tap block2/relu2"),
        (AUXILIARY, "auxiliary4a/conv", "do not depend on"),
    ],
)
def test_a_tap_that_cannot_be_drawn_is_refused(network, tap, words):
    with pytest.raises(UsageError, match=words):
        choose_method("gradcam", network, tap=tap)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lime", {}, "Got --method 'lime'. Expected gradcam or occlusion"),
        ("grad-cam", {}, "Try --method gradcam"),
        ("gradcam", {"patch": 4}, "Got --patch 4 with --method gradcam"),
        ("gradcam", {"stride": 2}, "Got --stride 2 with --method gradcam"),
        ("occlusion", {"tap": "block1"}, "Got --tap block1 with --method occlusion"),
        ("occlusion", {"patch": 11}, "Got --patch 11 for pictures of 12x10 pixels"),
    ],
)
def test_wrong_options_are_refused(name, options, words):
    with pytest.raises(UsageError, match=words):
        choose_method(name, NETWORK, **options)


def test_occlusion_is_the_drop_of_the_class():
    """One bright pixel: covering it takes it all but its share of the mean; elsewhere it adds."""
    image = np.zeros((2, 2, 2), np.float32)
    image[0, 1, 1] = 4.0
    method = Occlusion(patches=plan_patches(2, 2, 1, 1))
    drops = method.explain(Reader(), np.stack([image, image]), np.array([1, 0]))
    # Of channel 1 the mean is 1. Covered by 1: (4 - 4 + 1) / 4 at the pixel, (4 + 1) / 4 elsewhere.
    assert drops[0].tolist() == [[-0.25, 0.75], [-0.25, -0.25]]
    assert drops[1].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert method.show(drops[0]).tolist() == drops[0].tolist()
