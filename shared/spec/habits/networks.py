"""From a declared network to the one that a plain script of a framework would build."""

from dataclasses import replace

from poc.shared.spec.networks.layers.elementwise import BatchNorm, Dropout
from poc.shared.spec.networks.network import Network
from poc.shared.spec.networks.nodes import Node
from poc.shared.spec.training.habits import Framework, HabitsSpec

from .initial_values import native_initializers
from .padding import pad_natively

# Framework -> the arguments of its batch norm's class if a script gives none; momentum is the share
# that is kept, which PyTorch calls 0.1.
BATCH_NORMS = {
    "tf": BatchNorm(momentum=0.99, epsilon=1e-3, corrects_variance=False),
    "torch": BatchNorm(momentum=0.9, epsilon=1e-5, corrects_variance=True),
}


def with_habits(network: Network, habits: HabitsSpec, backend: Framework) -> Network:
    """Return the network with the native habits of a framework; the same one if all are common.

    Args:
        network: The network, as its architecture states it.
        habits: The choices.
        backend: The run's backend, whose habits are meant unless `habits` names a framework.
    """
    framework = habits.framework or backend
    if not habits.native:
        return network
    nodes = tuple(change(node, habits, framework) for node in network.nodes)
    changed = replace(network, nodes=nodes)
    if habits.optimizer == "native":
        # Frameworks do not know that a batch norm cancels a bias, and train it on rounding noise.
        return changed.observing([node.name for node in nodes])
    return changed


def change(node: Node, habits: HabitsSpec, framework: Framework) -> Node:
    """Return one node with the native habits."""
    layer = node.layer
    if habits.batch_norm == "native" and isinstance(layer, BatchNorm):
        own = BATCH_NORMS[framework]
        layer = replace(own, scale=layer.scale, center=layer.center)
    if habits.dropout == "native" and isinstance(layer, Dropout):
        layer = replace(layer, has_own_stream=True)
    if habits.padding == "native":
        layer = pad_natively(layer, node.input_shapes, framework)
    changed = replace(node, layer=layer)
    if habits.initializers == "native":
        return replace(changed, initializers=native_initializers(changed, framework))
    return changed
