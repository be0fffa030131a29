"""Run by test_library_architectures.py in a process of its own: timm reads the paper's names."""

import json

import numpy as np
import torch  # noqa: TID253
from timm.models.convnext import ConvNeXt, checkpoint_filter_fn

from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.weights.conversion import from_canonical
from poc.shared.weights.published.table import find_schemes
from poc.tests.helpers.architectures.table import SMALL_CASES
from poc.tests.helpers.libraries.convnext_models import DEPTHS, WIDTHS


def compare():
    """Whether timm turns a file of the paper's code into what this project calls timm's."""
    network = declare_network(SMALL_CASES["convnext_tiny"].run())
    weights = draw_weights(network.parameters, 0)
    schemes = {scheme.name: scheme for scheme in find_schemes("convnext_tiny")}
    published = from_canonical(network, schemes["convnext"], weights)
    state = {name: torch.from_numpy(np.array(value)) for name, value in published.items()}
    found = checkpoint_filter_fn(state, ConvNeXt(num_classes=3, depths=DEPTHS, dims=WIDTHS))
    expected = from_canonical(network, schemes["timm"], weights)
    return {
        "missing": sorted(expected.keys() ^ found.keys()),
        "unequal": [name for name in expected if not np.array_equal(found[name], expected[name])],
    }


if __name__ == "__main__":
    print(json.dumps(compare()))
