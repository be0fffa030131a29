"""A worker that also takes second derivatives of a layer, eagerly and traced."""

import runpy
import sys
from importlib import import_module
from typing import Any

import numpy as np

from poc.tests.helpers.layers.cases import CASES

BACKEND = sys.argv[-1]
Arrays = dict[str, np.ndarray]


def curvature(
    operations: Any, case: str, weights: Arrays, images: np.ndarray, directions: Arrays
) -> list[Arrays]:
    """Hessian of sum(sin(output)) times the directions of images and weights, float64.

    TensorFlow answers twice: eagerly, and from a graph.
    """
    model = import_module(f"poc.{BACKEND}_impl.models").Model(CASES[case], dtype="float64")
    own = import_module(f"poc.{BACKEND}_impl.weights")
    own.load_weights(model, weights)
    variables = own.named_variables(model)
    if BACKEND == "tf":
        return curvature_tf(model, variables, images, directions)
    return [curvature_torch(model, variables, images, directions)]


def curvature_torch(model: Any, variables: Any, images: Any, directions: Arrays) -> Arrays:
    import torch

    def moved(array: np.ndarray) -> Any:
        tensor = torch.from_numpy(array)
        return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor

    inputs = moved(images).detach().requires_grad_()
    leaves = {"images": inputs, **variables}
    total = model(inputs, {}, training=True).sin().sum()
    first = torch.autograd.grad(total, list(leaves.values()), create_graph=True)
    product = sum(
        (gradient * moved(directions[name])).sum()
        for name, gradient in zip(leaves, first, strict=True)
    )
    second = torch.autograd.grad(product, list(leaves.values()))
    found = dict(zip(leaves, (value.numpy() for value in second), strict=True))
    if images.ndim == 4:
        found["images"] = found["images"].transpose(0, 2, 3, 1)
    return found


def curvature_tf(model: Any, variables: Any, images: Any, directions: Arrays) -> list[Arrays]:
    import tensorflow as tf

    inputs = tf.constant(images)
    leaves = {"images": inputs, **{name: value.value for name, value in variables.items()}}

    def run() -> Any:
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                total = tf.reduce_sum(tf.sin(model(inputs, {}, training=True)))
            first = inner.gradient(total, leaves)
            product = tf.add_n(
                [tf.reduce_sum(first[name] * directions[name]) for name in directions]
            )
        return outer.gradient(product, leaves)

    traced = tf.function(run, autograph=False)
    return [{name: np.asarray(value) for name, value in call().items()} for call in (run, traced)]


if __name__ == "__main__":
    from poc.shared.engine.server.operations import ServedOperations

    ServedOperations.curvature = curvature
    sys.argv = ["server", BACKEND]
    runpy.run_module("poc.shared.engine.server", run_name="__main__")
