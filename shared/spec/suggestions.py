"""What somebody who typed a name that is none probably meant."""

from collections.abc import Collection
from difflib import get_close_matches

# Names that other tools use, and this one's.
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
    # Former names.
    "source": "teacher",
}
VALUE_HABITS = {"tensorflow": "tf", "keras": "tf", "pytorch": "torch", "cuda": "gpu"}
# A group of settings by the one of its keys that people mean when they give the group a word.
LEADING_KEYS = ("name", "kind", "source", "crop", "weights")
# Below it all names are shown: the reader sees them at a glance.
FEW = 12
SIMILARITY = 0.6


def nearest(name: str, allowed: Collection[str], count: int = 3) -> list[str]:
    """The allowed names that a name is closest to, the closest first; none where none is close."""
    plain = {simplify(other): other for other in allowed}
    if name in KEY_HABITS and KEY_HABITS[name].split(".")[-1] in {*allowed, "name", "source"}:
        return [KEY_HABITS[name]]
    found = get_close_matches(simplify(name), plain, n=count, cutoff=SIMILARITY)
    return [plain[other] for other in found]


def simplify(name: str) -> str:
    """The name without what people write in different ways."""
    return name.lower().replace("-", "_").replace("_", "")


def suggest_key(name: str, allowed: Collection[str]) -> str:
    """What is allowed in place of an unknown key: the nearest keys, or all where they are few."""
    near = nearest(name.rpartition(".")[2], allowed)
    if not near and len(allowed) <= FEW:
        return f"allowed are {', '.join(sorted(allowed)) or 'none here'}: correct or remove it"
    hint = f", the nearest {' or '.join(near)}" if near else ""
    return f"allowed are those of `poc config keys`{hint}: correct or remove it"


def suggest_name(name: str, allowed: Collection[str], listing: str) -> str:
    """What is allowed in place of one of many names.

    Args:
        name: What was received.
        allowed: Every name.
        listing: The command that lists them, such as `poc models list`.
    """
    near = nearest(name, allowed)
    hint = f", the nearest {' or '.join(near)}" if near else ""
    return f"allowed is a name of `{listing}`{hint}: choose one"


def leading_key(keys: Collection[str]) -> str | None:
    """The key of a group that a plain value for the group is probably meant for."""
    return next((key for key in LEADING_KEYS if key in keys), None)
