"""The update of the weights: optimisers, and what is done to a gradient before and after them."""

from .rules import SGD, Adam, build_optimizer, set_learning_rate

__all__ = ["SGD", "Adam", "build_optimizer", "set_learning_rate"]
