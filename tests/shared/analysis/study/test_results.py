"""Tables of results: contradictions are refused."""

import pytest

from poc.shared.analysis.study.results import Answers, Results, SearchRun
from poc.shared.errors import UsageError
from poc.tests.helpers.studies.tables import answers, make_run


def test_a_study_without_runs():
    with pytest.raises(UsageError, match="without a finished run"):
        Results(runs=[], costs={})


def test_a_second_test_of_one_network():
    run = make_run("net", [1, 0], [1, 0])
    with pytest.raises(UsageError, match="two runs of net in torch with seed 0, fold 0"):
        Results(runs=[run, run], costs={})


def test_validation_on_test_images():
    run = make_run("net", [1, 0], [1, 0])
    run = run.__class__(**{**vars(run), "validation": answers("test", [1])})
    with pytest.raises(UsageError, match="validates on 1 test image, such as 'test 0000'"):
        Results(runs=[run], costs={})


def test_answers_are_there():
    run = make_run("net", [1, 0], [])
    with pytest.raises(UsageError, match="without test or validation answers"):
        Results(runs=[run], costs={})
    assert len(Answers([], answers("test", []).hits).ids) == 0


def search(candidate="net", seed=1, hits=(1, 0), prefix="val", framework="torch"):
    return SearchRun(
        candidate=candidate, framework=framework, seed=seed, validation=answers(prefix, list(hits))
    )


def test_a_search_of_the_same_candidates_with_other_seeds():
    runs = [make_run("net", [1, 0], [1, 0])]
    Results(runs=runs, search=[search()], costs={})
    with pytest.raises(UsageError, match="the seed 0 in the search and in a final run"):
        Results(runs=runs, search=[search(seed=0)], costs={})
    with pytest.raises(UsageError, match="a search that validates on 2 test images"):
        Results(runs=runs, search=[search(prefix="test")], costs={})
    for own in ([search("other")], [search(), search("other")], [search(framework="tf")]):
        with pytest.raises(UsageError, match="either in the search or in the final runs"):
            Results(runs=runs, search=own, costs={})
