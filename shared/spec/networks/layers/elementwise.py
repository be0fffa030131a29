"""Layers that keep the shape of their input: normalisation, scale, activation, dropout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .declaration import ONES, ZEROS, Activation, Elementwise, Initializer, Parameter, Shape


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Elementwise):
    """Batch normalisation; each step keeps `momentum` as the share of the running value.

    The running variance is Bessel-corrected in both backends (docs/fairness.md), except where a run
    asks for Keras' habit: then `corrects_variance` is false, which each tree's builder hands on.
    """

    kind: ClassVar[str] = "batch_norm"
    momentum: float = 0.99
    epsilon: float = 1e-3
    scale: bool = True
    center: bool = True
    corrects_variance: bool = True

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare gamma and beta if used, then both running statistics, each of shape (C,)."""
        shape = (inputs[0][-1],)
        gamma = (Parameter(name="gamma", shape=shape, initializer=ONES),) if self.scale else ()
        beta = (Parameter(name="beta", shape=shape, initializer=ZEROS),) if self.center else ()
        running = tuple(
            Parameter(name=name, shape=shape, initializer=initial, is_trainable=False)
            for name, initial in (("moving_mean", ZEROS), ("moving_variance", ONES))
        )
        return (*gamma, *beta, *running)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "channels": inputs[0][-1],
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "scale": self.scale,
            "center": self.center,
        }


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Elementwise):
    """Layer normalisation (arXiv 1607.06450): over the channels, at each position by itself."""

    kind: ClassVar[str] = "layer_norm"
    epsilon: float

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare gamma and beta, each of shape (C,)."""
        shape = (inputs[0][-1],)
        return (
            Parameter(name="gamma", shape=shape, initializer=ONES),
            Parameter(name="beta", shape=shape, initializer=ZEROS),
        )

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"channels": inputs[0][-1], "epsilon": self.epsilon}


@dataclass(frozen=True, kw_only=True)
class LayerScale(Elementwise):
    """LayerScale (arXiv 2103.17239, section 2): one learned factor per channel of a branch."""

    kind: ClassVar[str] = "layer_scale"
    initial_value: float

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare gamma (C,), which begins with `initial_value`."""
        start = Initializer(distribution="constant", scale=self.initial_value)
        return (Parameter(name="gamma", shape=(inputs[0][-1],), initializer=start),)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"channels": inputs[0][-1]}


@dataclass(frozen=True, kw_only=True)
class Activate(Elementwise):
    """An activation as a layer of its own."""

    kind: ClassVar[str] = "activation"
    activation: Activation

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"activation": self.activation}


@dataclass(frozen=True, kw_only=True)
class Dropout(Elementwise):
    """Inverted dropout with a mask that `engine.noise` draws; spatial dropout drops channels.

    With `has_own_stream` the layer draws its mask itself, with its framework's generator.
    """

    kind: ClassVar[str] = "dropout"
    rate: float
    is_spatial: bool = False
    has_own_stream: bool = False

    def mask_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of one example's mask: (1, 1, C) if spatial, or the input's shape."""
        shape = inputs[0]
        return (1,) * (len(shape) - 1) + shape[-1:] if self.is_spatial else shape

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"rate": self.rate, "is_spatial": self.is_spatial}
