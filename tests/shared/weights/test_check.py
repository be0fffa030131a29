"""The check of a file's tensors: positions of another size, values that are no numbers."""

import numpy as np
import pytest

from poc.shared.actions.weights.foreign import locate_canonical
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.weights.check import check_finite, check_weights
from poc.shared.weights.header import NETWORK, write_network

OPTIONS = {"depth": 1, "width": 24, "heads": 3, "patch_size": 10}
MODEL = ModelSpec.parse({"name": "vit_ti16", "options": OPTIONS}, "model")


def declare(side):
    return MODEL.declare((side, side, 3), 5)


def test_positions_of_another_size_name_the_size_of_the_file():
    weights = draw_weights(declare(30).parameters, 0)
    check_weights(declare(30), weights)
    with pytest.raises(UsageError) as error:
        check_weights(declare(60), weights)
    text = str(error.value)
    assert text.startswith(
        "Got position_embedding for 9 patches. Expected 36, those of images of 60x60"
    )
    assert "Try data.image_size=[30, 30]" in text
    wide = draw_weights(MODEL.declare((20, 30, 3), 5).parameters, 0)
    with pytest.raises(UsageError, match=r"for 6 patches.* Try the image size of the file"):
        check_weights(declare(60), wide)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_counted(bad):
    value = np.zeros((2, 3), np.float32)
    check_finite("head/kernel", value)
    value[0, 1] = bad
    with pytest.raises(UsageError, match=r"^Got head/kernel with 1 of 6 values that"):
        check_finite("head/kernel", value)


@pytest.mark.parametrize("is_set", [True, False])
def test_patches_that_do_not_fit_the_published_size(is_set, tmp_path):
    """A file of such a network can be a start: at the size of the run, or of its own header."""
    path = tmp_path / "own.safetensors"
    texts = {} if is_set else {NETWORK: write_network(MODEL, (30, 30, 3))}
    write_arrays(path, draw_weights(declare(30).parameters, 0), **texts)
    data = {"data": {"image_size": [30, 30]}} if is_set else {}
    values = {"model": {"name": "vit_ti16", "options": OPTIONS}, "method": "transfer", **data}
    assert locate_canonical(str(path), values, print) == str(path)


@pytest.mark.parametrize("size", [["a", "b"], [30], "30", [0, 0]])
def test_a_size_that_is_none_is_refused_elsewhere(size, tmp_path):
    path = tmp_path / "own.safetensors"
    write_arrays(path, draw_weights(declare(30).parameters, 0))
    values = {"model": {"name": "vit_ti16", "options": OPTIONS}, "data": {"image_size": size}}
    with pytest.raises(UsageError, match="for patches of 10x10"):
        locate_canonical(str(path), values, print)
