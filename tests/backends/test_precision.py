"""Mixed precision: each layer against NumPy, a run that trains, and the rule of the loss scale."""

from functools import cache

import numpy as np
import pytest

from poc.shared.engine.machine.memory import estimate_need
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.precision import INITIAL_LOSS_SCALE, STEPS_TO_GROW
from poc.tests.backends.test_layers import compute_reference, draw_case, relative_error
from poc.tests.helpers.layers.cases import CASES
from poc.tests.helpers.workers.probe import differentiate_case, resume, scaled_steps

# bfloat16 rounds to 2^-9 of a value; a layer rounds its inputs, weights and outputs, and the
# gradient's path back again, where it is a sum of terms that cancel each other in part.
FORWARD, BACKWARD = 8 * 2.0**-9, 32 * 2.0**-9
# What attention's scores depend on.
SCORED = ("layer/query/", "layer/key/", "images")
# Logits after all layers of a small net, beside its largest logit.
LOGITS = 32 * 2.0**-9
TINY = {
    "method": "scratch",
    "model": {"name": "lightnet_plain", "options": {"k": 2, "widths": [4, 8]}},
    "input_shape": [12, 12, 3],
    "num_classes": 3,
    "device": "cpu",
}


def tiny_run(backend, precision, **fields):
    return RunSpec.parse({**TINY, "backend": backend, "precision": precision, **fields}, "")


def draw_batch(size=16, side=12):
    """Images whose mean colour is their label."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, size)
    images = generator.uniform(size=(size, side, side, 3)).astype(np.float32)
    images[np.arange(size), :, :, labels] += 0.5
    return {"images": images, "labels": labels}


# Batch norm alone does something else in evaluation.
MODES = [(case, True) for case in CASES] + [(c, False) for c in CASES if "batch norm" in c]
find_reference = cache(lambda case, training: compute_reference(CASES[case], training))


@pytest.mark.parametrize(("case", "training"), MODES)
def test_a_layer_in_bfloat16_is_near_its_numpy_reference(case, training, probe):
    weights, images, noise, projection = draw_case(CASES[case])
    output, gradients, after = find_reference(case, training)
    found = probe.call(
        differentiate_case,
        case=case,
        precision="bfloat16",
        weights=weights,
        images=images,
        projection=projection,
        noise=noise if training else {},
        training=training,
    )
    assert found["output"].dtype == np.float32
    assert 0 < relative_error(found["output"], output) < FORWARD
    # Exactly zero: what is found is rounding, which the optimiser does not get (decision 0003).
    cancelled = CASES[case].cancelled_biases
    for name, gradient in gradients.items():
        assert found["gradients"][name].dtype == np.float32
        if name in cancelled:
            assert np.abs(gradient).max() < 1e-12, name
            continue
        # Softmax multiplies the rounding of queries and keys. A few lines of plain PyTorch in
        # bfloat16 are off by more than BACKWARD for four in ten of 41 projections (at most 0.17;
        # with terms 0.08 in the median, at most 0.23). The processor decides about this one.
        is_scored = "attention" in case and name.startswith(SCORED)
        bound = 2 * BACKWARD if is_scored else BACKWARD
        assert relative_error(found["gradients"][name], gradient) < bound, name
    for name, value in after.items():
        assert found["weights"][name].dtype == np.float32
        assert relative_error(found["weights"][name], value) < FORWARD, name


def test_the_gradient_of_a_bias_is_a_sum_in_float32(probe):
    """Of 16 * 30 * 30 ones; added up in bfloat16, which knows 256 and 258, it would end at 256."""
    network = CASES["conv2d symmetric"]
    weights = draw_weights(network.parameters, 0)
    found = probe.call(
        differentiate_case,
        case="conv2d symmetric",
        precision="bfloat16",
        weights=weights,
        images=np.zeros((16, 30, 30, 4)),
        projection=np.ones((16, 30, 30, 3)),
        noise={},
        training=True,
    )
    assert found["gradients"]["layer/bias"] == pytest.approx(16 * 30 * 30, rel=BACKWARD)


def test_a_run_in_bfloat16_trains(worker):
    """Losses fall as those of float32 do; logits of the same weights are near; nothing is lower."""
    batch, found = draw_batch(), {}
    for precision in ("float32", "bfloat16"):
        run = tiny_run(worker.backend, precision).model_dump(mode="json")
        weights = draw_weights(declare_network(tiny_run(worker.backend, precision)).parameters, 0)
        found[precision] = worker.call(
            Operations.train_steps,
            run=run,
            weights=weights,
            batches=[batch],
            learning_rates=[1e-2] * 10,
        )
        found[precision]["logits"] = worker.call(
            Operations.logits, run=run, weights=found["float32"]["weights"], images=batch["images"]
        )
    full, mixed = found["float32"], found["bfloat16"]
    assert 0 < relative_error(mixed["logits"], full["logits"]) < LOGITS
    assert mixed["logits"].dtype == np.float32
    assert mixed["losses"][-1] < mixed["losses"][0] / 2
    assert mixed["losses"][-1] == pytest.approx(full["losses"][-1], abs=0.1 * full["losses"][0])
    for name, value in {**mixed["weights"], **mixed["state"]}.items():
        assert value.dtype == (np.float32 if name != "step" else value.dtype), name


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_step_whose_gradients_overflow_is_left_out(optimizer, probe):
    """Also the very first; the loss itself is finite, so the run goes on."""
    run = tiny_run(probe.backend, "float16", optimizer={"name": optimizer, "momentum": 0.9})
    cancelled = declare_network(run).cancelled_biases
    learning = [
        p.name
        for p in declare_network(run).parameters
        if p.is_trainable and p.name not in cancelled
    ]
    # PyTorch's SGD keeps no step counter, and needs none.
    has_counter = probe.backend == "tf" or optimizer == "adam"
    started = draw_weights(declare_network(run).parameters, 0)
    huge = {"loss_scale": 2.0**40}
    found = probe.call(
        scaled_steps,
        run=run.model_dump(mode="json"),
        weights=started,
        batch=draw_batch(),
        scales=[huge, {"loss_scale": 2.0**10}, huge, {"loss_scale": 2.0**10}],
    )
    assert [step["bad_step"] for step in found] == [-1] * 4
    assert [int(step["state"]["step"]) for step in found] == [
        step * has_counter for step in (0, 1, 1, 2)
    ]
    assert [float(step["state"]["loss_scale"]) for step in found] == [2**39, 2**10] * 2
    assert [int(step["state"]["good_steps"]) for step in found] == [0, 1, 0, 1]
    for name in learning:
        assert np.array_equal(found[0]["weights"][name], started[name].astype(np.float32))
        assert not np.array_equal(found[1]["weights"][name], found[0]["weights"][name])
        assert np.array_equal(found[2]["weights"][name], found[1]["weights"][name])
        assert not np.array_equal(found[3]["weights"][name], found[2]["weights"][name])
    slots = [key for key in found[1]["state"] if key.rpartition("/")[0] in learning]
    assert len(slots) == len(learning) * (2 if optimizer == "adam" else 1)
    for name in slots:
        assert np.array_equal(found[2]["state"][name], found[1]["state"][name])
        assert not np.array_equal(found[3]["state"][name], found[2]["state"][name])


def test_the_scale_doubles_after_enough_good_steps_and_a_lost_one_stops(probe):
    run = tiny_run(probe.backend, "float16")
    found = probe.call(
        scaled_steps,
        run=run.model_dump(mode="json"),
        weights=draw_weights(declare_network(run).parameters, 0),
        batch=draw_batch(),
        scales=[
            {},
            {"good_steps": STEPS_TO_GROW - 2, "loss_scale": 2.0**10},
            {},
            {},
            {"loss_scale": 0.5},
        ],
    )
    scales = [float(step["state"]["loss_scale"]) for step in found]
    good_steps = [int(step["state"]["good_steps"]) for step in found]
    assert scales[0] in (INITIAL_LOSS_SCALE, INITIAL_LOSS_SCALE / 2)
    assert scales[1:] == [2**10, 2**11, 2**11, 0.5]
    assert good_steps[1:] == [STEPS_TO_GROW - 1, 0, 1, 2]
    assert [step["bad_step"] for step in found] == [-1, -1, -1, -1, 0]


def test_a_scaled_run_resumes_to_the_same_bits(probe):
    run = tiny_run(probe.backend, "float16", optimizer={"name": "adam"})
    found = probe.call(
        resume,
        run=run.model_dump(mode="json"),
        weights=draw_weights(declare_network(run).parameters, 0),
        batches=[draw_batch(8)],
    )
    assert {"loss_scale", "good_steps"} <= found["state"].keys()
    for first, second in (("straight", "resumed"), ("straight_state", "resumed_state")):
        for name, value in found[first].items():
            assert np.array_equal(found[second][name], value), (first, name)


def test_float16_is_refused_on_the_cpu(worker):
    run = tiny_run(worker.backend, "float16").model_dump(mode="json")
    with pytest.raises(UsageError, match=r"'float16' on the CPU.*precision=bfloat16"):
        worker.call(Operations.logits, run=run, weights={}, images=draw_batch()["images"])


def test_exact_hyper_gradients_refuse_a_mixed_precision():
    with pytest.raises(UsageError, match=r"'bfloat16' for the method 'l2t-ww'.*float32, float64"):
        RunSpec.parse({"method": "l2t-ww", "precision": "bfloat16"}, "")


def test_a_program_that_torch_compiled_refuses_second_derivatives():
    with pytest.raises(UsageError, match="'compiled' for the method 'l2t-ww' in torch"):
        RunSpec.parse({"method": "l2t-ww", "mode": "compiled", "backend": "torch"}, "")
    assert RunSpec.parse({"method": "l2t-ww", "mode": "compiled", "backend": "tf"}, "")


def test_activations_alone_take_less_memory():
    full, mixed = (
        estimate_need(resolve_networks(tiny_run("torch", name))) for name in ("float32", "bfloat16")
    )
    assert mixed.fixed_bytes == full.fixed_bytes
    assert 2 * mixed.example_bytes == full.example_bytes
