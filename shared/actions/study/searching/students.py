"""Students: light nets that learn from the best network of the search.

A student begins when the search has a teacher, so that it is in no list of the start. Its teacher
is a cell of the same phase and framework: in the search a network of the search, in the finals the
teacher's own finalist on the same split. So no teacher has seen an image that tests its student.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from poc.shared.actions.study.candidates import (
    DISTILLATION,
    FIRST_SIZE,
    LIGHT_MODEL,
    Candidate,
    list_light,
    method_of,
)
from poc.shared.actions.study.jobs import Job, Trial

# Nearest neighbours give votes, not logits.
NO_TEACHERS = ("knn", DISTILLATION)
LIGHT = "lightlayers"
MAX_TEACHERS = 2
PLAIN = "small net of conv2d"
# Candidate with the same network -> the settings of its layers.
STUDENTS: Mapping[str, tuple[str, ...]] = {
    PLAIN: ("layer=conv2d",),
    f"{LIGHT} k={FIRST_SIZE}": ("layer=light", f"k={FIRST_SIZE}"),
}
DISTILLED = "distillation of the best network"
"""Stands for the students, which have no names without a teacher."""


def find_teacher(ranked: Sequence[Trial]) -> Candidate | None:
    """Return the best candidate whose network can teach, or none.

    A light net has no lighter student, so that there is none if such a net is the best one.
    """
    able = [item.job.candidate for item in ranked if can_teach(item.job.candidate)]
    return able[0] if able and method_of(able[0]) != LIGHT else None


def explain_no_teacher(ranked: Sequence[Trial]) -> str:
    """Return why there is no teacher."""
    if any(can_teach(item.job.candidate) for item in ranked):
        return "the best network is a light one itself"
    return "no network of the search has logits to learn from"


def can_teach(candidate: Candidate) -> bool:
    """Return whether a candidate's network has logits that a student can learn."""
    return method_of(candidate) not in NO_TEACHERS


def list_nets() -> list[Candidate]:
    """Return the candidates that are the students' networks, without a teacher."""
    return [item for item in list_light() if item.name in STUDENTS]


def list_students(teacher: Candidate, too_large: Collection[str] = ()) -> Iterator[Candidate]:
    """Yield the students of a teacher: the light net, and its topology with convolutions.

    A net of convolutions that is the teacher has only the light student.

    Args:
        teacher: The teacher.
        too_large: Names of networks that are over a limit, which are left out.
    """
    for name, layer in STUDENTS.items():
        if name in too_large or (name == PLAIN and method_of(teacher) == "scratch"):
            continue
        yield Candidate(
            name=f"{name} taught by {teacher.name}",
            settings=(f"method={DISTILLATION}", f"model.name={LIGHT_MODEL}", *layer),
            tier=5,
            kind="normed",
            teacher=teacher.name,
        )


def put_teachers_first(ranked: Sequence[Trial]) -> list[Trial]:
    """Return the trials of one framework, a student's teacher at the latest just before it.

    So each plan of the finals that has a student has its teacher too.
    """
    by_name = {trial.job.candidate.name: trial for trial in ranked}
    found: dict[str, Trial] = {}
    for name, trial in by_name.items():
        teacher = trial.job.candidate.teacher
        if teacher in by_name:
            found.setdefault(teacher, by_name[teacher])
        found.setdefault(name, trial)
    return list(found.values())


def with_teacher(job: Job, made: Mapping[tuple[str, str], Job]) -> Job:
    """Return a cell of the finals with its teacher: the latest cell of it in the same framework.

    Args:
        job: The cell.
        made: (candidate, framework) -> its cell on this split; a head that is fitted has one for
            all seeds of a split.
    """
    if job.candidate.teacher is None:
        return job
    return replace(job, teacher=made.get((job.candidate.teacher, job.backend)))
