"""Guesses of the name that a user meant who typed an unknown one."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import TypeVar

from poc.shared.errors import UsageError

Name = TypeVar("Name", bound=str)

# Names that other tools use -> the names here.
KEY_HABITS = {
    "lr": "learning_rate",
    "lr0": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "batch": "batch_size",
    "epoch": "num_epochs",
    "epochs": "num_epochs",
    "max_epochs": "num_epochs",
    "optim": "optimizer.name",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
    "split": "split.kind",
    "scheduler": "schedule.name",
    "dataset": "data.source",
    "workers": "num_workers",
    "imgsz": "image_size",
    "img_size": "image_size",
    "input_size": "image_size",
    "size": "image_size",
    "arch": "model",
    "amp": "precision",
    "dtype": "precision",
    "gpu": "device",
    "rate": "learning_rate",
    "weights": "initial_weights",
    # Renamed since the first runs.
    "source": "teacher",
}
VALUE_HABITS = {"tensorflow": "tf", "keras": "tf", "pytorch": "torch", "cuda": "gpu"}
# Keys that people mean when they give a word to a group of settings, such as `optimizer=sgd`.
LEADING_KEYS = ("name", "kind", "source", "crop", "weights")
# Up to this number a message lists all names: a reader takes them in at a glance.
FEW = 12
SIMILARITY = 0.6


def nearest(name: str, allowed: Collection[str], count: int = 3) -> list[str]:
    """Return the allowed names closest to a name, the closest first; none if none is close."""
    if name in KEY_HABITS and KEY_HABITS[name].split(".")[-1] in {*allowed, "name", "source"}:
        return [KEY_HABITS[name]]
    return similar(name, allowed, count)


def likeliest(name: object, allowed: Iterable[str]) -> str:
    """Return the allowed name that a user probably meant: the closest, or else the first."""
    return closest(name, [*allowed]) or next(iter(allowed))


def choose(option: str, name: str, allowed: Collection[Name]) -> Name:
    """Return the allowed name that an option gives.

    Raises:
        UsageError: The name is another one.
    """
    for known in allowed:
        if known == name:
            return known
    raise UsageError(
        f"Got {option} {name!r}. Expected one of {', '.join(allowed)}. Try {option} "
        f"{likeliest(name, allowed)}."
    )


def closest(name: object, allowed: Collection[str]) -> str | None:
    """Return the allowed name closest to a name; none if none is close."""
    text = str(name).lower()
    meant = VALUE_HABITS.get(text)
    if meant in allowed:
        return meant
    return next(iter(similar(text, allowed, 1)), None)


def similar(name: str, allowed: Collection[str], count: int) -> list[str]:
    """Return up to `count` allowed names with a similar spelling, the closest first."""
    plain = {simplify(other): other for other in allowed}
    found = get_close_matches(simplify(name), plain, n=count, cutoff=SIMILARITY)
    return [plain[other] for other in found]


def simplify(name: str) -> str:
    """Return the name in lower case without hyphens and underscores, which people mix up."""
    return name.lower().replace("-", "_").replace("_", "")


def suggest_key(name: str, allowed: Collection[str]) -> str:
    """Write the end of a message about an unknown key: the nearest keys, or all if they are few."""
    near = nearest(name.rpartition(".")[2], allowed)
    if not near and len(allowed) <= FEW:
        known = f"one of {', '.join(sorted(allowed))}" if allowed else "no key here"
        return f"Expected {known}. Try correcting or removing it."
    advice = f"{' or '.join(near)}, or remove it" if near else "correcting or removing it"
    return f"Expected a key of `poc config keys`. Try {advice}."


def suggest_name(name: str, allowed: Collection[str], listing: str) -> str:
    """Write the end of a message about an unknown name of a long list.

    Args:
        name: The received name.
        allowed: All names of the list.
        listing: Command that lists them, such as `poc models list`.
    """
    near = nearest(name, allowed) or [next(iter(allowed))]
    return f"Expected a name of `{listing}`. Try {' or '.join(near)}."


def leading_key(keys: Collection[str]) -> str | None:
    """Return the key of a group that a plain value for the group is probably meant for."""
    return next((key for key in LEADING_KEYS if key in keys), None)
