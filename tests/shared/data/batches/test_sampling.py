"""Balanced draws: by hand, in distribution, and the same whoever reads them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from poc.shared.data.batches.pipeline import Pipeline, ReadOptions, Shard
from poc.shared.data.batches.sampling import balanced, count_repeats, group_classes
from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.views.mixing import draw_mix
from poc.shared.data.views.view import example_generator
from poc.shared.engine.training.output_cache import KeptOutputs
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.views import TrainView

COUNTS = (20, 3, 7)
NUM_EXAMPLES = sum(COUNTS)
VIEW = {"horizontal_flip": 0.5, "policy": "trivialaugment", "erasing": 0.3}
MIXED = {**VIEW, "mixup": 0.4, "cutmix": 1.0}


def make_source(counts=COUNTS):
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    images = generator.integers(0, 256, (len(labels), 6, 7, 3), dtype=np.uint8)
    return ArraySource("made", {"train": (images, labels)})


def make_pipeline(view=None, *, read=None, is_training=True, **changes):
    spec = DataSpec(
        **{
            "batch_size": 4,
            "sampling": "balanced",
            "train_view": TrainView.parse(view or {}, "view"),
            **changes,
        }
    )
    source = make_source()
    return Pipeline(
        source,
        np.arange(NUM_EXAMPLES),
        spec,
        seed=5,
        is_training=is_training,
        read=read or ReadOptions(),
    )


def assert_same(left, right):
    left, right = list(left), list(right)
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for array, expected in zip(one, other, strict=True):
            assert np.array_equal(array, expected)


def test_draws_are_the_documented_ones():
    """One draw after the other: a class first, for all of them; then one of its members."""
    source = make_source()
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([5, 2])))
    members = [np.flatnonzero(source.labels == label) for label in range(len(COUNTS))]
    classes = [int(label) for label in generator.integers(0, len(COUNTS), NUM_EXAMPLES)]
    chosen = [members[c][generator.integers(0, len(members[c]))] for c in classes]
    assert make_pipeline().order(2).tolist() == chosen
    assert np.concatenate([b.indices for b in make_pipeline().epoch(2)]).tolist() == chosen


def test_an_epoch_keeps_its_length():
    pipeline = make_pipeline()
    assert [len(batch.labels) for batch in pipeline.epoch(0)] == [4] * 7 + [2]
    dropped = make_pipeline(drop_last=True)
    assert (dropped.num_batches, dropped.examples) == (7, 28)
    assert [len(batch.labels) for batch in dropped.epoch(0)] == [4] * 7


def test_classes_and_their_examples_are_equally_likely():
    source, pipeline = make_source(), make_pipeline()
    drawn = np.concatenate([pipeline.order(epoch) for epoch in range(400)])
    classes = np.bincount(source.labels[drawn])
    assert stats.chisquare(classes).pvalue > 0.01
    for label, count in enumerate(COUNTS):
        examples = Counter(drawn[source.labels[drawn] == label].tolist())
        assert len(examples) == count
        assert stats.chisquare(list(examples.values())).pvalue > 0.01
    # Neighbours are independent: every pair of classes is as frequent as any other.
    pairs = Counter(zip(source.labels[drawn][:-1:2], source.labels[drawn][1::2], strict=True))
    assert stats.chisquare(list(pairs.values())).pvalue > 0.01


def test_repeats_by_hand():
    assert count_repeats(np.array([3, 1, 3, 3, 1])).tolist() == [0, 0, 1, 2, 1]
    assert count_repeats(np.array([], dtype=np.int64)).tolist() == []


@given(st.lists(st.integers(0, 6), max_size=40))
@settings(deadline=None)
def test_repeats_count_what_came_before(order):
    seen, expected = Counter(), []
    for value in order:
        expected.append(seen[value])
        seen[value] += 1
    assert count_repeats(np.array(order, dtype=np.int64)).tolist() == expected


def test_an_example_drawn_again_looks_different():
    """Its random numbers are keyed by the repeat too; the first time they are those of any run."""
    view = TrainView(policy="trivialaugment", rotation_degrees=20)
    pipeline = make_pipeline(view.model_dump())
    augment, source = pipeline._augment, make_source()
    draws = balanced(5, 3, group_classes(source, np.arange(NUM_EXAMPLES)))
    assert draws.repeats.max() >= 2
    images = np.concatenate([batch.images for batch in pipeline.epoch(3)])
    for image, position, repeat in zip(images, *draws, strict=True):
        key = [repeat] if repeat else []
        generator = example_generator(5, 3, source.ids[position], *key)
        expected = augment(source.image(position), generator)[0].astype(np.float32)
        assert np.array_equal(image, expected / np.float32(255))
    place = int(np.argmax(draws.positions == draws.positions[draws.repeats.argmax()]))
    assert not np.array_equal(images[place], images[draws.repeats.argmax()])


@pytest.mark.parametrize("view", [{}, VIEW, MIXED], ids=["plain", "policy", "mixed"])
@pytest.mark.parametrize("first", [0, 1, 5, 8])
def test_a_resume_at_any_batch_changes_nothing(view, first):
    expected = list(make_pipeline(view).epoch(2))
    assert_same(make_pipeline(view).epoch(2, first), expected[first:])
    again = make_pipeline(view, cache="off")
    assert_same(again.epoch(2, first), expected[first:])


@pytest.mark.parametrize("view", [VIEW, MIXED], ids=["policy", "mixed"])
def test_workers_change_no_pixel(view):
    expected = make_pipeline(view)
    with make_pipeline(view, cache="off", num_workers=2) as pipeline:
        assert pipeline.num_workers == 2
        assert_same(pipeline.epoch(0), expected.epoch(0))
        assert_same(pipeline.epoch(1), expected.epoch(1))
        assert_same(pipeline.epoch(6, 3), list(expected.epoch(6))[3:])


@pytest.mark.parametrize("view", [VIEW, MIXED], ids=["policy", "mixed"])
@pytest.mark.parametrize("count", [2, 3])
def test_shards_together_are_the_whole_batch(view, count):
    whole = list(make_pipeline(view, drop_last=True).epoch(1))
    options = [ReadOptions(shard=Shard(index, count)) for index in range(count)]
    shards = [list(make_pipeline(view, drop_last=True, read=read).epoch(1)) for read in options]
    for step, batch in enumerate(whole):
        for place, expected in enumerate(batch):
            if expected is not None:
                joined = np.concatenate([shard[step][place] for shard in shards])
                assert np.array_equal(joined, expected)


def test_mixup_of_repeated_examples_by_hand():
    mixed, plain = make_pipeline({"mixup": 0.4}), make_pipeline()
    for step, (batch, other) in enumerate(zip(mixed.epoch(2), plain.epoch(2), strict=True)):
        mix = draw_mix(TrainView(mixup=0.4), (6, 7), len(other.labels), (5, 2, step))
        share, one_hot = np.float32(mix.share), np.eye(3, dtype=np.float32)
        expected = share * other.images + (1 - share) * other.images[mix.partners]
        np.testing.assert_allclose(batch.images, expected, atol=1e-6)
        targets = share * one_hot[other.labels] + (1 - share) * one_hot[other.labels[mix.partners]]
        np.testing.assert_allclose(batch.targets, targets, atol=1e-6)


def test_evaluation_and_exact_statistics_see_every_example_once():
    pipeline = make_pipeline(is_training=False)
    indices = np.concatenate([batch.indices for batch in pipeline.epoch(0)])
    assert indices.tolist() == list(range(NUM_EXAMPLES))


def test_a_class_without_train_images_is_refused():
    source = make_source()
    without = np.flatnonzero(source.labels != 1)
    with pytest.raises(UsageError, match=r"class '1' has no train image in 'made'\. .*uniform"):
        Pipeline(source, without, DataSpec(sampling="balanced"), is_training=True)
    # What draws nothing from it needs none.
    Pipeline(source, without, DataSpec(sampling="balanced"))
    Pipeline(source, without, DataSpec(), is_training=True)


def test_balanced_draws_in_a_fixed_order_are_refused():
    with pytest.raises(UsageError, match=r"data\.sampling=balanced with data\.shuffle=false"):
        load_run(None, ["sampling=balanced", "shuffle=false"])
    assert load_run(None, ["sampling=balanced"]).data.sampling == "balanced"


def test_kept_outputs_stay_what_they_were_first():
    """An image that comes again beside a new one keeps its output, however it rounds there."""
    kept = KeptOutputs(np.arange(4), setting="")
    images = np.zeros((2, 1, 1, 1), dtype=np.float32)

    def rounded(place):
        return lambda images: {"out": np.full((len(images), 1), place, dtype=np.float32)}

    kept.look_up(np.array([0, 1]), images, rounded(1.0))
    found = kept.look_up(np.array([1, 2]), images, rounded(2.0))
    assert found["out"].ravel().tolist() == [1.0, 2.0]
    assert (kept.num_kept, kept.is_whole) == (3, False)
    found = kept.look_up(np.array([3, 3]), images, rounded(4.0))
    assert found["out"].ravel().tolist() == [4.0, 4.0]
    assert kept.is_whole
