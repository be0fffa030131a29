"""Mixup and cutmix: two images become one, and so do their labels.

Both act on a batch after normalisation. Random numbers depend only on (seed, epoch, batch). If both
are on, each batch draws one of them with equal chance.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Indices, Labels
from poc.shared.spec.views import TrainView

from .geometry import Box

Images = NDArray[np.float32]
# "mix" in ASCII. It keeps these random numbers apart from those of the order of an epoch.
SALT = 0x6D6978


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The random draw for one batch.

    Attributes:
        partners: (N,) int64, the example that each example of the batch is mixed with.
        share: Of the example itself; the rest is the partner's. Of a cutmix, corrected by the box.
        box: Cutmix: the part that the partner gives; none: mixup.
    """

    partners: Indices
    share: float
    box: Box | None

    def images(self, images: Images, partners: Images) -> Images:
        """Mixed images (N, H, W, C); `partners` are those of the other examples."""
        if self.box is None:
            share = np.float32(self.share)
            return images * share + partners * (np.float32(1) - share)
        rows = slice(self.box.top, self.box.top + self.box.height)
        columns = slice(self.box.left, self.box.left + self.box.width)
        mixed = images.copy()
        mixed[:, rows, columns] = partners[:, rows, columns]
        return mixed

    def targets(self, labels: Labels, partners: Labels, num_classes: int) -> NDArray[np.float32]:
        """(N, num_classes) float32; each row sums to 1, unless an example has several labels."""
        share = np.float32(self.share)
        own, others = (one_hot(each, num_classes) for each in (labels, partners))
        mixed: NDArray[np.float32] = own * share + others * (np.float32(1) - share)
        return mixed


def one_hot(labels: Labels, num_classes: int) -> NDArray[np.float32]:
    """Return labels (N,) or sets of labels (N, num_classes) as (N, num_classes) float32."""
    if labels.ndim == 2:
        return labels.astype(np.float32)
    return np.eye(num_classes, dtype=np.float32)[labels]


def is_mixing(view: TrainView) -> bool:
    """Say whether a view mixes images."""
    return view.mixup > 0 or view.cutmix > 0


def draw_mix(
    view: TrainView, size: tuple[int, int], batch_size: int, key: tuple[int, int, int]
) -> Mix:
    """Draw partners (N,), share and box of one batch.

    Args:
        view: Gives the alphas.
        size: (height, width) of the images.
        batch_size: Examples of the batch, over all processes.
        key: (seed, epoch, batch).
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([SALT, *key])))
    partners = generator.permutation(batch_size)
    is_cut = view.cutmix > 0 and (view.mixup == 0 or generator.random() < 0.5)
    alpha = view.cutmix if is_cut else view.mixup
    share = float(generator.beta(alpha, alpha))
    if not is_cut:
        return Mix(partners=partners, share=share, box=None)
    box = draw_box(size, share, generator)
    kept = 1 - box.height * box.width / (size[0] * size[1])
    return Mix(partners=partners, share=kept, box=box)


def draw_box(size: tuple[int, int], share: float, generator: np.random.Generator) -> Box:
    """CutMix's rule: sides scaled by sqrt(1 - share), a uniform centre, cut off at the border."""
    height, width = size
    half_height, half_width = (int(side * math.sqrt(1 - share)) // 2 for side in size)
    y, x = int(generator.integers(0, height)), int(generator.integers(0, width))
    top, bottom = max(y - half_height, 0), min(y + half_height, height)
    left, right = max(x - half_width, 0), min(x + half_width, width)
    return Box(top, left, bottom - top, right - left)
