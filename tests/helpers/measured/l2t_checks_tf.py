"""Run by test_l2t_ww_parts.py in a process of its own: prints measured errors as JSON."""

import json

import numpy as np
import tensorflow as tf  # noqa: TID253

from poc.shared.spec.methods.l2t_ww import ChannelPair, L2TWWOptions
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.declaration import prefixed
from poc.tf_impl.layers.batch_norm import CALLS, batch_norm
from poc.tf_impl.methods.l2t_ww.matching import Matching

generator = np.random.default_rng(0)


def parameters_of(pair, options):
    """Regressor and meta-networks of a pair."""
    regressor = pair.layer(options).parameters((pair.target_shape,))
    return [*(prefixed(pair.regressor, p) for p in regressor), *pair.meta_parameters(options)]


def both_orders(arrays, dtype):
    """First gradients of a loss behind batch norm, and second ones along fixed directions."""
    leaves = [tf.constant(array, dtype) for array in arrays]
    directions = np.random.default_rng(1)
    with tf.GradientTape() as outer:
        outer.watch(leaves)
        with tf.GradientTape() as inner:
            inner.watch(leaves)
            outputs, *_ = batch_norm(*leaves, 1e-3)
            loss = tf.reduce_sum(tf.sin(outputs) * outputs)
        first = inner.gradient(loss, leaves)
        product = tf.add_n(
            [tf.reduce_sum(g * tf.constant(directions.normal(size=g.shape), dtype)) for g in first]
        )
    return [np.asarray(value) for value in [*first, *outer.gradient(product, leaves)]]


def compare_precisions(shape, gamma):
    arrays = [generator.normal(size=shape), np.asarray(gamma), generator.normal(size=3)]
    single, exact = both_orders(arrays, "float32"), both_orders(arrays, "float64")
    return max(
        float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(single, exact, strict=True)
    )


def matching_forms():
    shapes = {"a": (4, 4, 3), "b": (9, 7, 5)}
    targets = {"s": (8, 8, 4), "t": (3, 3, 6), "u": (4, 4, 2)}
    pairs = [
        ChannelPair(source=m, target=n, source_shape=shapes[m], target_shape=targets[n])
        for n in targets
        for m in shapes
    ]
    maps = {
        n: tf.constant(generator.normal(size=(2, *shape)))
        for n, shape in {**shapes, **targets}.items()
    }
    results = []
    for form in ("naive", "gram"):
        options = L2TWWOptions(matching=form)
        matching = Matching(options, pairs, dtype="float64", device="/CPU:0")
        drawn = draw_weights([p for pair in pairs for p in parameters_of(pair, options)], 0)
        values = {n: tf.constant(v) for n, v in drawn.items()}
        constants = matching.prepare(maps)
        gates = matching.gates(constants.pooled, values)
        leaves = [v for n, v in values.items() if n.startswith("regressor")]
        leaves += [maps[n] for n in targets]
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            errors = matching.errors(constants, maps, values)
            loss = tf.reduce_mean(matching.losses(gates.weights, errors))
        results.append([np.asarray(v) for v in [*errors.values(), *tape.gradient(loss, leaves)]])
    return max(
        float(np.abs(a - b).max() / np.abs(b).max())
        for a, b in zip(results[1], results[0], strict=True)
    )


def main():
    errors = {
        f"batch norm {shape} gamma {gamma}": compare_precisions(shape, gamma)
        for shape in ((4, 5, 6, 3), (16, 3))
        for gamma in ((1.0, 0.7, -0.5), (0.0, 1.0, 2.0))
    }
    print(json.dumps({"errors": errors, "gram": matching_forms(), "calls": CALLS}))


if __name__ == "__main__":
    main()
