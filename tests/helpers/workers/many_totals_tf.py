"""Run by test_trainer.py in a process of its own: totals of a method with many pairs of maps.

Prints JSON: the totals of one step, and those that a second trainer restores from them.
"""

import json
import sys

import numpy as np
import tensorflow as tf  # noqa: TID253

from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec
from poc.tf_impl import trainer as trainers

NUM_PAIRS = int(sys.argv[1])
RUN = {
    "model": {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [2]}},
    "method": "scratch",
    "input_shape": [8, 8, 1],
    "num_classes": 2,
}
find_objective = trainers.find_objective


def find_matching(method):
    """The objective of a method, which watches one value per pair too."""

    def make(run, model, weights):
        objective = find_objective(method)(run, model, weights)
        objective.pairs = tuple(range(NUM_PAIRS))
        losses = objective.losses

        def watch(images, *others):
            for pair in objective.pairs:
                objective.watched[f"pair_weight/{pair}"] = tf.fill([images.shape[0]], float(pair))
            return losses(images, *others)

        objective.losses = watch
        return objective

    return make


def measure():
    run = resolve_networks(RunSpec.parse(RUN, ""))
    weights = draw_weights(run.trained_network.parameters, 0)
    trainers.find_objective = find_matching
    first, second = (trainers.Trainer(run, weights) for _ in range(2))
    first.step(np.zeros((2, 8, 8, 1), np.float32), np.array([0, 1]), 0.1, {})
    second.restore_counts(first.counts())
    return {"counted": first.counts(), "restored": second.counts()}


if __name__ == "__main__":
    print(json.dumps(measure()))
