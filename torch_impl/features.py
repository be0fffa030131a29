"""Features and single-batch gradients in PyTorch, which parity compares."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poc.shared.engine.backend import Extras, MapAndGradient
from poc.shared.engine.numerics.noise import Noise
from poc.shared.engine.teacher import step_coefficients
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.layers.declaration import Parameter
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import ResolvedRun

from .arrays import (
    extras_to_tensors,
    images_to_tensor,
    labels_to_tensor,
    map_to_array,
    noise_to_tensors,
    rate_to_tensor,
)
from .device import find_device
from .gradients import complete_extras, compute_gradients
from .methods import find_objective
from .models import Model
from .weights import canonical_shape, load_weights, named_variables, to_canonical


def parameters(run: ResolvedRun) -> list[Parameter]:
    """Return the parameter table of the built model, with decay and initializer from the spec.

    The model is built on the meta device, so that nothing is allocated.
    """
    network = run.trained_network
    declared = {parameter.name: parameter for parameter in network.parameters}
    with torch.device("meta"):
        model = Model(network, dtype=run.spec.precision)
    return [
        Parameter(
            name=name,
            shape=canonical_shape(model, name),
            initializer=declared[name].initializer,
            is_trainable=variable.requires_grad,
            weight_decay=declared[name].weight_decay,
        )
        for name, variable in named_variables(model).items()
    ]


def loss_and_gradients(
    run: ResolvedRun,
    weights: Weights,
    images: NDArray[Any],
    labels: NDArray[Any],
    noise: Noise,
    extras: Extras,
) -> tuple[float, Weights]:
    """Return the mean loss of one batch in training mode, and every trainable parameter's gradient.

    Args:
        run: The run, whose trained network is built.
        weights: Canonical weights of the network and of the method.
        images: (N, H, W, C).
        labels: (N,) int64, or soft ones (N, num_classes).
        noise: Masks (N, …) of the random layers.
        extras: Kept outputs (N, …) and scalars () of this step.
    """
    model = Model(run.trained_network, dtype=run.spec.precision).to(find_device(run.spec))
    load_weights(model, weights)
    objective = find_objective(run.spec.method)(run, model, weights)
    device = find_device(run.spec)
    # The function that a training step calls: parity judges what a run does, not a copy of it.
    result = compute_gradients(
        objective,
        model,
        images_to_tensor(images, dtype=run.spec.dtype, device=device, layout=run.spec.layout),
        labels_to_tensor(labels, dtype=run.spec.dtype, device=device),
        noise_to_tensors(noise, device=device),
        extras_to_tensors(extras, dtype=run.spec.dtype, device=device),
    )
    return float(result.loss.detach()), {
        name: to_canonical(model, name, gradient) for name, gradient in result.by_name.items()
    }


@torch.no_grad()
def features(
    run: ResolvedRun, weights: Weights, images: NDArray[Any], taps: Sequence[str]
) -> dict[str, NDArray[np.floating]]:
    """Return the tapped maps (N, H, W, C) of images (N, H, W, C) in evaluation mode.

    The tap `logits` gives the logits (N, num_classes).
    """
    model = Model(run.network, dtype=run.spec.precision).to(find_device(run.spec))
    load_weights(model, weights)
    inputs = images_to_tensor(
        images, dtype=run.spec.dtype, device=find_device(run.spec), layout=run.spec.layout
    )
    return map_to_array(model.read_taps(inputs, taps))


def map_and_gradient(
    run: ResolvedRun,
    weights: Weights,
    images: NDArray[Any],
    labels: NDArray[np.int64],
    tap: str,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return a tapped map and the gradient of one logit of each image at it, in evaluation mode.

    Args:
        run: The run, whose network without additions is built.
        weights: Canonical weights of the network.
        images: (N, H, W, C).
        labels: (N,) int64, the class whose logit is meant.
        tap: Name of the map; every node is one too.

    Returns:
        Two arrays (N, h, w, c), or (N, c) of a vector. The gradient is 0 if the logits do not
        depend on the tap.
    """
    return prepare_map_and_gradient(run, weights)(images, labels, tap)


def prepare_map_and_gradient(run: ResolvedRun, weights: Weights) -> MapAndGradient:
    """Return `map_and_gradient` of a network that is built once, for any number of images.

    Args:
        run: The run, whose network without additions is built.
        weights: Canonical weights of the network.

    Returns:
        A function of images (N, H, W, C), labels (N,) and the name of a tap, which returns the map
        and the gradient (N, h, w, c).
    """
    model = Model(run.network, dtype=run.spec.precision).to(find_device(run.spec))
    load_weights(model, weights)
    # With no other gradient around, the logits have one exactly if they depend on the tap.
    model.requires_grad_(False)
    device = find_device(run.spec)

    def compute(
        images: NDArray[Any], labels: NDArray[np.int64], tap: str
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        inputs = images_to_tensor(
            images, dtype=run.spec.dtype, device=device, layout=run.spec.layout
        )
        columns = labels_to_tensor(labels, dtype=run.spec.dtype, device=device)
        # The images go in again: the logits may have a way around the tap.
        node, output = run.network.node_of(tap), run.network.output
        value = model.read_taps(inputs, [tap])[tap].requires_grad_()
        logits = model.values(inputs, [output], given={node: value})[output]
        chosen = logits.gather(1, columns[:, None]).sum()
        gradient = torch.zeros_like(value)
        if chosen.requires_grad:
            (gradient,) = torch.autograd.grad(chosen, value)
        arrays = map_to_array({"map": value, "gradient": gradient})
        return arrays["map"], arrays["gradient"]

    return compute


def map_batches(
    run: ResolvedRun,
    network: Network,
    weights: Weights,
    taps: Sequence[str],
    batches: Iterable[NDArray[Any]],
) -> Iterator[dict[str, NDArray[np.floating]]]:
    """Yield the tapped maps (N, H, W, C) of any network for one batch of images after the other.

    The network is in evaluation mode.
    """
    model = Model(network, dtype=run.spec.precision).to(find_device(run.spec))
    load_weights(model, weights)

    @torch.no_grad()
    def compute(images: torch.Tensor) -> dict[str, torch.Tensor]:
        return model.read_taps(images, taps)

    for images in batches:
        inputs = images_to_tensor(images, dtype=run.spec.dtype, device=find_device(run.spec))
        yield map_to_array(compute(inputs))


def hyper_gradient(
    run: ResolvedRun,
    weights: Weights,
    state: Mapping[str, NDArray[Any]],
    images: NDArray[Any],
    labels: NDArray[Any],
    learning_rate: float,
    noise: Noise,
) -> tuple[float, Weights]:
    """Return the outer loss of one batch, and its gradient on the meta-parameters.

    Args:
        run: The run, whose method has meta-parameters.
        weights: Canonical weights after the batch's kept step.
        state: Arrays that `Trainer.state` returned then, with the momentum.
        images: (N, H, W, C).
        labels: (N,) int64, or soft ones (N, num_classes).
        learning_rate: Rate of the look-ahead steps.
        noise: Masks (N, …) of the random layers.
    """
    model = Model(run.trained_network, dtype=run.spec.precision).to(find_device(run.spec))
    load_weights(model, weights)
    objective = find_objective(run.spec.method)(run, model, weights)
    objective.restore(state)
    device = find_device(run.spec)
    inputs = images_to_tensor(images, dtype=run.spec.dtype, device=device, layout=run.spec.layout)
    coefficients = step_coefficients(run, 0.0, labels)
    loss, gradients = objective.outer_gradient(
        inputs,
        labels_to_tensor(labels, dtype=run.spec.dtype, device=device),
        rate_to_tensor(learning_rate),
        noise_to_tensors(noise, device=device),
        # Computed here: no output of the source is kept for these images.
        complete_extras(
            objective,
            inputs,
            extras_to_tensors(coefficients, dtype=run.spec.dtype, device=device),
        ),
    )
    return float(loss.detach()), {
        name: objective.to_array(name, gradient) for name, gradient in gradients.items()
    }
