"""A sweep of the rate: the steps of a run but for the rates, on the train part and nothing else."""

import numpy as np
import pytest

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.data.sources.base import Source, example_ids
from poc.shared.data.splits.split import make_split
from poc.shared.engine import run_data
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.engine.teacher import starting_weights
from poc.shared.errors import UsageError
from poc.shared.spec.data import SplitSpec
from poc.shared.spec.networks.freezing import moving_names
from poc.shared.spec.reading.config import load_run
from poc.tests.helpers.workers import stub

SEED = 1
SETTINGS = [
    *("method=scratch", "model=lightnet_plain", "model.widths=[2,2]", "model.layer=conv2d"),
    *(f"split.seed={SEED}", "data.batch_size=6", "image_size=[9,9]", "precision=float64"),
]
RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]


class GuardedSource(Source):
    """Uneven photos of which only the train part may be read."""

    name = "guarded"
    class_names = ("a", "b")
    image_shape = None

    def __init__(self):
        self.ids = example_ids("all", 40)
        self.partitions = {}
        self.read = set()
        self.allowed = {int(index) for index in make_split(self, SplitSpec(seed=SEED)).train}
        # The first image is the one that a look at the channels would read.
        assert 0 not in self.allowed

    @property
    def labels(self):
        return np.arange(40) % 2

    def image(self, index):
        if index not in self.allowed:
            raise AssertionError(f"image {index} is not of the train part")
        self.read.add(index)
        generator = np.random.default_rng(index)
        return generator.integers(0, 256, (*generator.integers(9, 14, 2), 3), dtype=np.uint8)


@pytest.fixture
def source(monkeypatch):
    guarded = GuardedSource()
    monkeypatch.setattr(run_data, "open_classes", lambda spec, note: guarded)
    return guarded


def sweep(settings, rates, told=None, left_open=()):
    run = load_run(None, settings).replace(open_settings=list(left_open)).model_dump(mode="json")
    report = (lambda event: None) if told is None else told.append
    return ServedOperations(stub, report, 0.0).sweep_rates(run=run, learning_rates=rates)


@pytest.mark.parametrize("more", [[], ["train_view.policy=randaugment"], ["num_workers=1"]])
def test_a_sweep_reads_the_train_part_alone(source, more, monkeypatch):
    opened = []
    original = Pipeline.__init__

    def watch(self, source, indices, *arguments, **options):
        opened.append({int(index) for index in indices})
        original(self, source, indices, *arguments, **options)

    monkeypatch.setattr(Pipeline, "__init__", watch)
    # The recipe looks at the images too.
    settings = [*SETTINGS, "norm_statistics=exact", *more]
    found = sweep(settings, RATES, left_open=["num_epochs", "schedule"])
    assert found["run"]["schedule"]["name"] == "cosine"
    assert len(found["losses"]) == len(RATES)
    assert source.read <= source.allowed
    # Twice: in the training and, never read, in the evaluation view of exact statistics.
    assert opened == [source.allowed] * 2


def test_the_guard_of_that_test_can_fail(source):
    with pytest.raises(AssertionError, match="not of the train part"):
        resolve(load_run(None, SETTINGS))


def test_a_sweep_takes_the_steps_of_a_run_at_other_rates(source):
    """The stub's steps, taken here one by one: weights, batches of two epochs, and rates."""
    found = sweep(SETTINGS, RATES)
    resolved, data = resolve(load_run(None, SETTINGS), is_train_alone=True)
    with data:
        assert data.val is data.test is None
        batches = [*data.train.epoch(0), *data.train.epoch(1)][: len(RATES)]
        assert data.train.num_batches < len(RATES)
    weights = {n: v.astype(np.float64) for n, v in starting_weights(resolved).items()}
    momenta, losses = {name: np.zeros_like(value) for name, value in weights.items()}, []
    for rate, batch in zip(RATES, batches, strict=True):
        loss, gradients = stub.pseudo_gradients(weights, batch.images, batch.labels, {}, {})
        losses.append(loss)
        for name, gradient in gradients.items():
            if name in moving_names(resolved.trained_network):
                momenta[name] = 0.9 * momenta[name] + gradient
                weights[name] = weights[name] - rate * momenta[name]
    np.testing.assert_allclose(found["losses"], losses, rtol=1e-12)


def test_a_sweep_ends_where_the_losses_diverge(source, monkeypatch):
    monkeypatch.setattr(stub, "pseudo_gradients", explode)
    found = sweep(SETTINGS, RATES * 10)
    assert (found["losses"], found["is_diverged"]) == ([1.0, 2.0], True)


def explode(weights, images, labels, noise, extras, calls=[]):  # noqa: B006 - counts its calls
    calls.append(1)
    loss = [1.0, 2.0, np.inf][len(calls) - 1]
    return loss, {name: np.zeros_like(value) for name, value in weights.items()}


def test_a_sweep_reports_how_far_it_is_and_what_it_chose(source):
    told = []
    sweep(SETTINGS, RATES, told)
    first = next(event for event in told if event["event"] == "work")
    assert (first["text"], first["total"]) == ("sweep of the rate, torch", len(RATES))


def test_the_first_stage_is_swept(source, tmp_path):
    settings = [*SETTINGS[1:], "method=fixres", "train_size=9", "test_size=9"]
    found = sweep([*settings, "finetune_epochs=1", "num_epochs=2", "feature_cache=off"], RATES)
    assert found["stage"] == "train"


def test_a_run_that_cannot_train_is_refused(source):
    with pytest.raises(UsageError, match="batches of 4000"):
        sweep([*SETTINGS[:5], "batch_size=4000", "drop_last=true", *SETTINGS[6:]], RATES)
