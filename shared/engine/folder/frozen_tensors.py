"""Tensors of a run that never move: stored once, by content, and shared with neighbouring runs.

The checkpoints of a run hold the tensors that train, and name a file that holds the others. Its
name is the sha256 of its content, so that runs of one sweep, or of both backends, have the same
file. If a run in the same parent folder has it, it is a hard link: it takes its space on the disk
once, and each run folder is still complete when it is copied or moved, or when the other run is
deleted.
"""

import hashlib
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from poc.shared.files.arrays import (
    FROZEN_FILE,
    Array,
    encode_arrays,
    frozen_name,
    read_arrays,
    write_arrays,
)
from poc.shared.files.whole import read_regular, write_bytes
from poc.shared.spec.networks.freezing import moving_names
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun

# A file takes at least one block of the disk, so a smaller one would save nothing.
BLOCK_BYTES = 4096


def frozen_names(run: ResolvedRun) -> frozenset[str]:
    """Return the parameters of the run's network that none of its stages may change."""
    # A stage may train layers that another one freezes, such as a body after its head.
    moving: set[str] = set()
    for stage in run.stages:
        moving |= moving_names(run.at_stage(stage.name).trained_network)
    return frozenset(parameter.name for parameter in run.network.parameters) - moving


class FrozenTensors:
    """Writer that keeps frozen tensors out of a run's files, and writes their file at first need.

    A tensor that has moved against expectation is stored with the tensors that train.

    Args:
        folder: Folder of the run's checkpoints.
        names: Names of the frozen tensors.
    """

    def __init__(self, folder: Path, names: Collection[str] = ()) -> None:
        self._folder, self._names = folder, frozenset(names)
        self._file, self._stored = "", dict[str, bytes]()

    def write(self, path: Path, weights: Weights, texts: Mapping[str, str]) -> None:
        """Write a weight file without the frozen tensors.

        Args:
            path: File to write.
            weights: Canonical `Weights`, with the frozen tensors.
            texts: Entries of the file's header.

        Raises:
            OSError: The file could not be written.
        """
        own, frozen = self.split(weights)
        write_arrays(path, own, **texts, **frozen)

    def read(self, path: Path) -> Weights:
        """Read the `Weights` of a file that `write` wrote, in canonical shapes, frozen ones too."""
        return read_arrays(path)

    def split(self, weights: Weights) -> tuple[Weights, dict[str, str]]:
        """Divide weights into those that a file must hold and the header entry for the others.

        Args:
            weights: Canonical `Weights`, with the frozen tensors.

        Returns:
            Name -> array of the file, and the entry that names the file of frozen tensors; the
            entry is empty if there is no such file.

        Raises:
            OSError: The file of frozen tensors could not be written.
        """
        if not self._names or not self._is_stored(weights):
            return dict(weights), {}
        # Compared by content each time: nothing is lost if a frozen tensor has moved after all.
        own = {name: value for name, value in weights.items() if not self._holds(name, value)}
        return own, {FROZEN_FILE: self._file}

    def _is_stored(self, weights: Weights) -> bool:
        """Write the file unless it exists; return False if it would be smaller than a block."""
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
    """Digest type, shape and bytes of an array (…); 16 bytes."""
    digest = hashlib.blake2b(f"{value.dtype} {value.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return digest.digest()


def store(folder: Path, arrays: Mapping[str, Array]) -> str:
    """Put a file with these arrays (…) into the folder, unless it exists; return its name.

    Raises:
        OSError: The file could not be written.
    """
    contents = encode_arrays(arrays)
    path = folder / frozen_name(*contents)
    if not is_whole(path) and not link_from_another_run(path):
        write_bytes(path, *contents)
    return path.name


def is_whole(path: Path, name: str | None = None) -> bool:
    """Tell if a file exists and has the content that its name (or `name`) stands for."""
    try:
        return frozen_name(read_regular(path)) == (name or path.name)
    except OSError:
        return False


def link_from_another_run(path: Path) -> bool:
    """Link the same file of a run in the same parent folder; return False if none is complete.

    The caller then writes the file, also where the file system has no hard links.
    """
    temporary = path.with_name(f".{path.name}.link")
    with suppress(OSError):
        for other in path.parent.parent.parent.glob(f"*/{path.parent.name}/{path.name}"):
            if other == path or other.is_symlink():
                continue
            temporary.unlink(missing_ok=True)
            os.link(other, temporary)
            # Read after the link is made: the other run may be deleted or replaced at any time.
            if is_whole(temporary, path.name):
                temporary.replace(path)
                return True
            temporary.unlink()
    return False
