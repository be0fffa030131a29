"""A classifier by the nearest of stored vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from .declaration import ZEROS, Parameter, Shape
from .dense import vector_size

Metric = Literal["cosine", "euclidean"]
# Similarities closer than this are ties: a share of the largest cosine, or of |x|^2. Rounding gives
# two equal images similarities that differ by less, in float32 too.
TIE = 1e-6


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours:
    """Logits (units,) of a vector x (C,) from the classes of the stored vectors f that are nearest.

    The similarity s is x f / |x| (cosine; each f has length 1) or 2 x f - |f|^2 (euclidean: |x|^2
    minus the squared distance). With k the place of the 1 in `rank`, a stored vector votes if its s
    is at least the k-th largest, or below it by no more than a tie. A vote weighs exp(sharpness *
    s), so that votes of sharpness 0 are equal. With m votes, of which the share p_c is for class c,
    the logit is log((m p_c + 1 / units) / (m + 1)): one more vote is shared by all classes.
    """

    kind: ClassVar[str] = "nearest_neighbours"
    units: int
    num_stored: int
    most_neighbours: int
    metric: Metric = "cosine"
    sharpness: float = 0.0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (units,)."""
        vector_size(inputs[0])
        return (self.units,)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare what is stored: `features` (n, in), `rank` (most k,) and `labels` (n, units).

        None is trained. `labels` are one-hot; `rank` is 1 at place k - 1 and 0 elsewhere.
        """
        shapes: dict[str, Shape] = {
            "features": (self.num_stored, vector_size(inputs[0])),
            "rank": (self.most_neighbours,),
            "labels": (self.num_stored, self.units),
        }
        return tuple(
            Parameter(name=name, shape=shape, initializer=ZEROS, is_trainable=False)
            for name, shape in shapes.items()
        )

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the stored vectors times the sum of inputs and units."""
        return self.num_stored * (vector_size(inputs[0]) + self.units)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.units,
            "num_stored": self.num_stored,
            "most_neighbours": self.most_neighbours,
            "metric": self.metric,
            "sharpness": self.sharpness,
        }
