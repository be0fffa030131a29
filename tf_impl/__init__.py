"""The backend contract (`poc.shared.engine.backend.Backend`) in TensorFlow and Keras."""

from .device import describe, measure_matmul_flops, peak_device_bytes, prepare
from .export import export_network
from .features import (
    features,
    hyper_gradient,
    loss_and_gradients,
    map_and_gradient,
    map_batches,
    parameters,
    prepare_map_and_gradient,
)
from .native import build_native_model
from .published import fetch_imagenet, read_published, write_published
from .ranks.collectives import join
from .trainer import Trainer

__all__ = [
    "Trainer",
    "build_native_model",
    "describe",
    "export_network",
    "features",
    "fetch_imagenet",
    "hyper_gradient",
    "join",
    "loss_and_gradients",
    "map_and_gradient",
    "map_batches",
    "measure_matmul_flops",
    "parameters",
    "peak_device_bytes",
    "prepare",
    "prepare_map_and_gradient",
    "read_published",
    "write_published",
]
