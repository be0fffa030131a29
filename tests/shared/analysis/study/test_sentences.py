"""The first screen: sentences that follow from the decision, word by word."""

from poc.shared.analysis.study.decision import (
    Claim,
    Decision,
    Equivalent,
    FrameworkVerdict,
    LearningCurve,
    LimitsVerdict,
    MeasuredCost,
    OpenQuestion,
    Recommended,
)
from poc.shared.analysis.study.sentences import write_sentences

BARE = Decision(
    recommended=Recommended(
        candidate="transfer", framework="tf", validation_accuracy=0.9, runs=("runs/1",)
    ),
    expected_accuracy=0.873,
    interval=(0.84, 0.901),
    num_test_images=1200,
    num_test_groups=None,
    is_folds=False,
    equivalent=(),
    better_than=(),
    frameworks=(),
    cost=MeasuredCost(),
    candidates=(),
    pareto={},
    learning_curve=None,
    open_questions=(),
)
LIGHT = Equivalent(
    candidate="light",
    framework="tf",
    difference=0.006,
    interval=(-0.01, 0.022),
    is_within_margin=True,
    size_ratio=0.2,
    latency_ratio=0.5,
    training_ratio=None,
)
CURVE = LearningCurve(
    points=((50, 0.7, 0.6, 0.8), (100, 0.8, 0.7, 0.9)),
    gain=0.1,
    interval=(0.04, 0.16),
    helps=True,
)


def write(**changes):
    return write_sentences(BARE.model_copy(update=changes), 0.05)


def test_what_to_use_and_what_to_expect():
    assert write() == [
        "Use transfer in TensorFlow. It was chosen on validation images.",
        "Expect 87.3 % of new images to be right (95 % interval 84.0 to 90.1 %), measured on 1,200 "
        "test images.",
    ]
    assert write(num_test_groups=40)[1].endswith("1,200 test images of 40 groups.")


def test_no_network_is_better_than_the_largest_class():
    guess = Recommended(
        candidate="always the largest class", framework="none", validation_accuracy=0.4, runs=()
    )
    assert write(recommended=guess)[0] == (
        "Use no network: always the largest class did as well on validation images."
    )
    assert write(recommended=guess, candidates=("the row of the guess alone",))[0] == (
        "No network was tested in time. All that is known is always the largest class."
    )


def test_an_equal_candidate_that_costs_less():
    assert write(equivalent=(LIGHT,))[2] == (
        "light is as good within noise and 5.0 times smaller and 2.0 times faster: 0.6 points "
        "lower (-1.0 to 2.2); any difference is below 5 points."
    )
    unsure = LIGHT.model_copy(update={"is_within_margin": False, "latency_ratio": 1.3})
    assert write(equivalent=(unsure,))[2] == (
        "light is as good within noise and 5.0 times smaller: 0.6 points lower (-1.0 to 2.2); the "
        "images are too few to show that they are equal."
    )


def test_better_and_worse():
    claim = Claim(
        better="transfer", worse="scratch", difference=0.1, interval=(0.05, 0.15), p_value=0.001
    )
    assert write(better_than=(claim,))[2] == "It is better than scratch."
    other = claim.model_copy(update={"better": "light", "worse": "transfer"})
    assert write(better_than=(other,))[2].startswith("light did better on the test images")
    assert write(better_than=(other.model_copy(update={"worse": "scratch"}),))[2:] == []


def test_frameworks():
    equal = FrameworkVerdict(
        candidate="transfer", difference=0.004, interval=(-0.01, 0.02), p_value=0.4, better=None
    )
    assert write(frameworks=(equal,))[2] == (
        "The frameworks are not shown to differ: the difference is 0.4 points (transfer)."
    )
    torch = FrameworkVerdict(
        candidate="light", difference=-0.03, interval=(-0.05, -0.01), p_value=0.001, better="torch"
    )
    assert write(frameworks=(equal, torch))[2:] == [
        "The frameworks differ for light: PyTorch is more accurate by 3.0 points (1.0 to 5.0).",
        "The frameworks are not shown to differ for the other candidates: the difference is 0.4 "
        "points (transfer).",
    ]


def test_open_questions():
    question = OpenQuestion(
        first="transfer",
        second="light",
        difference=-0.01,
        interval=(-0.03, 0.01),
        more_images=400,
        more_seeds=5,
        both=None,
    )
    assert write(open_questions=(question, question))[2:] == [
        "light is 1.0 points ahead of transfer on the test images (-1.0 to 3.0), within noise. If "
        "that is the true difference, about 400 more test images or 5 more seeds per row would "
        "show it.",
        "Candidates that are not told apart from it: 2 in all.",
    ]
    ahead = question.model_copy(update={"difference": 0.012, "interval": (-0.004, 0.028)})
    assert write(open_questions=(ahead,))[2].startswith(
        "transfer is 1.2 points ahead of light on the test images (-0.4 to 2.8), within noise."
    )
    equal = question.model_copy(update={"difference": 0.0, "interval": (-0.02, 0.02)})
    assert write(open_questions=(equal,))[2].startswith(
        "transfer and light are equal on the test images (-2.0 to 2.0), within noise."
    )


KEPT = LimitsVerdict(
    max_bytes=1e6,
    max_latency_seconds=0.02,
    is_met=True,
    over=(("large", "tf"), ("large", "torch")),
    not_trained=("huge",),
)
COST = MeasuredCost(weight_bytes=9e5, file_bytes=9.5e5, latency_seconds=0.0123)


def test_limits_that_are_kept():
    assert write(limits=KEPT, cost=COST)[2:] == [
        "It keeps the limits (at most 1.00 MB and at most 20.0 ms for one image): 950.0 kB, "
        "12.3 ms for one image; 2 tested rows do not.",
        "Too large, so not trained: huge.",
    ]


def test_no_network_keeps_the_limits():
    """The answer names the nearest one, and does not tell to use it."""
    broken = KEPT.model_copy(update={"is_met": False, "not_trained": (), "max_bytes": None})
    assert write(limits=broken, cost=MeasuredCost(weight_bytes=9e5))[0] == (
        "No tested network is shown to keep the limits (at most 20.0 ms for one image). The "
        "nearest is transfer in TensorFlow: 900.0 kB, its latency was not measured."
    )
    assert not any(text.startswith("Use") for text in write(limits=broken, cost=COST))


def test_more_images():
    assert write(learning_curve=CURVE)[2] == (
        "More images help: from 50 to 100 training images the accuracy changed by +10.0 points "
        "(4.0 to 16.0)."
    )
    flat = CURVE.model_copy(update={"helps": False, "gain": -0.01, "interval": (-0.05, 0.03)})
    assert write(learning_curve=flat)[2].startswith("More images are not shown to help")
