"""Checkpoints to resume from: one file with everything, the last and the one before it.

`resume.safetensors` holds the weights, the trainer's state and, as JSON in its header, the loop's
state, the sums of the open epoch, the last metrics line and a digest of it all. One file is
replaced by one rename, so that no two halves of different steps can meet; the former one stays as
`resume_previous.safetensors`, for a disk that has lost what it promised to hold.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from poc.shared.errors import UsageError

from .files import Arrays, read_arrays_and_metadata, remove_temporaries, write_arrays
from .loop_state import LoopState, Sums

FORMAT = "poc checkpoint 1"
LATEST, PREVIOUS = "resume.safetensors", "resume_previous.safetensors"
# First part of an array's name in the file -> field of the checkpoint.
SECTIONS = {"weights": "weights", "state": "trainer_state"}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that a resume needs.

    Attributes:
        loop: Where the loop stands.
        sums: Metrics of the open epoch, as far as they were fetched.
        line: Metrics line of the last finished epoch, which may not stand in its file yet.
        weights: Canonical; also what the method trains beside the network.
        trainer_state: Optimiser slots and whatever else the method's trainer calls its state.
        counts: The trainer's totals that were not fetched yet.
    """

    loop: LoopState
    sums: Sums
    line: dict[str, Any] | None = None
    weights: Arrays = field(default_factory=dict)
    trainer_state: Arrays = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the latest checkpoint, keeping it as the previous one.

    Raises:
        OSError: The folder takes no file; the latest checkpoint is then the former one.
    """
    arrays = {
        f"{section}/{name}": array
        for section, key in SECTIONS.items()
        for name, array in getattr(checkpoint, key).items()
    }
    tree = {
        "loop": asdict(checkpoint.loop),
        "sums": asdict(checkpoint.sums),
        "line": checkpoint.line,
        "counts": checkpoint.counts,
    }
    text = json.dumps(tree)
    remove_temporaries(folder)
    keep_previous(folder)
    write_arrays(folder / LATEST, arrays, format=FORMAT, loop=text, digest=digest_of(arrays, text))


def keep_previous(folder: Path) -> None:
    """Give the latest checkpoint a second name; without hard links there is no second one."""
    temporary = folder / f".{PREVIOUS}.link"
    with suppress(OSError):
        temporary.unlink(missing_ok=True)
        os.link(folder / LATEST, temporary)
        temporary.replace(folder / PREVIOUS)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The latest whole checkpoint, or none where nothing was saved yet.

    Raises:
        UsageError: There are checkpoints, and none of them is whole.
    """
    problem: UsageError | None = None
    for name in (LATEST, PREVIOUS):
        if not (folder / name).exists():
            continue
        try:
            return read_one(folder / name)
        except UsageError as error:
            problem = problem or error
    if problem is not None:
        raise problem
    return None


def read_one(path: Path) -> Checkpoint:
    """One file, its digest checked.

    Raises:
        UsageError: Unreadable, of another format, or not what was written.
    """
    arrays, metadata = read_arrays_and_metadata(path)
    text = metadata.get("loop", "")
    if metadata.get("format") != FORMAT or metadata.get("digest") != digest_of(arrays, text):
        raise UsageError(
            f"received the checkpoint {str(path)!r}, which is damaged or of another format; "
            f"allowed is one of the format {FORMAT!r}: start the run again"
        )
    # The digest says that this is what `write_checkpoint` wrote.
    tree = json.loads(text)
    return Checkpoint(
        loop=LoopState(**tree["loop"]),
        sums=Sums(**tree["sums"]),
        line=tree["line"],
        counts=tree["counts"],
        **{key: select(arrays, f"{section}/") for section, key in SECTIONS.items()},
    )


def select(arrays: Mapping[str, Any], prefix: str) -> Arrays:
    """The arrays below a prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def digest_of(arrays: Arrays, text: str) -> str:
    """Digest of names, types, shapes, bytes and the text."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
