"""Settings of the habits: which rules a run takes from its own framework."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.settings import Settings

Rule = Literal["common", "native"]
RULES: tuple[Rule, ...] = get_args(Rule)
Framework = Literal["tf", "torch"]
# Habits that decide what a trained network computes: others end with the training.
OF_NETWORKS = ("batch_norm", "padding")


class HabitsSpec(Settings):
    """One choice for each habit: the rule of both backends, or that of the run's framework.

    `native` is what a plain script of the framework does: `model.compile` and `fit` in Keras, its
    own layers and optimisers in PyTorch. `docs/fairness.md` lists the rules in common.
    """

    optimizer: Rule = Field(
        "common",
        description="update rule, its epsilon, clipping, and biases that a batch norm cancels; "
        "native: Keras keeps the rate in the momentum and adds Adam's epsilon before the bias "
        "correction, by default 1e-7",
    )
    batch_norm: Rule = Field(
        "common",
        description="batch norm's momentum, epsilon and running variance; common: those of the "
        "architecture, variance corrected; native: 0.99, 1e-3, not corrected in Keras; 0.9 (as "
        "the share kept), 1e-5, corrected in PyTorch",
    )
    initializers: Rule = Field(
        "common",
        description="distributions of initial weights; common: those of the architecture; native: "
        "those of each layer's class without arguments",
    )
    padding: Rule = Field(
        "common",
        description="pads of windows that keep or divide the size; common: those of the "
        "architecture; native: `same` in Keras, (k - 1) / 2 on each side in PyTorch",
    )
    regularization: Rule = Field(
        "common",
        description="meaning of optimizer.weight_decay under sgd and adam; native: Keras' L2 "
        "regulariser, on kernels alone and with the gradient 2 w; in PyTorch as common",
    )
    input_pipeline: Rule = Field(
        "common",
        description="resize of the images; native: data.interpolation=plain_bilinear in TensorFlow "
        "in place of bilinear; in PyTorch as common",
    )
    loss: Rule = Field(
        "common",
        description="mean of a batch whose classes have weights; native: Keras divides by the "
        "number of images, not by their weights; in PyTorch as common",
    )
    dropout: Rule = Field(
        "common",
        description="masks of dropout; native: drawn by the framework, so that a resumed run gets "
        "others",
    )
    framework: Framework | None = Field(
        None, description="framework that is meant if another one computes, set by the program"
    )

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, values: object) -> object:
        """Take one word for all habits.

        Raises:
            UsageError: It is another word.
        """
        return spread(values) if isinstance(values, str) else values

    @property
    def native(self) -> tuple[str, ...]:
        """Return the names of the habits that are native."""
        return tuple(name for name in HABITS if getattr(self, name) == "native")

    def of_network(self, backend: Framework) -> str:
        """Say which of them a trained network has, or nothing: `padding of tf`."""
        found = ", ".join(name for name in OF_NETWORKS if name in self.native)
        return f"{found} of {self.framework or backend}" if found else ""


HABITS = tuple(name for name in HabitsSpec.model_fields if name != "framework")


def spread(word: str) -> dict[str, str]:
    """Return the choice of every habit that one word stands for.

    Raises:
        UsageError: No such word.
    """
    if word not in RULES:
        raise UsageError(
            f"Got habits={word!r}. Expected {' or '.join(RULES)} for all habits at once. Try "
            f"habits=native, or one of them: habits.{HABITS[0]}=native."
        )
    return dict.fromkeys(HABITS, word)
