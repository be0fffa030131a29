"""The Pareto front: rows that no other row beats in both accuracy and cost."""

from collections.abc import Sequence
from typing import NamedTuple


class Offer(NamedTuple):
    """A row with its accuracy (more is better) and one of its costs (less is better)."""

    name: str
    accuracy: float
    cost: float


def pareto_front(offers: Sequence[Offer]) -> list[Offer]:
    """Return the offers that no other offer beats, the cheapest first.

    One offer beats another if it is at least as accurate and at most as costly, and better in one
    of the two. Equal offers do not beat each other.
    """
    front: list[Offer] = []
    # The cheapest first; of equal costs the most accurate.
    for offer in sorted(offers, key=lambda item: (item.cost, -item.accuracy)):
        if not front or offer.accuracy > front[-1].accuracy or offer[1:] == front[-1][1:]:
            front.append(offer)
    return front
