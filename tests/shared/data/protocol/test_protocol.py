"""The protocol: a holdout where it is enough, folds otherwise, own parts first."""

from pathlib import Path

import numpy as np
import pytest

from poc.shared.data.protocol.protocol import MAX_TEST_SHARE, SEARCH_SEEDS, choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.split import make_split
from poc.shared.spec.run import RunSpec
from poc.shared.spec.splits import SplitSpec
from poc.tests.helpers.studies.sources import copy_image, make_source

PHOTOS = Path(__file__).parents[5] / "shared" / "data" / "photos"


def pool(num_images, num_classes=4):
    return make_source({"all": np.arange(num_images) % num_classes}, is_partitioned=False)


def test_many_images_get_a_holdout():
    """Five points need 471 test images, and 30 % of 1570 are 471."""
    assert choose_protocol(pool(1569), Question()).kind == "folds"
    found = choose_protocol(pool(1570), Question())
    assert (found.kind, found.num_test_images, len(found.cells)) == ("holdout", 471, 3)
    assert [cell.seed for cell in found.cells] == [3, 4, 5]


def test_a_test_part_is_no_larger_than_the_question_needs():
    shares = [
        choose_protocol(pool(n), Question()).cells[0].split.fractions[2] for n in (2000, 9000)
    ]
    assert shares == [0.24, 0.1]
    assert max(shares) <= MAX_TEST_SHARE


def test_a_finer_question_needs_more_images():
    assert choose_protocol(pool(2000), Question(smallest_difference=0.03)).kind == "folds"


@pytest.mark.parametrize("num_images", [100, 2000])
def test_no_finalist_has_the_seed_of_the_search(num_images):
    cells = choose_protocol(pool(num_images), Question(num_repeats=2)).cells
    assert not {cell.seed for cell in cells} & set(SEARCH_SEEDS)


@pytest.mark.parametrize("num_repeats", [1, 3])
def test_folds_test_each_image_once_per_repeat(num_repeats):
    source = pool(163)
    found = choose_protocol(source, Question(num_repeats=num_repeats))
    assert (found.kind, found.num_test_images) == ("folds", 163)
    assert len(found.cells) == 5 * num_repeats
    drawn = []
    for repeat in range(num_repeats):
        tests = [make_split(source, c.split).test for c in found.cells if c.repeat == repeat]
        assert sorted(np.concatenate(tests)) == list(range(163))
        drawn.append(tests[0].tolist())
    assert len({str(test) for test in drawn}) == num_repeats


def test_validation_images_are_inside_of_the_train_part():
    source = pool(163)
    for cell in choose_protocol(source, Question()).cells:
        split = make_split(source, cell.split)
        assert not np.intersect1d(split.val, split.test).size
        assert (source.count_classes(split.val) > 0).all()
        assert len(split.val) == pytest.approx(0.2 * (163 - len(split.test)), abs=2)


def test_the_smallest_classes_that_are_allowed_can_be_drawn():
    """Five images: one tests, four are left, of which one validates."""
    source = make_source({"all": [0] * 60 + [1] * 5}, is_partitioned=False)
    for cell in choose_protocol(source, Question()).cells:
        split = make_split(source, cell.split)
        for part in ("train", "val", "test"):
            assert (source.count_classes(split.parts[part]) > 0).all()


def test_no_group_is_divided():
    source = pool(200)
    source.groups = [f"patient {index // 8}" for index in range(200)]
    found = choose_protocol(source, Question())
    assert found.num_test_groups == 25
    assert found.precision.group_size == 8.0
    for cell in found.cells:
        parts = make_split(source, cell.split).parts.values()
        groups = [{source.groups[index] for index in part} for part in parts]
        assert sum(map(len, groups)) == 25


def test_groups_by_a_pattern_are_in_the_settings():
    source = pool(200)
    found = choose_protocol(source, Question(group_pattern=r"all/\d{5}"))
    assert found.num_test_groups == 20
    assert {cell.split.group_pattern for cell in found.cells} == {r"all/\d{5}"}


def test_own_parts_are_respected():
    source = make_source({"train": [0, 1] * 50, "test": [0, 1] * 10})
    found = choose_protocol(source, Question())
    split = make_split(source, found.cells[0].split)
    assert found.kind == "own"
    assert split.test.tolist() == list(range(100, 120))
    assert len(split.val) == 20
    own = make_source({"train": [0, 1] * 50, "val": [0, 1] * 15, "test": [0, 1] * 10})
    split = make_split(own, choose_protocol(own, Question()).cells[0].split)
    assert split.val.tolist() == list(range(100, 130))


def test_the_users_split_is_respected():
    source = make_source({"train": [0, 1] * 50, "test": [0, 1] * 10})
    spec = SplitSpec(kind="kfold", num_folds=3, fold=1)
    found = choose_protocol(source, Question(split=spec))
    assert [cell.split.fold for cell in found.cells] == [0, 1, 2]
    assert found.num_test_images == 120


def test_every_cell_is_an_ordinary_run():
    for cell in choose_protocol(pool(163), Question()).cells:
        for split in (cell.split, cell.search_split):
            run = RunSpec.parse({"data": {"split": split.model_dump(mode="json")}}, "")
            assert run.data.split == split


def test_a_cell_of_the_search_has_the_same_parts_without_a_test():
    source = pool(163)
    for cell in choose_protocol(source, Question()).cells:
        final, search = make_split(source, cell.split), make_split(source, cell.search_split)
        assert np.array_equal(final.train, search.train)
        assert np.array_equal(final.val, search.val)
        assert len(final.test) > 0
        assert len(search.test) == 0


def test_few_images_are_told_what_they_cannot_tell():
    """2.8016 sqrt(.15 / 60 + 2 .16 .04^2 / 5) = .143."""
    text = " ".join(choose_protocol(pool(60), Question()).sentences)
    assert "5 folds: each of 60 images is tested once; 5 runs per finalist." in text
    assert "A 95 % interval will be about ±10.2 points wide" in text
    assert "a difference of 14.3 points would be shown in four studies of five" in text
    assert "cannot reliably tell methods apart that differ by 5 points" in text
    assert "about 471 test images are needed" in text
    assert "take the result as a hint" in text


def test_enough_images_and_few_seeds_ask_for_seeds():
    text = " ".join(choose_protocol(pool(9000), Question(num_seeds=1)).sentences)
    assert "for which more seeds are needed" in text
    assert "hint" not in text


def test_copies_are_named():
    source = copy_image(pool(163), 3, 7)
    (note,) = choose_protocol(source, Question()).notes
    assert note.startswith("1 image of made occur")


@pytest.mark.needs_data
@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is missing")
def test_the_photos_get_folds(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = choose_protocol(open_source(f"folder:{PHOTOS}"), Question())
    assert (found.kind, found.num_test_images) == ("folds", 162)
