"""A declared network as a Keras model: the one builder behind every architecture."""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from poc.shared.spec.networks import layers as spec
from poc.shared.spec.networks.network import IMAGES, Network, Node, Step
from poc.shared.spec.precision import MIXED, Precision

from .layers import basic as layers
from .layers.light import LightConv2D, LightDense
from .layers.merging import Add, Concatenate, Multiply
from .layers.residual import Highway, ScaledAdd, StochasticDepth


class Model(keras.Model):
    """A network of the shared layer: images (N, H, W, C) -> logits (N, num_classes).

    In mixed precision layers have Keras' policy of that name; what leaves the model has the
    weights' type.
    """

    def __init__(self, network: Network, *, dtype: Precision = "float32") -> None:
        policy = f"mixed_{dtype}" if dtype in MIXED else dtype
        super().__init__(dtype=policy)
        self.network = network
        self.node_layers = {node.name: build_layer(node, dtype=policy) for node in network.nodes}

    def call(
        self,
        images: tf.Tensor,
        noise: Mapping[str, tf.Tensor] | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Logits; `noise` holds the masks of the random layers (training)."""
        return self.values(images, [self.network.output], noise, training)[self.network.output]

    def features(self, images: tf.Tensor, taps: Sequence[str]) -> dict[str, tf.Tensor]:
        """Tapped maps and, under the name `logits`, the logits; evaluation mode."""
        nodes = {tap: self.network.node_of(tap) for tap in taps}
        values = self.values(images, list(nodes.values()))
        return {tap: values[node] for tap, node in nodes.items()}

    def norm_statistics(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Mean and Bessel-corrected variance, (C,), of what each unfrozen batch norm reads.

        Under the names of the running statistics, which stay as they are. Batch norms normalise by
        this batch; everything else is in evaluation mode.
        """
        values, found = {IMAGES: tf.cast(images, self.compute_dtype)}, {}
        for step in self.network.plan([self.network.output], training=False):
            for node in step.nodes:
                arguments, layer = (
                    [values[name] for name in node.inputs],
                    self.node_layers[node.name],
                )
                if isinstance(layer, layers.BatchNorm) and node.uses_batch_statistics:
                    values[node.name], mean, variance = layer.normalize(*arguments)
                    found[f"{node.name}/moving_mean"] = mean
                    found[f"{node.name}/moving_variance"] = variance
                else:
                    values[node.name] = self.apply_node(node, arguments, {}, training=False)
            for name in step.freed:
                del values[name]
        return found

    def values(
        self,
        images: tf.Tensor,
        wanted: Sequence[str],
        noise: Mapping[str, tf.Tensor] | None = None,
        training: bool = False,
        given: Mapping[str, tf.Tensor] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Outputs of the named nodes; everything else is freed after its last use.

        What is `given` of the values is neither computed nor are the images read for it.
        """
        extras = {IMAGES: images, **(given or {})}
        values = {name: tf.cast(value, self.compute_dtype) for name, value in extras.items()}
        for step in self.network.plan(wanted, training=training, given=tuple(given or ())):
            values[step.output] = self.apply_step(step, values, noise or {}, training)
            for name in step.freed:
                del values[name]
        return {name: tf.cast(values[name], self.variable_dtype) for name in wanted}

    def apply_step(
        self,
        step: Step,
        values: Mapping[str, tf.Tensor],
        noise: Mapping[str, tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        """The step's nodes, one after the other; a block whose gate is shut is not computed."""

        def compute() -> tf.Tensor:
            inside = dict(values)
            for node in step.nodes:
                arguments = [inside[name] for name in node.inputs]
                inside[node.name] = self.apply_node(node, arguments, noise, training)
            return inside[step.output]

        if step.gate not in noise:
            return compute()
        return tf.cond(noise[step.gate][0], compute, lambda: values[step.shortcut])

    def apply_node(
        self,
        node: Node,
        arguments: Sequence[tf.Tensor],
        noise: Mapping[str, tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        """One layer: random ones take their mask, batch norm takes the mode."""
        layer = self.node_layers[node.name]
        if isinstance(layer, layers.Dropout):
            return layer(*arguments, noise.get(node.name) if training else None)
        if isinstance(layer, StochasticDepth):
            is_random = training and not node.is_frozen
            return layer(*arguments, noise.get(node.name), training=is_random)
        if isinstance(layer, layers.BatchNorm):
            return layer(*arguments, training=training and node.uses_batch_statistics)
        return layer(*arguments)


def build_layer(node: Node, *, dtype: str = "float32") -> keras.layers.Layer:
    """The layer that a node declares."""
    layer = BUILDERS[node.layer.kind](node.layer, node.input_shapes[0], dtype)
    layer.trainable = not node.is_frozen
    return layer


def build_conv2d(layer: spec.Conv2D, shape: spec.Shape, dtype: str) -> layers.Conv2D:
    """Convolution."""
    return layers.Conv2D(
        shape[-1],
        layer.filters,
        layer.kernel_size,
        strides=layer.strides,
        pads=layer.pads(shape),
        groups=layer.groups,
        use_bias=layer.use_bias,
        activation=layer.activation,
        dtype=dtype,
    )


def build_depthwise(
    layer: spec.DepthwiseConv2D, shape: spec.Shape, dtype: str
) -> layers.DepthwiseConv2D:
    """Depthwise convolution."""
    return layers.DepthwiseConv2D(
        shape[-1],
        layer.kernel_size,
        strides=layer.strides,
        pads=layer.pads(shape),
        use_bias=layer.use_bias,
        activation=layer.activation,
        dtype=dtype,
    )


def build_separable(
    layer: spec.SeparableConv2D, shape: spec.Shape, dtype: str
) -> layers.SeparableConv2D:
    """Separable convolution."""
    return layers.SeparableConv2D(
        shape[-1],
        layer.filters,
        layer.kernel_size,
        strides=layer.strides,
        pads=layer.pads(shape),
        activation=layer.activation,
        dtype=dtype,
    )


def build_dense(layer: spec.Dense, shape: spec.Shape, dtype: str) -> layers.Dense:
    """Dense layer."""
    return layers.Dense(
        shape[-1], layer.units, use_bias=layer.use_bias, activation=layer.activation, dtype=dtype
    )


def build_batch_norm(layer: spec.BatchNorm, shape: spec.Shape, dtype: str) -> layers.BatchNorm:
    """Batch normalisation."""
    return layers.BatchNorm(
        shape[-1],
        momentum=layer.momentum,
        epsilon=layer.epsilon,
        scale=layer.scale,
        center=layer.center,
        dtype=dtype,
    )


def build_pool2d(layer: spec.Pool2D, shape: spec.Shape, dtype: str) -> layers.Pool2D:
    """Pooling over windows."""
    return layers.Pool2D(
        layer.kernel_size,
        strides=layer.strides,
        pads=layer.pads(shape),
        mode=layer.mode,
        count_padding=layer.count_padding,
        dtype=dtype,
    )


def build_light_conv2d(layer: spec.LightConv2D, shape: spec.Shape, dtype: str) -> LightConv2D:
    """Light convolution."""
    reduce, expand = layer.convolutions()
    return LightConv2D(
        shape[-1],
        layer.filters,
        layer.kernel_size,
        rank=layer.rank,
        strides=layer.strides,
        pads=reduce.pads(shape),
        inner_strides=layer.inner_strides,
        inner_pads=expand.pads(reduce.output_shape([shape])),
        inner_activation=layer.inner_activation,
        activation=layer.activation,
        dtype=dtype,
    )


def build_light_dense(layer: spec.LightDense, shape: spec.Shape, dtype: str) -> LightDense:
    """Light dense layer."""
    return LightDense(
        shape[-1],
        layer.units,
        rank=layer.rank,
        factor=layer.factor,
        activation=layer.activation,
        dtype=dtype,
    )


def build_stochastic_depth(
    layer: spec.StochasticDepth, shape: spec.Shape, dtype: str
) -> StochasticDepth:
    """Branch that training may drop."""
    return StochasticDepth(
        training_factor=layer.training_factor,
        evaluation_factor=layer.evaluation_factor,
        dtype=dtype,
    )


BUILDERS: Mapping[str, Callable[..., keras.layers.Layer]] = {
    "conv2d": build_conv2d,
    "depthwise_conv2d": build_depthwise,
    "separable_conv2d": build_separable,
    "dense": build_dense,
    "batch_norm": build_batch_norm,
    "pool2d": build_pool2d,
    "light_conv2d": build_light_conv2d,
    "light_dense": build_light_dense,
    "stochastic_depth": build_stochastic_depth,
    "activation": lambda layer, _, dtype: layers.Activation(layer.activation, dtype=dtype),
    "global_pool": lambda layer, _, dtype: layers.GlobalPool(
        mode=layer.mode, keep_axes=layer.keep_axes, dtype=dtype
    ),
    "dropout": lambda layer, _, dtype: layers.Dropout(layer.rate, dtype=dtype),
    "flatten": lambda _layer, _, dtype: layers.Flatten(dtype=dtype),
    "add": lambda _layer, _, dtype: Add(dtype=dtype),
    "scaled_add": lambda layer, _, dtype: ScaledAdd(layer.scale, dtype=dtype),
    "highway": lambda _layer, _, dtype: Highway(dtype=dtype),
    "concatenate": lambda _layer, _, dtype: Concatenate(dtype=dtype),
    "multiply": lambda _layer, _, dtype: Multiply(dtype=dtype),
}
