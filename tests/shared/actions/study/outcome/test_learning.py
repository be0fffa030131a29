"""The learning curve: its cells, their samples, and what is read of them."""

from dataclasses import replace

import numpy as np
import pytest

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.ledger import open_ledger
from poc.shared.actions.study.outcome.learning import (
    can_shrink,
    is_smaller,
    list_units,
    read_points,
    run_curve,
    shrink,
)
from poc.shared.actions.study.recorded_cells import RecordedCells
from poc.shared.actions.study.searching.students import list_students
from poc.shared.analysis.study.learning_curve import measure_gain
from poc.shared.data.splits.split import make_split
from poc.tests.helpers.studies.jobs import make_finals
from poc.tests.helpers.studies.simulated_cells import SimulatedTime
from poc.tests.helpers.studies.sources import make_source
from poc.tests.helpers.studies.written_cells import WrittenCells

NAME = "small net of conv2d"
SOURCE = make_source({"all": np.arange(200) % 4}, is_partitioned=False)


class GrowingCells(WrittenCells):
    """Cells that are right more often with more images."""

    def run(self, job, limit_seconds):
        self.accuracies = {NAME: 0.5 + 0.4 * (job.split.train_sample or 1.0)}
        return super().run(job, limit_seconds)


def run(tmp_path, finals, budget=1000.0, kill_at=None):
    """Run the final cells and the curve; return the cells of the curve, and all cells that ran."""
    time = SimulatedTime()
    runner = GrowingCells(tmp_path, SOURCE, {}, time, kill_at=kill_at)
    with open_ledger(tmp_path, {"data": "made"}) as ledger:
        cells = RecordedCells(ledger, Clock(budget, read=time.read), runner)
        for job in finals:
            cells.run(job, 100.0)
        has_curve = run_curve(finals, cells, tmp_path)
    smaller = [trial.job for trial in cells.ended if is_smaller(trial.job)]
    assert has_curve == bool(smaller)
    return smaller, runner.ran


def test_half_comes_before_a_quarter_and_each_fold_is_run():
    finals = make_finals(source=SOURCE)
    units = list(list_units(finals))
    assert [share for share, _ in units] == [0.5, 0.25]
    assert [own for _, own in units] == [finals, finals]
    seeds = [replace(finals[0], seed=seed) for seed in (3, 4)]
    assert [(share, own) for share, own in list_units(seeds)] == [
        (0.5, seeds[:1]),
        (0.25, seeds[:1]),
        (0.5, seeds[1:]),
        (0.25, seeds[1:]),
    ]


def test_samples_are_nested_and_keep_the_other_parts_and_the_classes():
    job = make_finals(source=SOURCE)[0]
    splits = [make_split(SOURCE, shrink(job, share, 128).split) for share in (0.25, 0.5)]
    splits.append(make_split(SOURCE, job.split))
    trains = [set(split.train.tolist()) for split in splits]
    assert trains[0] < trains[1] < trains[2]
    assert [len(train) for train in trains] == [32, 64, 128]
    labels = np.asarray(SOURCE.labels)
    assert np.bincount(labels[splits[0].train]).tolist() == [8] * 4
    for part in ("val", "test"):
        assert all(np.array_equal(own.parts[part], splits[2].parts[part]) for own in splits)


def test_epochs_follow_from_the_fewer_images():
    """The recipe: 1,200 steps; 64 of 128 images in batches of 32 are 2 steps, so 300 at most."""
    job = make_finals(source=SOURCE, share=0.25)[0]
    job.proposal["batch_size"] = 32
    smaller = shrink(job, 0.5, 1280)
    # 640 images are 20 steps: 60 epochs, and a quarter of them.
    assert smaller.candidate.settings[-1] == "num_epochs=15"
    assert smaller.share == 1.0
    # With all of the recipe's epochs, the run counts them itself.
    full = make_finals(source=SOURCE)[0]
    assert shrink(full, 0.5, 1280).candidate == full.candidate


def test_a_sample_of_a_sample():
    job = make_finals(source=SOURCE)[0]
    job = replace(job, split=job.split.model_copy(update={"train_sample": 0.8}))
    assert shrink(job, 0.5, 100).split.train_sample == pytest.approx(0.4)


def test_what_has_no_curve():
    job = make_finals(source=SOURCE)[0]
    assert can_shrink(job)
    counted = job.split.model_copy(update={"train_per_class": 4})
    assert not can_shrink(replace(job, split=counted))
    (student, *_) = list_students(job.candidate)
    assert not can_shrink(replace(job, candidate=student))


def test_fixres_with_a_part_of_its_epochs_has_no_curve():
    (job,) = [
        replace(make_finals(source=SOURCE)[0], candidate=item)
        for item in list_candidates(["weights.safetensors"])
        if item.name.startswith("FixRes")
    ]
    assert can_shrink(job)
    assert not can_shrink(replace(job, share=0.5))


def test_the_curve_is_read_and_shows_the_gain(tmp_path):
    finals = make_finals(NAME, source=SOURCE)
    smaller, _ = run(tmp_path, finals)
    points = read_points(finals, smaller, tmp_path)
    assert [(point.share, point.num_images) for point in points] == [
        (0.25, 32),
        (0.5, 64),
        (1.0, 128),
    ]
    means = [np.mean(point.answers[0].hits) for point in points]
    assert means == pytest.approx([0.6, 0.7, 0.9], abs=0.1)
    assert all(len(set(point.answers[0].ids)) == 200 for point in points)
    gain = measure_gain(points, None, sorted(points[0].answers[0].ids))
    assert (gain.num_before, gain.num_after) == (64, 128)
    assert gain.is_shown


def test_a_point_without_all_folds_is_left_out(tmp_path):
    finals = make_finals(NAME, source=SOURCE)
    smaller, _ = run(tmp_path, finals)
    halves = [job for job in smaller if job.split.train_sample == 0.5]
    points = read_points(finals, [*halves, smaller[-1]], tmp_path)
    assert [point.share for point in points] == [0.5, 1.0]
    assert read_points(finals, smaller[-1:], tmp_path) == []
    assert read_points(finals, [], tmp_path) == []


@pytest.mark.parametrize(("budget", "shares"), [(155.0, []), (175.0, [0.5]), (250.0, [0.5, 0.25])])
def test_a_share_begins_only_if_all_of_its_folds_fit(tmp_path, budget, shares):
    """Five folds take 75 s, as the final cells did; 3 s and 2 % are kept for the page."""
    smaller, _ = run(tmp_path, make_finals(NAME, source=SOURCE), budget)
    assert [job.split.train_sample for job in smaller] == [s for s in shares for _ in range(5)]


def test_a_curve_that_was_killed_goes_on(tmp_path):
    finals = make_finals(NAME, source=SOURCE)
    whole = run(tmp_path / "whole", finals)[1]
    with pytest.raises(BaseException, match=r"^$"):
        run(tmp_path / "killed", finals, kill_at=7)
    assert run(tmp_path / "killed", finals)[1] == whole[7:]
