"""Checkpoints to resume from: one file with everything, the last and the one before it.

`resume.safetensors` holds the weights, the trainer's state and, as JSON in its header, the loop's
state, the sums of the open epoch, the last metrics line and a digest of it all. One file is
replaced by one rename, so that it never mixes two steps. The one before stays as
`resume_previous.safetensors`, in case the disk loses content that it had confirmed. Weights that
never move are in a third file, written once and before the other two: its name is the sha256 of its
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

# A checkpoint of the second format has its frozen weights in another file. An older version refuses
# that format instead of resuming without them.
FORMAT, FROZEN_FORMAT = "poc checkpoint 1", "poc checkpoint 2"
LATEST, PREVIOUS = "resume.safetensors", "resume_previous.safetensors"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that a resume needs.

    Attributes:
        loop: Progress of the training loop.
        sums: Metrics of the open epoch, as far as they were fetched.
        line: Metrics line of the last finished epoch, which may be missing in its file yet.
        weights: Canonical name -> array, with the parameters that the method trains outside the
            network.
        trainer_state: Name -> array: optimiser slots, and other state of the method's trainer.
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
        folder: Folder of the checkpoints.
        checkpoint: Content of the new one.
        frozen: Takes tensors that never move out of the weights; None to write all tensors.

    Raises:
        OSError: The file could not be written; the latest checkpoint is then the former one.
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
    # A killed process may have left half a file, which only takes room on the disk.
    remove_temporaries(folder)
    keep_previous(folder)
    texts["format"] = FROZEN_FORMAT if texts else FORMAT
    texts["digest"] = digest_of(arrays, text + texts.get(FROZEN_FILE, ""))
    write_arrays(folder / LATEST, arrays, loop=text, **texts)


def keep_previous(folder: Path) -> None:
    """Give the latest checkpoint a second name; a file system without hard links keeps only one."""
    # `os.link` replaces nothing, so the link is made under a third name and renamed. A copy would
    # cost the time and the room of another write.
    temporary = folder / f".{PREVIOUS}.link"
    with suppress(OSError):
        temporary.unlink(missing_ok=True)
        os.link(folder / LATEST, temporary)
        temporary.replace(folder / PREVIOUS)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the latest complete checkpoint; None if nothing was saved yet.

    Raises:
        UsageError: There are checkpoints, and all of them are damaged.
    """
    problem: UsageError | None = None
    for name in (LATEST, PREVIOUS):
        if not (folder / name).exists():
            continue
        try:
            return read_one(folder / name)
        except UsageError as error:
            # The error about the latest one is shown: its loss is the fault to repair.
            problem = problem or error
    if problem is not None:
        raise problem
    return None


def read_one(path: Path) -> Checkpoint:
    """Read one file and check its digest.

    Raises:
        UsageError: The file is unreadable, of another format, or differs from what was written.
    """
    arrays, metadata = read_own_arrays(path)
    text, beside = metadata.get("loop", ""), metadata.get(FROZEN_FILE, "")
    is_known = metadata.get("format") == (FROZEN_FORMAT if beside else FORMAT)
    if not is_known or metadata.get("digest") != digest_of(arrays, text + beside):
        raise UsageError(
            f"Got the checkpoint {str(path)!r}, which is damaged or of another format. "
            f"Expected the format {FORMAT!r} or {FROZEN_FORMAT!r}. Try starting the run again."
        )
    # Keys and types are not checked: the digest shows that `write_checkpoint` wrote this content.
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
    """Return the arrays (…) whose names start with a prefix, under names without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def digest_of(arrays: Arrays, text: str) -> str:
    """Digest names, types, shapes and bytes of arrays (…), and the text; 32 hexadecimal digits."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
