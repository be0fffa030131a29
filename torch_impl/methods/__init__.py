"""One module per method; `OBJECTIVES` maps the name of an objective to its class."""

from collections.abc import Mapping

from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import find_method

from .attention_transfer import AttentionTransfer
from .fitnets import FitNets
from .fitted_head import FittedHead
from .kd import KnowledgeDistillation
from .l2t_ww.step import L2TWW
from .lwf import LearningWithoutForgetting
from .objective import Objective, Outcome
from .semckd import SemCKD
from .supervised import Supervised
from .transfer import TransferLearning

OBJECTIVES: Mapping[str, type[Objective]] = {
    "supervised": Supervised,
    "transfer": TransferLearning,
    "fitted_head": FittedHead,
    "kd": KnowledgeDistillation,
    "lwf": LearningWithoutForgetting,
    "fitnets": FitNets,
    "attention_transfer": AttentionTransfer,
    "semckd": SemCKD,
    "l2t_ww": L2TWW,
}

__all__ = ["OBJECTIVES", "Objective", "Outcome", "find_objective"]


def find_objective(method: str) -> type[Objective]:
    """Return the class of a method's objective.

    Raises:
        UsageError: The method does not exist, or this tree does not have its objective yet.
    """
    name = find_method(method).objective
    if name not in OBJECTIVES:
        raise UsageError(
            f"Got method={method!r}, whose objective {name!r} torch_impl does not have. "
            f"Expected one of {', '.join(OBJECTIVES)}. Try adding its class and its row of "
            "OBJECTIVES in torch_impl/methods/__init__.py."
        )
    return OBJECTIVES[name]
