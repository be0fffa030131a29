"""Proposals of the search: settings of the update and the views, by Optuna's TPE sampler.

A proposal depends on the candidate's finished trials and on nothing else: a new sampler with a
seed of its own is made for each one. A study that was killed therefore proposes the same again.
"""

import json
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from poc.shared.errors import UsageError
from poc.shared.spec.reading.recipe import RATES, Kind

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Factor by which the rate may differ from the recipe's, to either side.
RATE_RANGE = 10.0
DECAYS = (1e-5, 1e-1)
BATCH_SIZES = (16, 32, 64)
# Views of the training images, from weak to strong; `recipe` leaves them to the recipe.
VIEWS: dict[str, tuple[str, ...]] = {
    "recipe": (),
    "none": ("data.train_view.crop=none", "data.train_view.horizontal_flip=0"),
    "strong": (
        "data.train_view.crop=random_resized",
        "data.train_view.area=[0.25,1.0]",
        "data.train_view.horizontal_flip=0.5",
        "data.train_view.brightness=0.3",
        "data.train_view.contrast=0.3",
    ),
}
RATE, DECAY, BATCH, VIEW = "learning_rate", "weight_decay", "batch_size", "view"
Proposal = dict[str, float | int | str]


class Tried(NamedTuple):
    """A finished trial: its proposal, and its value, the higher the better."""

    proposal: Proposal
    value: float


def first_proposal(kind: Kind) -> Proposal:
    """Return the first proposal: the recipe's own rate, without decay, small batches."""
    return {RATE: RATES[kind]["adamw"], DECAY: DECAYS[0], BATCH: BATCH_SIZES[1], VIEW: "recipe"}


def propose(kind: Kind, tried: Sequence[Tried], seed: int) -> Proposal:
    """Propose the next trial of a candidate.

    Args:
        kind: Its kind of training, from which the range of the rate follows.
        tried: Its finished trials.
        seed: Seed of the study and the candidate.

    Raises:
        UsageError: Optuna is not installed.
    """
    if not tried:
        return first_proposal(kind)
    optuna = import_optuna()
    space = build_space(kind)
    sampler = optuna.samplers.TPESampler(
        seed=(seed + len(tried)) % 2**32, n_startup_trials=5, multivariate=False
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for item in tried:
        study.add_trial(
            optuna.trial.create_trial(params=item.proposal, distributions=space, value=item.value)
        )
    found: Proposal = dict(study.ask(space).params)
    return found


def build_space(kind: Kind) -> "dict[str, BaseDistribution]":
    """Build the ranges of a kind of training."""
    distributions = import_optuna().distributions
    rate = RATES[kind]["adamw"]
    return {
        RATE: distributions.FloatDistribution(rate / RATE_RANGE, rate * RATE_RANGE, log=True),
        DECAY: distributions.FloatDistribution(*DECAYS, log=True),
        BATCH: distributions.CategoricalDistribution(BATCH_SIZES),
        VIEW: distributions.CategoricalDistribution(tuple(VIEWS)),
    }


def import_optuna() -> ModuleType:
    """Import the module `optuna`, without its messages.

    Raises:
        UsageError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UsageError(
            "Got a study with settings to search, but optuna is not installed. Expected it. "
            "Try pip install 'poc[study]', or --methods logistic,knn."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def assign(proposal: Proposal, given: Sequence[str] = ()) -> list[str]:
    """Write a proposal as `key=value` of a run, without the keys that `given` sets already."""
    view = VIEWS[str(proposal[VIEW])]
    taken = {text.partition("=")[0] for text in given}
    found = [
        "optimizer.name=adamw",
        f"optimizer.learning_rate={json.dumps(proposal[RATE])}",
        f"optimizer.weight_decay={json.dumps(proposal[DECAY])}",
        f"data.batch_size={proposal[BATCH]}",
        *view,
    ]
    return [text for text in found if text.partition("=")[0] not in taken]


def describe(proposal: Proposal | None, given: Sequence[str] = ()) -> str:
    """Write a proposal in few words: `rate 0.003, decay 1e-05, batches of 32, views: recipe`.

    Args:
        proposal: The proposal; None: nothing was chosen.
        given: Settings of the candidate, which win over those of a view.
    """
    if not proposal:
        return "-"
    keys = {text.partition("=")[0] for text in VIEWS[str(proposal[VIEW])]}
    own = keys & {text.partition("=")[0] for text in given}
    view = proposal[VIEW] if not own else "its own" if own == keys else f"its own, {proposal[VIEW]}"
    return (
        f"rate {float(proposal[RATE]):.2g}, decay {float(proposal[DECAY]):.2g}, "
        f"batches of {proposal[BATCH]}, views: {view}"
    )
