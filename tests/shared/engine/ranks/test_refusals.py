"""Runs that several processes cannot train are refused, by the reason that they have."""

import pytest

from poc.shared.engine.launch.course import Course
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.ranks.refusals import REASONS, check_ranks, describe_refusal
from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.reading.config import load_run

REFUSED = {
    ("method=logistic",): "a head that is computed",
    ("method=l2t-ww", "method_options.meta_batch=held_out"): "l2t-ww with meta_batch=held_out",
    ("method=scratch", "mode=compiled"): "mode=compiled",
    ("method=scratch", "norm_statistics=exact"): "norm_statistics=exact",
    ("method=scratch", "habits=native"): "native habits",
}


@pytest.mark.parametrize(("settings", "reason"), REFUSED.items())
def test_each_reason(settings, reason):
    run = load_run(None, settings)
    with pytest.raises(UsageError, match=rf"^Got --processes 2 for {reason}.*Expected.*Try"):
        check_ranks(run, 2)
    check_ranks(run, 1)


@pytest.mark.parametrize("setting", ["method_options.standardize=true", "batch_norm_sync=local"])
def test_other_parts_of_a_batch(setting):
    with pytest.raises(UsageError, match="l2t-ww with"):
        check_ranks(load_run(None, ["method=l2t-ww", setting]), 2)
    check_ranks(load_run(None, ["method=l2t-ww"]), 2)


def test_every_reason_is_tested():
    assert len(REFUSED) == len(REASONS)


def test_all_other_methods_are_trained():
    refused = {name for name in METHODS if describe_refusal(load_run(None, [f"method={name}"]))}
    assert refused == {"logistic", "knn"}


def test_more_processes_than_examples():
    run = load_run(None, ["method=scratch", "batch_size=2"])
    check_ranks(run, 2)
    with pytest.raises(UsageError, match=r"--processes 3 for data\.batch_size=2"):
        check_ranks(run, 3)


LAUNCHED = Place(index=1, count=2, meeting="a:1")


@pytest.mark.parametrize(
    ("course", "message"),
    [
        (Course(processes=0), r"--processes 0"),
        (Course(max_restarts=-1), r"--max-restarts -1"),
        (Course(place=LAUNCHED, processes=2), r"--processes 2 for rank 1 of 2"),
        (Course(place=LAUNCHED, max_restarts=1), r"--max-restarts 1 for rank 1 of 2"),
        (Course(place=LAUNCHED, engine="ray"), r"--engine ray for rank 1 of 2"),
        (Course(engine="slurm"), r"--engine 'slurm'"),
        (Course(address="head:6379"), r"--address 'head:6379' with --engine local"),
    ],
)
def test_a_course_that_cannot_be(course, message):
    with pytest.raises(UsageError, match=rf"^Got {message}.*Expected.*Try"):
        course.check()


def test_a_launched_rank_is_checked_as_one_of_several(tmp_path):
    course = Course(place=LAUNCHED)
    with pytest.raises(UsageError, match=r"--processes 2 for a head"):
        course.check(load_run(None, ["method=knn"]))
    course.check(load_run(None, ["method=scratch"]))
    with pytest.raises(UsageError, match=r"^Got rank 1 of 2 without --output"):
        course.require_output(None)
    course.require_output(tmp_path)
    Course().require_output(None)
    assert course.places() == [LAUNCHED]
    assert [place.local_count for place in Course(processes=3).places()] == [3, 3, 3]
