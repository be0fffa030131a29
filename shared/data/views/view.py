"""From a decoded image to what a model sees, in two halves: one that is kept and one that is drawn.

The base of a view is the same in every epoch: channels and resize. It is what memory and disk
caches hold. The other half is computed every time; in training it is drawn from a generator that
depends on (seed, epoch, example id) alone, so neither workers, caches nor a resume change a pixel.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from poc.shared.data.sources.base import Pixels, Shape, to_array, to_picture
from poc.shared.data.sources.decoding import MAX_PIXELS
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec, Interpolation
from poc.shared.spec.views import EvalView, ResizeRule, TrainView

from .color import erase, erasing_box, jitter
from .geometry import (
    Size,
    centre_box,
    crop_box,
    five_boxes,
    padded_box,
    random_resized_box,
    resize_picture,
    resized_size,
    scaled,
    shifted_box,
    turn,
)
from .policies import apply_policy

GEOMETRY = ("rotation_degrees", "shift", "zoom")
COLOUR = ("brightness", "contrast", "saturation", "hue")


@dataclass(frozen=True, kw_only=True)
class Resize:
    """The half of a view that is the same in every epoch.

    Attributes:
        channels: 1 or 3: of what is kept. Grey images are kept grey, whatever the model wants.
        rule: How the size is reached; none: as decoded.
        target: (height, width) that the rule aims at.
        interpolation: The filter; see `DataSpec`.
        fill: Grey level around an image that is fitted.
    """

    channels: int
    rule: ResizeRule | None
    target: Size
    interpolation: Interpolation
    fill: int

    def shape(self, size: Size) -> Shape:
        """(H, W, C) of an image of (height, width) `size`."""
        if self.rule == "fit":
            return (*self.target, self.channels)
        return (*self._inner_size(size), self.channels)

    def __call__(self, picture: Image.Image) -> Pixels:
        """One decoded picture, `L` or `RGB`, as it is kept: (H, W, C) uint8.

        Raises:
            UsageError: It is so narrow that it would get a gigantic size.
        """
        mode = "L" if self.channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
        inner = self._inner_size((picture.height, picture.width))
        if inner[0] * inner[1] > MAX_PIXELS:
            raise UsageError(
                f"Got an image of {picture.width} x {picture.height} pixels, of which "
                f"resize={self.rule} makes {inner[1]} x {inner[0]}. Expected at most "
                f"{MAX_PIXELS:,} pixels. Try leaving it out, or resize=fit."
            )
        picture = resize_picture(picture, inner, self.interpolation)
        if self.rule == "fit":
            picture = crop_box(picture, centre_box(inner, self.target), self.fill)
        return to_array(picture)

    def _inner_size(self, size: Size) -> Size:
        return size if self.rule is None else resized_size(size, self.target, self.rule)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The drawn half of a training view."""

    view: TrainView
    size: Size
    interpolation: Interpolation
    fill: int
    num_views: int = 1

    @property
    def is_nothing(self) -> bool:
        """Say whether the base is already the final image."""
        view = self.view
        rates = (view.horizontal_flip, view.vertical_flip, view.erasing)
        amounts = [getattr(view, key) for key in (*GEOMETRY, *COLOUR)]
        is_whole = view.crop == "none" and view.policy == "none"
        return is_whole and not any(rates) and not any(amounts)

    def __call__(self, image: Pixels, generator: np.random.Generator) -> list[Pixels]:
        """One kept image (h, w, C) uint8 -> one of the model's size."""
        view, picture = self.view, to_picture(image)
        steps = [self.crop, self.change]
        if view.crop == "shifted":
            # As FixRes: contrast is computed on the full image, and padding keeps its level.
            steps.reverse()
        for step in steps:
            picture = step(picture, generator)
        if view.policy != "none":
            picture = apply_policy(picture, view, generator, self.fill)
        pixels = to_array(picture)
        if generator.random() < view.erasing:
            box = erasing_box(self.size, view.erasing_area, view.erasing_aspect, generator)
            pixels = erase(pixels, box, self.fill) if box else pixels
        return [pixels]

    def change(self, picture: Image.Image, generator: np.random.Generator) -> Image.Image:
        """Flips, turns and colours."""
        view = self.view
        if generator.random() < view.horizontal_flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if generator.random() < view.vertical_flip:
            picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        if any(getattr(view, key) for key in GEOMETRY):
            picture = self.move(picture, generator)
        if any(getattr(view, key) for key in COLOUR):
            picture = jitter(picture, view, generator)
        return picture

    def crop(self, picture: Image.Image, generator: np.random.Generator) -> Image.Image:
        """The view's crop, at the model's size."""
        view, size = self.view, (picture.height, picture.width)
        if view.crop == "random_resized":
            box = random_resized_box(size, view.area, view.aspect, generator)
            return resize_picture(crop_box(picture, box), self.size, self.interpolation)
        if view.crop == "none":
            return picture
        boxes = {
            "centre": partial(centre_box, size, self.size),
            "shifted": partial(shifted_box, size, self.size, generator),
            "padded": partial(padded_box, self.size, view.pad_pixels, generator),
        }
        return crop_box(picture, boxes[view.crop](), self.fill)

    def move(self, picture: Image.Image, generator: np.random.Generator) -> Image.Image:
        """A small turn, shift and change of scale, each uniform."""
        view = self.view
        right, down = generator.uniform(-view.shift, view.shift, 2)
        return turn(
            picture,
            degrees=generator.uniform(-view.rotation_degrees, view.rotation_degrees),
            shift=(right * picture.width, down * picture.height),
            scale=generator.uniform(1 - view.zoom, 1 + view.zoom),
            fill=self.fill,
        )


@dataclass(frozen=True, kw_only=True)
class Crops:
    """The second half of an evaluation view: nothing, one crop, five or ten."""

    view: EvalView
    size: Size
    fill: int

    @property
    def is_nothing(self) -> bool:
        """Say whether the base is already the final image."""
        return self.view.crop == "none"

    @property
    def num_views(self) -> int:
        """Images that the model sees of one example."""
        return {"five": 5, "ten": 10}.get(self.view.crop, 1)

    def __call__(self, image: Pixels, generator: np.random.Generator) -> list[Pixels]:
        """One kept image (h, w, C) uint8 -> the crops; ten: five of it, five of its mirror image.

        So torchvision has them: at an odd margin the second centre is no mirror image of the first.
        """
        picture, size = to_picture(image), image.shape[:2]
        if self.view.crop == "centre":
            return [to_array(crop_box(picture, centre_box(size, self.size), self.fill))]
        pictures = [picture]
        if self.view.crop == "ten":
            pictures.append(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        boxes = five_boxes(size, self.size)
        return [to_array(crop_box(one, box, self.fill)) for one in pictures for box in boxes]


Augment = Augmentation | Crops


def plan_view(
    spec: DataSpec, shape: Shape, channels: int, *, is_training: bool
) -> tuple[Resize, Augment]:
    """Plan the two halves of a view.

    Args:
        spec: The settings.
        shape: (H, W, C) of the model's input.
        channels: Channels of the source's images.
        is_training: True for the training view, False for the evaluation view.
    """
    size = shape[:2]
    view = spec.train_view if is_training else spec.eval_view
    is_cut = view.crop not in ("none", "padded")
    resize = Resize(
        channels=min(channels, shape[2]),
        rule=None if view.crop == "random_resized" else view.resize,
        target=scaled(size, view.crop_share) if is_cut else size,
        interpolation=spec.interpolation,
        fill=spec.fill,
    )
    if isinstance(view, EvalView):
        return resize, Crops(view=view, size=size, fill=spec.fill)
    return resize, Augmentation(
        view=view, size=size, interpolation=spec.interpolation, fill=spec.fill
    )


def example_generator(
    seed: int, epoch: int, example_id: str, repeat: int = 0
) -> np.random.Generator:
    """The random numbers of one example in one epoch, whoever draws them.

    `repeat` counts how often the epoch drew the example before.
    """
    words = np.frombuffer(hashlib.sha256(example_id.encode()).digest()[:8], dtype="<u4")
    key = np.random.SeedSequence([seed, epoch, *words.tolist(), *([repeat] if repeat else [])])
    return np.random.Generator(np.random.Philox(key))


def augment_images(
    images: Sequence[Pixels] | Pixels, augment: Augment, generators: Sequence[np.random.Generator]
) -> Pixels:
    """Kept images -> (N * num_views, H, W, C) uint8; the views of one example lie together."""
    pairs = zip(images, generators, strict=True)
    return np.stack([view for image, generator in pairs for view in augment(image, generator)])
