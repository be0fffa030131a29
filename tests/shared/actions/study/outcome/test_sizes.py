"""Candidates that are too large are left out before any training."""

import pytest

from poc.shared.actions.study.outcome import sizes as module
from poc.shared.actions.study.outcome.sizes import find_large, leave_out_large
from poc.shared.analysis.study.limits import NO_LIMITS, Limits
from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run
from poc.tests.helpers.studies.jobs import make_finals

NAMES = ("lightlayers k=3", "small net of conv2d")
BYTES = dict(zip(NAMES, (20_000, 300_000), strict=True))
JOBS = [make_finals(name)[0] for name in NAMES]


@pytest.fixture
def weighed(monkeypatch):
    monkeypatch.setattr(module, "count_weight_bytes", BYTES.__getitem__)


def name_of(job):
    return job.candidate.name


def test_what_is_over_the_limit(weighed):
    assert find_large(JOBS, name_of, 1e5) == {NAMES[1]: 300_000}
    assert find_large(JOBS, name_of, 3e5) == {}


def test_if_all_are_over_the_study_is_refused_with_the_smallest(weighed):
    with pytest.raises(UsageError, match=r"--max-size 1.0 kB.*lightlayers k=3.* 20.0 kB.*Try"):
        find_large(JOBS, name_of, 1e3)


class Search:
    def __init__(self, *nets):
        self.candidates = [job.candidate for job in JOBS]
        self.too_large, self.nets = (), nets

    @property
    def each(self):
        return [self]

    def list_first(self):
        return JOBS

    def list_nets(self):
        return self.nets


def test_the_search_goes_on_without_them_and_one_sentence_says_so(weighed):
    search, told = Search(), []
    assert leave_out_large(search, name_of, Limits(max_bytes=1e5), told.append) == [NAMES[1]]
    assert [item.name for item in search.candidates] == [NAMES[0]]
    assert told == [
        "Left out, since the weights are over 100.0 kB: small net of conv2d (300.0 kB)."
    ]
    search, told = Search(*JOBS), []
    assert leave_out_large(search, None, NO_LIMITS, told.append) == []
    assert (len(search.candidates), told) == (2, [])


def test_students_with_too_large_networks_are_left_out_too(weighed):
    search, told = Search(*JOBS), []
    found = leave_out_large(search, name_of, Limits(max_bytes=1e5), told.append)
    assert found == [NAMES[1], f"{NAMES[1]} with a teacher"]
    assert search.too_large == (NAMES[1],)
    assert told[0].endswith("(300.0 kB), small net of conv2d with a teacher (300.0 kB).")


def test_the_weights_of_a_declared_network_are_counted():
    """Four convolutions of 18 + 36 + 54 + 81 weights, 10 biases, 4 x 10 of norms, a head of 40."""
    settings = ["method=scratch", "model.name=lightnet_plain", "model.widths=[2,3]"]
    run = load_run(None, [*settings, "layer=conv2d", "data.source=embedded"], backend="torch")
    assert module.count_weight_bytes(run) == 4 * 279
