"""Each loss against a source: values and gradients against NumPy, and against hand calculation."""

from collections.abc import Iterator

import numpy as np
import pytest

from poc.shared.engine.numerics.resizing import average_matrix, resize_matrix
from poc.shared.engine.worker.handle import Worker
from poc.tests.helpers.workers.transfer_probe import evaluate_loss, open_probe
from poc.tests.reference import distillation_losses as reference

TOLERANCE = 1e-12  # float64: rounding of a few hundred terms
generator = np.random.default_rng(0)


def draw(*shape):
    return generator.normal(size=shape)


SOFT = [
    {"temperature": t, "subtract_entropy": e, "scale_by_temperature_squared": s}
    for t, e, s in [(4.0, True, True), (1.0, True, False), (2.0, False, False), (3.0, False, True)]
]
MAPS = [
    {"kind": kind, "power": power}
    for kind, power in [
        ("sum", 2.0),
        ("sum_p", 2.0),
        ("sum_p", 1.0),
        ("sum_p", 3.5),
        ("max_p", 2.0),
    ]
]
RANDOM = (
    [("soft_cross_entropy", [3 * draw(4, 5), 3 * draw(4, 5)], options) for options in SOFT]
    + [
        ("squared_error", [draw(3, 2, 4, 3), draw(3, 2, 4, 3)], {"reduction": reduction})
        for reduction in ("sum_features", "mean")
    ]
    + [("attention_map", [draw(3, 2, 4, 3)], options) for options in MAPS]
    + [
        ("attention_distance", [draw(3, 8), draw(3, 8)], {"form": form})
        for form in ("code", "paper")
    ]
    + [("similarity_rows", [draw(3, 2, 4, 3)], {"row_length": length}) for length in (3, 5)]
    + [("unit_vectors", [draw(3, 4)], {})]
    + [
        ("pair_attention", [2 * draw(3, 2, 4), 2 * draw(3, 5, 4)], {"temperature": t})
        for t in (1.0, 0.5)
    ]
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("tf", marks=pytest.mark.tf),
        pytest.param("torch", marks=pytest.mark.torch),
    ],
)
def probe(request, tmp_path_factory) -> Iterator[Worker]:
    with open_probe(request.param, tmp_path_factory.mktemp(request.param)) as worker:
        yield worker


def find_reference(name):
    """The function of the same name; a method's own loss is named with its module."""
    return getattr(reference, name.rpartition(".")[2])


def evaluate(probe, name, inputs, options, projection=None):
    inputs = [np.asarray(value, dtype=np.float64) for value in inputs]
    if projection is None:
        projection = np.ones(find_reference(name)(*inputs, **options).shape)
    result = probe.call(
        evaluate_loss, name=name, inputs=inputs, options=options, projection=projection
    )
    return result["value"], result["gradients"]


def assert_close(found, expected):
    assert np.isfinite(found).all()
    assert found.shape == expected.shape
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(found - expected).max() <= TOLERANCE * scale


@pytest.mark.parametrize(
    ("name", "inputs", "options"), RANDOM, ids=[f"{n}-{list(o.values())}" for n, _, o in RANDOM]
)
def test_values_and_gradients_are_the_reference_s(probe, name, inputs, options):
    def function(*arguments):
        return find_reference(name)(*arguments, **options)

    expected = function(*inputs)
    projection = np.random.default_rng(1).normal(size=expected.shape)
    value, found = evaluate(probe, name, inputs, options, projection)
    assert_close(value, expected)
    assert value.shape[0] == len(inputs[0])  # per example
    for gradient, other in zip(
        found, reference.gradients(function, inputs, projection), strict=True
    ):
        assert_close(gradient, other)


@pytest.mark.parametrize("matrix", [resize_matrix, average_matrix])
@pytest.mark.parametrize("sizes", [((5, 4), (2, 3)), ((2, 3), (5, 4))])
def test_resize_is_a_product_of_matrices(probe, matrix, sizes):
    (h, w), (h2, w2) = sizes
    if matrix is average_matrix:
        (h, w), (h2, w2) = (max(h, h2), max(w, w2)), (min(h, h2), min(w, w2))
    inputs = [draw(2, h, w, 3), matrix(h, h2), matrix(w, w2)]
    value, _ = evaluate(probe, "resize_maps", inputs, {})
    assert_close(value, reference.resize_maps(*inputs))


def test_kl_by_hand_sums_over_classes_and_keeps_the_examples_apart(probe):
    # q = (3/4, 1/4), p = (1/2, 1/2): KL = 3/4 log(3/2) + 1/4 log(1/2); a mean over classes halves.
    logits = [[0.0, 0.0], [0.0, 0.0]]
    other = [[np.log(3.0), 0.0], [0.0, 0.0]]
    plain = {"temperature": 1.0, "scale_by_temperature_squared": False}
    value, _ = evaluate(probe, "soft_cross_entropy", [logits, other], plain)
    assert_close(value, np.array([0.75 * np.log(1.5) + 0.25 * np.log(0.5), 0.0]))


def test_kd_gradient_has_the_closed_form(probe):
    own, other, t = 2 * draw(3, 4), 2 * draw(3, 4), 4.0
    difference = reference.softened(own[0], t) - reference.softened(other[0], t)
    for options, factor in (
        ({"temperature": t}, t),
        ({"temperature": t, "scale_by_temperature_squared": False}, 1 / t),
        ({"temperature": t, "subtract_entropy": False}, t),
    ):
        _, (gradient, _) = evaluate(probe, "soft_cross_entropy", [own, other], options)
        assert_close(gradient[0], factor * difference)


def test_equal_logits_have_no_gradient_and_the_square_is_a_factor(probe):
    own, other = draw(3, 4), draw(3, 4)
    _, (gradient, _) = evaluate(probe, "soft_cross_entropy", [own, own], {"temperature": 4.0})
    assert np.abs(gradient).max() < 1e-15
    with_square, _ = evaluate(probe, "soft_cross_entropy", [own, other], {"temperature": 3.0})
    options = {"temperature": 3.0, "scale_by_temperature_squared": False}
    without, _ = evaluate(probe, "soft_cross_entropy", [own, other], options)
    assert_close(with_square, 9 * without)


def test_a_hot_teacher_matches_logits(probe):
    # T -> infinity with T^2 and zero-mean logits: gradient -> (own - other) / C.
    own, other = (value - value.mean(axis=1, keepdims=True) for value in (draw(3, 4), draw(3, 4)))
    _, (gradient, _) = evaluate(probe, "soft_cross_entropy", [own, other], {"temperature": 1e4})
    assert np.abs(gradient - (own - other) / 4).max() < 1e-3


def test_attention_by_hand(probe):
    # Two channels on 2x2 pixels: squares sum to (9, 16, 0, 0), of norm sqrt(81 + 256).
    maps = np.zeros((1, 2, 2, 2))
    maps[0, 0, 0], maps[0, 0, 1] = (3.0, 0.0), (0.0, -4.0)
    value, _ = evaluate(probe, "attention_map", [maps], {"kind": "sum_p", "power": 2.0})
    norm = np.sqrt(337)
    assert_close(value, np.array([[9, 16, 0, 0]]) / norm)
    # Against all the attention on the first pixel.
    first = np.array([[1.0, 0.0, 0.0, 0.0]])
    square = (1 - 9 / norm) ** 2 + (16 / norm) ** 2
    code, _ = evaluate(probe, "attention_distance", [value, first], {"form": "code"})
    paper, _ = evaluate(probe, "attention_distance", [value, first], {"form": "paper"})
    assert_close(code, np.array([square / 4]))
    assert_close(paper, np.array([np.sqrt(square) / 2]))


@pytest.mark.parametrize("options", MAPS, ids=str)
def test_attention_ignores_the_scale_and_survives_zeros(probe, options):
    maps = draw(2, 3, 2, 4)
    plain, _ = evaluate(probe, "attention_map", [maps], options)
    scaled, _ = evaluate(probe, "attention_map", [7.5 * maps], options)
    assert_close(scaled, plain)
    value, (gradient,) = evaluate(probe, "attention_map", [0 * maps], options)
    assert (value == 0).all()
    assert np.isfinite(gradient).all()


def test_epsilon_stands_on_the_norm(probe):
    # Norm 1e-14: divided by 1e-12 it is 0.01; with epsilon on the squared sum it would be 1e-8.
    maps = np.full((1, 1, 1, 1), 1e-14)
    value, _ = evaluate(probe, "attention_map", [maps], {"kind": "sum", "power": 1.0})
    assert value[0, 0] == pytest.approx(0.01)


def test_equal_maps_have_a_finite_gradient_in_the_paper_s_form(probe):
    maps = draw(2, 6)
    value, found = evaluate(probe, "attention_distance", [maps, maps], {"form": "paper"})
    assert (value == 0).all()
    assert all((gradient == 0).all() for gradient in found)


def test_ties_of_the_maximum_share_their_gradient(probe):
    maps = np.ones((1, 1, 2, 2))
    maps[0, 0, 1] = 2.0
    projection = np.array([[1.0, 0.0]])
    _, (gradient,) = evaluate(
        probe, "attention_map", [maps], {"kind": "max_p", "power": 2.0}, projection
    )
    assert gradient[0, 0, 0, 0] == pytest.approx(gradient[0, 0, 0, 1])


def test_similarities_and_attention_by_hand(probe):
    # Maps (1, 2) and (3, 4), of one channel: products 5, 11 and 25; the third image is missing.
    maps = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 1, 2, 1)
    rows, _ = evaluate(probe, "similarity_rows", [maps], {"row_length": 3})
    assert_close(rows, np.array([[5.0, 11.0, 0.0], [11.0, 25.0, 0.0]]))
    units, (gradient,) = evaluate(probe, "unit_vectors", [[[3.0, 4.0], [0.0, 0.0]]], {})
    assert_close(units, np.array([[0.6, 0.8], [0.0, 0.0]]))
    assert np.isfinite(gradient).all()
    # Products 1 and 0 over the keys: e / (e + 1) of the weight is on the first.
    keys = [[[1.0, 0.0], [0.0, 1.0]]]
    weights, _ = evaluate(probe, "pair_attention", [[[[1.0, 0.0]]], keys], {"temperature": 1.0})
    assert_close(weights, np.array([[[np.e, 1.0]]]) / (np.e + 1))


def test_a_batch_longer_than_its_rows_is_refused(probe):
    with pytest.raises(Exception, match="batch of 3 images for rows of 2 similarities"):
        probe.call(
            evaluate_loss,
            name="similarity_rows",
            inputs=[draw(3, 2, 2, 1)],
            options={"row_length": 2},
            projection=np.ones((3, 2)),
        )


def test_reductions_differ_by_the_number_of_values(probe):
    maps, hints = draw(2, 3, 2, 4), draw(2, 3, 2, 4)
    total, _ = evaluate(probe, "squared_error", [maps, hints], {"reduction": "sum_features"})
    mean, _ = evaluate(probe, "squared_error", [maps, hints], {"reduction": "mean"})
    assert_close(total, 24 * mean)
    perfect, _ = evaluate(probe, "squared_error", [hints, hints], {"reduction": "mean"})
    assert (perfect == 0).all()
