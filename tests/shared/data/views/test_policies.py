"""Policies: what is drawn, how strong, where in the view, and by what the draws are keyed."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

from poc.shared.data.sources.base import to_array, to_picture
from poc.shared.data.views import policies
from poc.shared.data.views.color import erasing_box
from poc.shared.data.views.policies import OPERATIONS, Operation, apply_policy
from poc.shared.data.views.view import augment_images, example_generator, plan_view
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec
from poc.shared.spec.views import TrainView


def draw_picture(channels=3, size=(24, 30), seed=0):
    generator = np.random.default_rng(seed)
    return to_picture(generator.integers(0, 256, (*size, channels), dtype=np.uint8))


# Operation -> its amount at magnitude 9 of a picture of 30 x 24 pixels, by hand, and Pillow's call.
BY_HAND = {
    "Identity": (0, lambda picture: picture),
    "ShearX": (0.09, lambda p: p.transform(p.size, Image.Transform.AFFINE, (1, 0.09, 0, 0, 1, 0))),
    "ShearY": (0.09, lambda p: p.transform(p.size, Image.Transform.AFFINE, (1, 0, 0, 0.09, 1, 0))),
    # 150 / 331 * 30 * 0.3 = 4.07…, of the height 3.26….
    "TranslateX": (
        4.0785498,
        lambda p: p.transform(p.size, Image.Transform.AFFINE, (1, 0, -4, 0, 1, 0)),
    ),
    "TranslateY": (
        3.2628399,
        lambda p: p.transform(p.size, Image.Transform.AFFINE, (1, 0, 0, 0, 1, -3)),
    ),
    "Rotate": (9, lambda p: p.rotate(9)),
    "Brightness": (0.27, lambda p: ImageEnhance.Brightness(p).enhance(1.27)),
    "Color": (0.27, lambda p: ImageEnhance.Color(p).enhance(1.27)),
    "Contrast": (0.27, lambda p: ImageEnhance.Contrast(p).enhance(1.27)),
    "Sharpness": (0.27, lambda p: ImageEnhance.Sharpness(p).enhance(1.27)),
    # 8 bits less 1.2, rounded; levels from 178.5 on.
    "Posterize": (1.2, lambda p: ImageOps.posterize(p, 7)),
    "Solarize": (76.5, lambda p: ImageOps.solarize(p, 178.5)),
    "AutoContrast": (0, ImageOps.autocontrast),
    "Equalize": (0, ImageOps.equalize),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", BY_HAND)
def test_an_operation_is_pillows(name, channels):
    picture, (amount, pillows) = draw_picture(channels), BY_HAND[name]
    found = OPERATIONS[name].amount("randaugment", 9, picture.size)
    assert found == pytest.approx(amount, rel=1e-7)
    assert OPERATIONS[name].change(picture, found, 0).tobytes() == pillows(picture).tobytes()


def test_the_table_is_whole():
    assert list(BY_HAND) == list(OPERATIONS)


def test_the_wide_ranges_by_hand():
    largest = {name: one.amount("trivialaugment", 30, (30, 24)) for name, one in OPERATIONS.items()}
    assert largest["ShearX"] == largest["ShearY"] == 0.99
    # Pixels, whatever the size of the picture.
    assert largest["TranslateX"] == largest["TranslateY"] == 32
    assert largest["Rotate"] == 135
    assert largest["Brightness"] == largest["Sharpness"] == largest["Contrast"] == 0.99
    assert (largest["Posterize"], largest["Solarize"]) == (6, 255)
    assert OPERATIONS["TranslateX"].amount("trivialaugment", 15, (30, 24)) == 16


def test_colour_leaves_a_grey_picture_alone():
    picture = draw_picture(channels=1)
    assert OPERATIONS["Color"].change(picture, 0.9, 0).tobytes() == picture.tobytes()
    # And no operation makes it anything but grey.
    for operation in OPERATIONS.values():
        assert operation.change(picture, 0.5, 9).mode == "L"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "amount", "corner"),
    [
        ("ShearX", -0.5, (-1, 0)),
        ("ShearY", -0.5, (0, -1)),
        ("TranslateX", 5, (0, 0)),
        ("TranslateY", 5, (0, 0)),
        ("Rotate", 20, (0, 0)),
    ],
)
def test_pixels_from_outside_are_the_fill(name, amount, corner, channels):
    picture = to_picture(np.zeros((24, 30, channels), dtype=np.uint8))
    changed = to_array(OPERATIONS[name].change(picture, amount, 77))
    assert set(np.unique(changed)) == {0, 77}
    assert (changed[corner] == 77).all()


@pytest.fixture
def drawn(monkeypatch):
    """Operations and amounts that a policy applies; nothing happens to the picture."""
    calls = []

    def record(name):
        return lambda picture, amount, fill: calls.append((name, amount)) or picture

    recording = {
        name: Operation(record(name), one.largest, one.is_signed, one.side)
        for name, one in OPERATIONS.items()
    }
    monkeypatch.setattr(policies, "OPERATIONS", recording)
    return calls


def test_randaugment_draws_operations_evenly_at_one_magnitude(drawn):
    view = TrainView(policy="randaugment", policy_operations=3, policy_magnitude=30)
    generator, picture = np.random.default_rng(0), draw_picture()
    for _ in range(1400):
        apply_policy(picture, view, generator, 0)
    counts = Counter(name for name, _ in drawn)
    assert counts.total() == 3 * 1400
    assert stats.chisquare([counts[name] for name in OPERATIONS]).pvalue > 0.01
    turns = Counter(amount for name, amount in drawn if name == "Rotate")
    assert set(turns) == {30, -30}
    assert stats.binomtest(turns[30], turns.total()).pvalue > 0.01
    assert {amount for name, amount in drawn if name == "Posterize"} == {4}


def test_trivialaugment_draws_one_operation_and_its_magnitude(drawn):
    view = TrainView(policy="trivialaugment", policy_operations=3)
    generator, picture = np.random.default_rng(1), draw_picture()
    for _ in range(8000):
        apply_policy(picture, view, generator, 0)
    assert len(drawn) == 8000
    levels = Counter(amount for name, amount in drawn if name == "Solarize")
    assert set(levels) == {255 * step / 30 for step in range(31)}
    assert stats.chisquare(list(levels.values())).pvalue > 0.01


def make_view(**view):
    spec = DataSpec(image_size=(24, 30), fill=9, train_view=TrainView(**view))
    return plan_view(spec, (24, 30, 3), 3, is_training=True)[1]


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_a_policy_comes_after_flip_and_colours_and_before_erasing(policy):
    """The steps one by one, with the random numbers in the documented order."""
    image, changed = to_array(draw_picture()), []
    shared = {"horizontal_flip": 0.5, "rotation_degrees": 9, "contrast": 0.4}
    whole = make_view(policy=policy, erasing=0.5, **shared)
    before = make_view(**shared)
    for seed in range(12):
        found = whole(image, np.random.default_rng(seed))[0]
        generator = np.random.default_rng(seed)
        picture = before.change(to_picture(image), generator)
        pixels = to_array(apply_policy(picture, whole.view, generator, 9))
        if generator.random() < 0.5:
            view = whole.view
            area, aspect = view.erasing_area, view.erasing_aspect
            box = erasing_box((24, 30), area, aspect, generator)
            pixels = pixels.copy()
            pixels[box.top : box.top + box.height, box.left : box.left + box.width] = 9
        assert np.array_equal(found, pixels)
        changed.append(not np.array_equal(found, to_array(picture)))
    assert any(changed)


def test_a_policy_follows_a_shifted_crop():
    spec = DataSpec(
        image_size=(20, 20),
        train_view=TrainView(resize="shorter_side", crop="shifted", policy="trivialaugment"),
    )
    _, augment = plan_view(spec, (20, 20, 3), 3, is_training=True)
    image = to_array(draw_picture(size=(22, 40)))
    for seed in range(8):
        found = augment(image, np.random.default_rng(seed))[0]
        generator = np.random.default_rng(seed)
        picture = augment.crop(augment.change(to_picture(image), generator), generator)
        assert picture.size == (20, 20)
        assert np.array_equal(found, to_array(apply_policy(picture, augment.view, generator, 0)))


def test_a_policy_is_keyed_by_seed_epoch_and_example():
    images = [to_array(draw_picture(seed=index)) for index in range(4)]
    augment = make_view(policy="randaugment")

    def views(seed, epoch, order=(0, 1, 2, 3)):
        keys = [example_generator(seed, epoch, f"train/{place}") for place in order]
        return augment_images([images[place] for place in order], augment, keys)

    first = views(1, 0)
    assert np.array_equal(views(1, 0, (3, 1, 0, 2)), first[[3, 1, 0, 2]])
    assert not np.array_equal(views(1, 1), first)
    assert not np.array_equal(views(2, 0), first)


def test_a_view_with_a_policy_is_random_and_no_other_is():
    assert TrainView(policy="trivialaugment").is_random
    assert not make_view(policy="randaugment").is_nothing
    assert not TrainView(policy_operations=3, policy_magnitude=7).is_random
    assert make_view(policy_operations=3, policy_magnitude=7).is_nothing


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"policy": "autoaugment"}, "'none', 'randaugment' or"),
        ({"policy_magnitude": 31}, "30"),
        ({"policy_operations": 0}, "1"),
    ],
)
def test_wrong_policies_are_refused(values, words):
    with pytest.raises(UsageError, match=words):
        TrainView.parse(values, "data.train_view")
