"""The backend contract (`poc.shared.engine.backend.Backend`) in PyTorch."""

from .device import describe, prepare
from .features import features, loss_and_gradients, parameters
from .trainer import Trainer

__all__ = ["Trainer", "describe", "features", "loss_and_gradients", "parameters", "prepare"]
