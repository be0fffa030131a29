"""The largest relative error of each rung, by precision; each has its reason next to it."""

from dataclasses import dataclass

from .trajectories import EXACT_TOLERANCE


@dataclass(frozen=True)
class Tolerances:
    """Largest relative error of each rung, and the number of training steps.

    In float64 only rounding is left: an error that is not below 1e-9 is another formula. In float32
    the bounds allow for sums in another order, whose errors grow along a trajectory.

    `heads` bounds the coefficients of a head that each backend's features give. The solver stops
    when no component of its gradient is above 1e-8: among random labels and few images that leaves
    up to 2e-6 of the largest coefficient open. Moved features move the solution by their own error
    times the condition of the problem.
    """

    logits: float
    gradients: float
    steps: float
    num_steps: int
    heads: float


TOLERANCES = {
    "float64": Tolerances(
        logits=1e-10, gradients=1e-10, steps=EXACT_TOLERANCE, num_steps=50, heads=1e-5
    ),
    "float32": Tolerances(logits=1e-5, gradients=1e-4, steps=1e-3, num_steps=20, heads=1e-3),
}
