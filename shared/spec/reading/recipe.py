"""The recipe: settings that a user leaves out, chosen from the method and the training images.

This module has all numbers of the recipe; docs/recipe.md says on which data they were chosen. A
command that reads a run notes the open settings (`leave_open`). When the data is opened, `fill_in`
sets them, before anything is recorded: a run folder has no open settings.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from poc.shared.errors import UsageError
from poc.shared.shown_names import say
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.open_settings import OPEN_SETTINGS
from poc.shared.spec.run import RunSpec, fill_defaults

# normed: random weights with batch norms; plain: random ones without, or all of a trained network;
# head: a new head on a frozen body; tuned: a new head on a body that trains too.
Kind = Literal["normed", "plain", "head", "tuned"]

EPOCHS, RATE, SCHEDULE, VIEW, FINETUNE, HEAD = OPEN_SETTINGS
# A small data set is repeated until this many steps are done, a large one for MIN_EPOCHS or more.
MIN_STEPS: Mapping[Kind, int] = MappingProxyType(
    {"normed": 1200, "plain": 1200, "head": 600, "tuned": 600}
)
MIN_EPOCHS = 10
# With one step per epoch, more passes than this only memorise the few images.
MAX_EPOCHS = 300
# Share of the steps of the shortest stage, since every stage runs through the schedule.
WARMUP_SHARE = 0.05
# Share of the steps of FixRes for its second phase, and the least epochs of that phase.
FINETUNE_SHARE, MIN_FINETUNE_EPOCHS = 0.1, 5
# Networks with batch norms learn well at a rate at which deep networks without any diverge.
RATES: Mapping[Kind, Mapping[str, float]] = MappingProxyType(
    {
        "normed": {"adam": 3e-3, "adamw": 3e-3, "sgd": 0.05},
        "plain": {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.01},
        "head": {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.01},
        "tuned": {"adam": 1e-4, "adamw": 1e-4, "sgd": 0.01},
    }
)
# The declared initializer is made for a thousand classes. With five, its values are so large that
# the network does not unlearn all of them, which costs a tenth of the accuracy.
HEAD_INITIALIZER = "torch_uniform"
# Mirror images and mild crops of a photo show the same thing.
PHOTO_VIEW: Mapping[str, object] = MappingProxyType(
    {"crop": "random_resized", "area": (0.5, 1.0), "horizontal_flip": 0.5}
)
OPTIMIZER_NAMES = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """The facts from which the recipe chooses.

    Attributes:
        num_images: Number of images in the training part.
        are_photos: True if they are pictures in colour, whose mirror images show the same thing.
        has_norms: True if the network that learns from them has batch norms.
    """

    num_images: int
    are_photos: bool
    has_norms: bool


def leave_open(values: dict[str, object]) -> None:
    """Record in `open_settings` which settings a run leaves to the recipe, in place.

    Args:
        values: Settings as the user gave them, not checked yet.
    """
    if not isinstance(values.get("method", ""), str):
        return
    given = fill_defaults(values)
    left = values["open_settings"] = [key for key in OPEN_SETTINGS if not is_given(key, given)]
    finetune = find(FINETUNE, given)
    if EPOCHS in left and isinstance(finetune, int):
        # A stand-in until the images are counted, so that the first phase has epochs too.
        values["num_epochs"] = finetune + MIN_EPOCHS


def is_given(key: str, values: Mapping[str, object]) -> bool:
    """Return whether a run sets a key or a part of it, or has settings that rule it out."""
    group, _, option = key.partition(".")
    method = find_method(str(values.get("method", "lightlayers")))
    # A fitted head has one pass over the images, without steps.
    if method.fits_head or (
        group == "method_options" and option not in method.options.model_fields
    ):
        return True
    if key == FINETUNE and is_given(EPOCHS, values):
        # With a fixed number of epochs, the second phase would take its own from the first.
        return True
    if key == HEAD and find("method_options.new_head", values) is False:
        return True
    if key == SCHEDULE and any(
        find(f"early_stopping.{rule}", values) for rule in ("patience", "reduce_patience")
    ):
        # Such a run ends, or drops its rate, by its validation metric.
        return True
    return find(key, values) not in (None, {})


def find(key: str, values: Mapping[str, object]) -> object:
    """Return the value at a dotted key, or none; a plain value in place of a group is returned."""
    found: object = values
    for part in key.split("."):
        if not isinstance(found, Mapping):
            return found
        found = found.get(part)
    return found


def kind_of(run: RunSpec, *, has_norms: bool) -> Kind:
    """Return the kind of training: the part of the network that trains, and its start."""
    options: object = run.method_settings
    if find_method(run.method).fine_tuning is not None:
        return "tuned" if moves_body(run) else "head"
    # LwF's original form starts from the source's weights.
    is_drawn = run.initial_weights is None and getattr(options, "form", "") != "original"
    return "normed" if is_drawn and has_norms else "plain"


def moves_body(run: RunSpec) -> bool:
    """Return whether a method with a pretrained body trains more than its head."""
    options: Any = run.method_settings
    if find_method(run.method).fits_head:
        return False
    return bool(options.trained_blocks) or options.bn_mode == "adapt_all"


def keeps_outputs(run: RunSpec) -> bool:
    """Return whether the run caches outputs of its frozen part, which random views would undo."""
    if find_method(run.method).fine_tuning is None:
        return run.teacher is not None and bool(run.teacher.cache)
    cache = getattr(run.method_settings, "feature_cache", "off")
    return cache in ("memory", "disk") or (cache == "auto" and not moves_body(run))


def count_steps(run: RunSpec, num_images: int) -> int:
    """Return the number of steps per epoch; of updates, if several batches make one."""
    batches = num_images / run.data.batch_size
    count = max(1, math.floor(batches) if run.data.drop_last else math.ceil(batches))
    return math.ceil(count / run.optimizer.accumulation_steps)


def count_epochs(kind: Kind, num_steps: int) -> int:
    """Return the recipe's number of epochs with `num_steps` steps each."""
    return max(MIN_EPOCHS, min(MAX_EPOCHS, math.ceil(MIN_STEPS[kind] / num_steps)))


def count_finetune_epochs(kind: Kind, num_steps: int) -> int:
    """Return the recipe's number of epochs of FixRes' second phase, with `num_steps` steps each."""
    wanted = math.ceil(FINETUNE_SHARE * MIN_STEPS[kind] / num_steps)
    return max(MIN_FINETUNE_EPOCHS, min(count_epochs(kind, num_steps), wanted))


def fill_in(run: RunSpec, images: TrainingImages) -> RunSpec:
    """Fill in all open settings of a run.

    Args:
        run: The run as the user wrote it.
        images: The images that it trains on.
    """
    still_open, kind = set(run.open_settings), kind_of(run, has_norms=images.has_norms)
    steps = count_steps(run, images.num_images)
    planned = run.replace(**plan(run, kind, steps), open_settings=[])
    values = planned.model_dump(mode="json")
    changes: dict[str, object] = {}
    if SCHEDULE in still_open:
        shortest = min(stage.num_epochs for stage in planned.stages) * steps
        warmup = round(WARMUP_SHARE * shortest)
        changes["schedule"] = {**values["schedule"], "name": "cosine", "warmup_steps": warmup}
    if RATE in still_open:
        rate = RATES[kind][run.optimizer.name]
        changes["optimizer"] = {**values["optimizer"], "learning_rate": rate}
    if VIEW in still_open and images.are_photos and not keeps_outputs(run):
        view = {**values["data"]["train_view"], **PHOTO_VIEW}
        changes["data"] = {**values["data"], "train_view": view}
    return planned.replace(**changes)


def plan(run: RunSpec, kind: Kind, num_steps: int) -> dict[str, object]:
    """Return the run's number of epochs, with `num_steps` steps each, and the method's options."""
    epochs, options = run.num_epochs, dict(run.method_options)
    if HEAD in run.open_settings:
        options["head_initializer"] = HEAD_INITIALIZER
    if EPOCHS in run.open_settings:
        epochs = count_epochs(kind, num_steps)
        if FINETUNE in run.open_settings:
            options["finetune_epochs"] = count_finetune_epochs(kind, num_steps)
        # num_epochs counts both phases of FixRes.
        epochs += options.get("finetune_epochs", 0)
    return {"num_epochs": epochs, "method_options": options}


def describe_long_warmup(run: RunSpec, num_images: int) -> str | None:
    """Write a sentence if a stage ends before its warm-up does, or return none.

    Args:
        run: A run without open settings.
        num_images: Number of images that it trains on.
    """
    steps = count_steps(run, num_images) * min(stage.num_epochs for stage in run.stages)
    warmup = run.schedule.warmup_steps
    if not warmup or steps > warmup:
        return None
    stage = "Training" if len(run.stages) == 1 else "A stage of the training"
    return f"{stage} ends inside the warm-up: {say(steps, 'step')}, schedule.warmup_steps={warmup}."


def refuse_single_update(run: RunSpec, num_images: int) -> None:
    """Refuse one cycle for a stage of one update: it would be the last one, at the least rate.

    Args:
        run: A run without open settings.
        num_images: Number of images that it trains on.

    Raises:
        UsageError: See above.
    """
    updates = count_steps(run, num_images) * min(stage.num_epochs for stage in run.stages)
    if run.schedule.name != "one_cycle" or updates > 1:
        return
    rate = run.optimizer.learning_rate * run.schedule.final_fraction
    raise UsageError(
        f"Got schedule.name='one_cycle' for {say(updates, 'update')}, whose rate would be the last "
        f"of the cycle, {rate:g}. Expected at least 2 updates. Try more epochs, a smaller "
        "data.batch_size, or schedule.name=constant."
    )


def describe_recipe(before: RunSpec, run: RunSpec, num_images: int) -> str | None:
    """Write one sentence with the settings, filled in or set; none if nothing was filled in.

    Args:
        before: The run as the user wrote it.
        run: The same run after `fill_in`.
        num_images: Number of images that it trains on.
    """
    filled = set(before.open_settings)
    if before.data.train_view == run.data.train_view and filled <= {VIEW}:
        return None
    steps = count_steps(run, num_images)
    what = "step" if run.optimizer.accumulation_steps == 1 else "update"
    epochs = f"{say(run.num_epochs, 'epoch')} of {say(steps, what)}"
    epochs += f" ({run.num_epochs * steps:,})"
    if len(run.stages) > 1 and (last := getattr(run.method_settings, "finetune_epochs", 0)):
        epochs += f", the last {last:,} to fine-tune"
    rate = f"{OPTIMIZER_NAMES[run.optimizer.name]} {run.optimizer.learning_rate:g}"
    parts = {
        EPOCHS: epochs,
        RATE: rate,
        SCHEDULE: describe_schedule(run),
        VIEW: describe_view(before, run),
    }
    if HEAD in filled:
        parts[HEAD] = "a small new head"
    listed = ", ".join(text if key in filled else f"{text} as set" for key, text in parts.items())
    return f"Recipe for {num_images:,} training images: {listed}."


def describe_schedule(run: RunSpec) -> str:
    """Write a schedule in few words: `cosine after 30 steps of warm-up`."""
    name, warmup = run.schedule.name, run.schedule.warmup_steps
    return f"{name} after {say(warmup, 'step')} of warm-up" if warmup else name


def describe_view(before: RunSpec, run: RunSpec) -> str:
    """Write the training view in few words."""
    if VIEW not in before.open_settings:
        return "views"
    if before.data.train_view != run.data.train_view:
        return "flips and mild crops"
    return "no augmentation"
