"""The table of models: a new architecture is one row and inherits every command and test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from poc.shared.errors import UsageError

from .architectures import googlenet, lightnet
from .layers import Shape
from .network import Network
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class Model:
    """One row: the options that the architecture takes and the function that declares it."""

    summary: str
    options: type[Settings]
    declare: Callable[[Any, Shape, int], Network]
    example_input: Shape = (28, 28, 1)


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "lightnet_plain": Model(
            summary="LightLayers paper, MNIST and Fashion-MNIST: plain blocks",
            options=lightnet.LightNetOptions,
            declare=lightnet.lightnet_plain,
        ),
        "lightnet_residual": Model(
            summary="LightLayers paper (CIFAR) and chest X-ray study: residual blocks",
            options=lightnet.LightNetOptions,
            declare=lightnet.lightnet_residual,
            example_input=(32, 32, 3),
        ),
        "conv2d_chain": Model(
            summary="chest X-ray study's baseline: nine 3x3 convolutions without padding",
            options=lightnet.ConvChainOptions,
            declare=lightnet.conv2d_chain,
            example_input=(64, 64, 3),
        ),
        "googlenet": Model(
            summary="Inception v1 with biases: the course's net for Fashion-MNIST; the paper's",
            options=googlenet.GoogLeNetOptions,
            declare=googlenet.googlenet,
        ),
        "inception_module": Model(
            summary="one Inception module, naive or reduced, to count its multiply-adds",
            options=googlenet.InceptionModuleOptions,
            declare=googlenet.inception_module,
            example_input=(28, 28, 256),
        ),
    }
)


def find_model(name: str) -> Model:
    """The row of a model.

    Raises:
        UsageError: No such model.
    """
    if name not in MODELS:
        raise UsageError(
            f"received the model {name!r}; allowed are {', '.join(sorted(MODELS))}: "
            "choose one (`poc models list` describes them)"
        )
    return MODELS[name]


class ModelSpec(Settings):
    """Which architecture, with which of its own options."""

    name: str = Field(description="a row of `poc models list`")
    options: Mapping[str, Any] = Field(default_factory=dict, description="the model's own options")
    trainable: Literal["all", "head"] = Field(
        "all", description='"head": only the last layer with parameters; the rest is frozen'
    )
    removed: tuple[str, ...] = Field((), description="blocks that are replaced by their shortcuts")

    def resolved(self) -> Settings:
        """The model's options, validated, defaults filled in."""
        return find_model(self.name).options.parse(dict(self.options), "model")

    def declare(self, input_shape: Shape, num_classes: int) -> Network:
        """The declared network for images of `input_shape` (H, W, C)."""
        network = find_model(self.name).declare(self.resolved(), input_shape, num_classes)
        if self.removed:
            network = network.without(self.removed)
        return network.with_frozen_body() if self.trainable == "head" else network
