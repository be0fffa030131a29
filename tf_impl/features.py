"""Evaluation-mode features and single-batch gradients in TensorFlow: the doors of parity."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.noise import Noise
from poc.shared.spec.initializers import Weights
from poc.shared.spec.layers import Parameter
from poc.shared.spec.methods import find_method
from poc.shared.spec.run import RunSpec

from .border import images_to_tensor, labels_to_tensor, map_to_array, noise_to_tensors
from .device import find_device
from .gradients import compute_gradients
from .methods import OBJECTIVES
from .models import Model
from .weights import load_weights, named_variables, to_canonical


def parameters(run: RunSpec) -> list[Parameter]:
    """The parameter table as the built model has it; decay and initializer from the spec."""
    declared = {parameter.name: parameter for parameter in run.network.parameters}
    model = Model(run.network, dtype=run.precision)
    return [
        Parameter(
            name=name,
            shape=tuple(variable.shape),
            initializer=declared[name].initializer,
            is_trainable=variable.trainable,
            weight_decay=declared[name].weight_decay,
        )
        for name, variable in named_variables(model).items()
    ]


def loss_and_gradients(
    run: RunSpec, weights: Weights, images: NDArray[Any], labels: NDArray[Any], noise: Noise
) -> tuple[float, Weights]:
    """Mean loss of one batch in training mode, and every trainable parameter's gradient."""
    model = Model(run.network, dtype=run.precision)
    load_weights(model, weights)
    objective = OBJECTIVES[find_method(run.method).objective](run, model, weights)
    device = find_device(run)
    result = compute_gradients(
        objective,
        model,
        images_to_tensor(images, dtype=run.precision, device=device),
        labels_to_tensor(labels, device=device),
        noise_to_tensors(noise, device=device),
    )
    return float(result.loss), {
        name: to_canonical(model, name, gradient) for name, gradient in result.by_name.items()
    }


def features(
    run: RunSpec, weights: Weights, images: NDArray[Any], taps: Sequence[str]
) -> dict[str, NDArray[np.floating]]:
    """Named maps (N, H, W, C) in evaluation mode; the tap `logits` gives the logits."""
    model = Model(run.network, dtype=run.precision)
    load_weights(model, weights)
    inputs = images_to_tensor(images, dtype=run.precision, device=find_device(run))
    return map_to_array(model.features(inputs, taps))
