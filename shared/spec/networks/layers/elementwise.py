"""Layers that keep the shape of their input: normalisation, activation, dropout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .declaration import ONES, ZEROS, Activation, Elementwise, Parameter, Shape


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Elementwise):
    """Batch normalisation; `momentum` is the share of the running value that is kept.

    The running variance is Bessel-corrected in both backends (docs/fairness.md).
    """

    kind: ClassVar[str] = "batch_norm"
    momentum: float = 0.99
    epsilon: float = 1e-3
    scale: bool = True
    center: bool = True

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """gamma, beta (where present), then the two running statistics."""
        shape = (inputs[0][-1],)
        gamma = (Parameter(name="gamma", shape=shape, initializer=ONES),) if self.scale else ()
        beta = (Parameter(name="beta", shape=shape, initializer=ZEROS),) if self.center else ()
        running = tuple(
            Parameter(name=name, shape=shape, initializer=initial, is_trainable=False)
            for name, initial in (("moving_mean", ZEROS), ("moving_variance", ONES))
        )
        return (*gamma, *beta, *running)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {
            "channels": inputs[0][-1],
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "scale": self.scale,
            "center": self.center,
        }


@dataclass(frozen=True, kw_only=True)
class Activate(Elementwise):
    """An activation that stands alone."""

    kind: ClassVar[str] = "activation"
    activation: Activation

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {"activation": self.activation}


@dataclass(frozen=True, kw_only=True)
class Dropout(Elementwise):
    """Inverted dropout with a mask that `engine.noise` draws; spatial drops whole channels."""

    kind: ClassVar[str] = "dropout"
    rate: float
    is_spatial: bool = False

    def mask_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of one example's mask."""
        shape = inputs[0]
        return (1,) * (len(shape) - 1) + shape[-1:] if self.is_spatial else shape

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {"rate": self.rate}
