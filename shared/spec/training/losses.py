"""Settings of the loss of the labels, the term `hard` of every method."""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from poc.shared.errors import UsageError
from poc.shared.spec.settings import Settings, shorten

# A weight is a ratio to the others. Beyond these, float32 rounds the rest away or overflows.
LEAST_WEIGHT, LARGEST_WEIGHT = 1e-9, 1e9


class LossSpec(Settings):
    """The training loss of the labels; `val/loss` and `test_loss` stay the plain cross-entropy.

    Of images with any number of labels they are the binary one.

    With class weights the loss of a batch is sum(w_i l_i) / sum(w_i), as in PyTorch. Labels that
    mixup or cutmix made soft have no class of their own: there, as in PyTorch, it is the mean over
    the examples of -sum_c w_c y_c log p_c.
    """

    # A new loss gets its name here, its function and its row of `LOSSES` in `losses.py` of both
    # trees, and its rules in `shared/spec/combinations.py`.
    name: Literal["cross_entropy", "focal", "binary_cross_entropy"] = Field(
        "cross_entropy",
        description="training loss of the labels; focal: (1 - p)^gamma times the cross-entropy, p "
        "the probability of the label (val/loss and the test loss stay the plain cross-entropy); "
        "binary_cross_entropy: for images with any number of labels, and taken for them without "
        "being set",
    )
    focal_gamma: float = Field(
        2.0, ge=0, description="focal: exponent gamma; 0: the plain cross-entropy"
    )
    class_weights: Literal["balanced"] | tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        None,
        examples=["balanced", [1.0, 3.0]],
        description="factor of each class in the training loss, in the order of the class names; "
        "balanced: n / (num_classes * n_c) over the training part; none: all classes alike; "
        "each is 0, or from 1e-9 to 1e9",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each label that is spread evenly over all classes; 0: none",
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _check_class_weights(cls, value: object) -> object:
        """Refuse weights under which no example, or less than none, would count."""
        if value is None or value == "balanced" or are_weights(value):
            return value
        if are_numbers(value):
            raise UsageError(
                f"Got loss.class_weights={shorten(value)}. Expected 0 or numbers from "
                f"{LEAST_WEIGHT:g} to {LARGEST_WEIGHT:g}, since only their ratios count. Try "
                "dividing all of them by the largest one."
            )
        raise UsageError(
            f"Got loss.class_weights={shorten(value)}. Expected balanced, or a list of one number "
            "per class: finite, none below 0, not all 0. Try loss.class_weights=balanced."
        )

    @property
    def is_binary(self) -> bool:
        """Return whether each label is judged by itself, so that an example may have several."""
        return self.name == "binary_cross_entropy"

    def check_labels(self, source: str, *, is_multi_label: bool) -> None:
        """Refuse a loss for the other kind of labels.

        Args:
            source: Name of the data.
            is_multi_label: True if its images have any number of labels, and not one class each.

        Raises:
            UsageError: The loss does not fit.
        """
        if self.is_binary == is_multi_label:
            return
        found, other = "any number of labels", "binary_cross_entropy"
        if not is_multi_label:
            found, other = "one class each", "cross_entropy"
        raise UsageError(
            f"Got loss.name={self.name!r} for {source!r}, whose images have {found}. Expected "
            f"loss.name={other!r}. Try loss.name={other}."
        )

    def weights_of(self, num_classes: int | None) -> tuple[float, ...] | None:
        """Return the weight of each class; none if all classes count alike.

        Raises:
            UsageError: There is not one number per class, or the weights are still to be counted.
        """
        if self.class_weights == "balanced":
            raise UsageError(
                "Got loss.class_weights='balanced' where no training images are counted. Expected "
                "numbers. Try loss.class_weights=[1.0, 3.0], one number per class."
            )
        if self.class_weights is not None and len(self.class_weights) != num_classes:
            raise UsageError(
                f"Got loss.class_weights={shorten(list(self.class_weights))}, of length "
                f"{len(self.class_weights)}, for {num_classes} classes. Expected one number per "
                "class, in the order of the class names. Try loss.class_weights=balanced."
            )
        return self.class_weights


def are_weights(value: object) -> bool:
    """Return whether a value is a list of weights: in the bounds, none negative, not all 0."""
    if not isinstance(value, list | tuple) or not are_numbers(value):
        return False
    return all(not each or LEAST_WEIGHT <= each <= LARGEST_WEIGHT for each in value)


def are_numbers(value: object) -> bool:
    """Return whether a value is a list of finite numbers, none negative and not all 0."""
    if not isinstance(value, list | tuple):
        return False
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in value):
        return False
    return all(math.isfinite(each) and each >= 0 for each in value) and any(value)
