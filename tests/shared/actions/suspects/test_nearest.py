"""Nearest training images by the embedding of a finished run, with a stub for the framework."""

import numpy as np
import pytest

from poc.shared.actions.suspects import embedding as module
from poc.shared.actions.suspects.embedding import open_embedding
from poc.shared.actions.suspects.nearest import finder, name_labels
from poc.shared.engine.console.work_count import unheard
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.tests.shared.engine.folder.test_record import add_images, train_run


class PixelWorker:
    """A framework whose embedding is the image itself."""

    def __init__(self, backend):
        self.started = backend

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def call(self, operation, *, run, weights, images, taps):
        assert operation == Operations.features
        assert weights
        (tap,) = taps
        return {tap: images}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("nearest")
    names = [f"{name}/{i}.png" for name in ("dark", "light") for i in range(20)]
    add_images(root / "data", names)
    train_run(root / "run", f"folder:{root}/data")
    return root / "run"


def test_the_nearest_are_those_of_a_slow_search_among_training_images(run, monkeypatch):
    monkeypatch.setattr(module, "Worker", PixelWorker)
    events = []
    with open_embedding(run, unheard) as opened:
        source, split = opened.trained.data.source, opened.trained.data.split
        shown = opened.trained.data.train.epoch(0)
        shape = next(iter(shown)).images.shape[1:]
    ids = [source.ids[index] for index in split.test[:4]]
    found = finder(events.append)(run, ids)
    assert list(found) == ids
    pixels = np.stack([source.image(index) for index in range(40)]).reshape(40, -1)
    assert pixels.shape[1] == np.prod(shape)
    # The run sees pixels from 0 to 1, so that directions are those of the pixels.
    lengths = np.linalg.norm(pixels.astype(float), axis=1)
    for name, index in zip(ids, split.test, strict=False):
        cosines = pixels[split.train].astype(float) @ pixels[index] / lengths[split.train]
        best = int(cosines.argmax())
        assert found[name].id == source.ids[split.train[best]]
        assert found[name].truth == name_labels(source, int(split.train[best]))
        assert found[name].similarity == pytest.approx(cosines[best] / lengths[index], rel=1e-5)
    assert any("embedding training images" in str(event.get("text")) for event in events)


def test_features_keep_the_order_that_is_asked_for(run, monkeypatch):
    monkeypatch.setattr(module, "Worker", PixelWorker)
    with open_embedding(run, unheard) as opened:
        order = np.array([7, 0, 33, 21])
        features = opened.features(order, unheard, "embedding")
        source = opened.trained.data.source
        for row, index in zip(features, order, strict=True):
            np.testing.assert_allclose(row, source.image(index).ravel() / 255, atol=1e-6)


def test_a_run_without_weights_is_refused(run, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "Worker", PixelWorker)
    with pytest.raises(UsageError, match=r"no run\.json"):
        finder(unheard)(tmp_path, ["a"])
