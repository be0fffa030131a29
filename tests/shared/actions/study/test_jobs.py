"""Names of cells, and the value of an outcome."""

from dataclasses import replace

from poc.shared.actions.study.candidates import Candidate
from poc.shared.actions.study.jobs import LARGEST_LOSS, Job, Outcome, Trial
from poc.shared.spec.splits import SplitSpec

JOB = Job(
    phase="search",
    candidate=Candidate(name="logistic on a b/c", settings=("method=logistic",), tier=0),
    backend="torch",
    split=SplitSpec(),
    seed=0,
    place="trial=2",
)


def test_a_name_is_one_folder():
    assert JOB.key == "search/logistic-on-a-b-c-torch-trial-2-seed-0"


def test_a_loss_decides_between_equal_accuracies_alone():
    good, better = Outcome("finished", 1.0, 0.8, 0.9), Outcome("finished", 1.0, 0.8, 0.2)
    best = Outcome("finished", 1.0, 0.81, 5.0)
    assert good.value < better.value < best.value


def test_an_outcome_is_its_entry():
    outcome = Outcome("failed", 3.0, 0.0, LARGEST_LOSS, "out of memory")
    assert Outcome.read(outcome._asdict()) == outcome
    assert Outcome.read({**outcome._asdict(), "loss": None}) == outcome


def test_a_trial_as_the_sampler_reads_it():
    trial = Trial(JOB, Outcome("finished", 3.0, 0.5, 0.0))
    assert trial.tried == ({}, 0.5)


def test_a_cell_with_other_epochs_is_another_one():
    """That of the learning curve has them in its settings, not in its share."""
    job = replace(JOB, proposal={"learning_rate": 0.1})
    longer = replace(job.candidate, settings=(*job.candidate.settings, "num_epochs=8"))
    assert replace(job, candidate=longer).key != job.key
    assert replace(job, share=0.5).key != job.key
    assert replace(job).key == job.key
