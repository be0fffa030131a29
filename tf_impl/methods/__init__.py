"""One module a method; `OBJECTIVES` maps a method's objective to its class."""

from collections.abc import Mapping

from .objective import Objective
from .supervised import Supervised

OBJECTIVES: Mapping[str, type[Objective]] = {"supervised": Supervised}

__all__ = ["OBJECTIVES", "Objective"]
