"""The evaluation view of one picture at a time, for images that are in no data set."""

import numpy as np
from PIL import Image

from poc.shared.data.sources.base import Pixels, Shape
from poc.shared.spec.data import DataSpec

from .normalization import Images, normalize
from .view import augment_images, example_generator, plan_view


class EvaluationView:
    """The view that a network has of a picture outside of training: a `Pipeline`'s, to the bit.

    Attributes:
        shape: (H, W, C) of what the network takes.
        num_views: Images that the network sees of one picture: 1, or 5 or 10 crops.
        average: How the outputs of several crops become one: `softmax` or `logits`.
    """

    def __init__(self, spec: DataSpec, shape: Shape) -> None:
        self._spec, self.shape = spec, shape
        self._resize, self._crops = plan_view(spec, shape, shape[2], is_training=False)
        self.num_views, self.average = self._crops.num_views, spec.eval_view.average

    def pixels(self, picture: Image.Image) -> Pixels:
        """Return (num_views, H, W, C) uint8 of a decoded picture, `L` or `RGB`."""
        base = self._resize(picture)
        if self._crops.is_nothing:
            return base[np.newaxis]
        # The crops of an evaluation draw nothing, so any generator gives the same ones.
        return augment_images([base], self._crops, [example_generator(0, 0, "")])

    def normalize(self, pixels: Pixels) -> Images:
        """Return (N, H, W, C) float32 of pixels (N, H, W, C) uint8."""
        return normalize(pixels, self._spec.normalization)
