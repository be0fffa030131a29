"""Students: who teaches whom, when they begin, and whose images their teacher has seen."""

import json
from dataclasses import replace

import pytest

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.jobs import Job, Outcome, Trial
from poc.shared.actions.study.searching.students import (
    DISTILLED,
    MAX_TEACHERS,
    explain_no_teacher,
    find_teacher,
    list_nets,
    list_students,
    put_teachers_first,
    with_teacher,
)
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.splits import SplitSpec
from poc.tests.helpers.studies.simulated_cells import Killed, run_simulated
from poc.tests.shared.actions.study.test_search import WORLDS

GIVEN = {item.name: item for item in list_candidates(["good.pt"])}
HEAD, NEIGHBOURS, NET, LIGHT = (
    GIVEN[name]
    for name in ("logistic on good", "knn on good", "small net of conv2d", "lightlayers k=3")
)
STUDENTS = list(list_students(HEAD))


def make_trial(candidate, accuracy=0.9, **changes):
    fields = {
        "phase": "search",
        "backend": "torch",
        "split": SplitSpec(),
        "seed": 0,
        "place": "trial=0",
        **changes,
    }
    return Trial(Job(candidate=candidate, **fields), Outcome("finished", 1.0, accuracy))


def test_the_best_network_with_logits_teaches():
    assert find_teacher([make_trial(NEIGHBOURS), make_trial(HEAD), make_trial(NET)]) == HEAD
    assert find_teacher([make_trial(STUDENTS[0]), make_trial(NET)]) == NET


@pytest.mark.parametrize(
    ("best", "reason"),
    [
        ([NEIGHBOURS], "no network of the search has logits to learn from"),
        ([LIGHT, NET], "the best network is a light one itself"),
    ],
)
def test_where_nobody_teaches_a_sentence_says_why(best, reason):
    ranked = [make_trial(item) for item in best]
    assert find_teacher(ranked) is None
    assert explain_no_teacher(ranked) == reason


def test_students_are_light_nets():
    assert [item.name for item in STUDENTS] == [
        "small net of conv2d taught by logistic on good",
        "lightlayers k=3 taught by logistic on good",
    ]
    for student in STUDENTS:
        run = load_run(None, student.settings)
        assert (run.method, run.model_spec.name) == ("kd", "lightnet_residual")


def test_a_small_net_does_not_teach_itself():
    (student,) = list_students(NET)
    assert student.name == "lightlayers k=3 taught by small net of conv2d"


def test_networks_over_the_limit_on_size_have_no_teacher():
    assert list(list_students(HEAD, ["small net of conv2d"])) == STUDENTS[1:]
    names = [item.name for item in list_nets()]
    assert list(list_students(HEAD, names)) == []
    taught = {item.name.partition(" taught by ")[0]: item for item in STUDENTS}
    assert sorted(taught) == sorted(names)
    for net in list_nets():
        of_net, of_student = (
            load_run(None, item.settings).model_spec.options for item in (net, taught[net.name])
        )
        assert of_net.get("layer", "light") == of_student.get("layer", "light")


def test_a_plan_that_has_a_student_has_its_teacher():
    first, second = STUDENTS
    ranked = [make_trial(item) for item in (first, NET, HEAD, second)]
    names = [trial.job.candidate.name for trial in put_teachers_first(ranked)]
    assert names == [HEAD.name, first.name, NET.name, second.name]


def test_a_final_cell_learns_from_the_finalist_of_its_framework():
    made = {(HEAD.name, name): make_trial(HEAD, backend=name).job for name in ("tf", "torch")}
    job = make_trial(STUDENTS[0], backend="tf").job
    assert with_teacher(job, made).teacher == made[HEAD.name, "tf"]
    assert with_teacher(replace(job, candidate=NET), made).teacher is None


WITH_STUDENTS = {
    **WORLDS,
    **{
        f"{name} taught by {teacher}": (0.9, 60.0)
        for name in ("small net of conv2d", "lightlayers k=3")
        for teacher in WORLDS
    },
    "small net of conv2d taught by logistic on good": (0.99, 60.0),
    "small net of conv2d taught by fine-tuned good": (0.99, 60.0),
}


@pytest.mark.parametrize("num_images", [162, 2000])
def test_teachers_of_the_finals_trained_on_the_students_own_split(tmp_path, num_images):
    search, _, finals, _ = run_simulated(
        tmp_path / "study",
        list_candidates(["good.pt"]),
        WITH_STUDENTS,
        7200,
        num_images=num_images,
        has_students=True,
    )
    taught = {item.teacher for item in search.students}
    assert 0 < len(taught) <= MAX_TEACHERS
    assert DISTILLED not in search.skipped
    in_search = [t.job for t in search.trials if t.job.candidate.teacher]
    assert in_search
    for job in in_search:
        assert job.teacher.candidate.name == job.candidate.teacher
        assert job.teacher.phase == "search"
        assert job.teacher.split.hold_test_back
    students = [t.job for t in finals if t.job.phase == "finals" and t.job.candidate.teacher]
    assert students
    keys = [trial.job.key for trial in finals]
    for job in students:
        assert (job.teacher.phase, job.teacher.split) == ("finals", job.split)
        assert job.teacher.backend == job.backend
        assert keys.index(job.teacher.key) < keys.index(job.key)


def test_without_distillation_there_are_no_students(tmp_path):
    search = run_simulated(tmp_path / "study", list(GIVEN.values()), WORLDS, 3600)[0]
    assert search.students == []


def test_neighbours_alone_teach_nobody(tmp_path):
    search = run_simulated(tmp_path / "study", [NEIGHBOURS], WORLDS, 600, has_students=True)[0]
    assert search.students == []
    assert DISTILLED in search.skipped


def test_a_search_with_students_that_is_killed_goes_on_with_the_same_cells(tmp_path):
    given = (list_candidates(["good.pt"], ["logistic", "scratch"]), WITH_STUDENTS, 600)
    options = {"searching": ("torch", "tf"), "has_students": True}
    whole = run_simulated(tmp_path / "whole", *given, **options)[3].ran
    assert any("taught-by" in key for key in whole)
    with pytest.raises(Killed):
        run_simulated(tmp_path / "study", *given, kill_at=9, **options)
    run_simulated(tmp_path / "study", *given, **options)
    lines = (tmp_path / "study" / "study.jsonl").read_text().splitlines()
    assert [json.loads(line)["cell"] for line in lines] == whole
