"""Prints images that TensorFlow and Keras resized, in a process without PyTorch."""

import json
import tempfile
from pathlib import Path

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
from PIL import Image

from poc.tests.backends.test_resize import SIZES, draw_image


def of_directory(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image (H, W, C) as `image_dataset_from_directory` reads its PNG file."""
    mode = "grayscale" if image.shape[2] == 1 else "rgb"
    with tempfile.TemporaryDirectory() as root:
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        picture.save(Path(root) / "image.png")
        read = keras.utils.image_dataset_from_directory(
            root, labels=None, image_size=size, color_mode=mode, batch_size=1, verbose=False
        )
        return next(iter(read)).numpy()[0]


found = []
for given, wanted in SIZES:
    for channels in (1, 3):
        image = draw_image(*given, channels)
        ways = {"tf.image.resize": tf.image.resize(image, wanted).numpy()}
        ways["image_dataset_from_directory"] = of_directory(image, wanted)
        found.append({way: values.ravel().tolist() for way, values in ways.items()})
print(json.dumps(found))
