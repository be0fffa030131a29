"""One module a method; `OBJECTIVES` maps a method's objective to its class."""

from collections.abc import Mapping

from .attention_transfer import AttentionTransfer
from .fitnets import FitNets
from .kd import KnowledgeDistillation
from .lwf import LearningWithoutForgetting
from .objective import Objective
from .supervised import Supervised
from .transfer import TransferLearning

OBJECTIVES: Mapping[str, type[Objective]] = {
    "supervised": Supervised,
    "transfer": TransferLearning,
    "kd": KnowledgeDistillation,
    "lwf": LearningWithoutForgetting,
    "fitnets": FitNets,
    "attention_transfer": AttentionTransfer,
}

__all__ = ["OBJECTIVES", "Objective"]
