"""A worker with more operations, for tests that must reach inside a backend.

It is started like a worker's interpreter (`python -m poc.shared.engine.server BACKEND`), adds its
operations to the class and hands over to the server. A test imports them to name them.
"""

import os
import runpy
import sys
from importlib import import_module
from typing import Any

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.step_numbers import group_batches, inputs_of_step
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.optimizers import OptimizerSpec
from poc.shared.spec.training.precision import SCALED, storage_type
from poc.tests.helpers.layers.cases import CASES, same_padding_case

BACKEND = sys.argv[-1]
Arrays = dict[str, np.ndarray]


def module(name: str) -> Any:
    return import_module(f"poc.{BACKEND}_impl.{name}")


def find_network(name: str) -> Any:
    if name in CASES:
        return CASES[name]
    size, width, kernel_size, stride = (int(part) for part in name.split("x"))
    return same_padding_case((size, width), kernel_size, stride)


def build_model(network: Any, precision: str, weights: Arrays) -> Any:
    model = module("models").Model(network, dtype=precision)
    module("weights").load_weights(model, weights)
    return model


def outputs_of(
    operations: Operations, networks: list[str], weights: list[Arrays], images: list[np.ndarray]
) -> list[np.ndarray]:
    """Output of each network in evaluation mode, float64."""
    arrays = module("arrays")
    outputs = []
    for name, own, values in zip(networks, weights, images, strict=True):
        model = build_model(find_network(name), "float64", own)
        inputs = arrays.images_to_tensor(values, dtype="float64", device=device())
        outputs.append(arrays.map_to_array(model.read_taps(inputs, ["logits"]))["logits"])
    return outputs


def device() -> str:
    return "/CPU:0" if BACKEND == "tf" else "cpu"


def differentiate_case(
    operations: Operations,
    case: str,
    precision: str,
    weights: Arrays,
    images: np.ndarray,
    projection: np.ndarray,
    noise: Arrays,
    training: bool,
) -> dict[str, Any]:
    """Output, gradients of sum(output * projection), and the weights after the pass."""
    network = CASES[case]
    model = build_model(network, precision, weights)
    differentiate = {"tf": differentiate_tf, "torch": differentiate_torch}[BACKEND]
    dtype = storage_type(precision)
    output, gradients = differentiate(model, dtype, images, projection, noise, training)
    after = module("weights").read_weights(model)
    return {"output": output, "gradients": gradients, "weights": after}


def differentiate_tf(
    model: Any,
    precision: str,
    images: np.ndarray,
    projection: np.ndarray,
    noise: Arrays,
    training: bool,
) -> tuple[np.ndarray, Arrays]:
    import tensorflow as tf

    variables = module("weights").named_variables(model)
    learning = {name: v.value for name, v in variables.items() if v.trainable}
    inputs = tf.constant(images, precision)
    masks = {name: tf.constant(mask) for name, mask in noise.items()}
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = model(inputs, masks, training=training)
        total = tf.reduce_sum(output * tf.constant(projection, precision))
    found = tape.gradient(total, {"images": inputs, **learning})
    return np.asarray(output), {name: np.asarray(value) for name, value in found.items()}


def differentiate_torch(
    model: Any,
    precision: str,
    images: np.ndarray,
    projection: np.ndarray,
    noise: Arrays,
    training: bool,
) -> tuple[np.ndarray, Arrays]:
    arrays, weights = module("arrays"), module("weights")
    leaf = (
        arrays.images_to_tensor(images, dtype=precision, device="cpu")
        if images.ndim == 4
        else (as_tensor(images, precision))
    )
    inputs = leaf.detach().requires_grad_()
    output = model(inputs, arrays.noise_to_tensors(noise, device="cpu"), training=training)
    target = as_tensor(projection, precision)
    (output * (target.permute(0, 3, 1, 2) if target.ndim == 4 else target)).sum().backward()
    names = weights.trainable_names(model)
    variables = weights.named_variables(model)
    gradients = {name: weights.to_canonical(model, name, variables[name].grad) for name in names}
    moved = arrays.map_to_array({"images": inputs.grad, "output": output})
    return moved["output"], {"images": moved["images"], **gradients}


def as_tensor(array: np.ndarray, precision: str) -> Any:
    import torch

    return torch.from_numpy(array).to(getattr(torch, precision))


def optimize(
    operations: Operations,
    optimizer: dict[str, Any],
    values: list[np.ndarray],
    weight_decays: list[float],
    targets: list[np.ndarray],
    learning_rates: list[float],
) -> list[list[np.ndarray]]:
    """Values after each step of minimising sum((value - target)^4), in float64."""
    optimizers = module("optimizers")
    spec = OptimizerSpec.parse(optimizer, "optimizer")
    variables = [make_variable(value) for value in values]
    built = optimizers.build_optimizer(spec, variables, weight_decays)
    history = []
    for rate in learning_rates:
        gradients = [
            4 * (read(v) - target) ** 3 for v, target in zip(variables, targets, strict=True)
        ]
        optimizers.set_learning_rate(built, rate)
        take_step(built, gradients, variables)
        history.append([read(variable).copy() for variable in variables])
    return history


def make_variable(value: np.ndarray) -> Any:
    if BACKEND == "tf":
        import keras

        return keras.Variable(value, dtype="float64")
    return as_tensor(value, "float64").requires_grad_()


def read(variable: Any) -> np.ndarray:
    return np.asarray(variable) if BACKEND == "tf" else variable.detach().numpy()


def take_step(optimizer: Any, gradients: list[np.ndarray], variables: list[Any]) -> None:
    if BACKEND == "tf":
        import tensorflow as tf

        optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        return
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.grad = as_tensor(gradient, "float64")
    optimizer.step()


def make_trainer(run: dict[str, Any], weights: Arrays) -> tuple[RunSpec, Any]:
    spec = RunSpec.parse(run, "")
    backend = load(BACKEND)
    # It refuses float16 here; for a handful of numbers the CPU's kernels will do.
    if spec.precision not in SCALED:
        backend.prepare(spec)
    return spec, backend.Trainer(resolve_networks(spec), weights)


def walk(spec: RunSpec, trainer: Any, batches: list[Arrays], steps: range) -> None:
    resolved = resolve_networks(spec)
    grouping = group_batches(resolved, [len(batch["labels"]) for batch in batches])
    for step in steps:
        batch = batches[step % len(batches)]
        noise, numbers = inputs_of_step(resolved, grouping, step)
        trainer.step(batch["images"], batch["labels"], 1e-2, noise, numbers)


def resume(
    operations: Operations, run: dict[str, Any], weights: Arrays, batches: list[Arrays]
) -> dict[str, Any]:
    """Six steps in one go; and three, then state and weights into a new trainer, then three."""
    spec, straight = make_trainer(run, weights)
    walk(spec, straight, batches, range(3))
    saved, state = straight.weights(), straight.state()
    saved = {name: value.copy() for name, value in saved.items()}
    state = {name: np.array(value) for name, value in state.items()}
    walk(spec, straight, batches, range(3, 6))
    _, resumed = make_trainer(run, saved)
    resumed.restore(state)
    given_back = resumed.state()
    walk(spec, resumed, batches, range(3, 6))
    return {
        "straight": straight.weights(),
        "resumed": resumed.weights(),
        "straight_state": straight.state(),
        "resumed_state": resumed.state(),
        "state": state,
        "given_back": given_back,
    }


def count_steps(
    operations: Operations, run: dict[str, Any], weights: Arrays, groups: list[list[Arrays]]
) -> list[dict[str, float]]:
    """`metrics()` after each group of batches."""
    spec, trainer = make_trainer(run, weights)
    found = []
    for group in groups:
        walk(spec, trainer, group, range(len(group)))
        found.append(trainer.metrics())
    return found


def norm_statistics(
    operations: Operations, run: dict[str, Any], weights: Arrays, images: np.ndarray
) -> dict[str, Arrays]:
    """What a trainer says of a batch, and its weights afterwards."""
    _, trainer = make_trainer(run, weights)
    return {"found": trainer.norm_statistics(images), "weights": trainer.weights()}


def scaled_steps(
    operations: Operations,
    run: dict[str, Any],
    weights: Arrays,
    batch: Arrays,
    scales: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Weights, state and metrics after each step; `scales` holds the loss scale's state before."""
    spec, trainer = make_trainer(run, weights)
    found = []
    for scale in scales:
        trainer.loss_scale.restore({**trainer.loss_scale.state(), **scale})
        walk(spec, trainer, [batch], range(1))
        state = {name: np.array(value) for name, value in trainer.state().items()}
        found.append(
            {
                "weights": trainer.weights(),
                "state": state,
                "bad_step": trainer.metrics()["bad_step"],
            }
        )
    return found


def step_without_numbers(
    operations: Operations, run: dict[str, Any], weights: Arrays, batch: Arrays
) -> None:
    """A step of a caller that knows of no update but the plain one."""
    _, trainer = make_trainer(run, weights)
    trainer.step(batch["images"], batch["labels"], 1e-2, {})


def owning_methods(operations: Operations, methods: list[str]) -> list[str]:
    """Those of the methods whose objective takes its own steps."""
    find = module("methods").find_objective
    return [name for name in methods if find(name).owns_update]


def copies(operations: Operations, devices: list[str]) -> list[list[str]]:
    """What is asked of a tensor on its way to each device."""
    arrays, found = module("arrays"), []

    class Tensor:
        def pin_memory(self) -> "Tensor":
            found[-1].append("pin")
            return self

        def to(self, device: str, non_blocking: bool) -> "Tensor":
            found[-1].append(f"{device} {'later' if non_blocking else 'now'}")
            return self

    class Fake:
        @staticmethod
        def from_numpy(values: np.ndarray) -> Tensor:
            return Tensor()

    real, arrays.torch = arrays.torch, Fake
    try:
        for device in devices:
            found.append([])
            arrays.copy_to_device(np.zeros(3), device)
    finally:
        arrays.torch = real
    return found


def strides(operations: Operations, images: np.ndarray, layouts: list[str]) -> list[list[int]]:
    """How a batch lies in memory, in PyTorch's order of axes."""
    convert = module("arrays").images_to_tensor
    kwargs = {"dtype": "float32", "device": device()}
    return [list(convert(images, **kwargs, layout=layout).stride()) for layout in layouts]


def workspace_setting(operations: Operations, runs: list[dict[str, Any]]) -> list[str | None]:
    """What cuBLAS is told about its workspace once a process is prepared for each run."""
    found = []
    for run in runs:
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
        module("device").prepare(RunSpec.parse(run, ""))
        found.append(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
    return found


OPERATIONS = (
    *(outputs_of, differentiate_case, optimize, resume, count_steps, norm_statistics),
    *(scaled_steps, step_without_numbers, owning_methods, copies, strides, workspace_setting),
)

if __name__ == "__main__":
    from poc.shared.engine.server.operations import ServedOperations

    for operation in OPERATIONS:
        setattr(ServedOperations, operation.__name__, operation)
    sys.argv = ["server", BACKEND]
    runpy.run_module("poc.shared.engine.server", run_name="__main__")
