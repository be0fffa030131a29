"""The table of methods: for each its objective, its hyper-parameters and its models.

A method is an objective that both trees implement under `methods/`, plus defaults. A new method is
one row here, one file in each tree, one config and one NumPy reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from poc.shared.errors import UsageError
from poc.shared.spec.settings import Settings
from poc.shared.spec.suggestions import likeliest
from poc.shared.spec.training.stages import Stage, plan_stages

from . import distillation, fitnets, fitted_heads, l2t_ww, semckd, transfer_learning
from .distilling import Distillation
from .fine_tuning import FineTuning


class SupervisedOptions(Settings):
    """No options: cross-entropy has no hyper-parameters of its own."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row: a method with its hyper-parameters, its objective and its models.

    Attributes:
        summary: One line for users.
        options: Class of its hyper-parameters.
        objective: Key of its class in the table `OBJECTIVES` of both trees.
        default_model: Model of a run that names none.
        models: Models that it can train; empty: all.
        distillation: Declaration of a method that learns from a source network, or none.
        fine_tuning: Declaration of a method that starts from pretrained weights and freezes parts
            of them, or none.
        defaults: Other defaults of the run spec, by group; values that are given win.
        optimizers: Update rules that it can use; empty: all.
        is_second_order: True if it differentiates through its own update. It then works only in
            float32 or float64, and not in a program that torch.compile made.
        squares_maps: True if its loss sums squares of maps, which float16 cannot hold.
        owns_update: True if its step is more than one gradient and one update of the optimiser, so
            that the objective takes it.
        fits_head: True if it takes no step: it computes the last layer from the outputs of all
            training images. Such a run has one epoch, and no settings of an update.
    """

    summary: str
    options: type[Settings]
    objective: str
    default_model: str
    models: tuple[str, ...] = ()
    distillation: Distillation[Any] | None = None
    fine_tuning: FineTuning[Any] | None = None
    defaults: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    optimizers: tuple[str, ...] = ()
    is_second_order: bool = False
    squares_maps: bool = False
    owns_update: bool = False
    fits_head: bool = False

    def plan_stages(self, options: Settings, num_epochs: int) -> tuple[Stage, ...]:
        """Plan the stages over the epochs; most methods have one stage.

        Raises:
            UsageError: The stages do not fit the epochs.
        """
        plan = self.distillation or self.fine_tuning
        return plan.stages(options, num_epochs) if plan else plan_stages(num_epochs)

    def image_side(self, options: Settings) -> int | None:
        """Return the side in pixels of the finished network's images; none: as in the data."""
        return self.fine_tuning.image_side(options) if self.fine_tuning else None


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "lightlayers": Method(
            summary="LightLayers: convolutions and dense layers through a narrow bottleneck",
            options=SupervisedOptions,
            objective="supervised",
            default_model="lightnet_plain",
            models=("lightnet_plain", "lightnet_residual", "conv2d_chain"),
        ),
        "scratch": Method(
            summary="supervised training of any model from drawn weights",
            options=SupervisedOptions,
            objective="supervised",
            default_model="conv2d_chain",
        ),
        "transfer": Method(
            summary="transfer learning: a new head on pretrained weights, the rest frozen or tuned",
            options=transfer_learning.TransferOptions,
            objective="transfer",
            default_model="efficientnet_lite0",
            fine_tuning=transfer_learning.TRANSFER,
        ),
        "fixres": Method(
            summary="FixRes: train at one resolution, tune head and last norm at that of the test",
            options=transfer_learning.FixResOptions,
            objective="transfer",
            default_model="efficientnet_lite0",
            fine_tuning=transfer_learning.FIXRES,
        ),
        "logistic": Method(
            summary="logistic regression on frozen features: C chosen on the validation part",
            options=fitted_heads.LogisticOptions,
            objective="fitted_head",
            default_model="efficientnet_lite0",
            fine_tuning=fitted_heads.LOGISTIC,
            owns_update=True,
            fits_head=True,
        ),
        "knn": Method(
            summary="nearest neighbours among frozen features: k chosen on the validation part",
            options=fitted_heads.NeighboursOptions,
            objective="fitted_head",
            default_model="efficientnet_lite0",
            fine_tuning=fitted_heads.NEIGHBOURS,
            owns_update=True,
            fits_head=True,
        ),
        "kd": Method(
            summary="knowledge distillation: the labels and softened logits of a teacher",
            options=distillation.KDOptions,
            objective="kd",
            default_model="lightnet_plain",
            distillation=distillation.KD,
        ),
        "lwf": Method(
            summary="Learning without Forgetting: a second head keeps the source's outputs",
            options=distillation.LwFOptions,
            objective="lwf",
            default_model="lightnet_plain",
            distillation=distillation.LWF,
        ),
        "fitnets": Method(
            summary="FitNets: a middle layer learns a hint through a regressor, then distillation",
            options=fitnets.FitNetsOptions,
            objective="fitnets",
            default_model="lightnet_plain",
            distillation=fitnets.FITNETS,
        ),
        "attention_transfer": Method(
            summary="Attention Transfer: maps of where the source is active, at matched layers",
            options=distillation.AttentionTransferOptions,
            objective="attention_transfer",
            default_model="lightnet_plain",
            distillation=distillation.ATTENTION_TRANSFER,
        ),
        "semckd": Method(
            summary="SemCKD: each map of the student picks, by attention, maps of the teacher",
            options=semckd.SemCKDOptions,
            objective="semckd",
            default_model="lightnet_plain",
            distillation=semckd.SEMCKD,
            squares_maps=True,
        ),
        "l2t-ww": Method(
            summary="Learning What and Where to Transfer: learned weights of source maps",
            options=l2t_ww.L2TWWOptions,
            objective="l2t_ww",
            default_model="vgg9_bn",
            distillation=l2t_ww.L2T_WW,
            defaults={
                "optimizer": {
                    "name": "sgd",
                    "learning_rate": 0.1,
                    "momentum": 0.9,
                    "weight_decay": 1e-4,
                },
                "schedule": {"name": "cosine"},
            },
            optimizers=("sgd",),
            is_second_order=True,
            owns_update=True,
        ),
    }
)


def find_method(name: str) -> Method:
    """Return the row of a method.

    Raises:
        UsageError: No such method.
    """
    if name not in METHODS:
        raise UsageError(
            f"Got the method {name!r}. Expected one of {', '.join(sorted(METHODS))}. Try "
            f"{likeliest(name, METHODS)}."
        )
    return METHODS[name]


def tell_default(method: str, model: str) -> str:
    """Write the end of a message about a model that the user may not have named.

    It follows a full sentence. It is empty if the model is not the default model of the method.
    """
    if model != find_method(method).default_model:
        return ""
    return f" {model} is the default model of {method}: --model names another."
