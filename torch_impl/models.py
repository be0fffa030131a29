"""A declared network as a PyTorch module: the one builder behind every architecture."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from poc.shared.spec.networks.layers import dense, light
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.network import IMAGES, Network, Node, Step
from poc.shared.spec.training.precision import MIXED, Precision, storage_type

from .layers import LAYERS
from .layers.basic import BatchNorm, Dropout, Flatten
from .layers.declared import Declared
from .layers.layer_norm import _publish_scales
from .layers.lora import train_low_rank
from .layers.residual import StochasticDepth


class Model(nn.Module):
    """A network of the shared layer: images (N, C, H, W) -> logits (N, num_classes).

    The modules are nested by the dots of their names. A name that is taken, by another layer or by
    a method of PyTorch such as `double`, gets an underscore at its end.

    The engine says the mode as a bool. In mixed precision its layers then compute under autocast,
    and outputs have the weights' type.

    Args:
        network: The declared network.
        dtype: Type of the weights and of the computation.
        names: Node -> dotted name of its module; None: the canonical names with dots.
    """

    def __init__(
        self,
        network: Network,
        *,
        dtype: Precision = "float32",
        names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.is_mixed = network, dtype in MIXED
        self.compute_dtype = getattr(torch, dtype)
        self.variable_dtype = getattr(torch, storage_type(dtype))
        # A flattened map is in PyTorch's order if dense layers alone read it: `weights.py` turns
        # their kernels. Values that leave the model are canonical, see `_walk`.
        self.flattened = _find_flattened(network)
        self.node_layers: dict[str, nn.Module] = {}
        self._paths: dict[str, tuple[str, ...]] = {}
        for node in network.nodes:
            layer = build_layer(node, dtype=storage_type(dtype))
            if isinstance(layer, Flatten):
                layer.is_canonical = node.name not in self.flattened
            name = names[node.name] if names else node.name.replace("/", ".")
            self.node_layers[node.name] = layer
            self._paths[node.name] = _place(self, name.split("."), layer)
        _publish_scales(self, network, self._paths)

    def forward(
        self,
        images: torch.Tensor,
        noise: Mapping[str, torch.Tensor] | None = None,
        training: bool | None = None,
    ) -> torch.Tensor:
        """Return the logits (N, num_classes) of images (N, C, H, W).

        Args:
            images: A batch (N, C, H, W).
            noise: Masks (N, …) of the random layers.
            training: None is the modules' own mode: random layers without a mask then draw one, and
                `num_batches_tracked` counts. The engine says True or False.

        Raises:
            ValueError: `training` is True, and a random layer has no mask.
        """
        output = self.network.output
        if training is not None:
            return self.values(images, [output], noise, training)[output]
        # Not `_walk`, whose types are the engine's: a user may call `half()` or use autocast.
        values = {IMAGES: images}
        # Planned as in evaluation, so that no block is skipped: its gate multiplies the branch.
        for step in self.network.plan([output], training=False):
            for node in step.nodes:
                arguments = [values[name] for name in node.inputs]
                values[node.name] = self._call_layer(node, arguments, noise or {}, None)
            for name in step.freed:
                del values[name]
        return values[output]

    def read_taps(self, images: torch.Tensor, taps: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return tapped maps (N, C, H, W) in evaluation mode; the tap `logits` gives the logits."""
        nodes = {tap: self.network.node_of(tap) for tap in taps}
        values = self.values(images, list(nodes.values()), training=False)
        return {tap: values[node] for tap, node in nodes.items()}

    def norm_statistics(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return mean and Bessel-corrected variance (C,) of the input of each unfrozen batch norm.

        They have the names of the running statistics, which do not change. Batch norms normalise
        by this batch; all other layers are in evaluation mode.
        """
        found: dict[str, torch.Tensor] = {}

        def measure(step: Step, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
            inside = dict(values)
            for node in step.nodes:
                arguments = [inside[name] for name in node.inputs]
                layer = self._find(node.name)
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
        images: torch.Tensor,
        wanted: Sequence[str],
        noise: Mapping[str, torch.Tensor] | None = None,
        training: bool = False,
        given: Mapping[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the outputs (N, …) of the wanted nodes; free all others after their last use.

        Args:
            images: A batch (N, C, H, W); not read if `given` has all that the nodes need.
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
        given: Mapping[str, torch.Tensor],
        wanted: Sequence[str],
        apply: Callable[[Step, Mapping[str, torch.Tensor]], torch.Tensor],
        *,
        training: bool,
    ) -> dict[str, torch.Tensor]:
        """Call `apply` for each step that `wanted` needs, and return the wanted values."""
        # A plan takes the images as known; `kept` names what else is.
        kept = tuple(name for name in given if name != IMAGES)
        values = {
            name: self._unroll(name, value).to(self.compute_dtype) for name, value in given.items()
        }
        with self._computing(given[IMAGES].device):
            for step in self.network.plan(wanted, training=training, given=kept):
                values[step.output] = apply(step, values)
                for name in step.freed:
                    del values[name]
        # The losses compute in the weights' type, also in mixed precision.
        return {name: self._roll(name, values[name]).to(self.variable_dtype) for name in wanted}

    def _roll(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a node's value in canonical order: flattened maps (N, C * H * W) are turned."""
        if name not in self.flattened:
            return value
        height, width, channels = self.flattened[name]
        return value.reshape(-1, channels, height, width).permute(0, 2, 3, 1).flatten(1)

    def _unroll(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a node's canonical value in the order in which this model computes."""
        if name not in self.flattened:
            return value
        return value.reshape(-1, *self.flattened[name]).permute(0, 3, 1, 2).flatten(1)

    def _computing(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return a context in which layers compute in the lower type of a mixed precision."""
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
        """Return a step's output (N, …); a block whose gate, a mask (1,), is 0 is not computed."""

        def compute() -> torch.Tensor:
            inside = dict(values)
            for node in step.nodes:
                arguments = [inside[name] for name in node.inputs]
                inside[node.name] = self.apply_node(node, arguments, noise, training)
            return inside[step.output]

        # The mask is on the host, so that this `if` does not wait for the device.
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
        """Return the output (N, …) of one layer, with the mask or the mode that it needs.

        Raises:
            ValueError: `training` is True, and a random layer has no mask.
        """
        if training and node.name not in noise and node.needs_mask:
            raise ValueError(
                f"Got training=True without a mask of {node.name!r} in the noise. Expected one for "
                "each random layer. Try draw_noise, or training=None to let layers draw."
            )
        return self._call_layer(node, arguments, noise, training)

    def _call_layer(
        self,
        node: Node,
        arguments: Sequence[torch.Tensor],
        noise: Mapping[str, torch.Tensor],
        training: bool | None,
    ) -> torch.Tensor:
        """Return the output (N, …) of one layer; `training` None leaves the mode to it."""
        layer = self._find(node.name)
        if isinstance(layer, Dropout | StochasticDepth):
            # A frozen branch is not dropped: it is scaled as in evaluation.
            mode = False if node.is_frozen else training
            return layer(*arguments, noise.get(node.name), training=mode)
        if isinstance(layer, BatchNorm):
            # A frozen norm keeps its running statistics, unless `bn_mode` says otherwise.
            return layer(*arguments, training=training if node.uses_batch_statistics else False)
        return layer(*arguments)

    def _find(self, name: str) -> nn.Module:
        """Return the module of a node: also one that a user has put in place of the declared."""
        module: nn.Module = self
        for level in self._paths[name]:
            module = module._modules[level]
        return module


def build_layer(node: Node, *, dtype: str = "float32") -> nn.Module:
    """Build the layer that a node declares."""
    options = node.layer.arguments(node.input_shapes)
    layer = LAYERS[node.layer.kind](**options, dtype=dtype)
    layer.options = options
    if isinstance(layer, BatchNorm):
        layer.corrects_variance = getattr(node.layer, "corrects_variance", True)
    return layer.requires_grad_(False) if node.is_frozen else train_low_rank(layer)


def _find_flattened(network: Network) -> dict[str, Shape]:
    """Map each flattening whose vectors dense layers alone read to its map's shape (H, W, C)."""
    return {
        node.name: node.input_shapes[0]
        for node in network.nodes
        if isinstance(node.layer, dense.Flatten)
        and (users := network.users.get(node.name))
        and all(isinstance(user.layer, dense.Dense | light.LightDense) for user in users)
    }


def _place(root: nn.Module, levels: Sequence[str], layer: nn.Module) -> tuple[str, ...]:
    """Put a layer under nested names, and return them as they are in PyTorch."""
    path: list[str] = []
    for depth, level in enumerate(levels, start=1):
        parent, is_last = root.get_submodule(".".join(path)), depth == len(levels)
        while _is_taken(parent, level, is_last):
            level += "_"
        if is_last or level not in parent._modules:
            parent.add_module(level, layer if is_last else nn.ModuleDict())
        path.append(level)
    return tuple(path)


def _is_taken(parent: nn.Module, name: str, is_last: bool) -> bool:
    """Return True if a layer, or a level that has layers below it, cannot have this name."""
    if name in parent._modules:
        return is_last or isinstance(parent._modules[name], Declared)
    # A module with a method's name could not be reached by it.
    return hasattr(parent, name)
