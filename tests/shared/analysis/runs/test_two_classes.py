"""Rates and areas of a row are means over its runs, each against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from poc.shared.analysis.runs.class_areas import class_areas
from poc.shared.analysis.runs.confidence import confidence_of
from poc.shared.analysis.runs.groups import group_runs
from poc.shared.analysis.runs.reading import read_runs
from poc.shared.analysis.runs.two_classes import find_two_classes
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.calibration import calibration_error
from poc.shared.engine.numerics.metrics import log_softmax, wilson_interval
from poc.shared.errors import UsageError
from poc.tests.shared.actions.test_calibrate import NAMES, calibrate, draw_answers, make_trained
from poc.tests.shared.analysis.report.test_page import make_run


def write_answers(run, logits, labels):
    """Replace the test answers of a run, and what must agree with them."""
    folder = RunFolder(run)
    folder.write_predictions(logits, labels, [f"test {index}" for index in range(len(labels))])
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    folder.write_summary(folder.read_summary() | {"test_accuracy": accuracy})
    record = folder.read_run()
    record["data"]["counts"]["test"] = len(labels)
    folder.write_run(record)


def make_row(root, *, names=NAMES, num_seeds=2):
    """Runs of one row, which differ in their seed, on the same images; and their answers."""
    found = []
    random = np.random.default_rng(0)
    for seed in range(num_seeds):
        make_run(root / str(seed), seed=seed, class_names=names)
        logits, labels = draw_answers(300, 0.3, 5, num_classes=len(names))
        logits = logits + random.normal(size=logits.shape) * 4
        write_answers(root / str(seed), logits, labels)
        found.append((logits, labels))
    return found


def read_row(root):
    groups = group_runs(read_runs([root])[0])
    assert len(groups) == 1
    return groups[0]


def test_rows_of_the_same_classes_have_one_positive_class(tmp_path):
    """Otherwise one row's sensitivity stands above the other's specificity, under one title."""
    calibrate(make_trained(tmp_path / "a"), sensitivity=0.9, positive="healthy")
    make_run(tmp_path / "b", k=5, class_names=NAMES)
    groups = group_runs(read_runs([tmp_path])[0])
    assert [row.positive for row in find_two_classes(groups, None)] == ["healthy", "healthy"]
    assert [row.positive for row in find_two_classes(groups, "ill")] == ["ill", "ill"]
    make_run(tmp_path / "other" / "c", k=7, class_names=["cat", "dog"])
    groups = group_runs(read_runs([tmp_path])[0])
    named = {row.group.data.class_names[0]: row.positive for row in find_two_classes(groups, None)}
    assert named == {"healthy": "healthy", "cat": "dog"}


def test_rates_are_means_with_the_interval_of_one_run(tmp_path):
    answers = make_row(tmp_path)
    row = find_two_classes([read_row(tmp_path)], None)[0]
    assert row.positive == "ill"
    (answering,) = row.answerings
    shares = [(logits.argmax(axis=1)[labels == 1] == 1).mean() for logits, labels in answers]
    assert shares[0] != shares[1]
    count = int((answers[0][1] == 1).sum())
    expected = (np.mean(shares), *wilson_interval(np.mean(shares) * count, count))
    assert answering.counts.rate("sensitivity") == pytest.approx(expected)
    assert row.share == count / 300


def test_areas_are_means_of_those_of_scikit_learn(tmp_path):
    answers = make_row(tmp_path)
    row = find_two_classes([read_row(tmp_path)], None)[0]
    areas = [roc_auc_score(labels, logits[:, 1] - logits[:, 0]) for logits, labels in answers]
    assert row.places.area == pytest.approx(np.mean(areas), abs=1e-12)
    assert row.area_interval.low < min(areas) < max(areas) < row.area_interval.high


def test_each_class_against_the_rest(tmp_path):
    answers = make_row(tmp_path, names=["a", "b", "c"])
    group = read_row(tmp_path)
    assert find_two_classes([group], None) == []
    found = class_areas(group)
    for place in range(3):
        scores = [
            (np.exp(log_softmax(logits))[:, place], labels == place) for logits, labels in answers
        ]
        roc = np.mean([roc_auc_score(truths, own) for own, truths in scores])
        precision = np.mean([average_precision_score(truths, own) for own, truths in scores])
        assert found.roc[place] == pytest.approx(roc, abs=1e-12)
        assert found.precision[place] == pytest.approx(precision, abs=1e-12)
    assert found.least(is_roc=True) == np.argsort(found.roc).tolist()


def test_a_class_without_test_images_has_no_area(tmp_path):
    make_run(tmp_path / "0", class_names=["a", "b", "c"])
    logits, labels = draw_answers(40, 0.5, 5)
    write_answers(tmp_path / "0", np.c_[logits, np.zeros(40)], labels)
    found = class_areas(read_row(tmp_path))
    assert np.isnan(found.roc).tolist() == [False, False, True]
    assert 2 not in found.least(is_roc=False)


def test_one_class_alone_has_rates_and_no_area(tmp_path):
    make_run(tmp_path / "0", class_names=NAMES)
    logits, _ = draw_answers(40, 0.5, 5)
    write_answers(tmp_path / "0", logits, np.zeros(40, dtype=np.int64))
    group = read_row(tmp_path)
    row = find_two_classes([group], None)[0]
    assert (row.places, row.area_interval, class_areas(group)) == (None, None, None)
    assert row.answerings[0].counts.rate("sensitivity").value is None
    assert row.answerings[0].counts.rate("specificity").value is not None


def test_confidences_are_those_of_the_runs(tmp_path):
    answers = make_row(tmp_path)
    found = confidence_of(read_row(tmp_path))
    errors = [calibration_error(*own) for own in answers]
    assert found.errors.mean == pytest.approx(np.mean(errors))
    assert found.bins.counts.sum() == 600
    assert found.scaled is found.scaled_errors is None
    assert [curve.accuracy[-1] for curve in found.curves] == pytest.approx(
        [(logits.argmax(axis=1) == labels).mean() for logits, labels in answers]
    )


def test_a_row_without_answers_has_none(tmp_path):
    make_row(tmp_path, num_seeds=1)
    (tmp_path / "0" / "predictions.npz").unlink()
    group = read_row(tmp_path)
    assert confidence_of(group) is class_areas(group) is None
    assert find_two_classes([group], None) == []


def test_a_decision_adds_a_way_to_answer_and_names_the_positive_class(tmp_path):
    run = make_trained(tmp_path / "run")
    decision = calibrate(run, sensitivity=0.9, positive="healthy")
    row = find_two_classes([read_row(tmp_path)], None)[0]
    assert row.positive == "healthy"
    names = [answering.name for answering in row.answerings]
    assert names[0] == "the more probable class"
    assert names[1] == f"p ≥ {decision.threshold.probability:.3f}, chosen on validation"
    found = row.answerings[1].counts.rate("sensitivity").value
    assert found == decision.figures["test"]["after"]["sensitivity"]
    item = confidence_of(row.group)
    expected = decision.figures["test"]["after"]["expected_calibration_error"]
    assert item.scaled_errors.mean == expected != item.errors.mean
    # Another positive class: the threshold still answers as it was chosen.
    other = find_two_classes([row.group], "ill")[0]
    assert other.answerings[1].counts.rate("specificity").value == found


def test_a_stale_decision_is_left_out_with_its_reason(tmp_path):
    run = make_trained(tmp_path / "run")
    calibrate(run, sensitivity=0.9)
    RunFolder(run).best.write_bytes(b"other weights")
    group = read_row(tmp_path)
    assert len(find_two_classes([group], None)[0].answerings) == 1
    assert "made for other weights" in group.runs[0].decision_fault


def test_an_unknown_positive_class_is_refused(tmp_path):
    make_row(tmp_path)
    group = read_row(tmp_path)
    with pytest.raises(UsageError, match=r"Got --positive 'sick'\. Expected a class of two, 'he"):
        find_two_classes([group], "sick")
    make_run(tmp_path / "many" / "0")
    groups = group_runs(read_runs([tmp_path / "many"])[0])
    with pytest.raises(UsageError, match=r"Expected runs of two classes\. Try leaving it out"):
        find_two_classes(groups, "ill")
