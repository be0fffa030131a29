"""The 95 % interval of an area under the ROC curve, over the test images.

Newcombe's interval (Statistics in Medicine 25, 2006, part 2, method 5) inverts the variance of
Hanley and McNeil (1982), so that it stays within 0 and 1 and is no point at an area of 1. With area
A, m images of the class, n others and N = (m + n) / 2 - 1:

    Var(A) = A (1 - A) (1 + N (1 - A) / (2 - A) + N A / (1 + A)) / (m n)

That variance assumes scores of one shape on both sides. DeLong's (1988) does not, but it is too
small near 1, and 0 at 1. Where DeLong's is larger, the variance is therefore scaled up to it. In 60
simulated settings (normal scores, areas 0.7 to 0.99, 10 to 450 images on each side, spreads 1 to 2
and 1 to 0.5), the interval contains the true area in 93 to 100 % of the draws, and DeLong's alone,
on a logit scale, in 27 to 98 %.
"""

import numpy as np
from scipy.optimize import brentq

from poc.shared.engine.numerics.metrics import Z_95, Interval
from poc.shared.engine.numerics.ranking import Placements

# Ends of the search, which are no solutions.
EDGE = 1e-12


def area_interval(places: Placements) -> Interval:
    """Return the 95 % interval of the area under the ROC curve.

    Args:
        places: Of one run, or means over runs on the same images, image by image; then it is the
            interval of the mean area.
    """
    area, sizes = places.area, (len(places.positive), len(places.negative))
    factor = widening(places)

    def excess(value: float) -> float:
        # Divided by A (1 - A), since the ends themselves would solve the plain equation at 0 and 1.
        return (area - value) ** 2 / (value * (1 - value)) - factor * Z_95**2 * spread_at(
            value, sizes
        )

    low = brentq(excess, EDGE, min(area, 1 - EDGE)) if area > EDGE else 0.0
    high = brentq(excess, max(area, EDGE), 1 - EDGE) if area < 1 - EDGE else 1.0
    return Interval(float(low), float(high))


def spread_at(area: float, sizes: tuple[int, int]) -> float:
    """Return Newcombe's variance at an area, over A (1 - A), for m and n images."""
    middle = sum(sizes) / 2 - 1
    inner = 1 + middle * (1 - area) / (2 - area) + middle * area / (1 + area)
    return inner / (sizes[0] * sizes[1])


def widening(places: Placements) -> float:
    """Return the factor by which DeLong's variance is above Newcombe's; at least 1."""
    area, sizes = places.area, (len(places.positive), len(places.negative))
    if min(sizes) < 2 or not EDGE < area < 1 - EDGE:
        return 1.0
    delong = sum(np.var(side, ddof=1) / len(side) for side in places)
    return max(1.0, float(delong) / (area * (1 - area) * spread_at(area, sizes)))
