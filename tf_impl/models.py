"""A declared network as a Keras model: the one builder behind every architecture."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import keras
import tensorflow as tf

from poc.shared.spec.networks.network import IMAGES, Network, Node, Step
from poc.shared.spec.training.precision import MIXED, Precision

from .layers import LAYERS
from .layers.basic import BatchNorm, Dropout
from .layers.declared import _naming
from .layers.lora import train_low_rank
from .layers.residual import StochasticDepth


class Model(keras.Model):
    """The engine's model of a network: images (N, H, W, C) -> logits (N, num_classes).

    It is internal: it does not compute what nobody reads, and takes its masks from outside. A user
    gets the functional model of `native.py`, which is made of the same layers.

    In mixed precision layers have Keras' policy of that name. Outputs have the weights' type.

    Args:
        network: The declared network.
        dtype: Precision of the weights and of the arithmetic.
        names: Node -> name of its layer; if None, the node's name with dots for its slashes.
    """

    def __init__(
        self,
        network: Network,
        *,
        dtype: Precision = "float32",
        names: Mapping[str, str] | None = None,
    ) -> None:
        policy = f"mixed_{dtype}" if dtype in MIXED else dtype
        super().__init__(dtype=policy)
        self.network = network
        # Keras refuses slashes in a name.
        names = names or {node.name: node.name.replace("/", ".") for node in network.nodes}
        node_layers = {}
        for node in network.nodes:
            with _naming(names[node.name]):
                node_layers[node.name] = build_layer(node, dtype=policy)
        self.node_layers = node_layers

    def call(
        self,
        images: tf.Tensor,
        noise: Mapping[str, tf.Tensor] | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        """Return the logits (N, num_classes); in training `noise` has the random layers' masks."""
        output = self.network.output
        return self.values(images, [output], noise, bool(training))[output]

    def read_taps(self, images: tf.Tensor, taps: Sequence[str]) -> dict[str, tf.Tensor]:
        """Return tapped maps (N, H, W, C) in evaluation mode; the tap `logits` gives the logits."""
        nodes = {tap: self.network.node_of(tap) for tap in taps}
        values = self.values(images, list(nodes.values()))
        return {tap: values[node] for tap, node in nodes.items()}

    def norm_statistics(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return mean and Bessel-corrected variance (C,) of the input of each unfrozen batch norm.

        They have the names of the running statistics, which do not change. Batch norms normalise
        by this batch; all other layers are in evaluation mode.
        """
        found: dict[str, tf.Tensor] = {}

        def measure(step: Step, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
            inside = dict(values)
            for node in step.nodes:
                arguments = [inside[name] for name in node.inputs]
                layer = self.node_layers[node.name]
                if isinstance(layer, BatchNorm) and node.uses_batch_statistics:
                    inside[node.name], mean, variance = layer.normalize(*arguments)
                    found[f"{node.name}/moving_mean"] = mean
                    found[f"{node.name}/moving_variance"] = variance
                else:
                    inside[node.name] = self.apply_node(node, arguments, {}, training=False)
            return inside[step.output]

        self._walk({IMAGES: images}, [self.network.output], measure, training=False)
        return found

    def values(
        self,
        images: tf.Tensor,
        wanted: Sequence[str],
        noise: Mapping[str, tf.Tensor] | None = None,
        training: bool = False,
        given: Mapping[str, tf.Tensor] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Return the outputs (N, …) of the wanted nodes; free all others after their last use.

        Args:
            images: A batch (N, H, W, C); not read if `given` has all that the nodes need.
            wanted: Names of the nodes.
            noise: Masks (N, …) of the random layers.
            training: Apply the masks, and normalise by the batch.
            given: Known outputs of nodes, which are not computed.
        """
        masks = noise or {}
        return self._walk(
            {IMAGES: images, **(given or {})},
            wanted,
            lambda step, values: self.apply_step(step, values, masks, training),
            training=training,
        )

    def _walk(
        self,
        given: Mapping[str, tf.Tensor],
        wanted: Sequence[str],
        apply: Callable[[Step, Mapping[str, tf.Tensor]], tf.Tensor],
        *,
        training: bool,
    ) -> dict[str, tf.Tensor]:
        """Call `apply` for each step that `wanted` needs, and return the wanted values."""
        # A plan takes the images as known; `kept` names what else is.
        kept = tuple(name for name in given if name != IMAGES)
        values = {name: tf.cast(value, self.compute_dtype) for name, value in given.items()}
        for step in self.network.plan(wanted, training=training, given=kept):
            values[step.output] = apply(step, values)
            for name in step.freed:
                del values[name]
        # The losses compute in the weights' type, also in mixed precision.
        return {name: tf.cast(values[name], self.variable_dtype) for name in wanted}

    def apply_step(
        self,
        step: Step,
        values: Mapping[str, tf.Tensor],
        noise: Mapping[str, tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        """Return a step's output (N, …); a block whose gate, a mask (1,), is 0 is not computed."""

        def compute() -> tf.Tensor:
            inside = dict(values)
            for node in step.nodes:
                arguments = [inside[name] for name in node.inputs]
                inside[node.name] = self.apply_node(node, arguments, noise, training)
            return inside[step.output]

        if step.gate not in noise:
            return compute()
        # A Python `if` would decide once, while the step is traced.
        return tf.cond(noise[step.gate][0], compute, lambda: values[step.shortcut])

    def apply_node(
        self,
        node: Node,
        arguments: Sequence[tf.Tensor],
        noise: Mapping[str, tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        """Return the output (N, …) of one layer, with the mask or the mode that it needs."""
        layer = self.node_layers[node.name]
        if isinstance(layer, Dropout | StochasticDepth):
            # A frozen layer draws nothing: a branch is scaled as in evaluation.
            is_random = training and not node.is_frozen
            kept = _find_mask(node, noise) if is_random else None
            return layer(*arguments, kept, training=is_random)
        if isinstance(layer, BatchNorm):
            # A frozen norm keeps its running statistics, unless `bn_mode` says otherwise.
            return layer(*arguments, training=training and node.uses_batch_statistics)
        return layer(*arguments)


def build_layer(node: Node, *, dtype: str = "float32") -> keras.layers.Layer:
    """Build the layer that a node declares."""
    options = node.layer.arguments(node.input_shapes)
    layer = LAYERS[node.layer.kind](**options, dtype=dtype)
    layer.options = MappingProxyType(options)
    layer.trainable = not node.is_frozen
    if not node.is_frozen:
        train_low_rank(layer)
    if isinstance(layer, BatchNorm):
        layer.adapts = node.adapts
        layer.corrects_variance = getattr(node.layer, "corrects_variance", True)
    return layer


def _find_mask(node: Node, noise: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
    """Return the mask (N, …) of a random layer; none if it drops nothing or draws its own."""
    # A layer without a mask would draw one from the framework, which no other run repeats.
    if node.needs_mask and node.name not in noise:
        raise ValueError(
            f"Got no mask for the random layer {node.name} in training. Expected one in `noise`. "
            "Try poc.shared.engine.numerics.noise.draw_noise."
        )
    return noise.get(node.name)
