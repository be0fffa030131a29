"""Fitted heads of each backend: the saved network answers as scikit-learn does on its features."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import DEFAULT
from poc.shared.engine.numerics.metrics import probabilities
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.training.heads.logistic import GRADIENT_BOUND
from poc.shared.engine.worker.operations import Operations
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.run import RunSpec
from poc.tests.helpers.workers.probe import differentiate_case

SIDE, CLASSES, COUNT = 9, 3, 150
MODEL = {
    "name": "lightnet_plain",
    "options": {"layer": "conv2d", "head": "dense", "widths": [4, 6], "dropout": 0.2},
}
OPTIONS = {
    "logistic": {"c_values": [0.01, 1.0]},
    "knn": {"k_values": [4, 7], "votes": "uniform", "metric": "euclidean"},
}


def write_images(path, images, labels):
    np.savez(path, images=images, labels=labels)
    return path


def draw_images():
    """Noise with a brighter band at each class's own place."""
    generator = np.random.default_rng(5)
    labels = np.arange(COUNT) % CLASSES
    images = generator.integers(0, 128, (COUNT, SIDE, SIDE, 1), dtype=np.uint8)
    for index, label in enumerate(labels):
        images[index, 3 * label : 3 * label + 3] += 40
    return images, labels


def make_run(method, backend, source):
    values = {
        "backend": backend,
        "method": method,
        "method_options": OPTIONS[method],
        "model": MODEL,
        "precision": "float64",
        "data": {
            "source": f"npz:{source}",
            "batch_size": 16,
            "split": {"kind": "fractions", "fractions": [0.5, 0.25, 0.25]},
        },
        "early_stopping": {"min_validation_images": 20},
    }
    return RunSpec.parse(values, "")


def train(worker, run, folder):
    output = RunFolder.create(folder).path
    worker.call(
        Operations.train,
        run=run.model_dump(mode="json"),
        folder=str(output),
        command="",
        save_every=DEFAULT,
    )
    return read_arrays(output / "checkpoints" / "best.safetensors")


def read_parts(run):
    """Images and labels of the training and the test part, as the network sees them."""
    resolved, data = resolve(run)
    with data:
        parts = []
        for pipeline in (data.train, data.test):
            batches = list(pipeline.epoch(0))
            images = np.concatenate([batch.images for batch in batches])
            parts += [images, np.concatenate([batch.labels for batch in batches])]
        return resolved, parts, data.split


@pytest.mark.parametrize("method", OPTIONS)
def test_the_saved_network_answers_as_scikit_learn_on_its_features(method, worker, tmp_path):
    source = write_images(tmp_path / "images.npz", *draw_images())
    run = make_run(method, worker.backend, source)
    weights = train(worker, run, tmp_path / "run")
    resolved, (train_images, train_labels, test_images, _), _ = read_parts(run)
    tap = resolved.network.embedding
    features, unseen = (
        worker.call(
            Operations.features,
            run=resolved.spec.model_dump(mode="json"),
            weights=weights,
            images=images,
            taps=[tap],
        )[tap]
        for images in (train_images, test_images)
    )
    chosen = RunFolder(tmp_path / "run").read_summary()["chosen"].split(" = ")[1]
    if method == "logistic":
        model = LogisticRegression(C=float(chosen), tol=GRADIENT_BOUND, max_iter=10_000)
        whole = make_pipeline(StandardScaler(), model).fit(features, train_labels)
        expected = whole.predict_proba(unseen)
    else:
        k = int(chosen)
        model = KNeighborsClassifier(n_neighbors=k).fit(features, train_labels)
        expected = (k * model.predict_proba(unseen) + 1 / CLASSES) / (k + 1)
    with np.load(tmp_path / "run" / "predictions.npz") as file:
        found = probabilities(file["logits"], is_multi_label=False)
    # The order of the training images differs, and with it the rounding of sums; the solver ends
    # elsewhere within its bound.
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=1e-6 if method == "logistic" else 1e-10
    )
    assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize("method", OPTIONS)
def test_test_images_decide_nothing(method, worker, tmp_path):
    """With others in their place, every weight has the same bits."""
    images, labels = draw_images()
    source = write_images(tmp_path / "images.npz", images, labels)
    run = make_run(method, worker.backend, source)
    first = train(worker, run, tmp_path / "first")
    split = read_parts(run)[2]
    images[split.test] = 255 - images[split.test]
    write_images(source, images, labels)
    second = train(worker, run, tmp_path / "second")
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    logits = []
    for name in ("first", "second"):
        with np.load(tmp_path / name / "predictions.npz") as file:
            logits.append(file["logits"])
    assert not np.array_equal(*logits)


@pytest.mark.parametrize("order", [range(9), range(8, -1, -1), (4, 8, 0, 6, 2, 7, 5, 1, 3)])
def test_all_that_are_as_near_as_the_last_one_vote(order, probe):
    """Four votes are asked for; six stored vectors are one and the same, in any order."""
    stored = np.zeros((9, 7))
    stored[:6, 0], stored[6:, 1] = 1.0, 1.0
    classes = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    weights = {
        "layer/features": stored[list(order)],
        "layer/rank": np.eye(4)[3],
        "layer/labels": np.eye(3)[classes[list(order)]],
    }
    found = probe.call(
        differentiate_case,
        case="neighbours equal",
        precision="float64",
        weights=weights,
        images=np.array([[2.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0]]),
        projection=np.ones((1, 3)),
        noise={},
        training=False,
    )
    # Six votes, and a seventh that is shared.
    shares = np.array([3 + 1 / 3, 2 + 1 / 3, 1 + 1 / 3]) / 7
    np.testing.assert_allclose(np.exp(found["output"][0]), shares, rtol=1e-12)
    assert not found["gradients"]["images"].any()
