"""Low-rank factors in NumPy: exact at full rank, error = discarded energy, budgets kept."""

from itertools import pairwise

import numpy as np
import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.factors import (
    VARIANTS,
    Factor,
    full_rank,
    is_factorable,
    kernel_shape,
)
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.factorization import (
    choose_factors,
    discarded_energy,
    factorize_weights,
    network_cost,
    split_kernel,
)
from poc.shared.weights.start import drawn_weights
from poc.tests.reference.layers import apply_network

SHAPE = (3, 2, 5, 7)
STUDY = ((299, 299, 3), 2)


def product(first, second):
    """The one kernel that two factors stand for: (kh, kw, C, F)."""
    return np.einsum("hicr,jwrf->hwcf" if first.shape[1] == 1 else "hwcr,jirf->hwcf", first, second)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_error_is_the_discarded_energy_and_falls_with_the_rank(variant):
    kernel = np.random.default_rng(0).normal(size=SHAPE)
    errors = []
    for rank in range(1, full_rank(SHAPE, variant) + 1):
        factor = Factor(variant=variant, rank=rank)
        first, second = split_kernel(kernel, factor)
        assert first.shape[-1] == second.shape[-2] == rank
        share = ((kernel - product(first, second)) ** 2).sum() / (kernel**2).sum()
        assert share == pytest.approx(discarded_energy(kernel, factor), abs=1e-6)
        errors.append(share)
    assert all(later < earlier for earlier, later in pairwise(errors))
    assert errors[-1] < 1e-25


def single(layer):
    net = NetworkBuilder("single", (7, 6, 5))
    net.add("conv", layer)
    return net.build()


LAYERS = {
    "same": Conv2D(filters=4, kernel_size=(3, 2)),
    "strided": Conv2D(filters=4, kernel_size=(3, 2), strides=(2, 3), activation="relu"),
    "valid": Conv2D(filters=4, kernel_size=(2, 3), padding="valid", use_bias=False),
    "pads": Conv2D(filters=4, kernel_size=(3, 3), strides=(2, 1), padding=((2, 1), (0, 3))),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", LAYERS)
def test_full_rank_computes_the_same_whatever_the_geometry(name, variant):
    from poc.shared.spec.networks.factors import factorize

    network = single(LAYERS[name])
    generator = np.random.default_rng(1)
    weights = {p.name: generator.normal(size=p.shape) for p in network.parameters}
    factors = {"conv": Factor(variant=variant, rank=full_rank(kernel_shape(network.head), variant))}
    factored, converted = factorize(network, factors), factorize_weights(weights, factors)
    assert {p.name: p.shape for p in factored.parameters} == {
        key: value.shape for key, value in converted.items()
    }
    images = generator.normal(size=(2, *network.input_shape))
    before, _ = apply_network(network, weights, images, {}, False)
    after, _ = apply_network(factored, converted, images, {}, False)
    assert np.abs(after - before).max() < 1e-12 * np.abs(before).max()


@pytest.mark.parametrize(("variant", "slope"), [("basis", 942), ("spatial", 668)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_studys_net_has_the_published_counts(variant, slope, rank):
    """942k + 906 and 668k + 906 (docs/methods/lightlayers.md)."""
    whole = ModelSpec(name="lightnet_residual", options={"layer": "conv2d"}).declare(*STUDY)
    factors = {n.name: {"variant": variant, "rank": rank} for n in whole.nodes if is_factorable(n)}
    model = ModelSpec.parse(
        {"name": "lightnet_residual", "options": {"layer": "conv2d"}, "factors": factors}, "model"
    )
    network = model.declare(*STUDY)
    assert network_cost(network, "parameters") == slope * rank + 906
    # 20.3k M and 14.6k M multiply-adds in the facts, printed to three digits.
    published = {"basis": 20.3e6, "spatial": 14.6e6}[variant]
    assert network.macs == pytest.approx(rank * published, rel=0.005)
    assert network.taps.keys() == whole.taps.keys()


@pytest.mark.parametrize("measure", ["parameters", "macs"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_budget_is_kept_and_used(measure, variant):
    network = ModelSpec(name="lightnet_residual", options={"layer": "conv2d"}).declare(*STUDY)
    weights = draw_weights(network.parameters, 0)
    whole = network_cost(network, measure)
    kept = []
    for share in (0.3, 0.6, 0.9, 1.0):
        factors = choose_factors(
            network, weights, variant=variant, budget=int(share * whole), measure=measure
        )
        model = ModelSpec(
            name="lightnet_residual", options={"layer": "conv2d"}, factors=dict(factors)
        )
        cost = network_cost(model.declare(*STUDY), measure)
        assert 0.9 * share * whole < cost <= share * whole
        kept.append(
            sum(
                discarded_energy(weights[f"{name}/kernel"], factor)
                for name, factor in factors.items()
            )
        )
    assert kept == sorted(kept, reverse=True)
    # With the whole cost to spend no convolution is factorised: factors never cost more.
    assert factors == {}
    with pytest.raises(UsageError, match=r"Got a budget of 10 .* rank 1 in every convolution"):
        choose_factors(network, weights, variant=variant, budget=10, measure=measure)


def test_a_spectral_start_is_the_svd_of_the_drawn_kernel():
    options = {"name": "lightnet_residual", "options": {"layer": "conv2d"}}
    factors = {"block1/conv2": {"variant": "basis", "rank": 2}}
    images = {"input_shape": (16, 16, 3), "num_classes": 3, "method": "scratch"}
    whole = RunSpec.parse({"model": options, **images}, "")
    spectral = RunSpec.parse(
        {"model": {**options, "factors": factors, "factor_initializer": "spectral"}, **images}, ""
    )
    kernel = drawn_weights(resolve_networks(whole))["block1/conv2/kernel"]
    found = drawn_weights(resolve_networks(spectral))
    left, values, right = np.linalg.svd(kernel.reshape(-1, 8))
    best = left[:, :2] * values[:2] @ right[:2]
    given = product(found["block1/conv2/reduce/kernel"], found["block1/conv2/expand/kernel"])
    assert np.abs(given.reshape(-1, 8) - best).max() < 1e-12
    assert np.array_equal(
        found["head/kernel"], drawn_weights(resolve_networks(whole))["head/kernel"]
    )
    plain = spectral.replace(
        model={**spectral.model_dump(mode="json")["model"], "factor_initializer": "drawn"}
    )
    assert not np.allclose(
        drawn_weights(resolve_networks(plain))["block1/conv2/expand/kernel"],
        found["block1/conv2/expand/kernel"],
    )


REFUSED = {
    "unknown": (
        {"nothing": 1},
        "'nothing', which lightnet_residual does not have. Expected one of block1",
    ),
    "no convolution": ({"head": 1}, "'head', which is a dense"),
    "rank": ({"block1/conv1": 99}, "rank=99 for 'block1/conv1'. Expected at most 8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_factors_are_refused(case):
    ranks, message = REFUSED[case]
    factors = {name: {"variant": "basis", "rank": rank} for name, rank in ranks.items()}
    spec = ModelSpec.parse(
        {"name": "lightnet_residual", "options": {"layer": "conv2d"}, "factors": factors}, "model"
    )
    with pytest.raises(UsageError, match=message):
        spec.declare((16, 16, 3), 3)


def test_factors_are_set_by_option():
    run = load_run(
        None, ['model.factors.block1/conv1={variant="spatial",rank=2}', "layer=conv2d"],
        method="scratch", model={"name": "lightnet_residual"},
    )  # fmt: skip
    assert run.model_spec.factors == {"block1/conv1": Factor(variant="spatial", rank=2)}
