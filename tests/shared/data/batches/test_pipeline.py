"""The batch pipeline: order, resume, partial batches, preparation against Pillow, workers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from poc.shared.data.batches.pipeline import Pipeline, ReadOptions
from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.sources.base import Source, example_ids, to_picture
from poc.shared.data.views.normalization import convert_channels, normalize
from poc.shared.data.views.view import Resize
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec

NUM_EXAMPLES = 23


class UnevenSource(Source):
    """Images of different sizes, made when asked for."""

    def __init__(self, num_examples=NUM_EXAMPLES, channels=3):
        self.name = "uneven"
        self.class_names = ("a", "b", "c")
        self.ids = example_ids("all", num_examples)
        self.partitions = {}
        self.image_shape = None
        self._channels = channels

    @property
    def labels(self):
        return np.arange(len(self)) % 3

    def image(self, index):
        generator = np.random.default_rng(index)
        shape = (*generator.integers(5, 20, 2), self._channels)
        return generator.integers(0, 256, shape, dtype=np.uint8)


def make_source(num_examples=NUM_EXAMPLES, channels=1, size=(4, 5)):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (num_examples, *size, channels), dtype=np.uint8)
    return ArraySource("made", {"train": (images, np.arange(num_examples) % 3)})


def make_pipeline(source=None, num_examples=NUM_EXAMPLES, **changes):
    options = {"seed": 5, "is_training": True}
    options |= {key: changes.pop(key) for key in list(changes) if key not in DataSpec.model_fields}
    own = {
        key: options.pop(key) for key in ("prefetch_batches", "resident_bytes") if key in options
    }
    options["read"] = ReadOptions(**own)
    source = source or make_source(num_examples)
    return Pipeline(
        source, np.arange(len(source)), DataSpec(**{"batch_size": 4} | changes), **options
    )


def join(batches):
    """One long batch: images, labels, indices."""
    return [np.concatenate(arrays) for arrays in list(zip(*batches, strict=True))[:3]]


def assert_same(left, right):
    left, right = list(left), list(right)
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert (one.targets is None) == (other.targets is None)
        for array, expected in zip(one, other, strict=True):
            if array is None:
                continue
            assert array.dtype == expected.dtype
            assert np.array_equal(array, expected)


def test_an_epoch_holds_every_example_once():
    source = make_source()
    pipeline = make_pipeline(source)
    batches = list(pipeline.epoch(0))
    assert [len(batch.labels) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert (pipeline.num_batches, pipeline.examples) == (6, NUM_EXAMPLES)
    images, labels, indices = join(batches)
    assert sorted(indices) == list(range(NUM_EXAMPLES))
    assert np.array_equal(labels, source.labels[indices])
    assert np.array_equal(images, source.images(indices).astype(np.float32) / np.float32(255))
    assert (images.dtype, labels.dtype, indices.dtype) == (np.float32, np.int64, np.int64)


def test_indices_are_positions_in_the_source():
    source = make_source()
    chosen = np.array([3, 5, 8, 13, 21])
    pipeline = Pipeline(source, chosen, DataSpec(batch_size=2), seed=1, is_training=True)
    images, labels, indices = join(pipeline.epoch(0))
    assert set(indices) == set(chosen)
    assert np.array_equal(labels, source.labels[indices])
    assert np.array_equal(images, normalize(source.images(indices), "unit"))


def test_order_depends_on_seed_and_epoch():
    def order(seed, epoch):
        return join(make_pipeline(seed=seed).epoch(epoch))[2].tolist()

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_order_is_the_documented_one():
    key = np.random.SeedSequence([5, 2])
    expected = np.random.Generator(np.random.Philox(key)).permutation(NUM_EXAMPLES)
    assert np.array_equal(join(make_pipeline().epoch(2))[2], expected)


def test_evaluation_keeps_order_and_every_example():
    pipeline = make_pipeline(is_training=False, drop_last=True)
    assert join(pipeline.epoch(3))[2].tolist() == list(range(NUM_EXAMPLES))


def test_without_shuffle():
    assert join(make_pipeline(shuffle=False).epoch(3))[2].tolist() == list(range(NUM_EXAMPLES))


def test_drop_last():
    pipeline = make_pipeline(drop_last=True)
    assert (pipeline.num_batches, pipeline.examples) == (5, 20)
    assert [len(batch.labels) for batch in pipeline.epoch(0)] == [4] * 5


@given(
    num_examples=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    epoch=st.integers(0, 5),
    prefetch=st.sampled_from([0, 0, 0, 1, 3]),
    data=st.data(),
)
@settings(deadline=None, max_examples=40)
def test_resume_at_any_step(num_examples, batch_size, epoch, prefetch, data):
    pipeline = make_pipeline(
        num_examples=num_examples, batch_size=batch_size, prefetch_batches=prefetch
    )
    start = data.draw(st.integers(0, pipeline.num_batches))
    whole = list(pipeline.epoch(epoch))
    assert len(whole) == pipeline.num_batches
    assert_same(pipeline.epoch(epoch, start), whole[start:])


@pytest.mark.parametrize("start", [-1, 7])
def test_resume_outside_the_epoch_is_refused(start):
    with pytest.raises(UsageError, match="Expected 0 to 6"):
        make_pipeline().epoch(0, start)


NUM_BYTES = NUM_EXAMPLES * 4 * 5


@pytest.mark.parametrize("resident_bytes", [0, NUM_BYTES, 4 * NUM_BYTES])
@pytest.mark.parametrize("prefetch", [None, 0, 2])
@pytest.mark.parametrize("normalization", ["unit", "tf", "none"])
def test_batches_do_not_depend_on_how_they_are_made(resident_bytes, prefetch, normalization):
    expected = make_pipeline(normalization=normalization, prefetch_batches=0).epoch(1)
    pipeline = make_pipeline(
        normalization=normalization, prefetch_batches=prefetch, resident_bytes=resident_bytes
    )
    assert pipeline.is_resident == (resident_bytes > 0)
    assert_same(pipeline.epoch(1), expected)


def test_worker_processes_change_nothing():
    pipeline = make_pipeline(num_workers=2, resident_bytes=0)
    assert pipeline.num_workers == 2
    assert_same(pipeline.epoch(1, 2), list(make_pipeline().epoch(1))[2:])


def test_data_in_memory_needs_no_workers():
    assert make_pipeline(num_workers=2).num_workers == 0


def test_a_batch_is_the_callers_own():
    pipeline = make_pipeline()
    for batch in pipeline.epoch(0):
        batch.images[:] = -1
    assert all((batch.images >= 0).all() for batch in pipeline.epoch(0))


def test_an_epoch_may_be_left_in_the_middle():
    pipeline = make_pipeline(prefetch_batches=2)
    batches = pipeline.epoch(0)
    first = next(batches)
    batches.close()
    assert_same([first], [next(pipeline.epoch(0))])


@pytest.mark.parametrize("resident_bytes", [0, 1 << 20])
def test_uneven_images_are_resized_like_pillow(resident_bytes):
    source = UnevenSource()
    pipeline = make_pipeline(source, image_size=(6, 9), resident_bytes=resident_bytes)
    assert pipeline.image_shape == (6, 9, 3)
    for batch in pipeline.epoch(0):
        for image, index in zip(batch.images, batch.indices, strict=True):
            picture = Image.fromarray(source.image(int(index))).resize((9, 6), Image.BILINEAR)
            assert np.array_equal(image, np.asarray(picture, dtype=np.float32) / np.float32(255))


def test_images_in_memory_are_read_once(monkeypatch):
    source = UnevenSource()
    seen = []
    read = source.image
    monkeypatch.setattr(source, "image", lambda index: seen.append(index) or read(index))
    pipeline = make_pipeline(source, image_size=(6, 9))
    seen.clear()
    for epoch in range(3):
        list(pipeline.epoch(epoch))
    assert sorted(seen) == list(range(NUM_EXAMPLES))


def squash(image, size):
    """An image (h, w, C) at `size`, as a view resizes it."""
    channels = image.shape[2]
    resize = Resize(channels=channels, rule="squash", target=size, interpolation="bilinear", fill=0)
    return resize(to_picture(image))


def test_shrinking_is_antialiased():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))[..., np.newaxis]
    inner = squash(stripes, (8, 8))[2:6, 2:6].astype(int)
    assert inner.min() > 110
    assert inner.max() < 145


def test_even_images_are_resized_too():
    source = make_source(size=(10, 12))
    pipeline = make_pipeline(source, image_size=(5, 6), channels=3)
    batch = next(pipeline.epoch(0))
    assert batch.images.shape == (4, 5, 6, 3)
    expected = squash(np.repeat(source.image(int(batch.indices[0])), 3, axis=-1), (5, 6))
    assert np.array_equal(batch.images[0], normalize(expected, "unit"))


def test_grey_becomes_rgb_by_repetition():
    grey = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    rgb = convert_channels(grey, 3)
    assert rgb.shape == (2, 3, 4, 3)
    assert all(np.array_equal(rgb[..., channel], grey[..., 0]) for channel in range(3))


def test_rgb_becomes_grey_like_pillow():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 6, 3), dtype=np.uint8)
    grey = convert_channels(rgb, 1)
    assert grey.shape == (5, 7, 6, 1)
    for image, expected in zip(grey, rgb, strict=True):
        assert np.array_equal(image[..., 0], np.asarray(Image.fromarray(expected).convert("L")))


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        ("none", [[0, 128, 255]]),
        ("unit", [[0, 128 / 255, 1]]),
        ("tf", [[-1, 128 / 127.5 - 1, 1]]),
        ("torch", [[-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]]),
        ("caffe", [[255 - 103.939, 128 - 116.779, 0 - 123.68]]),
    ],
)
def test_normalizations_by_hand(normalization, expected):
    image = np.array([[[[0, 128, 255]]]], dtype=np.uint8)
    values = normalize(image, normalization)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    # float32 carries seven digits.
    np.testing.assert_allclose(values[0, 0], expected, rtol=1e-6, atol=1e-6)


def test_unit_is_exact_division():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(normalize(levels, "unit"), levels.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("source", "changes", "words"),
    [
        (UnevenSource(), {}, "set data.image_size"),
        (make_source(), {"normalization": "torch"}, "set data.channels=3"),
        (make_source(), {"batch_size": 30, "drop_last": True}, "lower data.batch_size"),
    ],
)
def test_settings_that_do_not_fit_the_images_are_refused(source, changes, words):
    with pytest.raises(UsageError, match=words):
        make_pipeline(source, **changes)


def test_no_examples_are_refused():
    with pytest.raises(UsageError, match="Got 0 examples"):
        Pipeline(make_source(), np.empty(0, dtype=np.int64), DataSpec())


def test_sizes_of_one_source_may_only_differ_with_image_size():
    with pytest.raises(UsageError, match="different shapes"):
        UnevenSource().images(np.arange(3))
