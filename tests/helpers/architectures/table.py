"""The table of architectures that the tests share: a new architecture is one row.

A row's name begins with its model's. Expected numbers are published ones or hand calculation,
never the output of the code under test.
"""

from typing import Any

import pytest

from . import convnext, densenet, inception, light, mobile, resnet, transformers, vgg
from .row import Architecture, Case

ARCHITECTURES: dict[str, Architecture] = {
    **light.ROWS,
    **inception.ROWS,
    **resnet.ROWS,
    **vgg.ROWS,
    **densenet.ROWS,
    **mobile.ROWS,
    **convnext.ROWS,
    **transformers.ROWS,
}
# Name of a row -> its form for the parity ladder.
SMALL_CASES: dict[str, Case] = {
    name: row.small_case() for name, row in ARCHITECTURES.items() if row.small is not None
}
# Those whose tensors can have other libraries' names: light layers are this project's own, and no
# publication has the variant.
NAMED_CASES = {
    name: case
    for name, case in SMALL_CASES.items()
    if name not in light.ROWS and name != "resnet32_cifar pre-activation"
}


def ladder_rows(*climbs: str) -> list[Any]:
    """(name, precision) of each form that is climbed in one of these ways."""
    return [
        pytest.param(name, precision, marks=[pytest.mark.slow] if row.small.is_slow else [])
        for name, row in ARCHITECTURES.items()
        if row.small is not None and row.small.climb in climbs
        for precision in row.small.precisions
    ]
