"""Forecasts of cells that nobody has measured, from multiply-adds; numbers by hand."""

import pytest

from poc.shared.actions.study.candidates import Candidate
from poc.shared.actions.study.jobs import Job, Outcome, Trial
from poc.shared.actions.study.searching.forecasts import (
    Images,
    body_of,
    count_multiply_adds,
    forecast,
)
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.splits import SplitSpec

START = "initial_weights=/files/a.safetensors"
HEAD = Candidate(name="head", settings=("method=logistic", START), tier=0)
AGAIN = Candidate(name="again", settings=("method=knn", START), tier=1)
TUNED = Candidate(name="tuned", settings=("method=transfer", START), tier=3, kind="tuned")
SMALL = Candidate(
    name="small", settings=("method=scratch", "model.name=net"), tier=2, kind="normed"
)
IMAGES = Images(100, (8, 8, 3), 4)


def make_job(candidate, backend="torch", teacher=None):
    return Job(
        phase="search",
        candidate=candidate,
        backend=backend,
        split=SplitSpec(),
        seed=0,
        place="trial=0",
        teacher=teacher,
    )


def end(candidate, seconds, backend="torch", status="finished", start_seconds=0.0):
    return Trial(
        make_job(candidate, backend), Outcome(status, seconds, start_seconds=start_seconds)
    )


def count_work(job):
    return {"head": 100.0, "again": 100.0, "tuned": 3000.0, "small": 50.0}[job.candidate.name]


def test_nothing_is_forecast_before_a_cell_of_the_framework():
    assert forecast(make_job(TUNED), [], count_work) is None
    assert forecast(make_job(TUNED), [end(HEAD, 2.0, "tf")], count_work) is None
    assert forecast(make_job(TUNED), [end(HEAD, 2.0, status="failed")], count_work) is None


def test_the_speed_is_that_of_a_cell_with_the_same_body():
    """The second head read what the first computed: start 1 s, 100 in 4 s, so 3000 in 120 s."""
    ended = [end(HEAD, 5.0), end(AGAIN, 1.0), end(SMALL, 30.0)]
    assert forecast(make_job(TUNED), ended, count_work) == pytest.approx(1 + 3000 / 25)


def test_an_unknown_body_has_the_best_speed_of_all():
    ended = [end(SMALL, 3.0), end(HEAD, 1.0)]
    other = Candidate(
        name="tuned", settings=("method=transfer", "initial_weights=/b"), tier=3, kind="tuned"
    )
    # The small net did 50 in 2 s after a start; the head did 100 in 1 s, start and all.
    assert forecast(make_job(other), ended, count_work) == pytest.approx(3000 / 100)


def test_a_cell_takes_at_least_a_start():
    assert forecast(make_job(SMALL), [end(HEAD, 4.0)], count_work) == 4.0


def test_the_import_of_a_framework_is_no_part_of_a_speed():
    ended = [end(HEAD, 25.0, start_seconds=20.0), end(AGAIN, 1.0)]
    assert forecast(make_job(TUNED), ended, count_work) == pytest.approx(1 + 3000 / 25)


def test_a_student_is_as_fast_as_its_teachers_body():
    student = Candidate(name="student", settings=("method=kd", "model.name=net"), tier=5)
    assert body_of(make_job(student, teacher=make_job(HEAD))) == START
    assert body_of(make_job(SMALL)) == "model.name=net"


def load(*settings):
    return load_run(None, ("model.name=lightnet_plain", "layer=conv2d", "widths=[2]", *settings))


def count_net(side):
    """A block is two convolutions 3x3, 3 -> 2 and 2 -> 2, then a head 2 -> 4."""
    return 9 * (3 * 2 + 2 * 2) * side * side + 2 * 4


def test_multiply_adds_of_training_and_of_one_pass():
    run = load("method=scratch", "num_epochs=7", "data.batch_size=10")
    forward = count_net(8)
    assert count_multiply_adds(run, "normed", IMAGES) == 3.25 * forward * 7 * 100
    assert count_multiply_adds(run, None, IMAGES) == 1.25 * forward * 100


def test_the_recipes_epochs_are_counted_and_so_is_a_teacher():
    """Ten steps an epoch: the recipe's 1200 steps are 120 epochs."""
    run = load("method=scratch", "data.batch_size=10").replace(open_settings=["num_epochs"])
    teacher = load("method=scratch", "data.image_size=16x16")
    expected = (3.25 * count_net(8) + count_net(16)) * 120 * 100
    assert count_multiply_adds(run, "normed", IMAGES, teacher) == expected
