"""The parity ladder for the losses of the labels: both backends, every rung, in float64."""

import numpy as np
import pytest

from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.run import RunSpec
from poc.tests.helpers.architectures.table import ARCHITECTURES
from poc.tests.helpers.workers.plants import plant

WEIGHTS = [0.5, 3.0, 1.25]
# Settings that every rung is climbed with; a new loss joins with its row.
LOSSES = {
    "smoothing": {"label_smoothing": 0.1},
    "weights": {"class_weights": WEIGHTS},
    "weights and smoothing": {"class_weights": WEIGHTS, "label_smoothing": 0.1},
    "focal": {"name": "focal"},
    "focal and weights": {"name": "focal", "focal_gamma": 0.5, "class_weights": WEIGHTS},
}
# Every other place where labels are learned, each with its own term `hard`.
TEACHER = {"model": {"name": "lightnet_residual", "options": {"widths": [3, 5, 4]}}}
PLACES = {
    "kd": ("kd", {}, TEACHER),
    "lwf": ("lwf", {"form": "cross_architecture"}, {**TEACHER, "num_classes": 5}),
    "fitnets": ("fitnets", {"stages": "one", "pairs": ["block1>block2"]}, TEACHER),
    "attention_transfer": (
        "attention_transfer",
        {"alpha": 0.5, "pairs": ["block1>block2"]},
        TEACHER,
    ),
    "semckd": ("semckd", {"target_taps": ["block1"]}, TEACHER),
    "transfer": ("transfer", {"trained_blocks": 1}, None),
}
MODEL = {
    "name": "lightnet_plain",
    "options": {"layer": "conv2d", "widths": [4, 6], "dropout": 0.25},
}
generator = np.random.default_rng(0)
IMAGES = generator.normal(size=(2, 8, 12, 10, 2)).astype(np.float32)
HARD = [{"images": images, "labels": generator.integers(0, 3, 8)} for images in IMAGES]
SOFT = [
    {"images": images, "labels": generator.dirichlet(np.ones(3), 8).astype(np.float32)}
    for images in IMAGES
]
SETS = [
    {"images": images, "labels": generator.integers(0, 2, (8, 3)).astype(np.float32)}
    for images in IMAGES
]


def make_run(loss, method="scratch", options=None, teacher=None, **fields):
    values = {
        "method": method,
        "method_options": options or {},
        "teacher": teacher,
        "model": MODEL,
        "loss": loss,
        "input_shape": [12, 10, 2],
        "num_classes": 3,
        "precision": "float64",
    }
    return RunSpec.parse({**values, **fields}, "")


def climb(run, workers, batches):
    rungs = Ladder(run, *workers).climb(batches)
    assert len(rungs) == 9 * len(run.stages)
    assert [rung.failure for rung in rungs if not rung.is_passed] == []
    assert {rung.verdict for rung in rungs} == {"equal"}


@pytest.mark.parametrize(
    "row",
    [row if "and" in row else pytest.param(row, marks=pytest.mark.slow) for row in LOSSES],
)
def test_both_backends_climb(row, workers):
    climb(make_run(LOSSES[row]), workers, HARD)


def test_both_backends_climb_with_any_number_of_labels(workers):
    climb(make_run({"name": "binary_cross_entropy"}), workers, SETS)


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in LOSSES if "focal" not in row])
def test_both_backends_climb_with_soft_labels(row, workers):
    climb(make_run(LOSSES[row]), workers, SOFT)


@pytest.mark.slow
@pytest.mark.parametrize("row", ["weights and smoothing", "focal and weights"])
@pytest.mark.parametrize("place", PLACES)
def test_both_backends_climb_where_labels_are_learned(place, row, workers):
    climb(make_run(LOSSES[row], *PLACES[place]), workers, HARD)


def losses_of(worker, run, batch):
    """The loss of one batch at the start, and its largest gradient."""
    ladder = Ladder(run, worker, worker)
    found = worker.call(
        Operations.loss_and_gradients,
        run={**run.model_dump(mode="json"), "backend": worker.backend},
        weights=ladder.perturbed_weights(),
        batch=batch,
    )
    return found["loss"], max(np.abs(value).max() for value in found["gradients"].values())


@pytest.mark.parametrize("place", ["scratch", *PLACES])
def test_every_method_has_the_loss_of_the_settings(place, worker):
    """A method that left it out would be equal in both backends too."""
    kind = PLACES.get(place, ("scratch", {}, None))
    found = {
        row: losses_of(worker, make_run(loss, *kind), HARD[0])
        for row, loss in {"plain": {}, **LOSSES}.items()
    }
    assert len({loss for loss, _ in found.values()}) == len(found)
    assert all(np.isfinite(gradient) for _, gradient in found.values())


def test_auxiliary_heads_have_it_too(worker):
    """Labels of weight 0 leave nothing of the loss, which is that of three heads."""
    run = ARCHITECTURES["googlenet auxiliary"].small_run("float64", method="scratch")
    weights = [0.0, *[1.0] * (run.num_classes - 1)]
    images = generator.normal(size=(4, *run.input_shape)).astype(np.float32)
    batch = {"images": images, "labels": np.zeros(4, dtype=np.int64)}
    assert run.model_spec.resolved().auxiliary
    assert losses_of(worker, run, batch)[0] > 1
    weighted = run.replace(loss={"class_weights": weights})
    assert losses_of(worker, weighted, batch) == (0.0, 0.0)


MEAN_OVER_EXAMPLES = """
losses = import_module(f"poc.{BACKEND}_impl.losses")
call = losses.HardLoss.__call__
def planted(self, logits, labels, extras):
    return call(self, logits, labels, {**extras, losses.MEAN_CLASS_WEIGHT: 1.0})
losses.HardLoss.__call__ = planted
"""


def test_a_mean_over_examples_is_found(backend, request, tmp_path, monkeypatch):
    """Divided by N, as Keras does with weights, and not by the sum of the weights."""
    sound = request.getfixturevalue({"tf": "torch_worker", "torch": "tf_worker"}[backend])
    monkeypatch.setenv(f"POC_{backend.upper()}_PYTHON", str(plant(tmp_path, MEAN_OVER_EXAMPLES)))
    with Worker(backend, log=tmp_path / "log") as planted:
        pair = (planted, sound) if backend == "tf" else (sound, planted)
        ladder = Ladder(make_run(LOSSES["weights"]), *pair)
        rungs = ladder.compare_gradients(ladder.perturbed_weights(), HARD[:1])
        assert [rung.verdict for rung in rungs] == ["DIFFERENT", "DIFFERENT"]
        ladder = Ladder(make_run(LOSSES["smoothing"]), *pair)
        rungs = ladder.compare_gradients(ladder.perturbed_weights(), HARD[:1])
        assert [rung.verdict for rung in rungs] == ["equal", "equal"]
