"""One module a method; `OBJECTIVES` maps a method's objective to its class."""

from collections.abc import Mapping

from .l2t_ww import L2TWW
from .objective import Objective, Outcome
from .supervised import Supervised

OBJECTIVES: Mapping[str, type[Objective]] = {"supervised": Supervised, "l2t_ww": L2TWW}

__all__ = ["OBJECTIVES", "Objective", "Outcome"]
