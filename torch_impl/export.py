"""A trained network as a file that runs without PyTorch: ONNX."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from poc.shared.data.views.normalization import normalize
from poc.shared.engine.export.onnx_entrance import add_normalization
from poc.shared.spec.data import Normalization
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import Network

from .models import Model
from .weights import load_weights

# The opset in which PyTorch's exporter writes; another one would be converted afterwards.
_OPSET = 18


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
    seen = normalize(calibration, normalization)
    model = Model(network, dtype="float32")
    load_weights(model, weights)
    with torch.no_grad():
        torch.onnx.export(
            _Entrance(model).eval(),
            # Two images: the exporter takes a batch of 1 for a constant.
            (torch.from_numpy(seen[:2]),),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _keep_zero_pads(path)
    if precision == "float16":
        _halve(path)
    if precision == "int8":
        _quantize(path, seen)
    _strip(path)
    # Last, so that images are normalised in float32 whatever the precision of the network.
    add_normalization(Path(path), normalization)


class _Entrance(nn.Module):
    """A model that takes images (N, H, W, C), the layout at every border of the project."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, num_classes) of images (N, H, W, C)."""
        return self.model(images.permute(0, 3, 1, 2), training=False)


class _Examples:
    """Calibration images (N, H, W, C), one by one, in the form that ONNX Runtime asks for."""

    def __init__(self, images: NDArray[np.float32]) -> None:
        self._batches = iter([{"images": images[i : i + 1]} for i in range(len(images))])

    def get_next(self) -> dict[str, Any] | None:
        """Return the next image (1, H, W, C), or None after the last."""
        return next(self._batches, None)


def _keep_zero_pads(path: str) -> None:
    """Keep ONNX Runtime from padding a max-pool with its own -infinity instead of zeros."""
    # Its optimiser merges a Pad of exactly 0 into the pool behind it (seen in 1.31). A Pad of the
    # smallest normal number is not merged.
    import onnx

    model = onnx.load(path)
    pads = {node.output[0]: node for node in model.graph.node if node.op_type == "Pad"}
    pooled = [pads.get(node.input[0]) for node in model.graph.node if node.op_type == "MaxPool"]
    for pad in (pad for pad in pooled if pad is not None and len(pad.input) > 2):
        values = [item for item in model.graph.initializer if item.name == pad.input[2]]
        if values and onnx.numpy_helper.to_array(values[0]) == 0:
            tiny = np.asarray(np.finfo(np.float32).tiny, np.float32)
            pad.input[2] = f"{pad.input[2]}_as_tiny"
            model.graph.initializer.append(onnx.numpy_helper.from_array(tiny, pad.input[2]))
    onnx.save(model, path)


def _halve(path: str) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = OnnxModel(convert_float_to_float16(onnx.load(path), keep_io_types=True))
    # The converter appends its nodes at the end, and ONNX wants each after those that it reads.
    model.topological_sort()
    onnx.save(model.model, path)


def _quantize(path: str, calibration: NDArray[np.float32]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    # ONNX Runtime reads one file and writes another.
    source = Path(path).with_suffix(".float32.onnx")
    Path(path).rename(source)
    quantize_static(
        str(source),
        path,
        _Examples(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    source.unlink()


def _strip(path: str) -> None:
    """Remove the exporter's notes about its own source code, most of the file of a small net."""
    import onnx

    model = onnx.load(path)
    model.graph.ClearField("value_info")
    for part in (model, model.graph, *model.graph.node):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)
