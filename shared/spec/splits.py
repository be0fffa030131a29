"""Settings of the split: the rule that decides which examples train, validate and test."""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .settings import Settings

SplitKind = Literal["auto", "published", "fractions", "holdout", "kfold", "listed"]

# Settings that only some kinds of split read; in the others they must keep their default, so that
# no setting is ignored silently. The source's parts decide which of them `auto` reads.
READ_BY: dict[str, tuple[SplitKind, ...]] = {
    "val_fraction": ("auto", "published", "kfold"),
    "val_on_test": ("auto", "published"),
    "fractions": ("auto", "fractions"),
    "num_val_examples": ("holdout",),
    "num_folds": ("kfold",),
    "fold": ("kfold",),
    "file": ("listed",),
    "is_stratified": ("auto", "published", "fractions", "kfold"),
    "group_pattern": ("auto", "published", "fractions", "kfold", "listed"),
}


class SplitSpec(Settings):
    """The rule that decides which examples train, validate and test.

    `published` keeps the source's own train and test parts. If the source publishes no val part,
    one is cut out of train. `fractions` pools all examples and splits them again. `auto` is
    `published` if the source publishes parts, and `fractions` otherwise. `holdout` keeps the
    published test part and validates on the first examples of train. `kfold` pools all examples
    and tests on one fold. `listed` reads the parts from a file.
    """

    kind: SplitKind = Field("auto", description="rule that divides the examples into three parts")
    val_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="published without a val part, kfold: share of the train part that validates; "
        "0: no val part",
    )
    val_on_test: bool = Field(
        False, description="published: validate on the test part, as some papers do"
    )
    fractions: tuple[float, float, float] = Field(
        (0.64, 0.16, 0.2), description="fractions: shares of train, val and test; they sum to 1"
    )
    is_stratified: bool = Field(
        True,
        description="keep the share of every class in every part; false: draw without regard to it",
    )
    group_pattern: str | None = Field(
        None,
        description="regular expression that finds an example's group, such as the patient, in its "
        "id; no group is divided. The group is `(?P<group>...)`, or else the first bracket, or "
        "else the match",
    )
    num_val_examples: int = Field(
        5000, ge=1, description="holdout: number of examples from the start of train that validate"
    )
    num_folds: int = Field(5, ge=2, description="kfold: number of folds")
    fold: int = Field(0, ge=0, description="kfold: fold that tests, counted from 0")
    file: str | None = Field(
        None, description="listed: file of `poc data split`, or CSV with the columns id and part"
    )
    hold_test_back: bool = Field(
        False,
        description="draw the parts, then leave the test part out, so that the run has no test "
        "images; for runs that choose settings",
    )
    train_sample: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the train part that trains, the same in every class; groups stay "
        "undivided; none: all of it",
    )
    train_per_class: int | None = Field(
        None, ge=1, description="number of examples of each class that train; none: all"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the draw that divides the examples")

    @model_validator(mode="after")
    def _check_fractions(self) -> Self:
        """Refuse fractions that leave no train part, are negative or do not sum to 1."""
        train, val, test = self.fractions
        if train <= 0 or min(val, test) < 0 or abs(train + val + test - 1) > 1e-6:
            raise UsageError(
                f"Got split.fractions={list(self.fractions)}. Expected a train share above 0 and "
                "val and test shares of at least 0 that sum to 1. Try [0.64, 0.16, 0.2]."
            )
        return self

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        """Refuse settings that the chosen kind would ignore, and `listed` without its file."""
        for key, kinds in READ_BY.items():
            if self.kind not in kinds and self.is_changed(key):
                allowed = " or ".join(repr(kind) for kind in kinds)
                raise UsageError(
                    f"Got split.{key}={getattr(self, key)!r} with split.kind={self.kind!r}. "
                    f"Expected split.kind to be {allowed}. Try split.kind={kinds[-1]}, or leave "
                    f"split.{key} out."
                )
        if (self.kind == "listed") != (self.file is not None):
            raise UsageError(
                f"Got split.kind={self.kind!r} with split.file={self.file!r}. Expected 'listed' "
                "together with a file. Try naming the file that `poc data split` wrote."
            )
        if self.fold >= self.num_folds:
            raise UsageError(
                f"Got split.fold={self.fold} with split.num_folds={self.num_folds}. Expected a "
                f"fold from 0 to {self.num_folds - 1}. Try split.fold={self.num_folds - 1}."
            )
        return self

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        """Refuse two settings that answer one question differently."""
        if self.val_on_test and self.is_changed("val_fraction"):
            raise UsageError(
                f"Got split.val_fraction={self.val_fraction} with split.val_on_test=true. "
                "Expected only one of them. Try removing one."
            )
        if self.val_on_test and self.hold_test_back:
            raise UsageError(
                "Got split.val_on_test=true with split.hold_test_back=true. Expected only one of "
                "them, since validation would read the test part. Try removing split.val_on_test."
            )
        if self.train_sample is not None and self.train_per_class is not None:
            raise UsageError(
                f"Got split.train_sample={self.train_sample} and "
                f"split.train_per_class={self.train_per_class}. Expected only one of them. Try "
                "removing one."
            )
        return self

    @model_validator(mode="after")
    def _check_pattern(self) -> Self:
        """Refuse a group pattern that is not a regular expression."""
        try:
            re.compile(self.group_pattern or "")
        except re.error as error:
            raise UsageError(
                f"Got split.group_pattern={self.group_pattern!r}, which is not a regular "
                f"expression ({error}). Expected one that finds the group in an example's id. Try "
                "correcting it, for example '(person[0-9]+)'."
            ) from None
        return self

    def is_changed(self, key: str) -> bool:
        """Return whether a setting differs from its default."""
        return bool(getattr(self, key) != self.default_of(key))

    @classmethod
    def default_of(cls, key: str) -> object:
        """Return the default of a setting."""
        return cls.model_fields[key].default
