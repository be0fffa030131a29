"""The run spec: one frozen, validated description of a training run.

It is read from TOML and `--set`, travels to the worker as JSON, and is stored in the run folder.
Nothing in it depends on a framework or on NumPy.
"""

from typing import Any, Self

from pydantic import model_validator

from .combinations import check_combination
from .methods.table import find_method
from .run_settings import BACKENDS, Backend, RunSettings

__all__ = ["BACKENDS", "Backend", "RunSpec"]


class RunSpec(RunSettings):
    """Everything that decides the numbers of a run; no two of its settings exclude each other."""

    @model_validator(mode="before")
    @classmethod
    def _fill_model(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Put the method's default model where none is named."""
        if not isinstance(values, dict):
            return values
        method = values.get("method", "lightlayers")
        model = values.get("model")
        if isinstance(method, str) and (
            model is None or (isinstance(model, dict) and "name" not in model)
        ):
            default = {"name": find_method(method).default_model}
            values = {**values, "model": {**default, **(model or {})}}
        return fill_teacher(fill_defaults(values))

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse combinations that no data could make right."""
        check_combination(self)
        return self

    def at_stage(self, name: str) -> "RunSpec":
        """The run as a stage of its plan sees it: with the stage's own data and rates."""
        fine_tuning = find_method(self.method).fine_tuning
        if fine_tuning is None:
            return self.replace(stage=name)
        changes = fine_tuning.settings(self.method_settings, self.model_dump(mode="json"), name)
        return self.replace(stage=name, **changes)

    def replace(self, **changes: Any) -> "RunSpec":
        """A copy with these fields changed, validated again."""
        return RunSpec.parse({**self.model_dump(mode="json"), **changes}, "")


def fill_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Put a method's own defaults of other groups where nothing is given."""
    name = values.get("method", "lightlayers")
    if not isinstance(name, str):
        return values
    for group, defaults in find_method(name).defaults.items():
        given = values.get(group) or {}
        if isinstance(given, dict):
            values = {**values, group: {**defaults, **given}}
    return values


def fill_teacher(values: dict[str, Any]) -> dict[str, Any]:
    """Give a method that learns from a teacher one like its student, where none is named."""
    method = values.get("method", "lightlayers")
    if not isinstance(method, str) or find_method(method).distillation is None:
        return values
    return {**values, "teacher": values.get("teacher") or {}}
