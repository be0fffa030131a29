"""Sentences about what the budget left out."""

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.finals import MAX_FINALISTS
from poc.shared.actions.study.jobs import Job
from poc.shared.actions.study.outcome.notes import (
    advise_weights,
    count_late,
    count_tested,
    name_shortened,
    name_single,
)
from poc.shared.spec.splits import SplitSpec

KNN, LOGISTIC = list_candidates(["good.pt"], ["knn", "logistic"])
NET, OTHER = list_candidates([], ["scratch"])


def cells_of(candidate, *backends, share=1.0):
    facts = {
        "share": share,
        "phase": "finals",
        "split": SplitSpec(),
        "seed": 3,
        "place": "repeat=0,fold=0",
    }
    return [Job(candidate=candidate, backend=backend, **facts) for backend in backends]


def test_a_longer_budget_tests_more_up_to_the_largest_number_of_finalists():
    assert count_tested(9, 1).endswith("1 was tested: a longer budget tests more.")
    text = count_tested(19, MAX_FINALISTS)
    assert text.endswith("were tested, the best ones on validation images.")


def test_candidates_of_one_framework_are_named():
    both, one = cells_of(KNN, "torch", "tf"), cells_of(LOGISTIC, "torch")
    assert name_single([*both, *one]) == [f"Tested in PyTorch alone: {LOGISTIC.name}."]
    other = cells_of(KNN, "tf")
    assert len(name_single([*other, *one])) == 2
    assert name_single(both) == name_single(one) == name_single([]) == []


def test_unlike_epochs_are_named():
    heads, full = cells_of(KNN, "torch"), cells_of(NET, "torch", "tf")
    assert name_shortened([]) == name_shortened(heads) == name_shortened([*heads, *full]) == []
    half = cells_of(NET, "torch", share=0.5)
    (text,) = name_shortened([*heads, *half])
    assert text == "Networks had 50 % of the recipe's epochs."
    (text,) = name_shortened([*half, *cells_of(OTHER, "torch", share=0.125)])
    assert text.endswith(f"for it: {NET.name} 50 %, {OTHER.name} 12.5 %.")
    (text,) = name_shortened([*cells_of(NET, "tf"), *half])
    assert text.endswith(f"for it: {NET.name} 100 %, {NET.name} 50 %.")


def test_a_crash_is_not_blamed_on_the_budget():
    crash = {"knn": "the torch worker raised RuntimeError: the kernel has no such time"}
    assert count_late(crash) == []
    late = {"a": "no time was left for it (a cell takes about 9 s)", "b": "stopped after 40 s"}
    assert count_late(crash | late) == ["The budget was too short to try 2 of the candidates."]


def test_a_study_without_pretrained_weights_hears_of_them():
    (text,) = advise_weights([])
    assert "--weights FILE" in text
    assert advise_weights(["net.safetensors"]) == []
