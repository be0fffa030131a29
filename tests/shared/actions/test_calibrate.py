"""`poc calibrate` fits on validation images alone, stores it, and refuses what it cannot fit."""

import math

import numpy as np
import pytest

from poc.shared.actions.calibrate import Costs, Wish, calibrate_folder, read_costs
from poc.shared.analysis.tables.decisions import decision_table, describe_decision
from poc.shared.engine.console.output import plain
from poc.shared.engine.folder.decision import DECISION, read_decision
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS, RunFolder
from poc.shared.errors import UsageError
from poc.tests.faults.test_resume import RUN, train
from poc.tests.shared.analysis.report.test_page import make_run

NAMES = ["healthy", "ill"]


def draw_answers(num_images, share, seed, sharpness=12.0, num_classes=2):
    """Logits and labels of a network that is `sharpness` / 4 times too sure."""
    random = np.random.default_rng(seed)
    labels = (random.random(num_images) < share).astype(np.int64)
    if num_classes > 2:
        labels = random.integers(0, num_classes, num_images)
    logits = random.normal(size=(num_images, num_classes)) / 2
    logits[np.arange(num_images), labels] += 1
    return sharpness * logits.astype(np.float32), labels


def make_trained(path, *, validation=400, share=0.3, names=NAMES, ids="val"):
    """A finished run with answers for both parts; without validation answers for 0 images."""
    make_run(path, class_names=names, val_images=validation)
    folder = RunFolder(path)
    logits, labels = draw_answers(600, share, 1, num_classes=len(names))
    folder.write_predictions(logits, labels, [f"test {index}" for index in range(600)])
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    folder.write_summary(folder.read_summary() | {"test_accuracy": accuracy})
    record = folder.read_run()
    record["data"]["counts"]["test"] = 600
    folder.write_run(record)
    folder.best.write_bytes(b"weights")
    if validation:
        logits, labels = draw_answers(validation, share, 2, num_classes=len(names))
        own = [f"{ids} {index}" for index in range(validation)]
        folder.write_predictions(logits, labels, own, VALIDATION_PREDICTIONS)
    return path


def calibrate(path, **wish):
    return calibrate_folder(path, Wish(**wish), command="poc calibrate")


def read(path, name):
    with np.load(path / name) as file:
        return file["logits"].astype(np.float64), file["labels"]


def test_a_temperature_alone_changes_no_answer(tmp_path):
    run = make_trained(tmp_path / "run")
    decision = calibrate(run)
    assert decision.threshold is None
    assert decision.is_temperature_fitted
    assert 2 < decision.temperature < 4
    assert read_decision(run, NAMES) == decision
    for part in ("validation", "test"):
        before, after = (decision.figures[part][when] for when in ("before", "after"))
        assert after["loss"] < before["loss"]
        assert after["expected_calibration_error"] < before["expected_calibration_error"]
        for name in ("accuracy", "sensitivity", "specificity", "ppv", "npv"):
            assert after[name] == before[name]
    assert decision.fitted_on.images == 400
    assert sum(decision.fitted_on.images_per_class.values()) == 400


def test_no_test_image_decides_anything(tmp_path):
    """With other test answers the decision is the same."""
    first = calibrate(make_trained(tmp_path / "one"), sensitivity=0.9)
    run = make_trained(tmp_path / "two")
    logits, labels = draw_answers(600, 0.5, 9, sharpness=0.1)
    RunFolder(run).write_predictions(logits, labels, [f"test {index}" for index in range(600)])
    second = calibrate(run, sensitivity=0.9)
    assert (first.temperature, first.threshold) == (second.temperature, second.threshold)
    assert first.figures["validation"] == second.figures["validation"]
    assert first.figures["test"] != second.figures["test"]


def test_a_sensitivity_is_reached_on_validation(tmp_path):
    run = make_trained(tmp_path / "run")
    decision = calibrate(run, sensitivity=0.95)
    logits, labels = read(run, VALIDATION_PREDICTIONS)
    answers = decision.answer(logits)
    reached = (answers[labels == 1] == 1).mean()
    assert reached >= 0.95
    assert decision.figures["validation"]["after"]["sensitivity"] == reached
    # By hand: the probability of the scaled logits is at least the threshold's.
    margins = (logits[:, 1] - logits[:, 0]) / decision.temperature
    shares = 1 / (1 + np.exp(-margins))
    assert (answers == 1).tolist() == (shares >= decision.threshold.probability).tolist()
    # One positive image fewer would be too few.
    ranked = np.sort(margins[labels == 1])
    assert (ranked > decision.threshold.log_odds).sum() - 1 < 0.95 * len(ranked)


@pytest.mark.parametrize("costs", [(1, 1), (1, 10), (10, 1)])
def test_costs_are_least_on_validation(costs, tmp_path):
    run = make_trained(tmp_path / "run")
    decision = calibrate(run, costs=Costs(*costs))
    logits, labels = read(run, VALIDATION_PREDICTIONS)

    def cost(answers):
        return (
            costs[0] * (answers & (labels == 0)).sum() + costs[1] * (~answers & (labels == 1)).sum()
        )

    margins = logits[:, 1] - logits[:, 0]
    least = min(cost(margins >= cut) for cut in [*margins, math.inf])
    assert cost(decision.answer(logits) == 1) == least


@pytest.mark.parametrize("names", [NAMES, ["a", "b", "c"]])
def test_unsure_images_are_not_answered(names, tmp_path):
    """By hand: the probabilities of the scaled logits against the stored one."""
    run = make_trained(tmp_path / "run", names=names)
    decision = calibrate(run, answered_accuracy=0.97)
    logits, labels = read(run, VALIDATION_PREDICTIONS)
    powers = np.exp(logits / decision.temperature)
    shares = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)
    is_given = ~decision.rejects(logits)
    assert is_given.tolist() == (shares >= decision.rejection.probability).tolist()
    assert 0 < is_given.mean() < 1
    after = decision.figures["validation"]["after"]
    assert after["answered_share"] == is_given.mean()
    hits = (logits.argmax(axis=1) == labels)[is_given]
    assert after["answered_accuracy"] == hits.mean() >= 0.97
    assert "answered_share" not in decision.figures["test"]["before"]
    assert read_decision(run, names) == decision
    lines = "\n".join(describe_decision(decision))
    assert "0.97 of the answers are right on the validation part" in lines
    titles = list(decision_table(decision).columns[0].cells)
    assert "share of images that are answered" in titles


def test_a_share_of_the_images_is_answered(tmp_path):
    decision = calibrate(make_trained(tmp_path / "run"), answered_share=0.8)
    assert decision.figures["validation"]["after"]["answered_share"] == 0.8
    assert decision.figures["test"]["after"]["answered_share"] == pytest.approx(0.8, abs=0.1)


def test_without_a_rule_every_image_is_answered(tmp_path):
    decision = calibrate(make_trained(tmp_path / "run"))
    assert not decision.rejects(np.zeros((3, 2))).any()


def test_the_positive_class_is_chosen(tmp_path):
    run = make_trained(tmp_path / "run")
    second, first = calibrate(run, positive="ill"), calibrate(run, positive="healthy")
    for mine, other in (("sensitivity", "specificity"), ("ppv", "npv")):
        found = [item.figures["test"]["before"] for item in (second, first)]
        assert found[0][mine] == found[1][other]
    decision = calibrate(run, positive="healthy", sensitivity=0.9)
    assert decision.threshold.positive == "healthy"
    assert decision.figures["validation"]["after"]["sensitivity"] >= 0.9


def test_more_classes_get_a_temperature(tmp_path):
    run = make_trained(tmp_path / "run", names=["a", "b", "c"])
    decision = calibrate(run)
    assert decision.is_temperature_fitted
    assert decision.figures["test"]["after"].keys() == {
        "loss", "accuracy", "expected_calibration_error",
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"^Got a run of 3 classes\. Expected two classes"):
        calibrate(run, sensitivity=0.9)


def test_answers_that_are_all_right_leave_the_temperature(tmp_path):
    run = make_trained(tmp_path / "run")
    labels = np.arange(60) % 2
    ids = [f"val {index}" for index in range(60)]
    RunFolder(run).write_predictions(4 * np.eye(2)[labels], labels, ids, VALIDATION_PREDICTIONS)
    decision = calibrate(run, sensitivity=0.9)
    assert (decision.temperature, decision.is_temperature_fitted) == (1.0, False)
    assert "Temperature: 1, unchanged" in "\n".join(describe_decision(decision))


def without_test(run):
    (run / "predictions.npz").unlink()


def test_a_run_without_a_test_part_is_calibrated(tmp_path):
    run = make_trained(tmp_path / "run")
    without_test(run)
    decision = calibrate(run, sensitivity=0.9)
    assert decision.figures.keys() == {"validation"}
    assert len(decision_table(decision).columns) == 3


def test_tables_and_sentences_name_what_was_done(tmp_path):
    decision = calibrate(make_trained(tmp_path / "run"), costs=Costs(1, 5))
    table = decision_table(decision)
    assert [str(column.header) for column in table.columns] == [
        "", "validation, before", "validation, after", "test, before", "test, after",
    ]  # fmt: skip
    lines = plain("\n".join(describe_decision(decision)))
    assert "no test image decides anything" in lines
    assert "least cost on the validation part, 1 for a false positive and 5" in lines
    assert f"{decision.threshold.probability:.4f}" in lines


def set_split(run, **split):
    record = RunFolder(run).read_run()
    record["run"]["data"]["split"] |= split
    RunFolder(run).write_run(record)


def share_ids(run):
    logits, labels = draw_answers(60, 0.5, 3)
    ids = [f"val {index}" for index in range(59)] + ["test 4"]
    RunFolder(run).write_predictions(logits, labels, ids, VALIDATION_PREDICTIONS)


def count_val(run, count):
    record = RunFolder(run).read_run()
    record["data"]["counts"]["val"] = count
    RunFolder(run).write_run(record)
    (run / VALIDATION_PREDICTIONS).unlink()


def few(run, num_images, share):
    logits, labels = draw_answers(num_images, share, 4)
    labels[:3] = 1
    ids = [f"val {index}" for index in range(num_images)]
    RunFolder(run).write_predictions(logits, labels, ids, VALIDATION_PREDICTIONS)


def not_finite(run):
    ids = [f"val {index}" for index in range(30)]
    logits, labels = draw_answers(30, 0.5, 3)
    logits[3] = np.nan
    RunFolder(run).write_predictions(logits, labels, ids, VALIDATION_PREDICTIONS)


def of_type(run, **types):
    """Store an array of the validation answers in another type."""
    with np.load(run / VALIDATION_PREDICTIONS) as file:
        arrays = dict(file)
    changed = {name: arrays[name].astype(kind) for name, kind in types.items()}
    np.savez(run / VALIDATION_PREDICTIONS, **{**arrays, **changed})


def by_chance(run):
    ids = [f"val {index}" for index in range(60)]
    logits = np.tile([[2.0, 1.0]], (60, 1))
    RunFolder(run).write_predictions(logits, np.arange(60) % 2, ids, VALIDATION_PREDICTIONS)


REFUSALS = {
    "no validation part": (lambda run: count_val(run, 0), {}, "which has no validation part"),
    "a former version": (
        lambda run: count_val(run, 40), {}, "is from a version that kept no answers",
    ),
    "validated on the test": (
        lambda run: set_split(run, kind="published", val_on_test=True), {},
        r"whose validation part is its test part \(split.val_on_test\)",
    ),
    "shared images": (share_ids, {}, r"shares 1 images with the test part \(the first is 'test 4'"),
    "few of one class": (
        lambda run: few(run, 60, 0.0), {},
        "Got validation images of 57 of 'healthy', 3 of 'ill'. Expected at least 10 of each .* Try "
        "a larger split.val_fraction, or more",
    ),
    "few in all": (lambda run: few(run, 6, 0.0), {}, "Expected at least 10 of each class"),
    "few of drawn shares": (
        lambda run: (few(run, 60, 0.0), set_split(run, kind="fractions")), {},
        "Try a larger second share in split.fractions, or more images",
    ),
    "a sensitivity of few": (
        lambda run: few(run, 60, 0.2), {"sensitivity": 0.99},
        "validation images of 'ill' for a sensitivity of 0.99. Expected at least 100.* or a larger "
        "split.val_fraction",
    ),
    "two rules": (
        lambda run: None, {"sensitivity": 0.9, "costs": Costs(1, 2)},
        "^Got --sensitivity and --costs. Expected one rule",
    ),
    "three rules": (
        lambda run: None, {"sensitivity": 0.9, "answered_share": 0.9, "answered_accuracy": 0.9},
        "^Got --sensitivity and --answered-accuracy and --answered-share. Expected one rule",
    ),
    "an accuracy out of reach": (
        by_chance, {"answered_accuracy": 0.9}, "of the 60 validation images reach",
    ),
    "another class": (
        lambda run: None, {"positive": "sick"},
        "^Got --positive 'sick'. Expected a class of the run, 'healthy' or 'ill'",
    ),
    "a share of 95": (lambda run: None, {"sensitivity": 95.0}, "above 0 and below 1"),
    "costs of 0": (lambda run: None, {"costs": Costs(0, 1)}, "two numbers above 0"),
    "not finished": (
        lambda run: RunFolder(run).mark("interrupted"), {}, "status='interrupted'. Expected a fini",
    ),
    "no weights": (lambda run: RunFolder(run).best.unlink(), {}, "without best.safetensors"),
    "not finite": (not_finite, {}, "Got a malformed validation_predictions.npz"),
    "text as logits": (lambda run: of_type(run, logits=str), {}, "Got a malformed validation_pre"),
    "text as labels": (lambda run: of_type(run, labels=str), {}, "Got a malformed validation_pre"),
    "parts of labels": (lambda run: of_type(run, labels=float), {}, "Got a malformed validation_"),
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_cannot_be_fitted_is_refused(refusal, tmp_path):
    change, wish, words = REFUSALS[refusal]
    run = make_trained(tmp_path / "run")
    change(run)
    with pytest.raises(UsageError, match=words):
        calibrate(run, **wish)
    assert not (run / DECISION).exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"which has no run\.json"):
        calibrate(tmp_path)


def test_few_images_of_more_classes_are_refused(tmp_path):
    run = make_trained(tmp_path / "run", names=["a", "b", "c"], validation=19)
    with pytest.raises(UsageError, match=r"^Got 19 validation images\. Expected at least 20"):
        calibrate(run)


def test_costs_are_two_numbers():
    assert read_costs("1,5") == Costs(1.0, 5.0)
    assert read_costs(" 0.5 , 2e3") == Costs(0.5, 2000.0)
    for text in ("1", "1,2,3", "a,b", ",", "1;2"):
        with pytest.raises(UsageError, match=r"Expected two numbers with a comma"):
            read_costs(text)


@pytest.mark.parametrize("split", [{}, {"val_on_test": True, "kind": "published"}])
def test_a_run_keeps_the_answers_of_its_kept_epoch(split, tmp_path):
    """Their loss is that of the metrics line of that epoch; under `val_on_test` there are none."""
    data = {**RUN["data"], "split": {**RUN["data"]["split"], **split}}
    train(tmp_path / "run", {**RUN, "data": data})
    row = RunFolder(tmp_path / "run").read_summary()
    if split:
        assert not (tmp_path / "run" / VALIDATION_PREDICTIONS).exists()
        with pytest.raises(UsageError, match="whose validation part is its test part"):
            calibrate(tmp_path / "run")
        return
    logits, labels = read(tmp_path / "run", VALIDATION_PREDICTIONS)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    assert losses.mean() == pytest.approx(row["best_val_loss"], rel=1e-12)
    assert (logits.argmax(axis=1) == labels).mean() == row["best_val_accuracy"]
    assert row["best_val_loss"] != row["test_loss"]
    calibrate(tmp_path / "run")
    # With the weights of another run, these answers would decide for a network that never gave
    # them.
    best = RunFolder(tmp_path / "run").best
    own = best.read_bytes()
    best.write_bytes(own[:-1] + bytes([own[-1] ^ 1]))
    with pytest.raises(UsageError, match="is not the file that its validation_predictions"):
        calibrate(tmp_path / "run")
    best.write_bytes(own)
    calibrate(tmp_path / "run")
