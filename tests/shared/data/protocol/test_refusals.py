"""Data that cannot be studied is refused in one sentence of each kind, before any training."""

import numpy as np
import pytest

from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.data.protocol.refusals import check_leaks
from poc.shared.data.splits.split import make_split
from poc.shared.errors import UsageError
from poc.shared.spec.splits import SplitSpec
from poc.tests.helpers.studies.sources import copy_image, make_source


def test_one_class():
    source = make_source({"all": [0] * 50}, is_partitioned=False)
    with pytest.raises(UsageError, match=r"with 1 class\. Expected at least 2"):
        choose_protocol(source, Question())


def test_three_images():
    source = make_source({"all": [0, 1, 1]}, is_partitioned=False)
    with pytest.raises(UsageError, match=r"has 1 image\. Expected at least 5 images"):
        choose_protocol(source, Question())


def test_a_class_with_fewer_images_than_folds():
    source = make_source({"all": [0] * 40 + [1] * 4}, is_partitioned=False)
    with pytest.raises(UsageError, match="whose class '1' has 4 images"):
        choose_protocol(source, Question())
    source = make_source({"all": [0] * 40 + [1] * 5}, is_partitioned=False)
    assert choose_protocol(source, Question()).kind == "folds"


def test_fewer_groups_than_folds():
    source = make_source({"all": [0, 1] * 40}, is_partitioned=False)
    source.groups = [f"patient {index // 20}" for index in range(80)]
    with pytest.raises(UsageError, match=r"has 4 groups\. Expected at least 5 groups"):
        choose_protocol(source, Question())


def test_any_number_of_labels():
    source = make_source({"all": [0, 1] * 40}, is_partitioned=False)
    source._labels = np.ones((80, 2), dtype=np.int64)
    with pytest.raises(UsageError, match="any number of labels"):
        choose_protocol(source, Question())


def test_leaks_between_the_users_own_parts():
    source = make_source({"train": [0, 1] * 50, "test": [0, 1] * 10})
    copy_image(source, 3, 105)
    with pytest.raises(UsageError, match=r"share 1 image: content .* and test"):
        choose_protocol(source, Question())


def test_a_group_in_two_own_parts():
    source = make_source({"train": [0, 1] * 50, "test": [0, 1] * 10})
    source.groups = [f"patient {index % 60}" for index in range(120)]
    with pytest.raises(UsageError, match="share 20 groups"):
        choose_protocol(source, Question())


def test_a_validation_part_that_was_drawn_is_not_the_users():
    """Copies within the train part are no leak of the user's, whatever the draw does."""
    source = make_source({"train": [0, 0, 1, 1] * 25, "test": [0, 1] * 10})
    for index in range(0, 100, 2):
        copy_image(source, index, index + 1)
    choose_protocol(source, Question())


def test_own_validation_images_are_compared():
    source = make_source({"train": [0, 1] * 50, "val": [0, 1] * 10, "test": [0, 1] * 10})
    copy_image(source, 0, 101)
    with pytest.raises(UsageError, match=r"in train .* and val"):
        check_leaks(make_split(source, SplitSpec(kind="published")))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"kind": "published", "val_on_test": True}, "val_on_test=true for a study"),
        ({"kind": "published", "val_fraction": 0}, "without val images"),
        ({"kind": "fractions", "fractions": [0.8, 0.2, 0.0]}, "without test images"),
        ({"kind": "published", "hold_test_back": True}, "without test images"),
    ],
)
def test_own_splits_that_no_study_can_use(split, message):
    source = make_source({"train": [0, 1] * 50, "test": [0, 1] * 10})
    with pytest.raises(UsageError, match=message):
        choose_protocol(source, Question(split=SplitSpec(**split)))
