"""Proposals: the recipe first, then the sampler's, the same whenever they are asked for."""

import pytest

from poc.shared.actions.study.proposals import (
    BATCH_SIZES,
    DECAYS,
    RATE_RANGE,
    VIEWS,
    Tried,
    assign,
    describe,
    first_proposal,
    propose,
)
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.recipe import RATES


def tried(count, kind="normed"):
    found = []
    for number in range(count):
        proposal = propose(kind, found, seed=5)
        found.append(Tried(proposal, 0.5 + 0.01 * number))
    return found


def test_the_first_is_the_recipe():
    assert propose("tuned", [], seed=1) == first_proposal("tuned")
    assert first_proposal("tuned")["learning_rate"] == RATES["tuned"]["adamw"]


def test_the_same_history_gives_the_same_proposal():
    """A study that was killed knows its finished trials, and nothing else."""
    history = tried(7)
    assert propose("normed", history, seed=5) == propose("normed", list(history), seed=5)
    assert tried(8)[:7] == history


def test_proposals_differ_and_stay_in_their_ranges():
    proposals = [item.proposal for item in tried(9)]
    assert len({str(item) for item in proposals}) == 9
    rate = RATES["normed"]["adamw"]
    for item in proposals:
        assert rate / RATE_RANGE <= item["learning_rate"] <= rate * RATE_RANGE
        assert DECAYS[0] <= item["weight_decay"] <= DECAYS[1]
        assert item["batch_size"] in BATCH_SIZES
        assert item["view"] in VIEWS


def test_the_sampler_learns_from_the_values():
    """Rates near 0.02 are worth most: of 12 further proposals, most are closer to it than before.

    The range of the rate is 3e-4 to 3e-2.
    """
    found = []
    for _ in range(40):
        proposal = propose("normed", found, seed=2)
        found.append(Tried(proposal, -abs(proposal["learning_rate"] - 0.02)))
    late = [item.proposal["learning_rate"] for item in found[-12:]]
    assert sum(abs(rate - 0.02) < 0.008 for rate in late) >= 8


@pytest.mark.parametrize("view", VIEWS)
def test_a_proposal_is_settings_of_a_run(view):
    proposal = {**first_proposal("normed"), "view": view}
    run = load_run(None, ["method=scratch", "model.name=lightnet_residual", *assign(proposal)])
    assert run.optimizer.name == "adamw"
    assert run.optimizer.learning_rate == RATES["normed"]["adamw"]
    assert run.data.batch_size == 32
    assert run.data.train_view.is_random == (view == "strong")


def test_a_proposal_in_words():
    assert describe(None) == "-"
    assert describe(first_proposal("normed")) == (
        "rate 0.003, decay 1e-05, batches of 32, views: recipe"
    )
