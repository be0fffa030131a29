"""A worker that also evaluates the loss of the labels on given logits, and the framework's own."""

import runpy
import sys
from importlib import import_module
from typing import Any

import numpy as np

from poc.shared.engine.teacher import step_coefficients
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

BACKEND = sys.argv[-1]


def module(name: str) -> Any:
    return import_module(f"poc.{BACKEND}_impl.{name}")


def make_run(num_classes: int, precision: str, loss: dict[str, Any]) -> Any:
    values = {"backend": BACKEND, "input_shape": [8, 8, 1], "loss": loss}
    return resolve_networks(
        RunSpec.parse({**values, "num_classes": num_classes, "precision": precision}, "")
    )


def hard_loss(
    operations: Any,
    loss: dict[str, Any],
    logits: np.ndarray,
    labels: np.ndarray,
    direction: np.ndarray,
    precision: str = "float64",
) -> dict[str, np.ndarray]:
    """Shares (N,) of the loss, gradient of their mean, and its Hessian times a direction."""
    run, arrays = make_run(logits.shape[1], precision, loss), module("arrays")
    device = module("device").find_device(run.spec)
    function = module("losses").HardLoss(run.spec)
    extras = arrays.extras_to_tensors(
        step_coefficients(run, 0.0, labels), dtype=precision, device=device
    )
    targets = arrays.labels_to_tensor(labels, dtype=precision, device=device)
    differentiate = {"tf": differentiate_tf, "torch": differentiate_torch}[BACKEND]
    return differentiate(lambda values: function(values, targets, extras), logits, direction)


def stock_loss(
    operations: Any, loss: dict[str, Any], logits: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """PyTorch's own loss with the same options: value () and gradient."""
    import torch

    if loss.get("name") == "binary_cross_entropy":
        own, sets = torch.nn.BCEWithLogitsLoss(), torch.from_numpy(labels)
        found = differentiate_torch(lambda values: own(values, sets), logits, np.zeros(()))
        return {"value": found["shares"], "gradient": found["gradient"]}
    weights, smoothing = loss.get("class_weights"), loss.get("label_smoothing", 0.0)
    stock = torch.nn.CrossEntropyLoss(
        None if weights is None else torch.tensor(weights, dtype=torch.float64),
        label_smoothing=smoothing,
    )
    targets = torch.from_numpy(labels)
    found = differentiate_torch(lambda values: stock(values, targets), logits, np.zeros(()))
    return {"value": found["shares"], "gradient": found["gradient"]}


def differentiate_torch(function: Any, logits: Any, direction: Any) -> dict[str, np.ndarray]:
    import torch

    values = torch.from_numpy(logits).requires_grad_()
    shares = function(values)
    (gradient,) = torch.autograd.grad(shares.mean(), values, create_graph=True)
    product = (gradient * torch.from_numpy(direction)).sum()
    (curvature,) = torch.autograd.grad(product, values)
    found = {"shares": shares, "gradient": gradient, "curvature": curvature}
    return {name: value.detach().numpy() for name, value in found.items()}


def differentiate_tf(function: Any, logits: Any, direction: Any) -> dict[str, np.ndarray]:
    import tensorflow as tf

    values = tf.constant(logits)

    # Traced, as a step is: in a graph the derivatives are those of other kernels.
    @tf.function(autograph=False)
    def run() -> Any:
        with tf.GradientTape() as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                shares = function(values)
                mean = tf.reduce_mean(shares)
            gradient = inner.gradient(mean, values)
            product = tf.reduce_sum(gradient * direction)
        return shares, gradient, outer.gradient(product, values)

    names = ("shares", "gradient", "curvature")
    return {name: np.asarray(value) for name, value in zip(names, run(), strict=True)}


if __name__ == "__main__":
    from poc.shared.engine.server.operations import ServedOperations

    for operation in (hard_loss, stock_loss):
        setattr(ServedOperations, operation.__name__, operation)
    sys.argv = ["server", BACKEND]
    runpy.run_module("poc.shared.engine.server", run_name="__main__")
