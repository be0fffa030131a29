"""The Pareto front, by hand and against its definition."""

from hypothesis import given
from hypothesis import strategies as st

from poc.shared.analysis.study.pareto import Offer, pareto_front

offers = st.lists(
    st.builds(Offer, st.just("x"), st.integers(0, 5).map(float), st.integers(0, 5).map(float)),
    max_size=12,
)


def test_by_hand():
    """`c` costs more than `b` and is no better; `d` is the best at any price."""
    rows = [Offer("d", 0.9, 8), Offer("b", 0.8, 3), Offer("c", 0.8, 4), Offer("a", 0.5, 1)]
    assert [offer.name for offer in pareto_front(rows)] == ["a", "b", "d"]
    assert pareto_front([]) == []


@given(offers)
def test_an_offer_is_on_the_front_exactly_if_none_beats_it(rows):
    def is_beaten(own):
        return any(
            other.accuracy >= own.accuracy and other.cost <= own.cost and other[1:] != own[1:]
            for other in rows
        )

    assert sorted(pareto_front(rows)) == sorted(row for row in rows if not is_beaten(row))
