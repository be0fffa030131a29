"""Given images, prepared in threads while the network computes the ones before them."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Pixels
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.errors import UsageError

from .given_images import Item, UnreadableImage, read_picture

# Batches that are prepared ahead: one is computed, one is complete, and one is being decoded.
BATCHES_AHEAD = 2


class Prepared(NamedTuple):
    """A batch of given images.

    Attributes:
        items: The images, also those that cannot be read.
        problems: Why an image cannot be read, such as `is no image that Pillow knows`; empty if
            it can.
        images: (k * num_views, H, W, C) float32 of the k images that can be read, in their order.
    """

    items: Sequence[Item]
    problems: Sequence[str]
    images: NDArray[np.float32]


def prepare_ahead(
    items: Sequence[Item], view: EvaluationView, *, batch_size: int, num_threads: int
) -> Iterator[Prepared]:
    """Yield the images in batches, in their order; a few batches are held at a time.

    Args:
        items: The images.
        view: View that the network has of an image.
        batch_size: Images of a batch.
        num_threads: Threads that decode and resize.
    """
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="decode")
    waiting: deque[tuple[Sequence[Item], list[Future[Pixels | str]]]] = deque()
    try:
        for start in range(0, len(items), batch_size):
            batch = items[start : start + batch_size]
            waiting.append((batch, [pool.submit(read_view, item, view) for item in batch]))
            if len(waiting) > BATCHES_AHEAD:
                yield assemble(*waiting.popleft(), view)
        while waiting:
            yield assemble(*waiting.popleft(), view)
    finally:
        # After an interruption, nobody waits for what was not begun.
        pool.shutdown(cancel_futures=True)


def read_view(item: Item, view: EvaluationView) -> Pixels | str:
    """Return the views (num_views, H, W, C) uint8 of an image, or why there are none."""
    try:
        return view.pixels(read_picture(item, view.shape[2]))
    except UnreadableImage as error:
        return error.problem
    except UsageError as error:
        return f"cannot be shown to the network ({error})"


def assemble(
    items: Sequence[Item], futures: Sequence[Future[Pixels | str]], view: EvaluationView
) -> Prepared:
    """Wait for the views of a batch, (num_views, H, W, C) each, and normalise them."""
    found = [future.result() for future in futures]
    readable = [one for one in found if not isinstance(one, str)]
    shape = (0, *view.shape)
    pixels = np.concatenate(readable) if readable else np.empty(shape, dtype=np.uint8)
    problems = [one if isinstance(one, str) else "" for one in found]
    return Prepared(items, problems, view.normalize(pixels))
