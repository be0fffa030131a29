"""Which examples train, validate and test: the settings behind every split."""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .settings import Settings

SplitKind = Literal["auto", "published", "fractions", "holdout", "kfold", "listed"]

# Settings that only some kinds of split read; elsewhere they must keep their default.
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
    """Which examples train, validate and test.

    `published` keeps the source's own train and test parts. Where the source publishes no val part,
    one is carved out of train. `fractions` pools every example and splits it anew. `auto` is
    `published` where the source publishes parts, else `fractions`. `holdout` keeps the published
    test part and validates on the first examples of train. `kfold` pools every example and tests on
    one fold. `listed` reads the parts from a file.
    """

    kind: SplitKind = Field("auto", description="rule that makes the three parts")
    val_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="published, kfold: share of train that validates; 0: no val part",
    )
    val_on_test: bool = Field(
        False, description="published: validate on the test part, as some papers did"
    )
    fractions: tuple[float, float, float] = Field(
        (0.64, 0.16, 0.2), description="fractions: shares of train, val and test; they sum to 1"
    )
    is_stratified: bool = Field(
        True, description="every class keeps its share in every part; false: drawn without a look"
    )
    group_pattern: str | None = Field(
        None,
        description="regular expression that finds an example's group (patient) in its id; a group "
        "is never divided. What `(?P<group>...)` matched, else the first bracket, else the match",
    )
    num_val_examples: int = Field(
        5000, ge=1, description="holdout: the first n examples of train validate"
    )
    num_folds: int = Field(5, ge=2, description="kfold: number of folds")
    fold: int = Field(0, ge=0, description="kfold: the fold that is tested on, from 0")
    file: str | None = Field(
        None, description="listed: file of `poc data split`, or CSV with the columns id and part"
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
    def _check_kind(self) -> Self:
        """Refuse settings that the chosen kind would ignore, and a list without its file."""
        for key, kinds in READ_BY.items():
            if self.kind not in kinds and getattr(self, key) != self._default(key):
                allowed = " or ".join(repr(kind) for kind in kinds)
                raise UsageError(
                    f"received split.{key}={getattr(self, key)!r} with split.kind={self.kind!r}; "
                    f"allowed is it with {allowed}: set split.kind={kinds[-1]} or leave "
                    f"split.{key} out"
                )
        if (self.kind == "listed") != (self.file is not None):
            raise UsageError(
                f"received split.kind={self.kind!r} with split.file={self.file!r}; allowed is "
                "'listed' with a file: name the file that `poc data split` wrote"
            )
        if self.fold >= self.num_folds:
            raise UsageError(
                f"received split.fold={self.fold} of split.num_folds={self.num_folds}; allowed is "
                f"0 to {self.num_folds - 1}: correct it"
            )
        return self

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        """Refuse two answers to one question."""
        if self.val_on_test and self.val_fraction != self._default("val_fraction"):
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

    @model_validator(mode="after")
    def _check_pattern(self) -> Self:
        """A group pattern is a regular expression."""
        try:
            re.compile(self.group_pattern or "")
        except re.error as error:
            raise UsageError(
                f"received split.group_pattern={self.group_pattern!r}, which is no regular "
                f"expression ({error}); allowed is one that finds the group in an example's id: "
                "write for example '(person[0-9]+)'"
            ) from None
        return self

    @classmethod
    def _default(cls, key: str) -> object:
        return cls.model_fields[key].default
