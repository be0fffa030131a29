"""Splits: sizes, stratification, no overlap, stable definitions, refusals."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.partition import apportion, stratify
from poc.shared.data.splits.split import Split, make_split
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec, SplitSpec


def make_source(labels, test_labels=None, val_labels=None, name="made"):
    """A source of one-pixel images with these labels."""
    parts = {"train": labels, "val": val_labels, "test": test_labels}
    return ArraySource(
        name,
        {
            part: (np.zeros((len(values), 1, 1), dtype=np.uint8), np.asarray(values))
            for part, values in parts.items()
            if values is not None
        },
    )


def counts(source, indices):
    return np.bincount(source.labels[indices], minlength=len(source.class_names))


def balanced(num_classes, count):
    return np.repeat(np.arange(num_classes), count)


class_counts = st.lists(st.integers(1, 60), min_size=1, max_size=30)
shares = st.lists(st.integers(0, 20), min_size=2, max_size=4).filter(any)


@given(class_counts, shares)
@settings(deadline=None)
def test_apportion_is_within_one_and_complete(sizes, weights):
    sizes = np.array(sizes)
    exact = np.outer(sizes, weights) / sum(weights)
    result = apportion(sizes, np.divide(weights, sum(weights)))
    assert np.array_equal(result.sum(axis=1), sizes)
    assert (np.abs(result - exact) < 1).all()
    assert (result[:, np.array(weights) == 0] == 0).all()


@given(st.integers(1, 200), st.integers(1, 60))
def test_apportion_of_equal_classes_keeps_totals(num_classes, size):
    """Each class rounds alike; what is left over must not pile up in one part."""
    wanted = np.array([0.64, 0.16, 0.2])
    result = apportion(np.full(num_classes, size), wanted)
    assert (np.abs(result.sum(axis=0) - wanted * num_classes * size) <= 1).all()


@given(class_counts, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_stratify_divides_without_overlap(sizes, seed):
    source = make_source(np.repeat(np.arange(len(sizes)), sizes))
    everything = np.arange(len(source))
    parts = stratify(source, everything, (0.5, 0.3, 0.2), str(seed))
    assert np.array_equal(np.sort(np.concatenate(parts)), everything)
    for part, share in zip(parts, (0.5, 0.3, 0.2), strict=True):
        assert (np.abs(counts(source, part) - share * np.array(sizes)) < 1).all()


def test_embedded_default():
    source = open_source("embedded")
    split = make_split(source, SplitSpec())
    assert counts(source, split.train).tolist() == [180] * 10
    assert counts(source, split.val).tolist() == [20] * 10
    assert np.array_equal(split.test, source.partitions["test"])
    assert not set(split.train) & set(split.val)
    assert split.train.dtype == np.int64
    assert (np.diff(split.train) > 0).all()


def test_default_split_is_the_same_everywhere():
    """Drawn by hashes, so this value holds on every machine and NumPy version."""
    expected = "0d4fce7a21b1125eeef5d30359930c4a3668ff3ed979d13bff006dc203c3ef7b"
    assert make_split(open_source("embedded"), SplitSpec()).fingerprint == expected


def test_seed_changes_the_draw_and_nothing_else():
    source = open_source("embedded")
    first, same, other = (make_split(source, SplitSpec(seed=seed)) for seed in (1, 1, 2))
    assert first.fingerprint == same.fingerprint != other.fingerprint
    assert np.array_equal(first.train, same.train)
    assert counts(source, first.val).tolist() == counts(source, other.val).tolist()
    # Independent draws of 10 % share about 10 %.
    assert 5 <= len(set(first.val) & set(other.val)) <= 45


def test_draw_does_not_depend_on_the_order_of_examples():
    labels = np.tile([0, 1, 2], 40)
    source = make_source(labels)
    turned = make_source(labels)
    turned.ids = source.ids[::-1]
    turned._labels = source.labels[::-1]
    spec = SplitSpec(kind="fractions")
    first, second = make_split(source, spec), make_split(turned, spec)
    assert first.fingerprint == second.fingerprint


def test_study_of_the_dogs():
    """64/16/20 of 20,580 photos in 120 unequal classes, then 10 % of train: about 1,317."""
    generator = np.random.default_rng(0)
    sizes = generator.multinomial(20_580 - 120 * 148, np.full(120, 1 / 120)) + 148
    source = make_source(np.repeat(np.arange(120), sizes))
    spec = SplitSpec(kind="fractions", train_sample=0.1)
    split = make_split(source, spec)
    whole = make_split(source, SplitSpec(kind="fractions"))
    assert abs(len(whole.train) - 0.64 * 20_580) <= 1
    assert abs(len(whole.val) - 0.16 * 20_580) <= 1
    assert abs(len(whole.test) - 0.20 * 20_580) <= 1
    assert len(split.train) == pytest.approx(1317, abs=1)
    assert set(split.train) < set(whole.train)
    assert np.array_equal(split.test, whole.test)
    assert (np.abs(counts(source, split.train) - 0.1 * counts(source, whole.train)) < 1).all()


def test_holdout_takes_the_first_examples():
    source = make_source(np.tile([0, 1], 30), np.tile([0, 1], 5))
    split = make_split(source, SplitSpec(kind="holdout", num_val_examples=10))
    assert split.val.tolist() == list(range(10))
    assert split.train.tolist() == list(range(10, 60))
    assert split.test.tolist() == list(range(60, 70))


def test_val_on_test_trains_on_everything():
    source = make_source(np.tile([0, 1], 30), np.tile([0, 1], 5))
    split = make_split(source, SplitSpec(val_on_test=True))
    assert np.array_equal(split.val, split.test)
    assert len(split.train) == 60


def test_published_val_is_used():
    source = make_source(balanced(2, 30), balanced(2, 5), balanced(2, 4))
    split = make_split(source, SplitSpec())
    assert np.array_equal(split.val, source.partitions["val"])
    assert len(split.train) == 60


def test_parts_that_are_not_meant_are_empty():
    source = make_source(balanced(2, 30), balanced(2, 5))
    assert not len(make_split(source, SplitSpec(val_fraction=0)).val)
    split = make_split(source, SplitSpec(kind="fractions", fractions=(0.7, 0.0, 0.3)))
    assert (len(split.train), len(split.val), len(split.test)) == (49, 0, 21)


def test_samples_of_train():
    source = make_source(balanced(3, 40), balanced(3, 5))
    few = make_split(source, SplitSpec(train_per_class=4))
    assert counts(source, few.train).tolist() == [4, 4, 4]
    tenth = make_split(source, SplitSpec(train_sample=0.1))
    fifth = make_split(source, SplitSpec(train_sample=0.2))
    assert set(tenth.train) < set(fifth.train)
    assert np.array_equal(tenth.val, fifth.val)


@pytest.mark.parametrize(
    ("train", "test", "spec", "part", "class_name"),
    [
        ([0, 0, 0, 1], [0, 1], SplitSpec(), "val", "0"),
        (balanced(2, 20), [0], SplitSpec(), "test", "1"),
        ([0, 0, 0, 0, 2], [0, 2], SplitSpec(val_fraction=0), "test", "1"),
        (balanced(2, 4), [0, 1], SplitSpec(val_fraction=0, train_sample=0.1), "train", "0"),
        (balanced(2, 20), [0, 1], SplitSpec(kind="holdout", num_val_examples=5), "val", "1"),
        (balanced(2, 2), None, SplitSpec(kind="fractions"), "test", "1"),
    ],
)
def test_empty_class_is_refused(train, test, spec, part, class_name):
    with pytest.raises(UsageError, match=f"class '{class_name}' .* the {part} part. Expected"):
        make_split(make_source(train, test), spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SplitSpec(), "publishes \\['train'\\]. Expected split.kind=fractions"),
        (SplitSpec(kind="holdout"), "split.kind=fractions"),
        (SplitSpec(kind="fractions", train_per_class=99), "class '0' has 26 train examples"),
    ],
)
def test_impossible_split_is_refused(spec, message):
    with pytest.raises(UsageError, match=message):
        make_split(make_source(balanced(2, 40)), spec)


def test_holdout_of_everything_is_refused():
    source = make_source(balanced(2, 5), balanced(2, 5))
    with pytest.raises(UsageError, match="Expected 1 to 9"):
        make_split(source, SplitSpec(kind="holdout", num_val_examples=10))


def test_definition_round_trip():
    source = make_source(balanced(3, 20), balanced(3, 5))
    split = make_split(source, SplitSpec(seed=7, train_per_class=6))
    text = split.to_json()
    again = Split.from_json(text, source)
    assert again.fingerprint == split.fingerprint
    assert again.spec == split.spec
    for part in ("train", "val", "test"):
        assert np.array_equal(again.parts[part], split.parts[part])
    stored = json.loads(text)
    assert stored["counts"] == {"train": 18, "val": 6, "test": 15}
    assert stored["test"][0] == "test/000000"


def test_definition_is_refused_when_data_or_file_changed():
    source = make_source(balanced(3, 20), balanced(3, 5))
    text = make_split(source, SplitSpec()).to_json()
    with pytest.raises(UsageError, match=r"\(3 missing: test/000012"):
        Split.from_json(text, make_source(balanced(3, 20), balanced(3, 4)))
    edited = json.loads(text)
    edited["train"].pop()
    with pytest.raises(UsageError, match="Expected an unedited file"):
        Split.from_json(json.dumps(edited), source)
    for damaged in ("", "[]", '{"format": "other"}', text[:-20]):
        with pytest.raises(UsageError, match="Expected a file that poc wrote"):
            Split.from_json(damaged, source)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "random"}, ["split.kind", "'random'", "'holdout'"]),
        ({"fraction": 0.1}, ["unknown key", "split.fraction", "Try fractions"]),
        ({"val_fraction": 1.0}, ["split.val_fraction=1.0", "less than 1"]),
        ({"kind": "fractions", "fractions": [0.5, 0.5, 0.5]}, ["split.fractions", "sum to 1"]),
        ({"kind": "fractions", "fractions": [0.0, 0.5, 0.5]}, ["split.fractions", "above 0"]),
        ({"kind": "fractions", "fractions": [0.5, 0.5]}, ["split.fractions"]),
        ({"kind": "fractions", "val_fraction": 0.2}, ["split.val_fraction", "published"]),
        ({"num_val_examples": 10}, ["split.num_val_examples", "holdout"]),
        ({"val_on_test": True, "val_fraction": 0.2}, ["split.val_on_test", "one of them"]),
        ({"train_sample": 0.1, "train_per_class": 3}, ["split.train_sample", "removing one"]),
        ({"train_sample": 0}, ["split.train_sample=0", "greater than 0"]),
        ({"seed": -1}, ["split.seed=-1"]),
    ],
)
def test_wrong_split_settings_are_refused(values, words):
    with pytest.raises(UsageError) as error:
        SplitSpec.parse(values, "split")
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batch_size": 0}, ["data.batch_size=0"]),
        ({"channels": 2}, ["data.channels=2"]),
        ({"normalization": "imagenet"}, ["data.normalization='imagenet'", "'torch'"]),
        ({"image_size": [0, 5]}, ["data.image_size=[0, 5]", "1 to 4096"]),
        ({"image_size": 5}, ["data.image_size=5"]),
        ({"source": ""}, ["data.source=''"]),
        ({"split": {"kind": "fractions", "num_val_examples": 3}}, ["split.num_val_examples"]),
        ({"augment": True}, ["unknown key", "data.augment"]),
    ],
)
def test_wrong_data_settings_are_refused(values, words):
    with pytest.raises(UsageError) as error:
        DataSpec.parse(values, "data")
    for word in words:
        assert word in str(error.value)


def test_settings_survive_a_round_trip():
    spec = DataSpec(image_size=(8, 9), split=SplitSpec(kind="fractions", train_sample=0.5))
    assert DataSpec.parse(spec.model_dump(mode="json"), "data") == spec


def test_a_source_that_has_no_digest_for_an_example_is_not_stored():
    """Pairing would else drop the example's content without a word."""
    source = make_source(balanced(2, 10), balanced(2, 2))
    split = make_split(source, SplitSpec())
    ids = {name for part in split.part_ids.values() for name in part}
    assert json.loads(split.to_json())["contents"].keys() == ids
    source.__dict__["digests"] = source.digests[:-1]
    with pytest.raises(ValueError, match="shorter"):
        split.to_json()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_as_many_examples_as_the_message_names_are_enough(more, seed):
    """1/0.16, rounded up: 7 of each class leave none without one in any part."""
    labels = np.repeat(np.arange(len(more)), [7 + count for count in more])
    split = make_split(make_source(labels), SplitSpec(kind="fractions", seed=seed))
    assert min(len(indices) for indices in split.parts.values()) >= len(more)


@pytest.mark.parametrize(
    "definition",
    [
        {"kind": "fractions"},
        {"kind": "kfold", "fold": 2},
        {"kind": "published"},
        {"kind": "holdout", "num_val_examples": 5},
    ],
)
def test_a_test_part_that_is_held_back_leaves_the_others_unchanged(definition):
    source = make_source(np.tile(np.arange(4), 20), balanced(4, 5))
    full = make_split(source, SplitSpec(**definition))
    held = make_split(source, SplitSpec(**definition, hold_test_back=True))
    assert np.array_equal(held.train, full.train)
    assert np.array_equal(held.val, full.val)
    assert len(full.test) > 0
    assert len(held.test) == 0
    assert held.fingerprint != full.fingerprint
    assert Split.from_json(held.to_json(), source).fingerprint == held.fingerprint


def test_a_split_without_its_test_part_is_refused_as_with_it():
    """A class of one example: the draw for the search fails where that of the finalists would."""
    source = make_source([0] * 20 + [1])
    with pytest.raises(UsageError, match="without one in the"):
        make_split(source, SplitSpec(kind="fractions", hold_test_back=True))
