"""The question of a study: the smallest difference that matters, and how often runs repeat."""

from dataclasses import dataclass, replace

from poc.shared.errors import UsageError
from poc.shared.spec.splits import SplitSpec


@dataclass(frozen=True, kw_only=True)
class Question:
    """State what a study should be able to tell.

    Attributes:
        smallest_difference: Difference of two accuracies worth knowing, as a fraction.
        num_seeds: Runs of each finalist on one holdout.
        num_repeats: Repetitions of all folds, each with folds of its own.
        group_pattern: Finds an example's group in its id; None uses the source's groups.
        split: The user's own split; None leaves the choice to the protocol.
        seed: Seed of the draws.
    """

    smallest_difference: float = 0.05
    num_seeds: int = 3
    num_repeats: int = 1
    group_pattern: str | None = None
    split: SplitSpec | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.smallest_difference < 1:
            raise UsageError(
                f"Got a smallest difference of {self.smallest_difference}. Expected a fraction "
                "between 0 and 1. Try 0.05, which is five points."
            )
        if min(self.num_seeds, self.num_repeats) < 1:
            raise UsageError(
                f"Got {self.num_seeds} seeds and {self.num_repeats} repeats. Expected at least one "
                "of each. Try 3 seeds and 1 repeat."
            )


def make_question(
    smallest_difference: float, group_pattern: str | None, num_networks: int | None
) -> Question:
    """Make the question of a command.

    Args:
        smallest_difference: As in `Question`.
        group_pattern: As in `Question`.
        num_networks: Networks of each finalist: seeds on a holdout, repeats of all folds; None: the
            default of each.
    """
    question = Question(smallest_difference=smallest_difference, group_pattern=group_pattern)
    if num_networks is None:
        return question
    return replace(question, num_seeds=num_networks, num_repeats=num_networks)
