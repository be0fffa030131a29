"""Settings that a run may leave open: the recipe (`recipe.py`) fills them in with its data."""

from typing import Literal, get_args

from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

OpenSetting = Literal[
    "num_epochs",
    "optimizer.learning_rate",
    "schedule",
    "data.train_view",
    "method_options.finetune_epochs",
    "method_options.head_initializer",
]
OPEN_SETTINGS: tuple[OpenSetting, ...] = get_args(OpenSetting)
# Marks a field that the recipe fills in if a run sets no part of its open setting above.
BY_RECIPE: JsonDict = {"by_recipe": True}


def is_by_recipe(field: FieldInfo) -> bool:
    """Return whether the recipe fills in a field that a run does not set."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("by_recipe"))
