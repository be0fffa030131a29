"""Losses, probabilities and words of answers, by hand."""

import math

import numpy as np
import pytest

from poc.shared.analysis.gallery.answers import Answers, losses_of
from poc.shared.analysis.runs.predictions import Predictions


def predictions(logits, labels, ids=("a", "b")):
    return Predictions(
        logits=np.array(logits, dtype=np.float32),
        labels=np.array(labels, dtype=np.int64),
        ids=np.array(ids, dtype=np.str_),
    )


def logit(share):
    return math.log(share / (1 - share))


# Two classes with a difference d of the logits: the first one's probability is 1 / (1 + exp(-d)).
FIRST = predictions([[logit(0.8), 0], [logit(0.4), 0]], [0, 0])
SECOND = predictions([[logit(0.6), 0], [logit(0.1), 0]], [0, 0])


def test_two_runs_are_averaged():
    answers = Answers.of([FIRST, SECOND], ["cat", "dog"])
    np.testing.assert_allclose(answers.shares, [[0.7, 0.3], [0.25, 0.75]], atol=1e-6)
    wanted = [-(math.log(0.8) + math.log(0.6)) / 2, -(math.log(0.4) + math.log(0.1)) / 2]
    np.testing.assert_allclose(answers.losses, wanted, rtol=1e-6)
    assert answers.is_wrong.tolist() == [False, True]
    np.testing.assert_allclose(answers.confidences, [0.7, 0.75], atol=1e-6)
    assert (answers.truth(1), answers.answer(1), answers.worst(1)) == ("cat", "dog", "")


def test_runs_on_other_images_do_not_count():
    other = predictions([[9, 0], [9, 0]], [0, 0], ["a", "c"])
    answers = Answers.of([FIRST, other], ["cat", "dog"])
    assert answers.num_runs == 1
    np.testing.assert_allclose(answers.shares[:, 0], [0.8, 0.4], atol=1e-6)


def test_any_number_of_labels():
    """The second image has no label; its answer is wrong most about `fish`, at .9."""
    logits = [[logit(0.9), logit(0.4), logit(0.2)], [logit(0.3), logit(0.45), logit(0.9)]]
    answers = Answers.of([predictions(logits, [[1, 1, 0], [0, 0, 0]])], ["cat", "dog", "fish"])
    assert [answers.truth(0), answers.truth(1)] == ["cat|dog", "no label"]
    assert [answers.answer(0), answers.answer(1)] == ["cat", "fish"]
    assert [answers.worst(0), answers.worst(1)] == ["dog", "fish"]
    # The answer about `dog` is "no", with 1 - .4.
    np.testing.assert_allclose(answers.confidences, [0.6, 0.9], atol=1e-6)
    wanted = [
        -(math.log(0.9) + math.log(0.4) + math.log(0.8)) / 3,
        -(math.log(0.7) + math.log(0.55) + math.log(0.1)) / 3,
    ]
    np.testing.assert_allclose(answers.losses, wanted, rtol=1e-6)


def test_a_hopeless_answer_has_a_finite_loss():
    assert losses_of(predictions([[1000, 0], [0, 1000]], [1, 1])) == pytest.approx([1000, 0])
