"""Places of tokens in the image: the grid of patches, and the tokens before it."""

from collections.abc import Sequence

from .layers.declaration import Shape
from .layers.tokens import ToTokens
from .nodes import Node


def find_grid(nodes: Sequence[Node]) -> tuple[int, int] | None:
    """Find rows and columns of the map that became tokens, or None without one."""
    maps = [node.input_shapes[0] for node in nodes if isinstance(node.layer, ToTokens)]
    return (maps[0][0], maps[0][1]) if maps else None


def find_map_shape(nodes: Sequence[Node], shape: Shape) -> Shape | None:
    """Find (H, W, C) of a value: of a map its own, of tokens (T, C) that of their patches.

    The patches are the last tokens. None means that the value is neither.
    """
    if len(shape) == 3:
        return shape
    grid = find_grid(nodes)
    if len(shape) != 2 or grid is None or shape[0] < grid[0] * grid[1]:
        return None
    return (*grid, shape[1])
