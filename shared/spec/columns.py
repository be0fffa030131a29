"""Settings of a table of labels: which of its columns says what."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .settings import Settings

Column = Annotated[str, Field(min_length=1)]


class ColumnsSpec(Settings):
    """The columns of a CSV file of labels, by their names in its first line.

    A name that is not set is found among the usual ones; `docs/data.md` lists them.
    """

    path: Column | None = Field(
        None,
        examples=["image_id"],
        description="csv: column of the image files' paths, relative to the CSV file's folder; "
        "none: path, file, filename or image",
    )
    label: Column | None = Field(
        None,
        examples=["diagnosis"],
        description="csv: column of the class, one per image; none: label or class",
    )
    labels: tuple[Column, ...] = Field(
        (),
        examples=[["edema", "effusion"]],
        description="csv: columns of 0 and 1, one per label, or one column of names that `|` "
        "separates; empty: the column labels, or all other columns if they hold only 0 and 1",
    )
    group: Column | None = Field(
        None,
        examples=["patient"],
        description="csv: column of the group, such as the patient, that no split divides; none: "
        "group",
    )
    split: Column | None = Field(
        None,
        examples=["fold"],
        description="csv: column of the part, train, val or test; none: split or part",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse one column for two uses, and one class next to several labels."""
        if self.label is not None and self.labels:
            raise UsageError(
                f"Got data.columns.label={self.label!r} and data.columns.labels="
                f"{list(self.labels)}. Expected only one of them: label for one class per image, "
                "labels for any number. Try removing one."
            )
        named = [
            column
            for column in (self.path, self.label, *self.labels, self.group, self.split)
            if column is not None
        ]
        twice = sorted({column for column in named if named.count(column) > 1})
        if twice:
            raise UsageError(
                f"Got data.columns with {twice[0]!r} named twice. Expected one use of each column. "
                "Try correcting one of them."
            )
        return self
