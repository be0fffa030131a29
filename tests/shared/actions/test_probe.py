"""The folds of a linear probe, with one class per image and with any number of labels."""

import numpy as np
import pytest

from poc.shared.actions.probe import STARTS, describe_folds, read_folds, read_probe
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.sweep_definition import store_definition
from poc.shared.spec.reading.sweep import load_sweep
from poc.shared.spec.run import BACKENDS, RunSpec

LABELS = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
# The third and the fourth image have one label wrong each, the first three as the labels are.
ONE_WRONG = np.array([[2.0, -1.0], [-1.0, 3.0], [1.0, -0.1], [-2.0, -2.0]])
TWO_WRONG = np.array([[2.0, -1.0], [-1.0, 3.0], [1.0, -0.1], [-2.0, 0.5]])


def write_fold(folder, fold, logits, labels=LABELS):
    made = RunFolder.create(folder)
    data = {"class_names": ["a", "b"], "source_fingerprint": "s", "split_fingerprint": f"{fold}"}
    made.write_run({"run": RunSpec.parse({}, "").model_dump(mode="json"), "data": data})
    made.write_predictions(logits, labels, [f"{fold}/{index}" for index in range(len(labels))])
    return folder


def write_probe(root, logits_of):
    """Two folds of both starts in both backends, with `logits_of(start, backend)`."""
    axes = [f"backend={','.join(BACKENDS)}", "split.fold=0,1"]
    for start in STARTS:
        cells = load_sweep(None, ["split.kind=kfold", "split.num_folds=2"], axes)
        store_definition(cells, root / start, "")
        for cell in cells:
            backend, fold = cell.settings["backend"], cell.settings["split.fold"]
            write_fold(root / start / cell.name, fold, logits_of(start, backend))
    return root


def test_an_answer_with_labels_is_right_if_all_of_them_are(tmp_path):
    folds = read_folds(
        write_fold(tmp_path / str(fold), fold, logits)
        for fold, logits in enumerate([ONE_WRONG, TWO_WRONG])
    )
    assert folds.accuracies == [0.75, 0.5]
    row = describe_folds("drawn", "tf", folds)
    assert (row["hits"], row["images"], row["accuracy_mean"]) == (5, 8, 0.625)


def test_folds_with_one_class_per_image(tmp_path):
    labels = LABELS.argmax(axis=1)
    folder = write_fold(tmp_path / "one", 0, np.eye(2)[[0, 1, 0, 1]], labels)
    assert list(labels) == [0, 1, 0, 0]
    assert read_folds([folder]).accuracies == [0.75]


def test_a_probe_of_images_with_labels_is_read(tmp_path):
    def logits_of(start, backend):
        return ONE_WRONG if (start, backend) == ("pretrained", "tf") else TWO_WRONG

    found = read_probe(write_probe(tmp_path / "probe", logits_of), 2)
    assert [(row["hits"], row["images"]) for row in found["rows"]] == [(6, 8), *[(4, 8)] * 3]
    # An image counts once, however many of its labels differ.
    assert found["differing"] == {"pretrained": 2, "drawn": 0}
    assert found["gain"] == pytest.approx({"tf": 0.25, "torch": 0.0})
    # Two images of eight are right in one start alone, all on one side: 2 * 0.5 ** 2.
    assert found["p_values"] == pytest.approx({"tf": 0.5, "torch": 1.0})
