"""From a source's images to a model's input: channels, size, normalisation; once for both backends.

Channels and size are settled on uint8 images, once an example where the result is kept. By default
resizing is Pillow's bilinear filter, which is antialiased when it shrinks, and does not keep the
aspect ratio.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poc.shared.data.sources.base import Pixels, Shape, Source
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec, Normalization

Images = NDArray[np.float32]

# Published statistics of ImageNet: RGB for `torch`, BGR for `caffe`.
TORCH_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
TORCH_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)
CAFFE_MEAN = np.array([103.939, 116.779, 123.68], dtype=np.float32)


def prepared_shape(source: Source, spec: DataSpec, example: int = 0) -> Shape:
    """(H, W, C) of every image after channels and size are settled.

    Args:
        source: Gives the images.
        spec: Size and channels that are set.
        example: Position of the image that is read if only an image tells its channels.

    Raises:
        UsageError: The images' sizes differ and no size is set, or a normalisation for RGB meets
            grey images.
    """
    if source.image_shape is None and spec.image_size is None:
        raise UsageError(
            f"Got images of different sizes from {source.name!r}. Expected one size. Try to set "
            "data.image_size, for example [224, 224]."
        )
    # The images of one source share their channels; `images` refuses them where they do not.
    height, width, channels = source.image_shape or source.image(example).shape
    height, width = spec.image_size or (height, width)
    channels = spec.channels or channels
    if spec.normalization in ("torch", "caffe") and channels != 3:
        raise UsageError(
            f"Got data.normalization={spec.normalization!r} for images of {channels} channels. "
            "Expected 3 channels. Try to set data.channels=3 or data.normalization=unit."
        )
    return (height, width, channels)


def convert_channels(images: Pixels, channels: int) -> Pixels:
    """Convert grey to RGB by repetition, and RGB to grey by Pillow's "L" (ITU-R 601-2 luma).

    Args:
        images: (…, H, W, C) uint8.
        channels: 1 or 3.

    Returns:
        (…, H, W, channels) uint8.

    Raises:
        UsageError: The images have other channels.
    """
    received = images.shape[-1]
    if received == channels:
        return images
    if received == 1 and channels == 3:
        return np.repeat(images, 3, axis=-1)
    if received == 3 and channels == 1:
        # Grey depends on each pixel alone, so any number of images converts as one tall image.
        tall = Image.fromarray(images.reshape(-1, images.shape[-2], 3)).convert("L")
        return np.asarray(tall).reshape(*images.shape[:-1], 1)
    raise UsageError(
        f"Got images of {received} channels where {channels} are wanted. Expected 1 or 3. Try "
        "converting the images or set data.channels."
    )


def normalize(images: Pixels, normalization: Normalization) -> Images:
    """Scale pixels from 0 to 255 to a model's range.

    Args:
        images: (N, H, W, C) uint8; RGB for `torch` and `caffe`.
        normalization: See `DataSpec`.

    Returns:
        (N, H, W, C) float32, a new array.
    """
    values = images.astype(np.float32)
    if normalization in ("unit", "torch"):
        values /= np.float32(255)
    if normalization == "torch":
        values -= TORCH_MEAN
        values /= TORCH_DEVIATION
    if normalization == "tf":
        values /= np.float32(127.5)
        values -= np.float32(1)
    if normalization == "caffe":
        values = np.ascontiguousarray(values[..., ::-1])
        values -= CAFFE_MEAN
    return values
