"""Where a pipeline's decoded images are kept: in memory, in a mapped file, or nowhere.

The cache keeps the first half of the view (`view.Resize`): images decoded, with their channels,
resized. The key of a file is the content of its images and their preparation, so it is never stale.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from poc.shared.data.sources.base import Indices, Pixels, Shape, Source
from poc.shared.data.sources.decoding import DECODING
from poc.shared.data.views.normalization import Images, convert_channels, normalize
from poc.shared.data.views.view import Resize
from poc.shared.errors import UsageError
from poc.shared.files.cache import cache_root
from poc.shared.machine import count_cpus
from poc.shared.spec.data import DataSpec

from .pixel_store import StoredImages

FORMAT = "poc pixels 1"
CHUNK_EXAMPLES = 256
Place = Literal["memory", "disk", "off"]


@dataclass(frozen=True, eq=False)
class SourceImages:
    """Images that are read and prepared again at every request.

    Attributes:
        source: Where they come from.
        indices: (k,) int64, position -> position in the source.
        resize: The first half of the view.
    """

    source: Source
    indices: Indices
    resize: Resize

    def gather(self, positions: Indices) -> Pixels | list[Pixels]:
        """Return the images (k, H, W, C) at positions (k,): a list unless all sizes agree."""
        shape = self.source.image_shape
        if shape is not None and self.resize.shape(shape[:2])[:2] == shape[:2]:
            return convert_channels(
                self.source.images(self.indices[positions]), self.resize.channels
            )
        return [self.image(int(position)) for position in positions]

    def image(self, position: int) -> Pixels:
        """Return one image (H, W, C) uint8."""
        return self.resize(self.source.picture(int(self.indices[position])))

    def __iter__(self) -> Iterator[Pixels]:
        """Every image in order; encoded ones are decoded by several threads."""
        everything = np.arange(len(self.indices), dtype=np.int64)
        chunks = (everything[at : at + CHUNK_EXAMPLES] for at in range(0, len(everything), 256))
        if not self.source.is_encoded:
            for chunk in chunks:
                yield from self.gather(chunk)
            return
        with ThreadPoolExecutor(count_cpus()) as pool:
            for chunk in chunks:
                yield from pool.map(self.image, chunk.tolist())


Kept = SourceImages | StoredImages


def count_bytes(images: SourceImages) -> int | None:
    """Bytes of all images as they are kept; none where they are not known without decoding."""
    source, resize = images.source, images.resize
    if resize.rule in ("squash", "fit"):
        return len(images.indices) * math.prod((*resize.target, resize.channels))
    if source.image_shape is not None:
        return len(images.indices) * math.prod(resize.shape(source.image_shape[:2]))
    if source.image_sizes is None:
        return None
    sizes = source.image_sizes[images.indices]
    unique, counts = np.unique(sizes, axis=0, return_counts=True)
    shapes = [resize.shape((int(height), int(width))) for height, width in unique]
    return sum(int(n) * math.prod(shape) for n, shape in zip(counts, shapes, strict=True))


def choose_place(
    images: SourceImages, spec: DataSpec, *, resident_bytes: int, is_drawn: bool
) -> Place:
    """Where images are kept.

    Args:
        images: The images to keep.
        spec: `cache` and `num_workers`.
        resident_bytes: Memory that `auto` may take.
        is_drawn: The view does more to each image in every epoch; workers then help, and they share
            a mapped file but no memory.
    """
    if spec.cache != "auto":
        return spec.cache
    num_bytes = count_bytes(images)
    fits = num_bytes is not None and num_bytes <= resident_bytes
    if fits and not (is_drawn and spec.num_workers):
        return "memory"
    if not images.source.is_encoded and not fits:
        return "off"
    return "disk" if has_room(cache_root(spec.cache_folder), num_bytes or 0) else "off"


def has_room(folder: Path, num_bytes: int) -> bool:
    """Say whether the disk of a folder can take a file and keep a tenth of its size free."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    # A full disk would stop the run itself, which writes checkpoints to it.
    return usage.free - num_bytes > usage.total // 10


def keep_on_disk(images: SourceImages, spec: DataSpec) -> Kept:
    """Map the cache file; write it first if it does not exist.

    Raises:
        UsageError: The cache was asked for by name and cannot be written.
    """
    path = cache_root(spec.cache_folder) / "images" / f"{cache_key(images)}.pixels"
    try:
        return StoredImages.map(path)
    except (OSError, ValueError):
        # A missing or damaged cache is no error: it is written again.
        pass
    try:
        return StoredImages.write(path, images)
    except UsageError:
        if spec.cache == "disk":
            raise
        return images


def cache_key(images: SourceImages) -> str:
    """A name that changes with the content, the order or the preparation of the images."""
    digests = images.source.digests
    preparation = {**asdict(images.resize), "decoding": DECODING, "format": FORMAT}
    content = [digests[index] for index in images.indices]
    return hashlib.sha256(json.dumps([preparation, content]).encode()).hexdigest()[:40]


def keep_normalized(images: SourceImages, shape: Shape, spec: DataSpec) -> Images:
    """All images as the model sees them: (k, H, W, C) float32."""
    kept = np.empty((len(images.indices), *shape), dtype=np.float32)
    remaining = iter(images)
    # In pieces, so that no second copy of all images is ever held.
    for start in range(0, len(kept), CHUNK_EXAMPLES):
        piece = np.stack(list(islice(remaining, CHUNK_EXAMPLES)))
        kept[start : start + len(piece)] = normalize(
            convert_channels(piece, shape[2]), spec.normalization
        )
    return kept
