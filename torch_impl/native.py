"""A network that a user takes home: a plain torch.nn.Module with its weights in place."""

from collections.abc import Mapping

from torch import nn

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import Network

from .layers.tokens import _rename_tables
from .models import Model
from .weights import load_weights


def build_native_model(network: Network, weights: Weights, names: Mapping[str, str]) -> nn.Module:
    """Build a module in float32: images (N, C, H, W) -> logits (N, num_classes).

    It is in training mode, as every new module of PyTorch is: `eval()` before it predicts.

    Args:
        network: The network; all its layers train.
        weights: Canonical name -> array of the declared shape (…).
        names: Node -> name of its module; dots separate the levels of nested modules.
    """
    model = Model(network, names=names)
    load_weights(model, weights)
    _rename_tables(model)
    return model
