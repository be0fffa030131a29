"""Outputs of frozen networks, computed once per image and view, then kept in memory or in a file.

One mechanism serves the teacher of a distillation and the frozen part of a network under transfer
learning. It is only for images that look the same in every epoch, and for outputs of each image
alone. An output that relates an image to the rest of its batch would differ in the next epoch, and
is refused.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.decoding import DECODING
from poc.shared.data.views.normalization import Images
from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays, map_arrays, write_arrays
from poc.shared.files.cache import cache_root
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import Network
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.precision import Precision

FORMAT = "poc features 1"
KEPT_PREFIX = "kept/"
# 1 GiB: above it, `feature_cache=auto` computes the values again in every epoch.
LIMIT_BYTES = 1 << 30
# Largest difference of an image's output in another batch of the same size, as a share of the
# largest value. It is the square root of the rounding error of one operation, which no sum of
# rounding errors reaches. In the mixed precisions the root is already a large share, so the bound
# is four times the root there.
TOLERANCES: Mapping[Precision, float] = {
    "float64": 2**-26,
    "float32": 2**-11.5,
    "float16": 2**-8,
    "bfloat16": 2**-5,
}
Outputs = Mapping[str, NDArray[Any]]
Compute = Callable[[Images], Outputs]


class KeptOutputs:
    """Rows of arrays by the positions of their images, filled as the images are first seen."""

    def __init__(
        self,
        indices: NDArray[np.int64],
        *,
        setting: str,
        num_views: int = 1,
        path: Path | None = None,
        limit_bytes: int = LIMIT_BYTES,
        precision: Precision = "float32",
    ) -> None:
        """Reserve no memory yet; map the file if it exists and is complete.

        Args:
            indices: (k,) int64 positions in the source that can be asked for.
            setting: Setting that the user can turn off, for the message.
            num_views: Views per image, whose rows are next to each other.
            path: File that keeps the rows for later runs; none: memory alone.
            limit_bytes: Largest size of the rows, in bytes.
            precision: Precision in which the outputs are computed.
        """
        self._indices = np.sort(indices)
        # Sorted, so that `look_up` finds rows by bisection.
        self._setting, self._num_views = setting, num_views
        self._path, self._limit_bytes = path, limit_bytes
        self._tolerance, self._is_checked = TOLERANCES[precision], False
        self._is_kept = np.zeros(len(indices), dtype=np.bool_)
        self._kept: Mapping[str, NDArray[Any]] = {}
        if path is not None and path.is_file():
            self._map(path)

    @property
    def is_whole(self) -> bool:
        """Say if every image has been seen, so that none is needed any more."""
        return bool(self._is_kept.all())

    @property
    def num_images(self) -> int:
        """Return the number of images, seen or not."""
        return len(self._is_kept)

    @property
    def num_kept(self) -> int:
        """Return the number of images that have been seen."""
        return int(self._is_kept.sum())

    def rows(self) -> tuple[NDArray[np.int64], Arrays]:
        """Return the positions (k,) int64 in the source, in rising order, and a row of each."""
        return self._indices, dict(self._kept)

    def look_up(self, indices: NDArray[np.int64], images: Images, compute: Compute) -> Arrays:
        """Return outputs for these images, each (N * num_views, …).

        Args:
            indices: (N,) int64 positions in the source.
            images: (N * num_views, H, W, C), the images at these positions; ignored if all their
                outputs are kept.
            compute: Computes the outputs of a batch; called if any of them is not kept.

        Raises:
            UsageError: The outputs of all images do not fit into memory, or an image's outputs
                depend on the other images of its batch.
        """
        rows = np.searchsorted(self._indices, indices)
        if not self._is_kept[rows].all():
            outputs = compute(images)
            if not self._is_checked:
                self._check(outputs, images, compute)
            self._keep(rows, outputs)
        return {name: self._flat(values[rows]) for name, values in self._kept.items()}

    def _flat(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._num_views == 1 else values.reshape(-1, *values.shape[2:])

    def _check(self, outputs: Outputs, images: Images, compute: Compute) -> None:
        """Refuse outputs that change with the other images of the batch: once, on the first batch.

        Each half of the batch is computed again, reversed and repeated to the same size. The batch
        then has another order and other members, and no program is compiled for another shape.
        """
        count = len(images)
        if count == 1:
            # A single image has no neighbours; the next batch is checked instead.
            return
        for half in np.array_split(np.arange(count), 2):
            chosen = np.resize(half[::-1], count)
            for name, values in compute(images[chosen]).items():
                error = relative_difference(outputs[name], values, chosen)
                # Written so that a NaN, which compares false, is refused too.
                if not error <= self._tolerance:
                    raise UsageError(
                        f"Got {self._setting} with an output that is no image's own: {name!r} of "
                        f"shape {outputs[name].shape} differs by {error:.1e} if the same images "
                        "are in a batch with others. Expected outputs of each image alone. Try "
                        "turning it off."
                    )
        self._is_checked = True

    def _keep(self, rows: NDArray[np.intp], outputs: Outputs) -> None:
        if self._num_views > 1:
            outputs = {
                name: value.reshape(len(rows), self._num_views, *value.shape[1:])
                for name, value in outputs.items()
            }
        if not self._kept:
            self._kept = self._reserve(outputs)
        # A kept value never changes, though balanced draws bring its image again with new ones.
        is_new = ~self._is_kept[rows]
        for name, values in outputs.items():
            self._kept[name][rows[is_new]] = values[is_new]
        self._is_kept[rows] = True
        # Written once, complete: a later run maps the file or ignores it.
        if self._path is not None and self.is_whole:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(self._path, self._kept, format=FORMAT)

    def _reserve(self, outputs: Outputs) -> Arrays:
        count = len(self._indices)
        size = sum(count * value[0].nbytes for value in outputs.values())
        if size > self._limit_bytes:
            raise UsageError(
                f"Got {self._setting}, whose outputs for {count} images take {size:,} bytes. "
                f"Expected at most {self._limit_bytes:,} bytes. Try turning it off."
            )
        return {
            name: np.empty((count, *value.shape[1:]), value.dtype)
            for name, value in outputs.items()
        }

    def _map(self, path: Path) -> None:
        """Map a complete file; leave a damaged one to be computed and written again."""
        try:
            arrays = map_arrays(path)
        except (OSError, ValueError, KeyError, TypeError):
            return
        if arrays and all(len(value) == len(self._indices) for value in arrays.values()):
            self._kept = arrays
            self._is_kept[:] = True


def relative_difference(
    first: NDArray[Any], second: NDArray[Any], chosen: NDArray[np.intp]
) -> float:
    """Return the largest difference of `second` (N, …) from the `chosen` rows of `first` (N, …).

    It is a share of the largest value of both, and infinite if the shapes differ or only one side
    is finite.
    """
    if first.shape != second.shape or first.shape[:1] != chosen.shape:
        return float("inf")
    first = first[chosen]
    is_finite = np.isfinite(first)
    if not np.array_equal(is_finite, np.isfinite(second)):
        return float("inf")
    first, second = first[is_finite], second[is_finite]
    difference = float(np.abs(first - second).max(initial=0.0))
    return difference / float(np.abs([first, second]).max()) if difference else 0.0


def frozen_bytes(network: Network, names: Iterable[str], num_images: int) -> int:
    """Return the bytes of float32 values at these nodes, for all images."""
    return sum(4 * num_images * int(np.prod(network.shape_of(name))) for name in names)


def outputs_path(run: RunSpec, what: str, images: Mapping[str, Any]) -> Path:
    """Return the path at which the outputs of a frozen network are kept.

    Args:
        run: Gives backend, precision and cache folder, and no other setting.
        what: Fingerprint of the frozen network.
        images: Description of all that decides the pixels: content, split, view, resolution.
    """
    key = {"format": FORMAT, "backend": run.backend, "precision": run.precision, "network": what}
    text = json.dumps({**key, "decoding": DECODING, **images}, sort_keys=True)
    # 40 digits are 160 bits: a short name, with which a collision is still improbable.
    digest = hashlib.sha256(text.encode()).hexdigest()[:40]
    return cache_root(run.data.cache_folder) / "features" / f"{digest}.safetensors"


def fingerprint_frozen(network: Network, outputs: Sequence[str], weights: Weights) -> str:
    """Return the SHA-256 of the layers that lead to these nodes, and of their `Weights`."""
    digest = hashlib.sha256(repr(network.input_shape).encode())
    for node in network.needed(outputs):
        digest.update(f"{node.name} {node.layer!r} {node.inputs}\n".encode())
        for parameter in node.parameters:
            digest.update(np.ascontiguousarray(weights[parameter.name]).tobytes())
    return digest.hexdigest()
