"""The operations of RandAugment and TrivialAugment against torchvision's, on Pillow's images."""

import hashlib

import numpy as np
import pytest

from poc.shared.data.sources.base import to_picture
from poc.shared.data.views.policies import OPERATIONS
from poc.tests.helpers.measured.separate_process import measured

FILL = 70
MAGNITUDES = (0, 1, 4, 9, 15, 16, 22, 29, 30)
# What torchvision calls the amount is what is left: bits that are kept, the first inverted level.
LEFT_OF = {"Posterize": 8, "Solarize": 255}


def draw_images():
    """Name -> (H, W, C) uint8: noise, a smooth picture, and grey ones."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:41, 0:29]
    smooth = np.stack([rows * 6, columns * 8, rows + columns], axis=-1).astype(np.uint8)
    return {
        "noise": generator.integers(0, 256, (33, 50, 3), dtype=np.uint8),
        "smooth": smooth,
        "grey": generator.integers(20, 200, (28, 28, 1), dtype=np.uint8),
        "even": np.full((16, 16, 3), 255, dtype=np.uint8),
    }


@pytest.fixture(scope="module")
def theirs():
    return measured("policies_torch.py")


@pytest.mark.torch
def test_every_amount_is_torchvisions(theirs) -> None:
    images = draw_images()
    # Every policy has every operation, by the same names and in the same order.
    for policy in ("randaugment", "trivialaugment"):
        names = [key.split()[2] for key in theirs["amounts"] if key.startswith(f"noise {policy}")]
        assert names == list(OPERATIONS)
    for key, expected in theirs["amounts"].items():
        name, policy, operation = key.split()
        height, width = images[name].shape[:2]
        steps = range(31) if len(expected) > 1 else [0]
        own = [OPERATIONS[operation].amount(policy, step, (width, height)) for step in steps]
        if operation == "Posterize":
            own = [round(amount) for amount in own]
        own = [LEFT_OF[operation] - amount if operation in LEFT_OF else amount for amount in own]
        # torchvision's are float32.
        np.testing.assert_allclose(own, expected, rtol=1e-6, atol=1e-5, err_msg=key)


@pytest.mark.torch
def test_every_operation_gives_torchvisions_pixels(theirs) -> None:
    images = draw_images()
    assert len(theirs["pixels"]) > 900
    for key, expected in theirs["pixels"].items():
        name, policy, operation, step, sign = key.split()
        amount = theirs["amounts"][f"{name} {policy} {operation}"][int(step)]
        own = LEFT_OF[operation] - amount if operation in LEFT_OF else amount
        changed = OPERATIONS[operation].change(to_picture(images[name]), int(sign) * own, FILL)
        assert hashlib.sha256(changed.tobytes()).hexdigest() == expected, key


@pytest.mark.torch
def test_which_operations_have_a_sign_is_torchvisions(theirs) -> None:
    signed = {key.split()[2] for key in theirs["pixels"] if key.endswith(" -1")}
    assert signed == {name for name, one in OPERATIONS.items() if one.is_signed}
