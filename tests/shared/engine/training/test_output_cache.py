"""Outputs of what is frozen: kept under their images, and an image's own or refused."""

from contextlib import nullcontext

import numpy as np
import pytest

from poc.shared.engine.training.output_cache import TOLERANCES, KeptOutputs, relative_difference
from poc.shared.errors import UsageError

generator = np.random.default_rng(0)


def count_calls(name="a"):
    """A frozen network that gives the images themselves."""
    calls = []

    def compute(images):
        calls.append(len(images))
        return {name: images}

    return calls, compute


def test_kept_rows_lie_under_their_images_whatever_the_order():
    kept = KeptOutputs(np.array([9, 4, 7]), setting="x")
    images = np.array([[9.0], [4.0], [7.0]], np.float32)
    calls, compute = count_calls("kept/pool")
    kept.look_up(np.array([9, 4]), images[:2], compute)
    assert not kept.is_whole
    # Once for what is kept, twice for the check that comes first.
    assert calls == [2, 2, 2]
    again = kept.look_up(np.array([4, 9]), images[:0], compute)
    np.testing.assert_array_equal(again["kept/pool"], images[1::-1])
    assert len(calls) == 3
    kept.look_up(np.array([7]), images[2:], compute)
    assert calls == [2, 2, 2, 1]
    assert kept.is_whole


def test_views_of_one_image_stay_together():
    kept = KeptOutputs(np.array([0, 1]), setting="x", num_views=3)
    images = np.arange(12, dtype=np.float32).reshape(6, 2)
    _, compute = count_calls()
    first = kept.look_up(np.array([1, 0]), images, compute)
    np.testing.assert_array_equal(first["a"], images)
    swapped = kept.look_up(np.array([0, 1]), images[:0], compute)
    np.testing.assert_array_equal(swapped["a"], images[[3, 4, 5, 0, 1, 2]])


def test_a_file_serves_the_next_run_and_a_damaged_one_is_written_anew(tmp_path):
    path = tmp_path / "features" / "key.safetensors"
    images = np.arange(6, dtype=np.float32).reshape(3, 2)
    calls, compute = count_calls()
    KeptOutputs(np.arange(3), setting="x", path=path).look_up(np.arange(3), images, compute)
    calls.clear()
    later = KeptOutputs(np.arange(3), setting="x", path=path)
    assert later.is_whole
    found = later.look_up(np.array([2, 0]), images[:0], compute)["a"]
    np.testing.assert_array_equal(found, images[[2, 0]])
    assert not calls
    path.write_bytes(path.read_bytes()[:-5])
    repaired = KeptOutputs(np.arange(3), setting="x", path=path)
    assert not repaired.is_whole
    repaired.look_up(np.arange(3), images, compute)
    assert calls
    assert KeptOutputs(np.arange(3), setting="x", path=path).is_whole
    assert not KeptOutputs(np.arange(4), setting="x", path=path).is_whole


def test_what_does_not_fit_is_refused_in_one_sentence():
    kept = KeptOutputs(np.arange(3), setting="teacher.cache", limit_bytes=8)
    with pytest.raises(UsageError, match=r"teacher\.cache.*take 12 bytes\. Expected at most 8"):
        kept.look_up(np.array([0]), np.zeros((1, 1), np.float32), count_calls()[1])


def distances(values):
    return np.sqrt(((values[:, None] - values) ** 2).sum(axis=2))


# Functions of a batch (N, F) whose row is no matter of its own image.
RELATIONS = {
    "pairs": distances,
    "cosines": lambda values: values @ values.T,
    "mean distance": lambda values: distances(values).mean(axis=1),
    "less the mean": lambda values: values - values.mean(axis=0),
    "over the largest": lambda values: values / np.abs(values).max(),
    "rank": lambda values: values[:, 0].argsort().argsort().astype(values.dtype),
    "neighbour": lambda values: np.roll(values, 1, axis=0),
    "place": lambda values: values + np.arange(len(values))[:, None],
    "one value": lambda values: values.mean(),
    "one row": lambda values: values.mean(axis=0, keepdims=True),
    "finite by chance": lambda values: np.where(values == values.max(), np.inf, values),
}
OWN = {
    "itself": lambda values: values,
    "maps": lambda values: np.maximum(values, 0).reshape(len(values), 1, 2, -1),
    "lengths": lambda values: np.sqrt((values**2).sum(axis=1)),
    "nothing": lambda values: np.zeros((len(values), 0), np.float32),
    "zeros": np.zeros_like,
    # What is not finite is another check's matter.
    "never finite": lambda values: np.where(values > 0, np.nan, values),
}


@pytest.mark.parametrize("count", [2, 3, 8, 65])
@pytest.mark.parametrize("form", RELATIONS)
def test_what_relates_images_to_each_other_is_refused_before_it_is_kept(form, count, tmp_path):
    path = tmp_path / "key.safetensors"
    kept = KeptOutputs(np.arange(count), setting="teacher.cache", path=path)
    images = generator.normal(size=(count, 4)).astype(np.float32)

    def compute(values):
        return {"own": values, form: np.asarray(RELATIONS[form](values))}

    with pytest.raises(UsageError) as caught:
        kept.look_up(np.arange(count), images, compute)
    for part in ("Got teacher.cache", repr(form), "turning it off"):
        assert part in str(caught.value)
    assert kept.num_kept == 0
    assert not path.exists()


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("form", OWN)
def test_what_is_an_images_own_is_kept_bit_by_bit(form, count):
    kept = KeptOutputs(np.arange(count), setting="teacher.cache")
    images = generator.normal(size=(count, 4)).astype(np.float32)
    found = kept.look_up(np.arange(count), images, lambda values: {form: OWN[form](values)})
    np.testing.assert_array_equal(found[form], OWN[form](images))
    assert kept.is_whole


# Roundings of a value of 1 by half a unit in the last place.
ROUNDINGS = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}


@pytest.mark.parametrize("precision", TOLERANCES)
def test_rounding_of_a_precision_is_no_relation(precision):
    images = np.array([[1.0], [0.5], [0.25], [0.75]])
    # Half of the batch has the mean 0.75 or 0.5, the whole 0.625: 0.125 times the error is seen.
    for error, is_refused in ((8 * 7 * ROUNDINGS[precision], False), (0.5, True)):
        kept = KeptOutputs(np.arange(4), setting="x", precision=precision)
        with pytest.raises(UsageError) if is_refused else nullcontext():
            kept.look_up(
                np.arange(4),
                images,
                lambda values, error=error: {"a": values * (1 + error * values.mean())},
            )


def test_a_difference_is_a_share_of_the_largest_value():
    first, chosen = np.array([[2.0], [8.0]]), np.array([1, 1])
    assert relative_difference(first, np.array([[8.0], [8.0]]), chosen) == 0
    assert relative_difference(first, np.array([[8.0], [6.0]]), chosen) == 2 / 8
    assert relative_difference(0 * first, np.array([[0.0], [4.0]]), chosen) == 1
    assert relative_difference(first, np.array([[8.0], [np.nan]]), chosen) == np.inf
    assert relative_difference(first, np.array([8.0, 8.0]), chosen) == np.inf
