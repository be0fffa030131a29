"""Model cards: the figures are those of the answers, and a card says what it cannot know."""

import csv
import html
import json
import re

import numpy as np
import pytest

from poc.shared.actions.cards.card import save_card, write_card
from poc.shared.actions.cards.rules import describe_view
from poc.shared.actions.cards.subject import shorten_source
from poc.shared.engine.folder.decision import write_decision
from poc.shared.engine.folder.lock import hold_lock
from poc.shared.engine.numerics.metrics import wilson_interval
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec
from poc.tests.faults.test_resume import train
from poc.tests.shared.actions.new_images.test_label_files import RUN, photos, run, trained
from poc.tests.shared.engine.folder.test_decision import make_decision

__all__ = ["photos", "run", "trained"]


def change(folder, **values):
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**content, **values}))


def section(card, title):
    """The lines below a heading of the second level."""
    return re.split(r"^## ", card.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def facts_of(text):
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", text, flags=re.MULTILINE)
    return dict(rows)


def stored(run):
    with np.load(run / "predictions.npz") as file:
        return file["logits"], file["labels"]


def test_its_figures_are_those_of_the_stored_answers(run):
    logits, labels = stored(run)
    answers = logits.argmax(axis=1)
    hits, total = int((answers == labels).sum()), len(labels)
    low, high = wilson_interval(hits, total)
    card = write_card(run)
    figures = section(card, "Figures on the test part")
    written = f"{hits / total:.3f} ({low:.3f} to {high:.3f}), {hits} of {total}"
    assert facts_of(figures)["accuracy"] == written
    for place, name in enumerate(("cat", "dog")):
        of_class = labels == place
        right = int((answers[of_class] == place).sum())
        low, high = wilson_interval(right, int(of_class.sum()))
        line = (
            f"| {name} | {of_class.sum()} | {right / of_class.sum():.3f} ({low:.3f} to {high:.3f})"
        )
        assert line in figures
    # The second class is the positive one, so that its recall is the sensitivity.
    assert "### Sensitivity and specificity for “dog”" in figures
    share = max(np.mean(labels == 0), np.mean(labels == 1))
    assert facts_of(figures)["majority baseline"].startswith(f"{share:.4f} (always “")
    assert "Probabilities are as trained" in card


def test_it_names_network_data_recipe_limits_and_machine(run, photos):
    card = write_card(run)
    assert card.startswith("# Model card: lightnet_plain, trained by scratch\n")
    assert "A network that gives an image one of 2 classes." in card
    network, data = (facts_of(section(card, title)) for title in ("Network", "Data"))
    assert (network["input"], network["started from"]) == ("16 x 16 pixels, RGB", "random")
    counts = json.loads((run / "run.json").read_text())["data"]["counts"]
    assert [int(data[f"{part} images"]) for part in counts] == list(counts.values())
    assert (data["source"], data["groups"]) == ("folder:photos", "none named")
    recipe = section(card, "Recipe")
    assert "| data.batch_size | 7 | set |" in recipe
    limits = section(card, "Limits")
    assert f"The test part has {counts['test']} images: chance alone" in limits
    assert "No groups, such as the images of one patient" in limits
    assert "started from random numbers" in section(card, "Licence")
    # A card may leave the machine: no path of it is in the text.
    assert str(photos.parent) not in card
    assert str(run.parent) not in card


def test_equal_folders_give_equal_cards(run, tmp_path):
    save_card(run, tmp_path / "card.md")
    first = (tmp_path / "card.md").read_bytes()
    # The same text again is no other file.
    save_card(run, tmp_path / "card.md")
    assert (tmp_path / "card.md").read_bytes() == first
    (tmp_path / "mine.md").write_text("mine")
    with pytest.raises(UsageError, match=r"mine.md', which exists"):
        save_card(run, tmp_path / "mine.md")
    with pytest.raises(UsageError, match="cannot be written"):
        save_card(run, tmp_path / "no" / "card.md")


def test_a_decision_is_described_with_its_figures(run):
    logits, labels = stored(run)
    threshold = {
        "positive": "dog", "rule": "sensitivity", "sensitivity": 0.95,
        "log_odds": float(np.log(0.25)), "probability": 0.2,
    }  # fmt: skip
    decision = make_decision(run, names=["cat", "dog"], threshold=threshold)
    rates = {"sensitivity_low": 0.5, "sensitivity_high": 1.0}
    write_decision(run, decision.model_copy(update={"figures": {"validation": {"after": rates}}}))
    card = write_card(run)
    figures = facts_of(section(card, "Figures on the test part"))
    share = (decision.answer(logits) == labels).mean()
    assert figures["accuracy with the threshold"].startswith(f"{share:.3f} (")
    assert "Threshold: the answer is 'dog' if its probability is at least 0.2000" in card
    assert "Probabilities are as trained" not in card


def class_rows(card):
    """Name -> (images, recall, precision) of the table of classes, as shares of counts."""
    rows = re.findall(r"^\| (cat|dog) \| (\d+) \| (.*?) \| (.*?) \| .*? \|$", card, re.MULTILINE)
    return {name: (images, recall, precision) for name, images, recall, precision in rows}


def test_the_classes_are_those_of_the_answers_with_the_threshold(run):
    logits, labels = stored(run)
    # So low that every image is answered as the dog.
    threshold = {"positive": "dog", "rule": "costs", "log_odds": -1e6, "probability": 0.0}
    threshold |= {"false_positive_cost": 1.0, "false_negative_cost": 50.0}
    decision = make_decision(run, names=["cat", "dog"], threshold=threshold)
    rates = {"sensitivity_low": 0.5, "sensitivity_high": 1.0}
    write_decision(run, decision.model_copy(update={"figures": {"validation": {"after": rates}}}))
    assert len(set(logits.argmax(axis=1))) == 2
    card = write_card(run)
    rows = class_rows(card)
    cats, dogs = int((labels == 0).sum()), int((labels == 1).sum())
    assert (rows["cat"][1].endswith(f", 0 of {cats}"), rows["cat"][2]) == (True, "-")
    assert rows["dog"][1].endswith(f", {dogs} of {dogs}")
    assert rows["dog"][2].endswith(f", {dogs} of {len(labels)}")
    figures = section(card, "Figures on the test part")
    hits = int((logits.argmax(axis=1) == labels).sum())
    assert facts_of(figures)["accuracy, as trained"].endswith(f", {hits} of {len(labels)}")
    assert "accuracy" not in facts_of(figures)
    assert "The network gives every test image the same answer." in section(card, "Limits")


def test_images_that_get_no_answer_are_counted_as_such(run):
    logits, labels = stored(run)
    margins = np.abs(logits[:, 1] - logits[:, 0]) / 2
    cut = float(np.median(margins))
    rejection = {"rule": "answered", "share": 0.5, "log_odds": cut, "probability": 0.6}
    decision = make_decision(run, names=["cat", "dog"], threshold=None, rejection=rejection)
    write_decision(run, decision)
    is_given, right = margins >= cut, logits.argmax(axis=1) == labels
    card = write_card(run)
    for place, name in enumerate(("cat", "dog")):
        hits = int((right & is_given & (labels == place)).sum())
        num_given = int((is_given & (logits.argmax(axis=1) == place)).sum())
        images, recall, precision = class_rows(card)[name]
        assert recall.endswith(f", {hits} of {images}")
        assert precision == "-" or precision.endswith(f", {hits} of {num_given}")
    assert f"{(~is_given).sum()} images without an answer count as not found" in card
    limits = section(card, "Limits")
    low, high = wilson_interval(int((right & is_given).sum()), int(is_given.sum()))
    assert f"and {is_given.sum()} of them get an answer" in limits
    assert f"from {low:.3f} to {high:.3f} (95 %)" in limits


def test_a_card_of_no_answer_at_all_says_so(run):
    rejection = {"rule": "accuracy", "share": 0.99, "log_odds": 1e9, "probability": 1.0}
    write_decision(
        run, make_decision(run, names=["cat", "dog"], threshold=None, rejection=rejection)
    )
    card = write_card(run)
    assert f"None of {len(stored(run)[1])} test images is sure enough" in card
    assert facts_of(card)["accuracy of these answers"] == "-"


@pytest.mark.parametrize("status", ["interrupted", "running"])
def test_a_run_that_has_not_finished_says_so(status, run):
    change(run, status=status)
    for name in ("summary.json", "predictions.npz"):
        (run / name).unlink()
    card = write_card(run)
    assert f"This run has not finished (status '{status}')." in card
    figures = section(card, "Figures on the test part")
    assert "There are no figures, since the run is not complete." in figures
    assert str(run.parent) not in card
    assert "no test image has judged it" in section(card, "Limits")


def test_a_fold_says_that_it_is_one(photos, run, tmp_path):
    data = {"source": f"folder:{photos}", "image_size": [16, 16]}
    split = {"kind": "kfold", "num_folds": 3, "fold": 1, "group_pattern": "[a-z]+/[0-9]+"}
    train(tmp_path / "fold", {**RUN, "data": {**data, "split": split}})
    card = write_card(tmp_path / "fold")
    assert "The run is fold 1 of 3 (counted from 0) of a cross-validation" in card
    assert "No groups" not in card
    rule = facts_of(section(card, "Data"))["split"]
    assert rule == (
        "fold 1 of 3 (counted from 0) tests, 0.1 of the other folds validates, each class in equal "
        "shares, no group divided, seed 0"
    )


def test_any_number_of_labels_has_figures_of_each_label(photos, run, tmp_path):
    with (photos.parent / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "furry", "loud"])
        for number, path in enumerate(sorted(photos.rglob("*.png"))):
            rows.writerow([path.relative_to(photos.parent), number % 2, int(number % 3 > 0)])
    columns = {"path": "path", "labels": ["furry", "loud"]}
    data = {"source": f"csv:{photos.parent / 'labels.csv'}", "columns": columns}
    train(tmp_path / "labels", {**RUN, "data": {**data, "image_size": [16, 16]}})
    card = write_card(tmp_path / "labels")
    assert "A network that gives an image any number of 2 labels." in card
    figures = section(card, "Figures on the test part")
    assert "### Labels" in figures
    found = facts_of(figures)
    assert "mean area under ROC of a label" in found
    assert "accuracy, every label of an image right" in found
    assert "accuracy" not in found
    with np.load(tmp_path / "labels" / "predictions.npz") as file:
        shares = file["labels"].mean(axis=0)
    # Each label by itself: always given, or never.
    bound = np.mean([max(share, 1 - share) for share in shares])
    assert found["majority baseline of a label"].startswith(f"{bound:.4f} (")
    assert "the share of images whose every label is right" in section(card, "Limits")
    assert "Sensitivity" not in figures
    assert "Every image gets one of the classes" not in card


def test_the_rules_of_split_and_view_are_written_out(run):
    found = facts_of(write_card(run))
    assert found["split"] == (
        "drawn shares of 0.64 (train), 0.16 (val) and 0.2 (test), each class in equal shares, "
        "seed 0"
    )
    assert found["evaluation view"] == (
        "resized to the size, whatever the ratio of the sides (bilinear filter); "
        "values from 0 to 1 (divided by 255)"
    )


@pytest.mark.parametrize("average", ["softmax", "logits"])
def test_several_crops_are_written_out(average):
    view = {"resize": "fit", "crop": "ten", "average": average}
    text = describe_view(DataSpec(eval_view=view, normalization="caffe", interpolation="bicubic"))
    assert "ten crops are cut out" in text
    assert "(bicubic filter)" in text
    assert "minus ImageNet's mean" in text
    assert f"the mean of their {'probabilities' if average == 'softmax' else 'logits'}" in text


@pytest.mark.parametrize(
    ("split", "notes", "words"),
    [
        ({}, [], "the published parts (without a validation part, 0.1 of the training part)"),
        ({}, None, "the published parts, or without any, shares of 0.64, 0.16 and 0.2"),
        ({"kind": "listed", "file": "/home/me/p.csv"}, [], "the parts that p.csv lists"),
        ({"kind": "holdout"}, [], "the first 5,000 training images validate"),
        ({"train_per_class": 6}, [], "6 images of each class train"),
    ],
)
def test_each_kind_of_split_has_its_words(split, notes, words, run):
    content = json.loads((run / "run.json").read_text())
    content["run"]["data"]["split"] = split
    change(
        run,
        run=content["run"],
        data={**content["data"], "notes": notes}
        if notes is not None
        else {key: value for key, value in content["data"].items() if key != "notes"},
    )
    assert words in facts_of(write_card(run))["split"]


def test_a_run_that_trains_now_says_so(run):
    """Until its process ends; on few validation images, the last epoch counts."""
    change(run, status="running")
    for name in ("summary.json", "predictions.npz"):
        (run / name).unlink()
    with hold_lock(run):
        card = write_card(run)
    assert "This run is still training." in card
    assert "did not end as planned" not in card
    assert "of the last epoch so far" in card
    assert "best epoch so far" not in card
    assert "did not end as planned" in write_card(run)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("predictions.npz", b"no archive", "Got a damaged predictions.npz"),
        ("summary.json", b"{", "summary.json"),
        ("metrics.jsonl", b"x\n", "metrics.jsonl"),
        ("summary.json", {"test_loss": "low"}, "Got summary.json with test_loss='low'"),
        ("summary.json", {"test_macro_f1": {}}, "Got summary.json with test_macro_f1={}"),
    ],
)
def test_a_damaged_file_of_a_finished_run_is_named(name, content, words, run):
    if isinstance(content, dict):
        stored = json.loads((run / name).read_text())
        content = json.dumps({**stored, **content}).encode()
    (run / name).write_bytes(content)
    card = write_card(run)
    figures = section(card, "Figures on the test part")
    assert "since a file of the run is damaged" in figures
    assert words in figures
    assert "measure the network again with poc evaluate" in figures
    assert "not complete" not in card
    assert "Try training again" not in card
    assert "has finished, but a file of its folder is damaged" in card
    assert str(run.parent) not in card


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("data", "counts", {"train": "many"}),
        ("data", "num_skipped", "some"),
        ("data", "leaks", {"num_contents": "3"}),
        ("data", "leaks", {"num_groups": "3"}),
        ("environment", "gpus", 7),
        ("environment", "intra_op_threads", [2]),
    ],
)
def test_a_record_with_a_value_of_another_type_is_refused(part, key, value, run):
    content = json.loads((run / "run.json").read_text())
    change(run, **{part: {**content[part], key: value}})
    with pytest.raises(UsageError, match=rf"whose run.json has {part}\.{key}.*Try restoring"):
        write_card(run)


def test_a_full_disk_is_no_missing_folder(run, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("poc.shared.actions.cards.card.write_once", fail)
    with pytest.raises(UsageError, match=r"No space left on device.*a folder that .* has room\."):
        save_card(run, tmp_path / "card.md")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="Expected a run folder"):
        write_card(tmp_path)


def test_only_paths_are_shortened():
    assert shorten_source("folder:/home/me/photos") == "folder:photos"
    assert shorten_source("embedded") == "embedded"
    assert shorten_source("tfds:a/b") == "tfds:a/b"


def test_the_paths_of_all_settings_are_shortened(run, tmp_path):
    content = json.loads((run / "run.json").read_text())
    given, data = content["run"], content["data"]
    photos = given["data"]["source"].removeprefix("folder:")
    start, teacher, channels = (str(tmp_path / "it's" / name) for name in ("a", "b", "c.json"))
    given |= {"method": "l2t-ww", "initial_weights": start, "teacher": {"weights": teacher}}
    given |= {"method_options": {"channels_file": channels}, "optimizer": {"name": "sgd"}}
    notes = [
        f"1 file is a link to outside of {photos!r}.",
        f"The teacher {teacher!r} names no classes.",
        f"The head of {start!r} is kept.",
    ]
    change(run, run=given, data={**data, "notes": notes})
    recipe = html.unescape(section(write_card(run), "Recipe"))
    assert str(tmp_path) not in recipe
    assert photos not in recipe
    assert "outside of 'photos'." in recipe
    for words in ('The teacher "b"', 'The head of "a"', "channels_file | c.json |"):
        assert words in recipe
