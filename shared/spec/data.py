"""What a run trains on: the source, its split, and how examples become batches.

Nothing here imports NumPy: the command line reads these settings.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .settings import Settings

SplitKind = Literal["published", "fractions", "holdout"]
Normalization = Literal["unit", "torch", "tf", "caffe", "none"]

# Settings that only one kind of split reads; elsewhere they must keep their default.
READ_BY: dict[str, SplitKind] = {
    "val_fraction": "published",
    "val_on_test": "published",
    "fractions": "fractions",
    "num_val_examples": "holdout",
}


class SplitSpec(Settings):
    """Which examples train, validate and test.

    `published` keeps the source's own train and test parts. Where the source publishes no val part,
    one is carved out of train, stratified. `fractions` pools every example and splits it anew.
    `holdout` keeps the published test part and validates on the first examples of train.
    """

    kind: SplitKind = Field("published", description="rule that makes the three parts")
    val_fraction: float = Field(
        0.1, ge=0, lt=1, description="published: share of train that validates; 0: no val part"
    )
    val_on_test: bool = Field(
        False, description="published: validate on the test part, as some papers did"
    )
    fractions: tuple[float, float, float] = Field(
        (0.64, 0.16, 0.2), description="fractions: shares of train, val and test; they sum to 1"
    )
    num_val_examples: int = Field(
        5000, ge=1, description="holdout: the first n examples of train validate"
    )
    train_sample: float | None = Field(
        None, gt=0, le=1, description="train on this stratified share of the train part"
    )
    train_per_class: int | None = Field(None, ge=1, description="train on n examples of each class")
    seed: int = Field(0, ge=0, lt=2**32, description="which examples are drawn")

    @model_validator(mode="after")
    def _check_fractions(self) -> Self:
        """Shares are positive for train, not negative elsewhere, and sum to 1."""
        train, val, test = self.fractions
        if train <= 0 or min(val, test) < 0 or abs(train + val + test - 1) > 1e-6:
            raise UsageError(
                f"received split.fractions={list(self.fractions)}; allowed are a train share above "
                "0 and val and test shares of at least 0 that sum to 1: write for example "
                "[0.64, 0.16, 0.2]"
            )
        return self

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        """Refuse settings that the chosen kind would ignore, and two samples at once."""
        for key, kind in READ_BY.items():
            if kind != self.kind and getattr(self, key) != type(self).model_fields[key].default:
                raise UsageError(
                    f"received split.{key}={getattr(self, key)!r} with split.kind={self.kind!r}; "
                    f"allowed is it with {kind!r}: set split.kind={kind} or leave split.{key} out"
                )
        default_fraction = type(self).model_fields["val_fraction"].default
        if self.val_on_test and self.val_fraction != default_fraction:
            raise UsageError(
                f"received split.val_fraction={self.val_fraction} with split.val_on_test=true; "
                "allowed is one of them: remove one"
            )
        if self.train_sample is not None and self.train_per_class is not None:
            raise UsageError(
                f"received split.train_sample={self.train_sample} and "
                f"split.train_per_class={self.train_per_class}; allowed is one of them: remove one"
            )
        return self


class DataSpec(Settings):
    """Source, split and batches of a run."""

    source: str = Field(
        "embedded", min_length=1, description="embedded, idx:PATH, npz:PATH or tfds:NAME[:CONFIG]"
    )
    split: SplitSpec = Field(default_factory=SplitSpec, description="train, val and test parts")
    image_size: tuple[int, int] | None = Field(
        None, description="(height, width) in pixels that images are resized to; none: as they are"
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1: grey, 3: RGB (grey is repeated); none: as they are"
    )
    normalization: Normalization = Field(
        "unit",
        description="unit: x/255; torch: ImageNet mean and deviation; tf: x/127.5-1; "
        "caffe: BGR minus mean; none: 0 to 255",
    )
    batch_size: int = Field(64, ge=1, description="examples a batch")
    shuffle: bool = Field(True, description="new order of the train part in every epoch")
    drop_last: bool = Field(False, description="leave out the last, partial train batch")
    num_workers: int = Field(
        0, ge=0, description="processes that decode; 0: this one; data held in memory needs none"
    )

    @model_validator(mode="after")
    def _check_image_size(self) -> Self:
        """Sizes are positive and small enough to be meant."""
        if self.image_size is not None and not all(1 <= side <= 4096 for side in self.image_size):
            raise UsageError(
                f"received data.image_size={list(self.image_size)}; allowed are a height and a "
                "width of 1 to 4096 pixels: write for example [224, 224]"
            )
        return self

    @property
    def has_random_views(self) -> bool:
        """Whether an image looks different each time that training sees it."""
        return False
