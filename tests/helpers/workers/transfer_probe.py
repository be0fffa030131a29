"""A worker that also evaluates single transfer losses, and looks at a trainer's source network."""

import runpy
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.worker.handle import Worker

BACKEND = sys.argv[-1]
Arrays = dict[str, np.ndarray]


def open_probe(backend: str, folder: Path) -> Worker:
    """A worker of this backend with the operations below."""
    interpreter = folder / "python"
    command = shlex.join([sys.executable, str(Path(__file__))])
    interpreter.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    interpreter.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"POC_{backend.upper()}_PYTHON", str(interpreter))
        return Worker(backend, log=folder / "log")


def module(name: str) -> Any:
    return import_module(f"poc.{BACKEND}_impl.{name}")


def evaluate_loss(
    operations: Any, name: str, inputs: list[np.ndarray], options: dict[str, Any], projection: Any
) -> dict[str, Any]:
    """Value of a loss in float64, and the gradients of sum(value * projection).

    Of `distillation_losses`, unless the name says of which module of a tree: `methods.kd.…`.
    """
    place, _, own_name = name.rpartition(".")
    function = getattr(module(place or "distillation_losses"), own_name)
    if BACKEND == "tf":
        import tensorflow as tf

        tensors = [tf.constant(value) for value in inputs]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors, **options)
            total = tf.reduce_sum(value * projection)
        found = tape.gradient(total, tensors, unconnected_gradients="zero")
        return {"value": np.asarray(value), "gradients": [np.asarray(g) for g in found]}
    import torch

    tensors = [channels_first(torch.from_numpy(value)).requires_grad_() for value in inputs]
    value = function(*tensors, **options)
    (value * channels_first(torch.from_numpy(projection))).sum().backward()
    grads = [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors]
    return {
        "value": np.ascontiguousarray(channels_last(value.detach()).numpy()),
        "gradients": [np.ascontiguousarray(channels_last(g).numpy()) for g in grads],
    }


def channels_first(tensor: Any) -> Any:
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor


def channels_last(tensor: Any) -> Any:
    return tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor


def walk(
    operations: Any,
    run: dict[str, Any],
    weights: Arrays,
    batches: list[Arrays],
    extras: dict[str, float],
    keep: bool = False,
) -> dict[str, Any]:
    """A step a batch at rate 0.01; `keep` passes the source's outputs in as kept ones."""
    spec = operations._prepare(run)
    trainer = operations._backend.Trainer(spec, weights)
    numbers = {name: np.asarray(value) for name, value in extras.items()}
    metrics = []
    for step, batch in enumerate(batches):
        images, labels = batch["images"], batch["labels"]
        noise = draw_noise(spec.trained_network, seed=0, step=step, batch_size=len(labels))
        kept = trainer.teacher_outputs(images) if keep else {}
        trainer.step(images, labels, 0.01, noise, {**numbers, **kept})
        metrics.append(trainer.metrics())
    source = getattr(trainer.objective, "teacher", None)
    return {
        "metrics": metrics,
        "weights": trainer.weights(),
        "source": module("weights").read_weights(source) if source else {},
    }


if __name__ == "__main__":
    from poc.shared.engine.server.operations import ServedOperations

    for operation in (evaluate_loss, walk):
        setattr(ServedOperations, operation.__name__, operation)
    sys.argv = ["server", BACKEND]
    runpy.run_module("poc.shared.engine.server", run_name="__main__")
