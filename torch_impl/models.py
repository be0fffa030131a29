"""A declared network as a PyTorch module: the one builder behind every architecture."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from poc.shared.spec.networks import layers as spec
from poc.shared.spec.networks.network import IMAGES, Network, Node, Step
from poc.shared.spec.precision import MIXED, Precision, storage_type

from .layers import basic as layers
from .layers.light import LightConv2D, LightDense
from .layers.merging import Add, Concatenate, Multiply
from .layers.residual import Highway, ScaledAdd, StochasticDepth


class Model(nn.Module):
    """A network of the shared layer: images (N, C, H, W) -> logits (N, num_classes).

    In mixed precision layers compute under autocast; what leaves the model has the weights' type.
    """

    def __init__(self, network: Network, *, dtype: Precision = "float32") -> None:
        super().__init__()
        self.network, self.is_mixed = network, dtype in MIXED
        self.compute_dtype = getattr(torch, dtype)
        self.variable_dtype = getattr(torch, storage_type(dtype))
        self.node_layers = nn.ModuleDict(
            {node.name: build_layer(node, dtype=storage_type(dtype)) for node in network.nodes}
        )

    def forward(
        self,
        images: torch.Tensor,
        noise: Mapping[str, torch.Tensor] | None = None,
        training: bool = False,
    ) -> torch.Tensor:
        """Logits; `noise` holds the masks of the random layers (training)."""
        return self.values(images, [self.network.output], noise, training)[self.network.output]

    def features(self, images: torch.Tensor, taps: Sequence[str]) -> dict[str, torch.Tensor]:
        """Tapped maps and, under the name `logits`, the logits; evaluation mode."""
        nodes = {tap: self.network.node_of(tap) for tap in taps}
        values = self.values(images, list(nodes.values()))
        return {tap: values[node] for tap, node in nodes.items()}

    def norm_statistics(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Mean and Bessel-corrected variance, (C,), of what each unfrozen batch norm reads.

        Under the names of the running statistics, which stay as they are. Batch norms normalise by
        this batch; everything else is in evaluation mode.
        """
        values, found = {IMAGES: images.to(self.compute_dtype)}, {}
        with self._computing(images.device):
            for step in self.network.plan([self.network.output], training=False):
                for node in step.nodes:
                    arguments = [values[name] for name in node.inputs]
                    layer = self.node_layers[node.name]
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
        images: torch.Tensor,
        wanted: Sequence[str],
        noise: Mapping[str, torch.Tensor] | None = None,
        training: bool = False,
        given: Mapping[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Outputs of the named nodes; everything else is freed after its last use.

        What is `given` of the values is neither computed nor are the images read for it.
        """
        extras = {IMAGES: images, **(given or {})}
        values = {name: value.to(self.compute_dtype) for name, value in extras.items()}
        with self._computing(images.device):
            for step in self.network.plan(wanted, training=training, given=tuple(given or ())):
                values[step.output] = self.apply_step(step, values, noise or {}, training)
                for name in step.freed:
                    del values[name]
        return {name: values[name].to(self.variable_dtype) for name in wanted}

    def _computing(self, device: torch.device) -> AbstractContextManager[Any]:
        """Inside, layers compute in the lower type of a mixed precision."""
        if not self.is_mixed:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.compute_dtype)

    def apply_step(
        self,
        step: Step,
        values: Mapping[str, torch.Tensor],
        noise: Mapping[str, torch.Tensor],
        training: bool,
    ) -> torch.Tensor:
        """The step's nodes, one after the other; a block whose gate is shut is not computed."""

        def compute() -> torch.Tensor:
            inside = dict(values)
            for node in step.nodes:
                arguments = [inside[name] for name in node.inputs]
                inside[node.name] = self.apply_node(node, arguments, noise, training)
            return inside[step.output]

        if step.gate not in noise or bool(noise[step.gate]):
            return compute()
        return values[step.shortcut]

    def apply_node(
        self,
        node: Node,
        arguments: Sequence[torch.Tensor],
        noise: Mapping[str, torch.Tensor],
        training: bool,
    ) -> torch.Tensor:
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


def build_layer(node: Node, *, dtype: str = "float32") -> nn.Module:
    """The layer that a node declares."""
    layer = BUILDERS[node.layer.kind](node.layer, node.input_shapes[0], dtype)
    return layer.requires_grad_(not node.is_frozen)


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


BUILDERS: Mapping[str, Callable[..., nn.Module]] = {
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
