"""A small network and twenty steps that both scripts of native habits take, without a framework."""

from dataclasses import replace

import numpy as np

from poc.shared.engine.teacher import step_coefficients
from poc.shared.spec.habits.networks import with_habits
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.convolution import Conv2D, DepthwiseConv2D
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.network import IMAGES
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.habits import HABITS

SHAPE, CLASSES, BATCH, STEPS = (12, 12, 3), 4, 8, 20
# A decay that is exact in float32, in which Keras' regulariser keeps it.
WIDTH, DECAY, SMOOTHING = 6, 1 / 64, 0.1
CLASS_WEIGHTS = (1.0, 3.0, 0.5, 2.0)
# The rate falls after half of the steps: there the two rules of momentum part. Both rates are exact
# in float32, in which Keras keeps its rate.
RATES = [1 / 64] * (STEPS // 2) + [1 / 256] * (STEPS // 2)
ODD = ((1, 1), (1, 1))
# Update rules, by their settings; all with a weight decay, class weights and smoothed labels.
OPTIMIZERS = {
    "sgd": {"name": "sgd", "momentum": 0.0},
    "momentum": {"name": "sgd", "momentum": 0.9},
    "nesterov": {"name": "sgd", "momentum": 0.9, "nesterov": True},
    "adam": {"name": "adam"},
    "adamw": {"name": "adamw"},
}


def declare():
    """A network whose pads and batch norms are those of neither framework."""
    net = NetworkBuilder("net", SHAPE)
    strides = {"kernel_size": (3, 3), "strides": (2, 2)}
    last = net.add("conv", Conv2D(filters=WIDTH, padding=((0, 2), (0, 2)), **strides), IMAGES)
    last = net.add("norm", BatchNorm(momentum=0.5, epsilon=1e-2), last)
    last = net.add("relu", Activate(activation="relu"), last)
    last = net.add("depthwise", DepthwiseConv2D(padding=((2, 0), (2, 0)), **strides), last)
    last = net.add(
        "pool",
        Pool2D(kernel_size=(3, 3), strides=(1, 1), padding=((2, 0), (2, 0)), mode="average"),
        last,
    )
    last = net.add("global", GlobalPool(), last)
    net.add("head", Dense(units=CLASSES), last)
    return net.build()


def make_run(backend, optimizer, habits):
    """A resolved run of that network in float64."""
    run = RunSpec.parse(
        {
            "backend": backend,
            "method": "scratch",
            "model": {"name": "simple_cnn"},
            "precision": "float64",
            # In graphs too, where a framework has them.
            "mode": "default" if habits == "native" else "eager",
            "device": "cpu",
            "input_shape": list(SHAPE),
            "num_classes": CLASSES,
            "loss": {"class_weights": list(CLASS_WEIGHTS), "label_smoothing": SMOOTHING},
            "optimizer": optimizer,
            "habits": habits,
        },
        "",
    )
    network = with_habits(declare(), run.habits, run.backend)
    return replace(resolve_networks(run), network=network, trained_network=network)


def batches():
    """Images (N, H, W, C) and labels (N,) of each step, noise about classes."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, (STEPS, BATCH))
    images = generator.normal(size=(STEPS, BATCH, *SHAPE)) + labels[..., None, None, None] / 4
    return images.astype(np.float32), labels


def drawn():
    """Initial weights of all sides; the biases are not 0, so that a decay on them shows."""
    generator = np.random.default_rng(1)
    weights = draw_weights(declare().parameters, 0)
    return {
        name: generator.normal(size=value.shape) / 4 if name.endswith(("bias", "beta")) else value
        for name, value in weights.items()
    }


def train(module, run):
    """The weights after all steps of the backend."""
    trainer = module.Trainer(run, drawn())
    for images, labels, rate in zip(*batches(), RATES, strict=True):
        trainer.step(images, labels, rate, {}, step_coefficients(run, 0.0, labels))
    assert trainer.metrics()["bad_step"] == -1
    return trainer.weights()


def worst(found, expected, left_out=()):
    """The largest difference, relative to the largest value of its array."""
    assert found.keys() == expected.keys()
    return max(
        float(np.abs(found[name] - expected[name]).max() / np.abs(expected[name]).max())
        for name in expected
        if name not in left_out
    )


def all_errors(module, backend, expected_of):
    """Optimiser -> error with all habits native, and with one of them common each."""
    found = {}
    for name, rule in OPTIMIZERS.items():
        settings, expected = {**rule, "weight_decay": DECAY}, expected_of(rule)
        choices = {"all": "native"}
        # The gradient of a bias before a batch norm is rounding alone, unless a decay reaches it.
        # Adam makes steps of it, and the mean that the norm collects has that bias in it.
        left_out = ("conv/bias", "norm/moving_mean") if "adam" in name else ()
        if name == "momentum":
            native = dict.fromkeys(HABITS, "native")
            choices |= {habit: {**native, habit: "common"} for habit in HABITS}
        found[name] = {
            label: worst(train(module, make_run(backend, settings, habits)), expected, left_out)
            for label, habits in choices.items()
        }
    return found
