"""Check of a set of tensors: exactly the names and shapes that a network needs."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array
from poc.shared.spec.networks.layers.lora import is_term
from poc.shared.spec.networks.network import Network

from .published.positions import find_position_node

# Characters of a name in a message; a hostile file can have names of any length.
MAX_SHOWN = 200


def check_weights(network: Network, weights: Mapping[str, Array]) -> None:
    """Compare the names and shapes (…) of a file's tensors with a network's table.

    Raises:
        UsageError: Names the first tensor that is missing, extra or misshapen.
    """
    check_positions(network, weights)
    shapes = {parameter.name: parameter.shape for parameter in network.parameters}
    check_tensors(network.name, shapes, weights)


def check_positions(network: Network, weights: Mapping[str, Array]) -> None:
    """Refuse learned positions (T, C) of another image size, with that size.

    Raises:
        UsageError: See above.
    """
    found = find_position_node(network)
    if found is None:
        return
    name, num_prefix, (rows, columns) = found
    given = weights.get(f"{name}/embedding")
    if given is None or given.ndim != 2 or len(given) == num_prefix + rows * columns:
        return
    height, width = network.input_shape[:2]
    num_patches = max(len(given) - num_prefix, 0)
    side = math.isqrt(num_patches)
    # Of patches that fill no square, only their number is known.
    pixels = side * (height // rows)
    is_square = 0 < side * side == num_patches
    size = f"data.image_size=[{pixels}, {pixels}]" if is_square else "the image size of the file"
    raise UsageError(
        f"Got {name} for {num_patches} patches. Expected {rows * columns}, those of images of "
        f"{height}x{width}. Try {size}, or the published file itself, whose positions are resized."
    )


def check_tensors(
    owner: str, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Array]
) -> None:
    """Compare tensors (…) with a table of names and shapes; the message names `owner`.

    Raises:
        UsageError: Names the first tensor that is missing, extra or misshapen.
    """
    for name, shape in shapes.items():
        if name not in tensors:
            raise UsageError(
                f"Got weights without {name}, which {owner} has. Expected all of its tensors. "
                "Try its own file."
            )
        if tensors[name].shape != shape:
            raise UsageError(
                f"Got {name} of shape {tensors[name].shape}. Expected {shape} for {owner}. Try "
                "a file of the same architecture and options."
            )
    if extra := sorted(tensors.keys() - shapes.keys()):
        refuse_lora(extra)
        raise UsageError(
            f"Got weights with {printable(extra[0])}, which {owner} does not have. Expected only "
            "its own tensors. Try its own file."
        )


def check_finite(name: str, value: Array) -> None:
    """Refuse a tensor (…) with NaN or infinite values: training would only fail later.

    Raises:
        UsageError: See above.
    """
    if bad := int(np.count_nonzero(~np.isfinite(value))):
        raise UsageError(
            f"Got {printable(name)} with {bad:,} of {value.size:,} values that are not finite. "
            "Expected numbers. Try another copy of the file, or weights from before the training "
            "diverged."
        )


def refuse_lora(names: Iterable[str]) -> None:
    """Refuse terms of LoRA where a plain network is wanted.

    Raises:
        UsageError: A name is that of such a term.
    """
    if found := next((name for name in names if is_term(name)), None):
        raise UsageError(
            f"Got weights with {printable(found)}, a term of LoRA. Expected the weights of the "
            "plain network. Try `poc weights convert RUN_FOLDER FILE`, which merges the terms."
        )


def printable(name: str) -> str:
    """Return a name from a file as text that a terminal shows and does not obey."""
    return name if name.isprintable() and len(name) < MAX_SHOWN else f"{name[:MAX_SHOWN]!r}"
