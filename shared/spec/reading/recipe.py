"""What a run does where its user names no number: by its method and its training images.

All numbers of the defaults that learn stand here; docs/recipe.md says what they were chosen on. A
run that is being written notes what it leaves open (`leave_open`), and is filled in once its data
is open (`fill_in`), before anything is recorded: a run folder holds numbers alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from poc.shared.shown_names import say
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.open_settings import OPEN_SETTINGS
from poc.shared.spec.run import RunSpec, fill_defaults

# Normed: drawn weights behind batch norms; plain: drawn ones without, or all of a trained network;
# head: a new head on a body that stands still; tuned: on one that moves.
Kind = Literal["normed", "plain", "head", "tuned"]

EPOCHS, RATE, SCHEDULE, VIEW, FINETUNE, HEAD = OPEN_SETTINGS
# A small set is passed until so many steps are done, a large one at least so often.
MIN_STEPS: Mapping[Kind, int] = MappingProxyType(
    {"normed": 1200, "plain": 1200, "head": 600, "tuned": 600}
)
MIN_EPOCHS = 10
# Where an epoch is one step, more passes than this learn the same few images by heart.
MAX_EPOCHS = 300
# Of the steps of the shortest stage, since every stage has the schedule to itself.
WARMUP_SHARE = 0.05
# Of the steps of FixRes, for its second phase, and its fewest epochs.
FINETUNE_SHARE, MIN_FINETUNE_EPOCHS = 0.1, 5
# A rate that batch norms make good use of is too much for a deep network without any.
RATES: Mapping[Kind, Mapping[str, float]] = MappingProxyType(
    {
        "normed": {"adam": 3e-3, "adamw": 3e-3, "sgd": 0.05},
        "plain": {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.01},
        "head": {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.01},
        "tuned": {"adam": 1e-4, "adamw": 1e-4, "sgd": 0.01},
    }
)
# The declared one is made for a thousand classes: with five it starts so large that what it does
# not unlearn costs a tenth of the accuracy.
HEAD_INITIALIZER = "torch_uniform"
# Mirror images and mild crops leave a photo what it is.
PHOTO_VIEW: Mapping[str, object] = MappingProxyType(
    {"crop": "random_resized", "area": (0.5, 1.0), "horizontal_flip": 0.5}
)
OPTIMIZER_NAMES = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """What the recipe looks at.

    Attributes:
        num_images: In the training part.
        are_photos: Whether they are pictures in colour, whose mirror images show the same thing.
        has_norms: Whether the network that learns from them has batch norms.
    """

    num_images: int
    are_photos: bool
    has_norms: bool


def leave_open(values: dict[str, object]) -> None:
    """Note what a run that is being written leaves to the recipe, in place.

    Args:
        values: As its user has given them; what nobody has checked yet counts as given.
    """
    if not isinstance(values.get("method", ""), str):
        return
    given = fill_defaults(values)
    left = values["open_settings"] = [key for key in OPEN_SETTINGS if not is_given(key, given)]
    finetune = find(FINETUNE, given)
    if EPOCHS in left and isinstance(finetune, int):
        # Until the images are counted: as many as leave something for the first phase.
        values["num_epochs"] = finetune + MIN_EPOCHS


def is_given(key: str, values: Mapping[str, object]) -> bool:
    """Whether a run sets a key, or anything of it where it is a group; or rules it out."""
    group, _, option = key.partition(".")
    known = find_method(str(values.get("method", "lightlayers"))).options.model_fields
    if group == "method_options" and option not in known:
        return True
    if key == FINETUNE and is_given(EPOCHS, values):
        # Without room of its own the second phase would take from the first.
        return True
    if key == HEAD and find("method_options.new_head", values) is False:
        return True
    if key == SCHEDULE and any(
        find(f"early_stopping.{rule}", values) for rule in ("patience", "reduce_patience")
    ):
        # Such a run ends, or drops its rate, by what it sees.
        return True
    return find(key, values) not in (None, {})


def find(key: str, values: Mapping[str, object]) -> object:
    """The value at a dotted key; a parent that is no group stands for itself; none: not set."""
    found: object = values
    for part in key.split("."):
        if not isinstance(found, Mapping):
            return found
        found = found.get(part)
    return found


def kind_of(run: RunSpec, *, has_norms: bool) -> Kind:
    """What of its network a run trains, and from where."""
    options: object = run.method_settings
    if find_method(run.method).fine_tuning is not None:
        return "tuned" if moves_body(run) else "head"
    # LwF's original form goes on with the source itself.
    is_drawn = run.initial_weights is None and getattr(options, "form", "") != "original"
    return "normed" if is_drawn and has_norms else "plain"


def moves_body(run: RunSpec) -> bool:
    """Whether a method with a pretrained body trains more than the head of it."""
    options: Any = run.method_settings
    return bool(options.trained_blocks) or options.bn_mode == "adapt_all"


def keeps_outputs(run: RunSpec) -> bool:
    """Whether what is frozen sees each image once, which images that are drawn anew would undo."""
    if find_method(run.method).fine_tuning is None:
        return run.teacher is not None and bool(run.teacher.cache)
    cache = getattr(run.method_settings, "feature_cache", "off")
    return cache in ("memory", "disk") or (cache == "auto" and not moves_body(run))


def count_steps(run: RunSpec, num_images: int) -> int:
    """Steps of an epoch."""
    batches = num_images / run.data.batch_size
    return max(1, math.floor(batches) if run.data.drop_last else math.ceil(batches))


def count_epochs(kind: Kind, num_steps: int) -> int:
    """Epochs of so many steps that the recipe takes."""
    return max(MIN_EPOCHS, min(MAX_EPOCHS, math.ceil(MIN_STEPS[kind] / num_steps)))


def fill_in(run: RunSpec, images: TrainingImages) -> RunSpec:
    """The run with a number in the place of all that it leaves open.

    Args:
        run: As its user has written it.
        images: Those that it trains on.
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
    """The run's epochs, of so many steps each, and the options of its method."""
    epochs, options = run.num_epochs, dict(run.method_options)
    if HEAD in run.open_settings:
        options["head_initializer"] = HEAD_INITIALIZER
    if EPOCHS in run.open_settings:
        epochs = count_epochs(kind, num_steps)
        if FINETUNE in run.open_settings:
            wanted = math.ceil(FINETUNE_SHARE * MIN_STEPS[kind] / num_steps)
            options["finetune_epochs"] = max(MIN_FINETUNE_EPOCHS, min(epochs, wanted))
        # The phases of FixRes share the epochs.
        epochs += options.get("finetune_epochs", 0)
    return {"num_epochs": epochs, "method_options": options}


def describe_long_warmup(run: RunSpec, num_images: int) -> str | None:
    """A sentence where a stage ends before its rate has risen, or none.

    Args:
        run: With all that it leaves open filled in.
        num_images: That it trains on.
    """
    steps = count_steps(run, num_images) * min(stage.num_epochs for stage in run.stages)
    warmup = run.schedule.warmup_steps
    if not warmup or steps > warmup:
        return None
    stage = "Training" if len(run.stages) == 1 else "A stage of the training"
    return f"{stage} ends inside the warm-up: {say(steps, 'step')}, schedule.warmup_steps={warmup}."


def describe_recipe(before: RunSpec, run: RunSpec, num_images: int) -> str | None:
    """One sentence with what was filled in, and what was set; none: nothing was filled in.

    Args:
        before: The run as its user has written it.
        run: The same, filled in.
        num_images: That it trains on.
    """
    filled = set(before.open_settings)
    if before.data.train_view == run.data.train_view and filled <= {VIEW}:
        return None
    steps = count_steps(run, num_images)
    epochs = f"{say(run.num_epochs, 'epoch')} of {say(steps, 'step')}"
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
    told = ", ".join(text if key in filled else f"{text} as set" for key, text in parts.items())
    return f"Recipe for {num_images:,} training images: {told}."


def describe_schedule(run: RunSpec) -> str:
    """`cosine after 30 steps of warm-up`."""
    name, warmup = run.schedule.name, run.schedule.warmup_steps
    return f"{name} after {say(warmup, 'step')} of warm-up" if warmup else name


def describe_view(before: RunSpec, run: RunSpec) -> str:
    """What training sees of an image."""
    if VIEW not in before.open_settings:
        return "views"
    if before.data.train_view != run.data.train_view:
        return "flips and mild crops"
    return "no augmentation"
