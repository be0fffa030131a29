"""Settings that the parts of a source leave without an effect are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.setting_check import drop_unread
from poc.shared.data.splits.split import make_split
from poc.shared.engine.folder.record import RunRecord
from poc.shared.errors import UsageError
from poc.shared.spec.data import SplitSpec


def make_source(*parts):
    """A source of two classes that publishes these parts; none: it publishes no parts."""
    source = ArraySource(
        "made",
        {
            part: (np.zeros((40, 1, 1), dtype=np.uint8), np.arange(40) % 2)
            for part in parts or ("train",)
        },
    )
    if not parts:
        source.partitions = {}
    return source


FLAT, HALVES, THIRDS = (), ("train", "test"), ("train", "val", "test")
REFUSALS = {
    "fractions of parts": (
        HALVES, {"fractions": (0.8, 0.1, 0.1)},
        r"split.fractions=\[0.8, 0.1, 0.1\] for 'made', which publishes parts \(train and test\). "
        r"Expected split.kind=fractions with it",
    ),
    "a val share of a flat folder": (
        FLAT, {"val_fraction": 0.3},
        r"publishes no parts. .* Try split.fractions=\[0.56,0.24,0.2\] and split.val_fraction=0.1,",
    ),
    "no val part of a flat folder": (
        FLAT, {"val_fraction": 0.0}, r"Try split.fractions=\[0.8,0.0,0.2\] and",
    ),
    "the test part of a flat folder": (
        FLAT, {"val_on_test": True},
        r"Got split.val_on_test=true .* Try split.fractions=\[0.64,0.16,0.2\] and "
        r"split.val_on_test=false, the default",
    ),
    "a val share next to a val part": (
        THIRDS, {"val_fraction": 0.2},
        r"which publishes a val part. .* Try split.val_fraction=0.1, the default, or split.kind=fr",
    ),
    "the same of the named kind": (
        THIRDS, {"val_fraction": 0.2, "kind": "published"}, "which publishes a val part",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "values", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_setting_without_effect_is_refused(parts, values, message):
    with pytest.raises(UsageError, match=message):
        make_split(make_source(*parts), SplitSpec(**values))


@pytest.mark.parametrize(
    ("parts", "values", "sizes"),
    [
        (FLAT, {}, [26, 6, 8]),
        (FLAT, {"fractions": (0.8, 0.1, 0.1), "is_stratified": False}, [32, 4, 4]),
        (FLAT, {"kind": "kfold", "val_fraction": 0.25}, [24, 8, 8]),
        (HALVES, {"val_fraction": 0.2}, [32, 8, 40]),
        (HALVES, {"kind": "fractions", "fractions": (0.5, 0.25, 0.25)}, [40, 20, 20]),
        (THIRDS, {}, [40, 40, 40]),
        (THIRDS, {"val_on_test": True}, [40, 40, 40]),
        (THIRDS, {"kind": "kfold", "val_fraction": 0.25}, [72, 24, 24]),
    ],
)
def test_a_setting_with_an_effect_has_it(parts, values, sizes):
    split = make_split(make_source(*parts), SplitSpec(**values))
    assert [len(indices) for indices in split.parts.values()] == sizes


def test_the_rule_of_a_finished_run_divides_other_data():
    """Nobody has chosen its settings for these data."""
    spec = SplitSpec(val_fraction=0.3, seed=4)
    assert drop_unread(make_source(*HALVES), spec) == spec
    assert drop_unread(make_source(*FLAT), spec) == SplitSpec(seed=4)
    assert drop_unread(make_source(*THIRDS), spec) == SplitSpec(seed=4)
    trained = RecordedParts.of(make_split(make_source(*HALVES), spec))
    record, told = RunRecord(Path("run"), {}), []
    record.__dict__["parts"] = replace(trained, ids=np.char.add("other/", trained.ids))
    split = record.find_split(make_source(*FLAT), spec, told.append)
    assert [len(indices) for indices in split.parts.values()] == [26, 6, 8]
    assert "has none of the run's image names" in told[0]
    # A split that the user sets for these data is held to them.
    with pytest.raises(UsageError, match="publishes no parts"):
        replace(record, is_split_anew=True).find_split(make_source(*FLAT), spec, told.append)
