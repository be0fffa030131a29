"""Merged kernels against the NumPy network with its terms, and what starts from which file."""

import numpy as np
import pytest

from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.lora import is_adapted
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.folding import fold
from poc.shared.weights.merging import merge_kernel, merge_lora, merge_run
from poc.shared.weights.start import initial_weights
from poc.tests.helpers.layers.cases import CASES
from poc.tests.reference.layers import apply_network

RUN = {
    "method": "transfer",
    "model": {
        "name": "vit_ti16",
        "options": {"depth": 1, "width": 12, "heads": 3, "patch_size": 4},
    },
    "input_shape": [8, 12, 3],
    "num_classes": 3,
    "lora": {"rank": 2, "alpha": 5, "targets": ["attention", "dense"]},
}


def draw(network):
    """Weights as after training: no B is zero."""
    generator = np.random.default_rng(3)
    return {
        name: value + generator.normal(0, 0.2, value.shape)
        for name, value in draw_weights(network.parameters, 0).items()
    }


def largest_error(first, second):
    return np.abs(first - second).max() / np.abs(second).max()


def test_a_merged_kernel_by_hand():
    kernel = np.array([[1.0, 2.0], [3.0, 4.0]])
    merged = merge_kernel(kernel, np.array([[1.0], [2.0]]), np.array([[10.0, 20.0]]), 0.5)
    assert (merged == [[6.0, 12.0], [13.0, 24.0]]).all()


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("lora ")])
def test_every_layer_gives_the_same_merged(case):
    network = CASES[case]
    weights = draw(network)
    images = np.random.default_rng(0).normal(size=(2, *network.input_shape))
    expected, _ = apply_network(network, weights, images)
    plain, merged = merge_lora(network, weights)
    assert not any(is_adapted(node) for node in plain.nodes)
    assert merged.keys() == {p.name for p in plain.parameters}
    found, _ = apply_network(plain, merged, images)
    assert largest_error(found, expected) < 1e-12


def test_a_whole_network_gives_the_same_merged_and_folded():
    run = RunSpec.parse(RUN, "")
    network = declare_network(run)
    weights = draw(network)
    images = np.random.default_rng(0).normal(size=(2, *network.input_shape))
    expected, _ = apply_network(network, weights, images)
    alone, merged = merge_run(run, weights)
    assert alone.lora.rank is None
    found, _ = apply_network(declare_network(alone), merged, images)
    assert largest_error(found, expected) < 1e-12
    folded, arrays = fold(network, weights)
    found, _ = apply_network(folded, arrays, images)
    assert largest_error(found, expected) < 2e-6
    assert sum(p.size for p in folded.parameters) == sum(v.size for v in merged.values())


def test_a_run_with_terms_starts_from_a_plain_file(tmp_path):
    run = RunSpec.parse(RUN, "")
    plain = draw(declare_network(run.replace(lora={})))
    write_arrays(tmp_path / "plain.safetensors", plain, model="vit_ti16")
    started = initial_weights(
        resolve_networks(run.replace(initial_weights=str(tmp_path / "plain.safetensors")))
    )
    body = [name for name in plain if not name.startswith("head/")]
    assert all((started[name] == plain[name]).all() for name in body)
    terms = started.keys() - plain.keys()
    assert len(terms) == 12
    assert all(started[name].any() == ("/a/" in name) for name in terms)


@pytest.mark.parametrize("lora", [RUN["lora"], {}])
def test_a_file_with_terms_is_refused(tmp_path, lora):
    run = RunSpec.parse(RUN, "")
    path = str(tmp_path / "terms.safetensors")
    write_arrays(tmp_path / "terms.safetensors", draw(declare_network(run)), model="vit_ti16")
    with pytest.raises(UsageError, match="poc weights convert RUN_FOLDER FILE"):
        initial_weights(resolve_networks(run.replace(initial_weights=path, lora=lora)))
