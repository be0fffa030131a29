"""Numbers that come with a batch: which of them the host takes out, and which are passed on."""

import numpy as np
import pytest

from poc.shared.engine.step_numbers import (
    AVERAGE_SHARE,
    GROUP_END,
    GROUP_SHARE,
    StepNumbers,
    group_batches,
    inputs_of_step,
    take_numbers,
)
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks


def resolved(*assignments):
    return resolve_networks(load_run(None, assignments, input_shape=(8, 8, 1), num_classes=3))


def test_the_host_takes_what_chooses_the_work():
    extras = {
        GROUP_END: np.asarray(0.0),
        GROUP_SHARE: np.asarray(0.25),
        AVERAGE_SHARE: np.asarray(0.1),
        "kept/pool": np.ones((2, 3)),
    }
    numbers, others = take_numbers(extras)
    assert numbers == StepNumbers(is_update=False, average_share=0.1)
    assert others.keys() == {GROUP_SHARE, "kept/pool"}
    assert take_numbers({}) == (StepNumbers(is_update=True, average_share=None), {})


def test_numbers_by_hand():
    run = resolved("accumulation_steps=2", "ema.decay=0.5", "ema.warmup=false")
    grouping = group_batches(run, [6, 2, 4])
    found = [inputs_of_step(run, grouping, step)[1] for step in range(3)]
    assert [float(one[GROUP_SHARE]) for one in found] == [0.75, 0.25, 1.0]
    assert [float(one[GROUP_END]) for one in found] == [0, 1, 1]
    assert [float(one[AVERAGE_SHARE]) for one in found] == [0.5] * 3


@pytest.mark.parametrize("sizes", [[5, 3], [1, 7], [3, 5]])
def test_masks_of_a_group_are_those_of_one_batch(sizes):
    """Dropout masks of any number of values an example; counters are skipped, not drawn."""
    settings = ["k=1", "dropout=0.4", "widths=[3]"]
    run, whole = resolved(*settings, "accumulation_steps=2"), resolved(*settings)
    grouping = group_batches(run, sizes)
    parts = [inputs_of_step(run, grouping, step)[0] for step in range(2)]
    expected = inputs_of_step(whole, group_batches(whole, [8]), 0)[0]
    assert expected.keys() == parts[0].keys() != set()
    for name, mask in expected.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), mask), name
