"""Cells of the learning curve: the recommended row, trained on half and a quarter of its images.

Each cell is one of the finals with a sample of its train part: the same split, seed and settings.
The samples are nested and keep the classes; groups are not divided. The test part is read once per
network, after the decision, for the sentence about more images alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from poc.shared.actions.study.candidates import method_of
from poc.shared.actions.study.finals import cost_of
from poc.shared.actions.study.jobs import Job
from poc.shared.actions.study.proposals import BATCH
from poc.shared.actions.study.recorded_cells import RecordedCells
from poc.shared.actions.study.search import spare
from poc.shared.analysis.study.results import Answers, LearningPoint
from poc.shared.spec.reading.recipe import count_epochs

from .answers import TEST_PREDICTIONS, read_answers, read_recorded

# Shares of the train part; the first one alone shows the gain of twice as many images.
SHARES = (0.5, 0.25)
MARK = "share="


def is_smaller(job: Job) -> bool:
    """Return whether a cell trains on a part of the images, for the learning curve."""
    return MARK in job.place


def run_curve(finals: Sequence[Job], cells: RecordedCells, output: Path) -> bool:
    """Run the cells of the curve, as far as the time goes; return whether there is one.

    Args:
        finals: Cells of the recommended row.
        cells: Runs them.
        output: The study's folder.
    """
    if not finals or not can_shrink(finals[0]):
        return False
    has_run = False
    for share, own in list_units(finals):
        clock = cells.clock
        # Fewer images take no more steps. A part of the folds would be of no use.
        if cost_of(own, cells.costs) > clock.all_left - spare(clock.budget_seconds):
            return has_run
        num_images = read_recorded(output / own[0].key).count("train")
        for job in own:
            left = clock.all_left - spare(clock.budget_seconds)
            if not cells.run(shrink(job, share, num_images), left).is_finished:
                return has_run
        has_run = True
    return has_run


def can_shrink(job: Job) -> bool:
    """Return whether a smaller train part makes sense for a cell.

    A teacher that has learned from all images would teach what is in the others. FixRes with a
    share of its epochs has two numbers of epochs, which `shrink` does not know.
    """
    is_part_of_fixres = method_of(job.candidate) == "fixres" and job.share < 1
    has_teacher = job.candidate.teacher is not None
    return not (has_teacher or is_part_of_fixres) and job.split.train_per_class is None


def list_units(finals: Sequence[Job]) -> Iterator[tuple[float, list[Job]]]:
    """Yield each share with the cells of each seed; with folds, these test every image once."""
    for seed in dict.fromkeys(job.seed for job in finals):
        for share in SHARES:
            yield share, [job for job in finals if job.seed == seed]


def shrink(job: Job, share: float, num_images: int) -> Job:
    """Return a cell with a share of its train part, which has `num_images` images.

    Its epochs are the recipe's for the fewer images, times the share of the epochs that the cell
    had: about as many steps as before.
    """
    whole = job.split.train_sample or 1.0
    candidate = job.candidate
    if candidate.kind and job.share < 1 and job.proposal:
        steps = math.ceil(share * num_images / int(job.proposal[BATCH]))
        epochs = max(1, math.ceil(job.share * count_epochs(candidate.kind, steps)))
        candidate = replace(candidate, settings=(*candidate.settings, f"num_epochs={epochs}"))
    return replace(
        job,
        candidate=candidate,
        split=job.split.model_copy(update={"train_sample": share * whole}),
        place=f"{job.place},{MARK}{share:g}",
        share=1.0,
    )


def share_of(job: Job) -> float:
    """Return the share of the train part of a cell."""
    return float(job.place.rpartition(MARK)[2]) if is_smaller(job) else 1.0


def read_points(finals: Sequence[Job], smaller: Sequence[Job], output: Path) -> list[LearningPoint]:
    """Read the points of the curve, the smallest share first; empty without a complete one.

    Args:
        finals: Cells of all rows.
        smaller: Cells of the curve that have finished.
        output: The study's folder.
    """
    if not smaller:
        return []
    row = (smaller[0].candidate.name, smaller[0].backend)
    whole = [job for job in finals if (job.candidate.name, job.backend) == row]
    points = []
    for share in (*sorted(SHARES), 1.0):
        jobs = [job for job in (*smaller, *whole) if share_of(job) == share]
        answers = list(read_samples(jobs, whole, output))
        if answers:
            num_images = read_recorded(output / jobs[0].key).count("train")
            points.append(LearningPoint(share=share, num_images=num_images, answers=answers))
    return points if len(points) > 1 else []


def read_samples(jobs: Sequence[Job], whole: Sequence[Job], output: Path) -> Iterator[Answers]:
    """Yield the answers of each seed that has as many cells as the row itself."""
    for seed in dict.fromkeys(job.seed for job in jobs):
        own = [job for job in jobs if job.seed == seed]
        if len(own) < sum(job.seed == seed for job in whole):
            continue
        found = [read_answers(output / job.key, TEST_PREDICTIONS) for job in own]
        ids = [name for answers in found for name in answers.ids]
        yield Answers(ids, np.concatenate([answers.hits for answers in found]))
