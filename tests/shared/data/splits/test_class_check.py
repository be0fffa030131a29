"""What a user reads whose class is too small for a part."""

import numpy as np
import pytest

from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.splits.split import make_split
from poc.shared.errors import UsageError
from poc.shared.spec.columns import ColumnsSpec
from poc.shared.spec.data import SplitSpec


def make_source(labels):
    """A source of one-pixel images with these labels."""
    images = np.zeros((len(labels), 1, 1), dtype=np.uint8)
    return ArraySource("made", {"train": (images, np.asarray(labels))})


@pytest.mark.parametrize(
    ("spec", "answers"),
    [
        ({"kind": "fractions"},
         ["'1' (1 example) without one in the", "adding examples (", "class_pattern"]),
        ({"kind": "fractions", "fractions": (0.5, 0.1, 0.4)},
         ["in the val part", "split.fractions=[0.6,0.0,0.4] for no validation part",
          "(10 of a class are sure"]),
        ({"kind": "kfold", "num_folds": 4, "fold": 3, "val_fraction": 0},
         ["in the test part", "up to 4 of each class"]),
        ({"kind": "kfold", "num_folds": 2, "fold": 1}, ["--set val_fraction=0"]),
    ],
)  # fmt: skip
def test_a_class_that_is_too_small_says_what_to_type(spec, answers):
    labels = [0] * 40 + [1] * (1 if spec == {"kind": "fractions"} else 2)
    with pytest.raises(UsageError) as error:
        make_split(make_source(labels), SplitSpec(**spec))
    for answer in answers:
        assert answer in str(error.value)


def test_a_class_of_a_table_leaves_with_its_rows():
    """Its source has no class_pattern to leave it out with."""
    source = make_source([0] * 40 + [1])
    source.columns = ColumnsSpec()
    with pytest.raises(UsageError, match="leave the class out of the table") as error:
        make_split(source, SplitSpec(kind="fractions"))
    assert "class_pattern" not in str(error.value)
