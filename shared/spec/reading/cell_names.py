"""Names of a sweep's cells: the settings that differ, in few letters that any file system takes.

A name is a folder, a part of a progress line and a text that users type. So a path is named by its
last part, a key by its last word, and nothing is cut within a word.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

# A reader looks for the method and the backend first, and for the seed last.
FIRST_KEYS, LAST_KEY = ("method", "backend"), "seed"
# Last words that say less than the group before them: `optimizer.name`, `data.source`.
PLAIN_WORDS = ("name", "kind", "source", "weights")
FILE_ENDINGS = re.compile(
    r"(\.(weights|pth|tar|gz|safetensors|pt|h5|keras|npz|npy|json|toml|csv|idx|zip))+$", re.I
)
CHECKPOINT = re.compile(r"[/\\]checkpoints[/\\]best\.safetensors$")
MAX_NAME_LENGTH, MAX_VALUE_LENGTH, DIGEST_LENGTH = 100, 40, 8
# Up to this many last parts of a path are used to tell two paths apart.
MAX_DEPTH = 8


def name_cells(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """Return one name per cell, in the order of the cells, from the settings that differ.

    Args:
        settings: The settings of each cell, with its seed; no two cells are equal.
    """
    labels = label_settings(settings)
    return [shorten_name(label) or f"{LAST_KEY}={settings[0].get(LAST_KEY, 0)}" for label in labels]


def label_settings(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """Label each cell by the settings that differ: `method=kd,backend=tf,k=3`, or empty."""
    keys = differing_keys(settings)
    short = short_keys(keys)
    labels = {key: label_values([row[key] for row in settings if key in row]) for key in keys}
    return [
        ",".join(f"{short[key]}={labels[key][identify(row[key])]}" for key in keys if key in row)
        for row in settings
    ]


def differing_keys(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the keys with several values, or that only some cells have; method first."""
    order = {**dict.fromkeys(FIRST_KEYS), **dict.fromkeys(key for row in settings for key in row)}
    kinds = {key: {identify(row[key]) if key in row else "" for row in settings} for key in order}
    return sorted((key for key in order if len(kinds[key]) > 1), key=lambda key: key == LAST_KEY)


def identify(value: object) -> str:
    """Return a text that no other value has."""
    return json.dumps(value, sort_keys=True, default=str)


def short_keys(keys: Collection[str]) -> dict[str, str]:
    """Map each key to its last word, or to the full key if another key has the same last word."""
    words = {key: last_word(key) for key in keys}
    counts = Counter(words.values())
    return {key: safe(word if counts[word] == 1 else key) for key, word in words.items()}


def last_word(key: str) -> str:
    """Return the last word with a meaning: `fold` for `split.fold`, `optimizer` for its name."""
    parts = key.split(".")
    while len(parts) > 1 and parts[-1] in PLAIN_WORDS:
        parts.pop()
    return parts[-1]


def label_values(values: Sequence[object]) -> dict[str, str]:
    """Map the identity of each value of one key to its label.

    No two labels are equal, not even without regard to case: some file systems ignore it.
    """
    texts = {identify(value): write_value(value) for value in values}
    for depth in range(1, MAX_DEPTH + 1):
        labels = {identity: label_value(text, depth) for identity, text in texts.items()}
        if len({label.lower() for label in labels.values()}) == len(labels):
            return labels
    return {identity: f"{label}-{digest(identity)}" for identity, label in labels.items()}


def label_value(text: str, depth: int) -> str:
    """Return the label of one value; a path gives its last `depth` parts."""
    if text.startswith("[") and text.endswith("]"):
        text = text.strip("[]").replace(",", "x")
    elif "/" in text or "\\" in text or FILE_ENDINGS.search(text):
        path = CHECKPOINT.sub("", re.sub(r"^[a-z]{2,}:", "", text))
        parts = [part for part in re.split(r"[/\\]", path) if part]
        text = FILE_ENDINGS.sub("", "-".join(parts[-depth:])) or text
    label = safe(text).rstrip(".-")
    if len(label) <= MAX_VALUE_LENGTH:
        return label
    return f"{cut(label, MAX_VALUE_LENGTH - DIGEST_LENGTH - 1, '-_.')}-{digest(text)}"


def safe(text: str) -> str:
    """Replace signs that have a meaning for a file system, a shell or the name itself."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", text)


def shorten_name(label: str) -> str:
    """Return the label, or its first settings and a digest if it is too long for a folder."""
    if len(label) <= MAX_NAME_LENGTH:
        return label
    return f"{cut(label, MAX_NAME_LENGTH - DIGEST_LENGTH - 1, ',')}-{digest(label)}"


def cut(text: str, length: int, separators: str) -> str:
    """Return the beginning of a text, up to a separator if it contains one."""
    ends = [text.rfind(separator, 1, length + 1) for separator in separators]
    return text[: max(ends) if max(ends) > 0 else length]


def digest(text: str) -> str:
    """Return a digest of a text, which keeps shortened texts apart."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGEST_LENGTH]


def write_value(value: object) -> str:
    """Write a value as `--set` reads it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
