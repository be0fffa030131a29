"""A backend in NumPy whose every number depends on everything a resume must bring back.

Its "training" is no learning: each weight follows a momentum rule whose gradient depends on the
images, their order, the masks, the rate, the source's kept outputs and the weight itself. Run as a
script it stands in for a worker's interpreter.
"""

import os
import runpy
import signal
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np

from poc.shared.engine.ranks.meeting import Meeting
from poc.shared.engine.ranks.parts import EXAMPLE_SHARE, FIRST_PLACE
from poc.shared.engine.step_numbers import (
    AVERAGE_PREFIX,
    GRADIENT_PREFIX,
    GROUP_SHARE,
    take_numbers,
)
from poc.shared.spec.networks.freezing import moving_names

# The meeting at which this process adds up gradients, if it is one of several ranks.
MEETINGS = []
SECONDS_A_STEP = float(os.environ.get("STUB_SECONDS_A_STEP", 0))


class Trainer:
    def __init__(self, run, weights):
        die_at("network")
        names = [p.name for p in run.trained_network.parameters]
        self._run, self.own = run.spec, {name: weights[name].astype(np.float64) for name in names}
        self.moving = moving_names(run.trained_network)
        self.momenta = {n: np.zeros_like(v) for n, v in self.own.items() if n in self.moving}
        self.num_steps, self.totals, self.step_counter = 0, {}, 0
        self.sums = {n: np.zeros_like(self.own[n]) for n in self.momenta} if self.is_grouped else {}
        self.average = {n: self.own[n].copy() for n in self.moving if run.spec.ema.decay}

    @property
    def is_grouped(self):
        return self._run.optimizer.accumulation_steps > 1

    def step(self, images, labels, learning_rate, noise, extras=None):
        time.sleep(SECONDS_A_STEP)
        numbers, extras = take_numbers(extras or {})
        share = float(extras.pop(GROUP_SHARE, 1.0))
        counted = float(extras.pop(EXAMPLE_SHARE, 1.0) > 0)
        extras.pop(FIRST_PLACE, None)
        loss, gradients = pseudo_gradients(self.own, images, labels, noise, extras)
        gradients = sum_over_ranks(gradients)
        found = {n: share * g + self.sums.get(n, 0.0) for n, g in gradients.items()}
        if numbers.is_update:
            self.move({n: found[n] for n in self.momenta}, learning_rate, numbers.average_share)
        else:
            self.sums = {n: found[n] for n in self.momenta}
        hits = counted * float((labels % 3 == 0).sum())
        is_good = float(np.isfinite(loss) and np.isfinite(self.totals.get("loss", 0.0)))
        count = counted * len(images)
        sums = {"loss": loss * count, "accuracy": hits, "count": count}
        for name, value in {**sums, "good_steps": is_good}.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value)
        self.num_steps += 1
        self.step_counter += 1

    def move(self, gradients, learning_rate, average_share):
        for name, gradient in gradients.items():
            self.momenta[name] = 0.9 * self.momenta[name] + gradient
            self.own[name] = self.own[name] - learning_rate * self.momenta[name]
        self.sums = {name: np.zeros_like(value) for name, value in self.sums.items()}
        for name, value in self.average.items():
            self.average[name] = value + average_share * (self.own[name] - value)

    def teacher_outputs(self, images):
        # Depends on the whole batch, as rounding does, so that another batch would show.
        means = images.mean(axis=(1, 2, 3), dtype=np.float64)
        return {"logits": np.outer(means + 1e-9 * means.sum(), np.ones(2))}

    def metrics(self):
        totals, num_steps = self.totals, self.num_steps
        self.totals, self.num_steps = dict.fromkeys(totals, 0.0), 0
        count, good = totals.pop("count", 0.0), int(totals.pop("good_steps", 0))
        means = {name: value / max(count, 1.0) for name, value in totals.items()}
        return {**means, "count": count, "bad_step": good if good < num_steps else -1}

    def wait(self):
        pass

    def load(self, weights):
        self.own = {name: weights[name].astype(np.float64) for name in self.own}

    def logits(self, images, extras=None):
        # What is kept of an image stands for it.
        means = extras["logits"][:, 0] if extras else images.mean(axis=(1, 2, 3))
        scale = sum(float(value.sum()) for value in self.own.values())
        columns = np.linspace(-1, 1, self._run.num_classes)
        return np.sin(np.outer(means * 7, columns) * scale)

    def weights(self, names=None):
        return {n: value for n, value in self.own.items() if names is None or n in names}

    def averages(self):
        return dict(self.average)

    def state(self):
        slots = {f"{name}/momentum": value for name, value in self.momenta.items()}
        slots |= {AVERAGE_PREFIX + name: value for name, value in self.average.items()}
        slots |= {GRADIENT_PREFIX + name: value for name, value in self.sums.items()}
        return {**slots, "step": np.asarray(self.step_counter)}

    def restore(self, state):
        self.average = {name: state[AVERAGE_PREFIX + name] for name in self.average}
        self.sums = {name: state[GRADIENT_PREFIX + name] for name in self.sums}
        self.momenta = {name: state[f"{name}/momentum"] for name in self.momenta}
        self.step_counter = int(state["step"])

    def counts(self):
        return {**self.totals, "num_steps": self.num_steps}

    def restore_counts(self, counts):
        totals = dict(counts)
        self.num_steps = int(totals.pop("num_steps"))
        self.totals = totals


def pseudo_gradients(weights, images, labels, noise, extras):
    """A scalar of everything that comes in, and each weight pulled by it."""
    order = np.arange(1, len(images) + 1)
    scalar = float((images.mean(axis=(1, 2, 3)) * order).mean())
    scalar += 1e-3 * sum(float(mask.sum()) for mask in noise.values())
    scalar += sum(float(np.asarray(value).sum()) * 1e-3 for value in extras.values())
    target = float((np.asarray(labels, dtype=np.float64).reshape(len(images), -1)[:, 0]).mean())
    gradients = {name: np.tanh(value * scalar) + 1e-3 * target for name, value in weights.items()}
    loss = float(np.mean([np.square(value).mean() for value in weights.values()])) + scalar
    with np.errstate(all="ignore"):
        return loss, gradients


def describe(run):
    return {"framework": "stub", "version": "1"}


def prepare(run):
    die_at("data")


def join(run, place):
    MEETINGS.append(Meeting(replace(place, meeting=place.addresses[0])))


def sum_over_ranks(gradients):
    """The sum of each rank's gradients, so that the weights depend on all of them."""
    if not MEETINGS:
        return gradients
    found = MEETINGS[0].exchange(gradients)
    return {name: sum(each[name] for each in found) for name in gradients}


def die_at(place):
    """End the process where a test asks for it."""
    if os.environ.get("STUB_DIES_AT") == place:
        os._exit(7)


def loss_and_gradients(run, weights, images, labels, noise, extras):
    own = {p.name: weights[p.name] for p in run.trained_network.parameters}
    return pseudo_gradients(own, images, labels, noise, extras)


def map_and_gradient(run, weights, images, labels, tap):
    """A map of the images' means in cells, and a gradient that depends on the class."""
    height, width, channels = run.network.shape_of(run.network.node_of(tap))
    rows = np.array_split(np.arange(images.shape[1]), height)
    columns = np.array_split(np.arange(images.shape[2]), width)
    cells = np.array(
        [[images[:, row][:, :, column].mean(axis=(1, 2, 3)) for column in columns] for row in rows]
    )
    found = cells.transpose(2, 0, 1)[..., None] * np.linspace(0.5, 1.5, channels)
    # Only the even classes are spoken for.
    return found, np.ones_like(found) * np.where(labels % 2, -1.0, 1.0)[:, None, None, None]


def prepare_map_and_gradient(run, weights):
    return partial(map_and_gradient, run, weights)


def serve():
    """Be a worker of this backend."""
    from poc.shared.engine import backend

    backend.load = lambda name: sys.modules[__name__]
    name = sys.argv[-1]
    sys.argv = ["server", name]
    runpy.run_module("poc.shared.engine.server", run_name="__main__")


def stop_at(steps, number=signal.SIGTERM):
    """A `Saver.is_due` that sends this process a signal after some steps, and never saves."""

    def is_due(self, step, now):
        if step in steps:
            os.kill(os.getpid(), number)
        return False

    return is_due


if __name__ == "__main__":
    serve()
