"""Splits that keep groups together, folds, lists, stored definitions and leaks."""

import json
import os
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.splits.leaks import describe_leaks, find_leaks
from poc.shared.data.splits.partition import find_groups, place_groups
from poc.shared.data.splits.split import Split, make_split
from poc.shared.errors import UsageError
from poc.shared.spec.data import SplitSpec

PATTERN = r"(person\d+)"
PARTS_OF_LIST = ["train", "val", "test", "train"]


def make_source(labels, groups=None, same_content=False):
    """One-pixel images; with groups, ids such as `person3_7.jpg`."""
    labels = np.asarray(labels)
    count = len(labels)
    values = np.zeros(count) if same_content else np.arange(count)
    images = np.stack([values // 256, values % 256, values * 0], axis=1)
    pixels = images.astype(np.uint8).reshape(count, 1, 1, 3)
    source = ArraySource("made", {"all": (pixels, labels)}, is_partitioned=False)
    if groups is not None:
        source.ids = tuple(f"person{group}_{index}.jpg" for index, group in enumerate(groups))
    return source


def group_names(source, indices):
    return {source.ids[index].split("_")[0] for index in indices}


@st.composite
def grouped(draw):
    """Labels and groups: sizes from lonely to huge, groups within a class or across classes."""
    num_classes = draw(st.integers(2, 5))
    sizes = draw(st.lists(st.integers(1, 12), min_size=12, max_size=60))
    labels, groups = [], []
    for group, size in enumerate(sizes):
        main = draw(st.integers(0, num_classes - 1))
        mixed = draw(st.booleans())
        for position in range(size):
            labels.append((main + position) % num_classes if mixed else main)
            groups.append(group)
    labels += list(range(num_classes)) * 30
    groups += list(range(len(sizes), len(sizes) + 30 * num_classes))
    return labels, groups


@given(grouped(), st.sampled_from(["fractions", "kfold"]), st.integers(0, 99), st.booleans())
@settings(deadline=None, max_examples=120)
def test_no_group_stands_in_two_parts(made, kind, seed, is_stratified):
    labels, groups = made
    source = make_source(labels, groups)
    spec = SplitSpec(kind=kind, group_pattern=PATTERN, seed=seed, is_stratified=is_stratified)
    try:
        split = make_split(source, spec)
    except UsageError:
        # Without a look at classes a small part may lack one; that is refused, and no leak.
        assert not is_stratified
        return
    names = [group_names(source, indices) for indices in split.parts.values()]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    assert sum(len(indices) for indices in split.parts.values()) == len(labels)
    assert not find_leaks(split)


@given(st.integers(2, 6), st.integers(20, 60), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_groups_of_one_are_stratified_within_one(num_classes, count, seed):
    source = make_source(np.tile(np.arange(num_classes), count), range(num_classes * count))
    split = make_split(source, SplitSpec(kind="fractions", group_pattern=PATTERN, seed=seed))
    for share, indices in zip((0.64, 0.16, 0.2), split.parts.values(), strict=True):
        found = np.bincount(source.labels[indices], minlength=num_classes)
        assert (np.abs(found - share * count) <= 1).all()


def test_shares_come_out_with_real_patients():
    """The X-ray set's structure: 2,790 patients of 1 to 30 images, three unequal classes."""
    generator = np.random.default_rng(0)
    sizes = np.minimum(1 + generator.geometric(0.55, 2790), 30)
    kinds = generator.choice(3, 2790, p=[0.27, 0.47, 0.26])
    labels, groups = np.repeat(kinds, sizes), np.repeat(np.arange(2790), sizes)
    source = make_source(labels, groups)
    spec = SplitSpec(kind="fractions", group_pattern=PATTERN, fractions=(0.6, 0.1, 0.3))
    split = make_split(source, spec)
    totals = np.bincount(labels)
    for share, indices in zip((0.6, 0.1, 0.3), split.parts.values(), strict=True):
        found = np.bincount(source.labels[indices]) / totals
        assert np.abs(found - share).max() < 0.005


def test_published_train_is_carved_by_group():
    labels, groups = np.tile([0, 1], 60), np.repeat(np.arange(30), 4)
    source = make_source(labels, groups)
    source.partitions = {"train": np.arange(100), "test": np.arange(100, 120)}
    split = make_split(source, SplitSpec(group_pattern=PATTERN, val_fraction=0.2))
    assert not group_names(source, split.train) & group_names(source, split.val)
    assert np.array_equal(split.test, np.arange(100, 120))
    assert len(split.val) == 20


@pytest.mark.parametrize(
    ("pattern", "name", "group"),
    [
        (r"person\d+", "x/person12_virus_3.jpg", "person12"),
        (r"(person\d+)_", "x/person12_virus_3.jpg", "person12"),
        (r"(?P<group>\d+)_(virus|bacteria)", "person12_virus_3.jpg", "12"),
        (r"(person\d+)|(IM-\d+)", "NORMAL2-IM-0117-0001.jpeg", "IM-0117"),
    ],
)
def test_what_a_pattern_finds(pattern, name, group):
    source = make_source([0, 1])
    source.ids = (name, name)
    assert find_groups(source, pattern).tolist() == [group] * 2


def test_ids_without_a_group_are_refused():
    source = make_source([0, 1] * 20)
    with pytest.raises(UsageError, match=r"finds no group in 40 ids .*all/000000"):
        make_split(source, SplitSpec(kind="fractions", group_pattern=PATTERN))


@given(st.integers(2, 7), st.integers(3, 40), st.integers(2, 4))
@settings(deadline=None, max_examples=30)
def test_folds_divide_everything(num_folds, count, num_classes):
    source = make_source(np.tile(np.arange(num_classes), count * num_folds))
    splits = [
        make_split(
            source,
            SplitSpec(kind="kfold", num_folds=num_folds, fold=fold, val_fraction=0.0),
        )
        for fold in range(num_folds)
    ]
    tests = [split.test for split in splits]
    assert np.array_equal(np.sort(np.concatenate(tests)), np.arange(len(source)))
    for split in splits:
        assert not set(split.test) & set(split.train)
        assert not len(split.val)
        found = np.bincount(source.labels[split.test], minlength=num_classes)
        assert (np.abs(found - count) <= 1).all()


def grouped_source(sizes, labels=None):
    """Groups of these sizes; each group has both classes, or the class that is named."""
    count = sum(sizes)
    source = make_source(np.arange(count) % 2 if labels is None else np.repeat(labels, sizes))
    source.groups = np.repeat([f"g{at}" for at in range(len(sizes))], sizes).tolist()
    return source


@pytest.mark.parametrize("fold", [0, 3, 4])
def test_fewer_groups_than_folds_are_refused_in_every_fold(fold):
    """Of a cross-validation, the first run is the one to stop."""
    message = (
        "split.num_folds=5 for 'made', which has 4 groups and nothing for 1 fold. .* Try "
        "split.num_folds=4, or more groups"
    )
    with pytest.raises(UsageError, match=message):
        make_split(grouped_source([6] * 4), SplitSpec(kind="kfold", fold=fold, val_fraction=0))
    four = SplitSpec(kind="kfold", num_folds=4, fold=min(fold, 3), val_fraction=0)
    assert len(make_split(grouped_source([6] * 4), four).test) == 6


def test_groups_that_leave_a_fold_empty_are_refused():
    """Two groups of each class fill the first two of four folds, each with both classes."""
    with pytest.raises(UsageError, match="has 4 groups and nothing for 2 folds"):
        make_split(grouped_source([6] * 4, [0, 0, 1, 1]), SplitSpec(kind="kfold", num_folds=4))
    with pytest.raises(UsageError, match=r"has 1 group and nothing for 1 fold. .* Try more groups"):
        make_split(grouped_source([8]), SplitSpec(kind="kfold", num_folds=2))


def test_folds_have_a_val_part():
    source = make_source(np.tile([0, 1], 100))
    split = make_split(source, SplitSpec(kind="kfold", val_fraction=0.25, fold=4))
    assert [len(indices) for indices in split.parts.values()] == [120, 40, 40]


def test_auto_follows_the_source():
    source = make_source(np.tile([0, 1], 50))
    assert [len(at) for at in make_split(source, SplitSpec()).parts.values()] == [64, 16, 20]
    source.partitions = {"train": np.arange(60), "test": np.arange(60, 100)}
    assert [len(at) for at in make_split(source, SplitSpec()).parts.values()] == [54, 6, 40]


def test_not_stratified_keeps_sizes_alone():
    source = make_source(np.repeat([0, 1], [900, 100]))
    draws = [
        make_split(source, SplitSpec(kind="fractions", is_stratified=False, seed=seed))
        for seed in range(8)
    ]
    assert {len(split.train) for split in draws} == {640}
    assert len({int((source.labels[split.train] == 1).sum()) for split in draws}) > 1


def test_list_of_parts(tmp_path):
    source = make_source([0, 1, 0, 1, 0, 1])
    path = tmp_path / "parts.csv"
    path.write_text(
        "id,part\nall/000003,test\nall/000000,train\n\nall/000001, train\nall/000004,val\n",
        encoding="utf-8",
    )
    split = make_split(source, SplitSpec(kind="listed", file=str(path)))
    assert [at.tolist() for at in split.parts.values()] == [[0, 1], [4], [3]]


ACCENTED = ["\u00c4pfel/1.png", "\u00c4pfel/2.png", "Birnen/1.png", "Birnen/2.png"]


def accented_source():
    """Ids in composed form, as class folders give them."""
    source = make_source([0, 0, 1, 1])
    source.ids = tuple(ACCENTED)
    return source


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_list_of_another_system_names_the_same_images(form, encoding, newline, tmp_path):
    """Accents in two pieces (macOS), a byte order mark and long line ends (Excel)."""
    lines = ["id,part", *(f"{a},{b}" for a, b in zip(ACCENTED, PARTS_OF_LIST, strict=True)), ""]
    path = tmp_path / "list.csv"
    path.write_bytes(unicodedata.normalize(form, newline.join(lines)).encode(encoding))
    split = make_split(accented_source(), SplitSpec(kind="listed", file=str(path)))
    assert [at.tolist() for at in split.parts.values()] == [[0, 3], [1], [2]]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_stored_split_of_another_system_names_the_same_images(form, tmp_path):
    listed = tmp_path / "list.csv"
    rows = zip(ACCENTED, PARTS_OF_LIST, strict=True)
    listed.write_text("\n".join(f"{a},{b}" for a, b in rows), encoding="utf-8")
    split = make_split(accented_source(), SplitSpec(kind="listed", file=str(listed)))
    path = tmp_path / "split.json"
    path.write_text(unicodedata.normalize(form, split.to_json()), encoding="utf-8-sig")
    again = make_split(accented_source(), SplitSpec(kind="listed", file=str(path)))
    assert again.part_ids == split.part_ids


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all/000000,train\nall/000000,test\n", "line 2"),
        ("all/000000,dev\n", "line 1"),
        ("all/000000\n", "line 1"),
        ("all/000009,train\n", "'all/000009', which"),
        ("all/000000,test\n", "without a train example"),
        ("", "without a train example"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, text, words):
    path = tmp_path / "parts.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        make_split(make_source([0, 1] * 3), SplitSpec(kind="listed", file=str(path)))


def test_a_stored_split_is_used_by_its_file(tmp_path):
    source = make_source(np.tile([0, 1], 50))
    split = make_split(source, SplitSpec(kind="fractions", seed=3))
    path = tmp_path / "split.json"
    path.write_text(split.to_json(), encoding="utf-8")
    again = make_split(source, SplitSpec(kind="listed", file=str(path)))
    assert again.fingerprint == split.fingerprint
    with pytest.raises(UsageError, match="cannot be read"):
        make_split(source, SplitSpec(kind="listed", file=str(tmp_path / "none.json")))


def test_changed_data_is_refused_with_the_ids():
    labels = np.tile([0, 1], 10)
    spec = SplitSpec(kind="fractions", fractions=(0.5, 0, 0.5))
    text = make_split(make_source(labels), spec).to_json()
    changed = make_source(labels)
    changed._pixels[7] = 99
    with pytest.raises(UsageError, match="1 changed: all/000007"):
        Split.from_json(text, changed)
    with pytest.raises(UsageError, match="2 missing: all/000018, all/000019"):
        Split.from_json(text, make_source(labels[:18]))
    with pytest.raises(UsageError, match="2 new: all/000020, all/000021"):
        Split.from_json(text, make_source(np.tile([0, 1], 11)))
    renamed = make_source(labels)
    renamed.ids = (*renamed.ids[:19], "other")
    with pytest.raises(UsageError, match="1 missing: all/000019; 1 new: other"):
        Split.from_json(text, renamed)


def test_an_edited_definition_is_refused():
    source = make_source(np.tile([0, 1], 50))
    stored = json.loads(make_split(source, SplitSpec()).to_json())
    stored["val"].append(stored["train"].pop())
    with pytest.raises(UsageError, match="fingerprint"):
        Split.from_json(json.dumps(stored), source)
    stored["val"].append("invented")
    with pytest.raises(UsageError, match="'invented'"):
        Split.from_json(json.dumps(stored), source)


def test_leaks_of_content_and_group():
    source = make_source(np.tile([0, 1], 20), np.arange(40) // 4)
    split = make_split(source, SplitSpec(kind="fractions"))
    assert not find_leaks(split)
    leaks = find_leaks(split, PATTERN)
    assert leaks
    assert all(leak.kind == "group" and len(leak.ids) > 1 for leak in leaks)
    assert "group person" in describe_leaks(leaks)

    same = make_source(np.tile([0, 1], 20), same_content=True)
    (leak,) = find_leaks(make_split(same, SplitSpec(kind="fractions")))
    assert leak.kind == "content"
    assert sum(len(ids) for ids in leak.ids.values()) == 40


def test_val_on_test_is_no_leak():
    source = make_source(np.tile([0, 1], 20))
    source.partitions = {"train": np.arange(20), "test": np.arange(20, 40)}
    assert not find_leaks(make_split(source, SplitSpec(val_on_test=True)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "listed"}, "split.file=None"),
        ({"file": "x"}, "split.kind=listed"),
        ({"kind": "kfold", "fold": 5}, "0 to 4"),
        ({"kind": "fractions", "fold": 1}, "'kfold'"),
        ({"group_pattern": "("}, "not a regular expression"),
        ({"kind": "holdout", "group_pattern": "x"}, "split.group_pattern"),
        ({"kind": "kfold", "num_folds": 1}, "num_folds=1"),
    ],
)
def test_wrong_settings_are_refused(values, words):
    with pytest.raises(UsageError) as error:
        SplitSpec.parse(values, "split")
    assert words in str(error.value)


def test_a_list_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    spec = SplitSpec(kind="listed", file=str(tmp_path / "list.csv"))
    with pytest.raises(UsageError, match="named pipe"):
        make_split(make_source(np.tile([0, 1], 20)), spec)


def test_a_rare_class_counts_by_its_share():
    """Twenty of one class and four of the other, in halves; groups one after the other.

    The first two go apart. In the first part the third, (2, 1), costs 2 * 2 * 5 / 20^2 = .05 more
    by the frequent class and 2 * 1 * 1 / 4^2 = .125 less by the rare one: it goes there. By bare
    numbers it would go to the second.
    """
    counts = np.array([[6, 0], [1, 1], [2, 1], [11, 2]])
    assert place_groups(counts, [0, 1, 2, 3], np.array([0.5, 0.5])).tolist() == [0, 1, 0, 1]


@given(grouped(), st.sampled_from([0.1, 0.25, 0.4]), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_sample_has_whole_groups_and_is_nested(made, share, seed):
    source = make_source(*made)
    spec = SplitSpec(kind="fractions", group_pattern="person[0-9]+", seed=seed)
    whole = make_split(source, spec)
    small, large = (
        make_split(source, spec.model_copy(update={"train_sample": own}))
        for own in (share, 2 * share)
    )
    assert set(small.train.tolist()) <= set(large.train.tolist()) <= set(whole.train.tolist())
    for sample in (small, large):
        drawn = group_names(source, sample.train)
        left = group_names(source, np.setdiff1d(whole.train, sample.train))
        assert not set(drawn) & set(left)
        assert np.array_equal(sample.test, whole.test)


def test_a_sample_keeps_the_classes_to_within_half_a_group():
    """Sixty patients of one class each, with 1 to 6 images: a quarter of the images of a class."""
    sizes = np.arange(60) % 6 + 1
    labels = np.repeat(np.arange(60) % 3, sizes)
    source = make_source(labels, np.repeat(np.arange(60), sizes))
    pattern = "person[0-9]+"
    spec = SplitSpec(kind="fractions", fractions=(1.0, 0.0, 0.0), group_pattern=pattern)
    sample = make_split(source, spec.model_copy(update={"train_sample": 0.25}))
    found = np.bincount(labels[sample.train], minlength=3)
    assert (np.abs(found - 0.25 * np.bincount(labels)) <= 3).all()
