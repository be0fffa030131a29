"""The run spec: one frozen, validated description of a training run.

It is read from TOML and `--set`, travels to the worker as JSON, and is stored in the run folder.
Nothing in it depends on a framework or on NumPy.
"""

from typing import Any, Self

from pydantic import model_validator

from .combinations import check_combination
from .habits.images import fill_interpolation
from .methods.table import find_method
from .run_settings import BACKENDS, Backend, RunSettings

__all__ = ["BACKENDS", "Backend", "RunSpec"]


class RunSpec(RunSettings):
    """All settings that decide the numbers of a run, checked: no two exclude each other."""

    @model_validator(mode="before")
    @classmethod
    def _fill_model(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the method's default model, defaults and teacher, and the habit of the images."""
        if not isinstance(values, dict):
            return values
        method = values.get("method", "lightlayers")
        model = values.get("model")
        if isinstance(method, str) and (
            model is None or (isinstance(model, dict) and "name" not in model)
        ):
            default = {"name": find_method(method).default_model}
            values = {**values, "model": {**default, **(model or {})}}
        return fill_teacher(fill_interpolation(fill_defaults(values)))

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse combinations that are wrong with any data."""
        check_combination(self)
        return self

    def at_stage(self, name: str) -> "RunSpec":
        """Return the run of one stage of its plan, with the stage's own data and rates."""
        fine_tuning = find_method(self.method).fine_tuning
        if fine_tuning is None:
            return self.replace(stage=name)
        changes = fine_tuning.settings(self.method_settings, self.model_dump(mode="json"), name)
        return self.replace(stage=name, **changes)

    def replace(self, **changes: Any) -> "RunSpec":
        """Return a copy with these fields changed, validated again.

        Raises:
            UsageError: The changed run is not valid.
        """
        return RunSpec.parse({**self.model_dump(mode="json"), **changes}, "")


def fill_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in the defaults that a method has for other groups; values that are given win."""
    name = values.get("method", "lightlayers")
    if not isinstance(name, str):
        return values
    if find_method(name).fits_head:
        values = {"num_epochs": 1, **values}
    for group, defaults in find_method(name).defaults.items():
        given = values.get(group) or {}
        if isinstance(given, dict):
            values = {**values, group: {**defaults, **given}}
    return values


def fill_teacher(values: dict[str, Any]) -> dict[str, Any]:
    """Give a method that learns from a teacher one like its student if none is named."""
    method = values.get("method", "lightlayers")
    if not isinstance(method, str) or find_method(method).distillation is None:
        return values
    return {**values, "teacher": values.get("teacher") or {}}
