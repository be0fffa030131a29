"""Batches that make one update: shares and counts by hand, and the steps that a stage derives."""

import numpy as np
import pytest

from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.step_numbers import AVERAGE_SHARE, GROUP_END, GROUP_SHARE
from poc.shared.engine.training.stage import StageSteps
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.training.accumulation import (
    Grouping,
    GroupPart,
    batch_sizes,
    describe_short_epoch,
)
from poc.tests.helpers.workers import stub

# Seven batches of an epoch, three to an update: 12, then 10, then the last one alone.
SEVEN = Grouping(sizes=(4, 4, 4, 4, 4, 2, 1), accumulation_steps=3)


def test_batch_sizes():
    assert batch_sizes(26, 4, 7) == (4, 4, 4, 4, 4, 4, 2)
    assert batch_sizes(24, 4, 6) == (4,) * 6
    assert batch_sizes(3, 8, 1) == (3,)


def test_parts_by_hand():
    assert SEVEN.num_updates == 3
    assert [SEVEN.update_of(step) for step in range(9)] == [0, 0, 0, 1, 1, 1, 2, 3, 3]
    assert SEVEN.part_of(1) == GroupPart(share=4 / 12, first=4, is_last=False)
    assert SEVEN.part_of(5) == GroupPart(share=2 / 10, first=8, is_last=True)
    assert SEVEN.part_of(6) == GroupPart(share=1.0, first=0, is_last=True)
    # The first batch of the second epoch is like that of the first.
    assert SEVEN.part_of(7) == SEVEN.part_of(0) == GroupPart(share=4 / 12, first=0, is_last=False)


def test_one_batch_an_update_is_the_plain_case():
    plain = Grouping(sizes=(4, 4, 1), accumulation_steps=1)
    assert [plain.update_of(step) for step in range(7)] == list(range(7))
    assert all(plain.part_of(s) == GroupPart(share=1.0, first=0, is_last=True) for s in range(7))


@pytest.fixture
def open_steps():
    """StageSteps of a run on 80 embedded images; closes its data."""
    opened = []

    def open_(*assignments):
        settings = ["split.train_per_class=8", "k=1", "num_epochs=3", "dropout=0.3", *assignments]
        run, data = resolve(load_run(None, settings))
        opened.append(data)
        return StageSteps(run, run.stages[0], stub, data, {})

    yield open_
    for data in opened:
        data.close()


SCHEDULE = ["schedule.name=cosine", "warmup_steps=2", "ema.decay=0.9"]


def test_a_step_is_what_it_would_be_in_one_large_batch(open_steps):
    """80 images: batches of 12, three to an update, or batches of 36; the last ones are smaller."""
    many = open_steps("batch_size=12", "accumulation_steps=3", *SCHEDULE)
    large = open_steps("batch_size=36", *SCHEDULE)
    assert many.data.train.num_batches == 7
    assert many.num_updates == large.num_updates == 9
    step = 0
    for update, whole in enumerate(b for epoch in range(3) for b in large.batches(epoch, 0)):
        noise, extras = large.inputs(whole, update)
        labels, masks, total = [], [], 0.0
        while many.update_of(step) == update:
            batch = next(many.batches(step // 7, step % 7))
            own_noise, own = many.inputs(batch, step)
            assert many.rate(step) == large.rate(update)
            assert many.group_labels(step).tolist() == whole.labels.tolist()
            assert own[AVERAGE_SHARE] == extras[AVERAGE_SHARE]
            total += float(own[GROUP_SHARE])
            labels += batch.labels.tolist()
            masks.append(own_noise["dropout"])
            step += 1
        assert own[GROUP_END] == 1
        assert total == pytest.approx(1, rel=1e-15)
        assert labels == whole.labels.tolist() == large.group_labels(update).tolist()
        assert np.array_equal(np.concatenate(masks), noise["dropout"])
    assert step == 21


def test_a_plain_step_has_no_numbers(open_steps):
    steps = open_steps("batch_size=12")
    assert steps.inputs(next(steps.batches(0, 0)), 0)[1] == {}


def test_updates_of_a_later_stage_start_again():
    """The index of an update is that of the run; a stage's own counts from its first epoch."""
    run = load_run(
        None, ["method=fitnets", "batch_size=12", "accumulation_steps=3", "num_epochs=4"]
    )
    assert [stage.num_epochs for stage in run.stages] == [1, 3]
    assert SEVEN.update_of(7) == 3


def test_an_epoch_of_fewer_batches_is_one_update_and_is_told():
    short = Grouping(sizes=(4, 4, 1), accumulation_steps=8)
    assert short.num_updates == 1
    assert [short.part_of(step).is_last for step in range(3)] == [False, False, True]
    assert sum(short.part_of(step).share for step in range(3)) == 1
    assert describe_short_epoch(3, 3) is None
    told = describe_short_epoch(8, 3)
    assert "optimizer.accumulation_steps=8 is more than an epoch has (3 batches)" in told
    assert told.endswith("so each epoch makes one update of all its batches.")
