"""Initial weights, drawn once in NumPy for both backends.

Every parameter has a generator of its own, seeded by (run seed, parameter name): adding or renaming
one layer does not change the numbers of the others.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .layers.declaration import Initializer, Parameter

Weights = dict[str, NDArray[np.floating]]
Draw = Callable[[np.random.Generator, Initializer, tuple[int, ...]], NDArray[np.float64]]


def draw_weights(parameters: Iterable[Parameter], seed: int) -> Weights:
    """Draw the initial values of all parameters.

    Returns:
        Canonical `Weights`, float64 of the declared shapes, rounded to float32. Backends cast
        them to their precision, so that float32 and float64 runs start from the same numbers.
    """
    return {parameter.name: draw_parameter(parameter, seed) for parameter in parameters}


def draw_parameter(parameter: Parameter, seed: int) -> NDArray[np.float64]:
    """Draw one parameter (…) from its own generator: float64 of the declared shape."""
    generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(parameter.name.encode())]))
    draw = DISTRIBUTIONS[parameter.initializer.distribution]
    values = draw(generator, parameter.initializer, parameter.shape)
    # Rounding to float32 lets both precisions start from exactly the same values.
    return values.astype(np.float32).astype(np.float64)


def constant(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return an array (…) of this shape in which every value is `scale`."""
    return np.full(shape, initializer.scale, dtype=np.float64)


def glorot_uniform(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from U(-a, a), a = sqrt(6 / (fan_in + fan_out)), the Keras default."""
    limit = math.sqrt(6 / (initializer.fan_in + initializer.fan_out))
    return generator.uniform(-limit, limit, shape)


def torch_uniform(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw (…) from U(-a, a), a = 1 / sqrt(fan_in), the PyTorch default for kernels and biases."""
    limit = 1 / math.sqrt(initializer.fan_in)
    return generator.uniform(-limit, limit, shape)


def kaiming_normal_fan_out(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw (…) from N(0, 2 / fan_out), not truncated, as torchvision's ResNet and VGG kernels."""
    return generator.normal(0.0, math.sqrt(2 / initializer.fan_out), shape)


def kaiming_normal_fan_in(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from N(0, 2 / fan_in), not truncated."""
    return generator.normal(0.0, math.sqrt(2 / initializer.fan_in), shape)


def normal(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from N(0, scale^2)."""
    return generator.normal(0.0, initializer.scale, shape)


def uniform(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from U(-scale, scale)."""
    return generator.uniform(-initializer.scale, initializer.scale, shape)


def normal_hundredth(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from N(0, 0.01^2), as torchvision's dense layers of VGG and MobileNetV2."""
    return generator.normal(0.0, 0.01, shape)


def normal_fiftieth(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from N(0, 0.02^2), as the kernels of ConvNeXt, DeiT and DINOv2.

    Their code truncates at 2, a hundred deviations away.
    """
    return generator.normal(0.0, 0.02, shape)


def normal_millionth(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from N(0, 1e-6^2), as the biases of ViT's dense layers."""
    return generator.normal(0.0, 1e-6, shape)


def lecun_normal(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from a normal truncated at two deviations, with the variance 1 / fan_in.

    It is the distribution of ViT's patches.
    """
    return truncated_normal(generator, math.sqrt(1 / initializer.fan_in), shape)


def truncated_normal(
    generator: np.random.Generator, deviation: float, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from a normal truncated at two deviations, with this one of its own."""
    values = generator.normal(0.0, 1.0, shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = generator.normal(0.0, 1.0, int(outside.sum()))
    # 0.8796… is the deviation of a standard normal truncated to [-2, 2].
    return values * (deviation / 0.87962566103423978)


def uniform_fan_out(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from U(-a, a), a = 1 / sqrt(fan_out).

    It is the distribution of EfficientNet's dense layer in both lineages.
    """
    limit = 1 / math.sqrt(initializer.fan_out)
    return generator.uniform(-limit, limit, shape)


def variance_scaling_fan_out(
    generator: np.random.Generator, initializer: Initializer, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw an array (…) from a normal truncated at two deviations, with the variance 2 / fan_out.

    It is the distribution of Keras' EfficientNet convolutions.
    """
    return truncated_normal(generator, math.sqrt(2 / initializer.fan_out), shape)


DISTRIBUTIONS: Mapping[str, Draw] = MappingProxyType(
    {
        draw.__name__: draw
        for draw in (
            constant,
            glorot_uniform,
            torch_uniform,
            kaiming_normal_fan_out,
            kaiming_normal_fan_in,
            normal,
            uniform,
            normal_hundredth,
            normal_fiftieth,
            normal_millionth,
            lecun_normal,
            uniform_fan_out,
            variance_scaling_fan_out,
        )
    }
)
