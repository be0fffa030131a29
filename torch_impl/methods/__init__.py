"""One module a method; `OBJECTIVES` maps a method's objective to its class."""

from collections.abc import Mapping

from .attention_transfer import AttentionTransfer
from .fitnets import FitNets
from .kd import KnowledgeDistillation
from .l2t_ww.step import L2TWW
from .lwf import LearningWithoutForgetting
from .objective import Objective, Outcome
from .supervised import Supervised
from .transfer import TransferLearning

OBJECTIVES: Mapping[str, type[Objective]] = {
    "supervised": Supervised,
    "transfer": TransferLearning,
    "kd": KnowledgeDistillation,
    "lwf": LearningWithoutForgetting,
    "fitnets": FitNets,
    "attention_transfer": AttentionTransfer,
    "l2t_ww": L2TWW,
}

__all__ = ["OBJECTIVES", "Objective", "Outcome"]
