"""The backend contract (`poc.shared.engine.backend.Backend`) in PyTorch."""

from .device import describe, prepare
from .features import (
    features,
    hyper_gradient,
    loss_and_gradients,
    map_batches,
    parameters,
)
from .published import fetch_imagenet, read_published, write_published
from .trainer import Trainer

__all__ = [
    "Trainer",
    "describe",
    "features",
    "fetch_imagenet",
    "hyper_gradient",
    "loss_and_gradients",
    "map_batches",
    "parameters",
    "prepare",
    "read_published",
    "write_published",
]
