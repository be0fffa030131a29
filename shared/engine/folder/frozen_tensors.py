"""Tensors of a run that never move: stored once, by content, and shared with the runs beside it.

The checkpoints of a run hold what trains and name a file that holds the rest. Its name is the
sha256 of its content, so that runs of one sweep, or of both backends, have the same file. Where
another run beside this one has it, it is a hard link: one place on the disk, and a run folder that
is whole when it is copied or moved, or when the other is deleted.
"""

import hashlib
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from poc.shared.files.arrays import FROZEN_FILE, Array, encode_arrays, frozen_name, write_arrays
from poc.shared.files.whole import read_regular, write_bytes
from poc.shared.spec.networks.freezing import moving_names
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun

# A file takes a block of the disk at least: less than that is not worth one.
BLOCK_BYTES = 4096


def frozen_names(run: ResolvedRun) -> frozenset[str]:
    """Parameters of the run's network that no stage of it may change."""
    moving: set[str] = set()
    for stage in run.stages:
        moving |= moving_names(run.at_stage(stage.name).trained_network)
    return frozenset(parameter.name for parameter in run.network.parameters) - moving


class FrozenTensors:
    """Takes them out of what a run writes; the file with them is written at the first need.

    A tensor that has moved all the same is stored with the others that do, never dropped.

    Args:
        folder: That of the run's checkpoints.
        names: Of the tensors.
    """

    def __init__(self, folder: Path, names: Collection[str] = ()) -> None:
        self._folder, self._names = folder, frozenset(names)
        self._file, self._stored = "", dict[str, bytes]()

    def write(self, path: Path, weights: Weights, texts: Mapping[str, str]) -> None:
        """Write a weight file without them; `texts` are for its header.

        Raises:
            OSError: The folder takes no file.
        """
        own, frozen = self.split(weights)
        write_arrays(path, own, **texts, **frozen)

    def split(self, weights: Weights) -> tuple[Weights, dict[str, str]]:
        """What a file must hold itself, and the text of its header that names the other one.

        Args:
            weights: Under canonical names, the frozen ones among them.

        Raises:
            OSError: The folder takes no file.
        """
        if not self._names or not self._is_stored(weights):
            return dict(weights), {}
        own = {name: value for name, value in weights.items() if not self._holds(name, value)}
        return own, {FROZEN_FILE: self._file}

    def _is_stored(self, weights: Weights) -> bool:
        """Whether the file is there, written now if need be; false: it would not be worth it."""
        if self._file and (self._folder / self._file).is_file():
            return True
        held = {name: weights[name] for name in self._names}
        if sum(value.nbytes for value in held.values()) < BLOCK_BYTES:
            self._names = frozenset()
            return False
        self._stored = {name: fingerprint(value) for name, value in held.items()}
        self._file = store(self._folder, held)
        return True

    def _holds(self, name: str, value: Array) -> bool:
        stored = self._stored.get(name)
        return stored is not None and stored == fingerprint(value)


def fingerprint(value: Array) -> bytes:
    """Digest of an array's type, shape and bytes."""
    digest = hashlib.blake2b(f"{value.dtype} {value.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return digest.digest()


def store(folder: Path, arrays: Mapping[str, Array]) -> str:
    """Put a file with these arrays into the folder, unless it is there; returns its name.

    Raises:
        OSError: The folder takes no file.
    """
    contents = encode_arrays(arrays)
    path = folder / frozen_name(*contents)
    if not is_whole(path) and not link_from_another_run(path):
        write_bytes(path, *contents)
    return path.name


def is_whole(path: Path, name: str | None = None) -> bool:
    """Whether a file is there and holds what its name (or `name`) says."""
    try:
        return frozen_name(read_regular(path)) == (name or path.name)
    except OSError:
        return False


def link_from_another_run(path: Path) -> bool:
    """Link the same file of a run folder beside this one's, where there is one that is whole.

    Without hard links there is none; what is refused here is written instead.
    """
    temporary = path.with_name(f".{path.name}.link")
    with suppress(OSError):
        for other in path.parent.parent.parent.glob(f"*/{path.parent.name}/{path.name}"):
            if other == path or other.is_symlink():
                continue
            temporary.unlink(missing_ok=True)
            os.link(other, temporary)
            # Looked at after the link, so that nothing can come between.
            if is_whole(temporary, path.name):
                temporary.replace(path)
                return True
            temporary.unlink()
    return False
