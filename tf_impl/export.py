"""A trained network as a file that runs without TensorFlow: TFLite."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from poc.shared.data.views.normalization import CAFFE_MEAN, TORCH_DEVIATION, TORCH_MEAN
from poc.shared.spec.data import Normalization
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import Network

from .models import Model
from .weights import load_weights


def export_network(
    network: Network,
    weights: Weights,
    path: str,
    *,
    precision: str,
    normalization: Normalization,
    calibration: NDArray[np.uint8],
) -> None:
    """Write the network: images (N, H, W, C) uint8 -> logits (N, num_classes) float32.

    Args:
        network: Its batch norms are folded already.
        weights: Canonical weights.
        path: The file.
        precision: Type of the weights and of the maps between the two ends.
        normalization: That of the run, which the file computes.
        calibration: Images (N, H, W, C) uint8 that set the ranges of int8.
    """
    model = Model(network, dtype="float32")
    load_weights(model, weights)
    signature = tf.TensorSpec((None, *network.input_shape), tf.uint8, name="images")
    function = tf.function(
        lambda images: model(_normalize(images, normalization), training=False),
        input_signature=[signature],
    ).get_concrete_function()
    # Given the function without its model, the converter turns variables into constants first;
    # calibration for int8 does not know variables.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: _examples(calibration)
        # Without this an operation that has no int8 kernel would stay in float32 without a word.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    Path(path).write_bytes(converter.convert())


def _normalize(images: tf.Tensor, normalization: Normalization) -> tf.Tensor:
    """Scale images (N, H, W, C) uint8 as the run's pipeline does: float32."""
    values = tf.cast(images, tf.float32)
    if normalization in ("unit", "torch"):
        values = values / 255.0
    if normalization == "torch":
        values = (values - TORCH_MEAN) / TORCH_DEVIATION
    if normalization == "tf":
        values = values / 127.5 - 1.0
    if normalization == "caffe":
        # From RGB to BGR; the converter has no int8 kernel of a slice with a negative step.
        values = tf.gather(values, [2, 1, 0], axis=-1) - CAFFE_MEAN
    return values


def _examples(images: NDArray[np.uint8]) -> Iterator[list[NDArray[np.uint8]]]:
    for index in range(len(images)):
        yield [images[index : index + 1]]
