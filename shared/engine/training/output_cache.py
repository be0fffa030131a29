"""Outputs of frozen networks, computed once an image and view, then kept: in memory or in a file.

One mechanism for the teacher of a distillation and for the frozen part of a network under transfer
learning. Only for images that look the same in every epoch, and for outputs of an image alone: what
relates it to the rest of its batch would be another in the next epoch, and is refused.
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
LIMIT_BYTES = 1 << 30
# By how much of its largest value an output of an image may differ in another batch of as many:
# the root of what one operation rounds by, which no sum of rounding errors reaches; in the mixed
# precisions, where the root is a large share, four times that.
TOLERANCES: Mapping[Precision, float] = {
    "float64": 2**-26,
    "float32": 2**-11.5,
    "float16": 2**-8,
    "bfloat16": 2**-5,
}
Outputs = Mapping[str, NDArray[Any]]
Compute = Callable[[Images], Outputs]


class KeptOutputs:
    """Rows of arrays under the positions of their images, filled as the images are first seen."""

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
        """Reserve nothing yet; map the file where one is whole.

        Args:
            indices: (k,) int64 positions in the source that can be asked for.
            setting: What the user can turn off, for the message.
            num_views: Views of one image, which lie together.
            path: File that keeps the rows for later runs; none: memory alone.
            limit_bytes: Refuse to hold more.
            precision: In which the outputs are computed.
        """
        self._indices = np.sort(indices)
        self._setting, self._num_views = setting, num_views
        self._path, self._limit_bytes = path, limit_bytes
        self._tolerance, self._is_checked = TOLERANCES[precision], False
        self._is_kept = np.zeros(len(indices), dtype=np.bool_)
        self._kept: Mapping[str, NDArray[Any]] = {}
        if path is not None and path.is_file():
            self._map(path)

    @property
    def is_whole(self) -> bool:
        """Whether every image has been seen, so that none is needed any more."""
        return bool(self._is_kept.all())

    @property
    def num_images(self) -> int:
        """How many images there are."""
        return len(self._is_kept)

    @property
    def num_kept(self) -> int:
        """How many of them have been seen."""
        return int(self._is_kept.sum())

    def look_up(self, indices: NDArray[np.int64], images: Images, compute: Compute) -> Arrays:
        """Outputs for these images, each (N * num_views, …).

        Args:
            indices: (N,) int64 positions in the source.
            images: (N * num_views, H, W, C), those that lie there; not looked at where all is kept.
            compute: Gives the outputs of a batch; called where one is not kept.

        Raises:
            UsageError: The outputs of all images do not fit into memory, or those of an image are
                not its own.
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
        """Refuse outputs that are others beside other images: once, on the first batch.

        Each half of the batch is computed again in reverse and repeated, so that as many images as
        before make a batch of another order and other members, and no program is made anew.
        """
        count = len(images)
        if count == 1:
            return
        for half in np.array_split(np.arange(count), 2):
            chosen = np.resize(half[::-1], count)
            for name, values in compute(images[chosen]).items():
                error = relative_difference(outputs[name], values, chosen)
                if not error <= self._tolerance:
                    raise UsageError(
                        f"received {self._setting} with an output that is no image's own: {name!r} "
                        f"of shape {outputs[name].shape} differs by {error:.1e} where the same "
                        "images stand beside others; allowed are outputs of each image alone: turn "
                        "it off"
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
        for name, values in outputs.items():
            self._kept[name][rows] = values
        self._is_kept[rows] = True
        if self._path is not None and self.is_whole:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(self._path, self._kept, format=FORMAT)

    def _reserve(self, outputs: Outputs) -> Arrays:
        count = len(self._indices)
        size = sum(count * value[0].nbytes for value in outputs.values())
        if size > self._limit_bytes:
            raise UsageError(
                f"received {self._setting}, whose outputs for {count} images take {size:,} bytes; "
                f"allowed are {self._limit_bytes:,}: turn it off"
            )
        return {
            name: np.empty((count, *value.shape[1:]), value.dtype)
            for name, value in outputs.items()
        }

    def _map(self, path: Path) -> None:
        """Take a whole file; one that is damaged is written anew."""
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
    """Largest difference of `second` (N, …) from the `chosen` rows of `first`.

    It is a share of the largest value of both; infinite where the shapes are others, or one side
    alone is finite.
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
    """Bytes of float32 values at these nodes, for all images."""
    return sum(4 * num_images * int(np.prod(network.shape_of(name))) for name in names)


def outputs_path(run: RunSpec, what: str, images: Mapping[str, Any]) -> Path:
    """Where the outputs of a frozen network are kept on disk.

    Args:
        run: Its backend, precision and cache folder count; nothing else of it.
        what: Fingerprint of the frozen network.
        images: What decides their pixels: content, split, view, resolution.
    """
    key = {"format": FORMAT, "backend": run.backend, "precision": run.precision, "network": what}
    text = json.dumps({**key, "decoding": DECODING, **images}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:40]
    return cache_root(run.data.cache_folder) / "features" / f"{digest}.safetensors"


def fingerprint_frozen(network: Network, outputs: Sequence[str], weights: Weights) -> str:
    """Sha256 over the layers that lead to these nodes, and their weights."""
    digest = hashlib.sha256(repr(network.input_shape).encode())
    for node in network.needed(outputs):
        digest.update(f"{node.name} {node.layer!r} {node.inputs}\n".encode())
        for parameter in node.parameters:
            digest.update(np.ascontiguousarray(weights[parameter.name]).tobytes())
    return digest.hexdigest()
