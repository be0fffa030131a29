"""Where a map is strongest, in words: the text equivalent of a picture."""

import numpy as np
from numpy.typing import NDArray

ROWS = ("upper", "middle", "lower")
COLUMNS = ("left", "middle", "right")


def name_place(one: NDArray[np.float64]) -> str:
    """Name the ninth of the picture in which a map (H, W) has its largest value.

    It is `upper left`, `middle`, `lower right` and so on; `nowhere` if all values are equal.
    """
    if one.min() == one.max():
        return "nowhere"
    row, column = np.unravel_index(int(one.argmax()), one.shape)
    vertical = ROWS[int(3 * (row + 0.5) / one.shape[0])]
    horizontal = COLUMNS[int(3 * (column + 0.5) / one.shape[1])]
    return vertical if vertical == horizontal else f"{vertical} {horizontal}"
