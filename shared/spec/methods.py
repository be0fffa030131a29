"""The table of methods: what each trains, with which hyper-parameters and on which model.

A method is an objective that both trees implement under `methods/`, plus defaults. A new method is
one row here, one file in each tree, one config and one NumPy reference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from poc.shared.errors import UsageError

from . import l2t_ww
from .layers import Parameter
from .network import Network
from .settings import Settings


class SupervisedOptions(Settings):
    """Cross-entropy alone has no hyper-parameters of its own."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row: what it is, its hyper-parameters, its objective and the model that it trains.

    Attributes:
        summary: One line.
        options: Its hyper-parameters.
        objective: Its class in both trees.
        default_model: Where none is named.
        models: Those that it can train; none: all.
        extra_parameters: (options, target, source) -> what it trains beside the network; there for
            a method that learns from a source network and owns its update.
        defaults: Other defaults of the run spec, by group; what is given wins.
        optimizers: Update rules that it can take; none: all.
    """

    summary: str
    options: type[Settings]
    objective: str
    default_model: str
    models: tuple[str, ...] = ()
    extra_parameters: Callable[[Any, Network, Network], tuple[Parameter, ...]] | None = None
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    optimizers: tuple[str, ...] = ()


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "lightlayers": Method(
            summary="LightLayers: convolutions and dense layers through a narrow bottleneck",
            options=SupervisedOptions,
            objective="supervised",
            default_model="lightnet_plain",
            models=("lightnet_plain", "lightnet_residual", "conv2d_chain"),
        ),
        "scratch": Method(
            summary="supervised training of any model from drawn weights",
            options=SupervisedOptions,
            objective="supervised",
            default_model="conv2d_chain",
        ),
        "l2t-ww": Method(
            summary="Learning What and Where to Transfer: learned weights of source maps",
            options=l2t_ww.L2TWWOptions,
            objective="l2t_ww",
            default_model="vgg9_bn",
            extra_parameters=l2t_ww.extra_parameters,
            defaults={
                "optimizer": {
                    "name": "sgd",
                    "learning_rate": 0.1,
                    "momentum": 0.9,
                    "weight_decay": 1e-4,
                },
                "schedule": {"name": "cosine"},
            },
            optimizers=("sgd",),
        ),
    }
)


def find_method(name: str) -> Method:
    """The row of a method.

    Raises:
        UsageError: No such method.
    """
    if name not in METHODS:
        raise UsageError(
            f"received the method {name!r}; allowed are {', '.join(sorted(METHODS))}: choose one"
        )
    return METHODS[name]
