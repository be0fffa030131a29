"""Checkpoints to resume from: one file with everything, the last and the one before it.

`resume.safetensors` holds the weights, the trainer's state and, as JSON in its header, the loop's
state, the sums of the open epoch, the last metrics line and a digest of it all. One file is
replaced by one rename, so that no two halves of different steps can meet; the former one stays as
`resume_previous.safetensors`, for a disk that has lost what it promised to hold. Weights that never
move stand in a file beside both, written before them and never again: its name is the sha256 of its
content (frozen_tensors.py), and the digest covers that name.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.arrays import (
    FROZEN_FILE,
    Arrays,
    read_frozen_arrays,
    read_own_arrays,
    write_arrays,
)
from poc.shared.files.whole import remove_temporaries

from .frozen_tensors import FrozenTensors
from .loop_state import LoopState, Sums

# A checkpoint of the second form has left its frozen weights to another file.
FORMAT, FROZEN_FORMAT = "poc checkpoint 1", "poc checkpoint 2"
LATEST, PREVIOUS = "resume.safetensors", "resume_previous.safetensors"


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
    line: dict[str, object] | None = None
    weights: Arrays = field(default_factory=dict)
    trainer_state: Arrays = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)


def write_checkpoint(
    folder: Path, checkpoint: Checkpoint, frozen: FrozenTensors | None = None
) -> None:
    """Replace the latest checkpoint, keeping it as the previous one.

    Args:
        folder: That of the checkpoints.
        checkpoint: What a resume needs.
        frozen: Takes out of the weights what never moves; none: nothing is taken out.

    Raises:
        OSError: The folder takes no file; the latest checkpoint is then the former one.
    """
    weights, texts = frozen.split(checkpoint.weights) if frozen else (checkpoint.weights, {})
    arrays = {
        f"{section}/{name}": array
        for section, own in (("weights", weights), ("state", checkpoint.trainer_state))
        for name, array in own.items()
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
    texts["format"] = FROZEN_FORMAT if texts else FORMAT
    texts["digest"] = digest_of(arrays, text + texts.get(FROZEN_FILE, ""))
    write_arrays(folder / LATEST, arrays, loop=text, **texts)


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
    arrays, metadata = read_own_arrays(path)
    text, beside = metadata.get("loop", ""), metadata.get(FROZEN_FILE, "")
    is_known = metadata.get("format") == (FROZEN_FORMAT if beside else FORMAT)
    if not is_known or metadata.get("digest") != digest_of(arrays, text + beside):
        raise UsageError(
            f"received the checkpoint {str(path)!r}, which is damaged or of another format; "
            f"allowed is one of the format {FORMAT!r} or {FROZEN_FORMAT!r}: start the run again"
        )
    # The digest says that this is what `write_checkpoint` wrote.
    tree, frozen = json.loads(text), read_frozen_arrays(path, metadata)
    return Checkpoint(
        loop=LoopState(**tree["loop"]),
        sums=Sums(**tree["sums"]),
        line=tree["line"],
        counts=tree["counts"],
        weights={**frozen, **select(arrays, "weights/")},
        trainer_state=select(arrays, "state/"),
    )


def select(arrays: Arrays, prefix: str) -> Arrays:
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
