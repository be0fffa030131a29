"""The choice on validation images, and the accuracy of networks and images outside of it."""

import numpy as np

from poc.shared.analysis.study.costs import Cost
from poc.shared.analysis.study.results import FinalRun, Results, SearchRun
from poc.shared.analysis.study.rows import tabulate
from poc.shared.analysis.study.selection import Choice, Selector, judge_choice
from poc.tests.helpers.studies.tables import answers, make_run


def select(results):
    table = tabulate(results)
    selector = Selector(results, table.candidates)
    return table, selector, selector.choose()


def test_test_answers_decide_nothing():
    runs = [make_run("a", [0, 0, 0], [1, 1, 0]), make_run("b", [1, 1, 1], [1, 0, 0])]
    _, _, choice = select(Results(runs=runs, costs={}))
    assert (choice.candidate, choice.validation_accuracy) == ("a", 2 / 3)


def test_of_equals_the_smaller_wins_then_the_faster_framework():
    runs = [
        make_run(name, [1, 0], [1, 0], framework)
        for name in ("a", "b")
        for framework in ("tf", "torch")
    ]
    costs = {
        ("a", "tf"): Cost(weight_bytes=9),
        ("b", "tf"): Cost(weight_bytes=5, latency_seconds=2),
        ("b", "torch"): Cost(weight_bytes=5, latency_seconds=1),
    }
    _, _, choice = select(Results(runs=runs, costs=costs))
    assert (choice.candidate, choice.framework) == ("b", "torch")


def test_candidates_are_chosen_on_the_same_splits():
    """`b` lacks the hard fold, which must not make it look better."""
    runs = [
        make_fold("a", 0, [1, 1], {"x": 1, "y": 1}),
        make_fold("a", 1, [1, 1], {"z": 0}),
        make_fold("b", 0, [1, 1], {"x": 1, "y": 0}),
    ]
    _, _, choice = select(Results(runs=runs, is_folds=True, costs={}))
    assert (choice.candidate, choice.validation_accuracy) == ("a", 1.0)


def make_fold(candidate, fold, test, validation):
    """A run on a fold: test images `FOLD 0000`, …; validation id -> hit."""
    kept = answers("", list(validation.values()))._replace(ids=list(validation))
    return FinalRun(
        candidate=candidate,
        framework="tf",
        fold=fold,
        test=answers(str(fold), test),
        validation=kept,
    )


def test_a_fold_is_judged_by_a_choice_without_its_images():
    """`a` is chosen for the sake of the image `0 0000`, which tests in fold 0."""
    runs = [
        make_fold("a", 0, [1, 1], {"1 0000": 1, "1 0001": 0}),
        make_fold("a", 1, [0, 0], {"0 0000": 1, "0 0001": 1}),
        make_fold("b", 0, [0, 1], {"1 0000": 1, "1 0001": 1}),
        make_fold("b", 1, [1, 1], {"0 0000": 0, "0 0001": 0}),
    ]
    results = Results(runs=runs, is_folds=True, costs={})
    table, selector, choice = select(results)
    assert choice.candidate == "a"
    # Without the images and the network of a fold no answer is left, so that the names decide: `a`.
    assert selector.choose(["0 0000", "0 0001"], (0, 0, 0)).validation_accuracy == 0
    assert judge_choice(results, table, selector, choice).tolist() == [[1, 1, 0, 0]]
    # With a third fold, which prefers `b`, each of the others is judged by `b`.
    third = [
        make_fold("a", 2, [1, 1], {"3 0000": 0}),
        make_fold("b", 2, [1, 1], {"3 0000": 1}),
    ]
    results = Results(runs=[*runs, *third], is_folds=True, costs={})
    table = tabulate(results)
    selector = Selector(results, table.candidates)
    assert selector.choose(["0 0000", "0 0001"], (0, 0, 0)).candidate == "b"
    judged = judge_choice(results, table, selector, Choice("a", "tf", 0.0))
    assert judged[0, :2].tolist() == [0, 1]


def test_a_seed_is_judged_by_the_choice_of_the_other_seeds():
    """The network of seed 0 is lucky on both parts: without it, `b` is chosen."""
    runs = [
        make_run("a", [1, 1], [1, 1, 1, 1], seed=0),
        make_run("a", [0, 0], [0, 0, 0, 1], seed=1),
        make_run("b", [1, 0], [1, 1, 0, 0], seed=0),
        make_run("b", [0, 1], [1, 1, 0, 0], seed=1),
    ]
    results = Results(runs=runs, costs={})
    table, selector, choice = select(results)
    assert choice.candidate == "a"
    # Seed 0 is judged by `b`, since seed 1 prefers it; seed 1 by `a`.
    assert judge_choice(results, table, selector, choice).tolist() == [[1, 0], [0, 0]]


def test_the_estimate_is_not_flattered_by_the_choice():
    """Eight equal candidates on 40 images: the chosen one's own answers are, on average, too good.

    All validation images are test images of other folds, and half of an answer is the image's.
    """
    naive, fair = [], []
    for repeat in range(150):
        random = np.random.default_rng(repeat)
        runs = []
        for candidate in "abcdefgh":
            ease = random.random(40) < 0.5
            for fold in range(4):
                hits = np.where(random.random(40) < 0.7, ease, random.random(40) < 0.5)
                own = np.arange(40) % 4 == fold
                runs.append(
                    FinalRun(
                        candidate=candidate,
                        framework="tf",
                        fold=fold,
                        test=pick(hits, own),
                        validation=pick(hits, ~own),
                    )
                )
        results = Results(runs=runs, is_folds=True, costs={})
        table, selector, choice = select(results)
        naive.append(table.rows[choice.candidate, "tf"].accuracy)
        fair.append(judge_choice(results, table, selector, choice).mean())
    assert np.mean(naive) > 0.55
    assert abs(np.mean(fair) - 0.5) < 3 * np.std(fair) / np.sqrt(len(fair))


def pick(hits, chosen):
    """Answers on the chosen of 40 images."""
    places = np.flatnonzero(chosen)
    return answers("", hits[places])._replace(ids=[f"image {place}" for place in places])


def test_the_search_chooses_on_a_holdout():
    """The final networks of `b` are lucky on validation images; the search does not see them."""
    runs = [make_run("a", [0, 1], [0, 0], seed=3), make_run("b", [1, 1], [1, 1], seed=3)]
    search = [
        SearchRun(
            candidate=name,
            framework="torch",
            seed=seed,
            validation=answers("val", [name == "a", 0]),
        )
        for name in "ab"
        for seed in (0, 1, 2)
    ]
    results = Results(runs=runs, search=search, costs={})
    table, selector, choice = select(results)
    assert (choice.candidate, choice.validation_accuracy) == ("a", 0.5)
    assert judge_choice(results, table, selector, choice).tolist() == [[0, 1]]
