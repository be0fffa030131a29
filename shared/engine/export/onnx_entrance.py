"""Entrance of an ONNX file: it normalises uint8 images as the run's pipeline does.

It is a function of the domain `poc`, written in ONNX's text form.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.views.normalization import CAFFE_MEAN, TORCH_DEVIATION, TORCH_MEAN
from poc.shared.spec.data import Normalization

if TYPE_CHECKING:
    from onnx import ModelProto

DOMAIN = "poc"
NORMALIZE = """
<domain: "poc", opset_import: ["" : 18]>
normalize_images (view) => (normalized) {
    values = Cast <to = 1> (view)
    STEPS
}"""


def write_steps(normalization: Normalization) -> str:
    """Return the lines of ONNX from `values`, 0 to 255, to `normalized`; float32, in that order."""
    unit = "top = Constant <value = float {255.0}> () \n share = Div (values, top)"
    if normalization == "unit":
        return f"{unit} \n normalized = Identity (share)"
    if normalization == "torch":
        return f"""{unit}
            mean = Constant <value = float[3] {{{listed(TORCH_MEAN)}}}> ()
            deviation = Constant <value = float[3] {{{listed(TORCH_DEVIATION)}}}> ()
            centred = Sub (share, mean)
            normalized = Div (centred, deviation)"""
    if normalization == "tf":
        return """half = Constant <value = float {127.5}> ()
            one = Constant <value = float {1.0}> ()
            ratio = Div (values, half)
            normalized = Sub (ratio, one)"""
    if normalization == "caffe":
        return f"""order = Constant <value = int64[3] {{2, 1, 0}}> ()
            mean = Constant <value = float[3] {{{listed(CAFFE_MEAN)}}}> ()
            turned = Gather <axis = 3> (values, order)
            normalized = Sub (turned, mean)"""
    return "normalized = Identity (values)"


def listed(values: NDArray[np.float32]) -> str:
    """Write numbers (C,) as ONNX's text has them."""
    return ", ".join(str(value) for value in values)


def add_normalization(path: Path, normalization: Normalization) -> None:
    """Let an ONNX file take uint8: its input `images` (N, H, W, C) was normalised float32.

    Args:
        path: File; it is replaced.
        normalization: That of the run. It is computed in float32, whatever the network's precision.
    """
    # Imported here, since `poc[export]` is an optional extra.
    import onnx

    model = onnx.load(path)
    put_first(model, NORMALIZE.replace("STEPS", write_steps(normalization)), "normalized")
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    onnx.checker.check_model(model)
    onnx.save(model, path)


def put_first(model: "ModelProto", text: str, output: str) -> None:
    """Put a function between the input `images` of an ONNX model and the nodes that read it.

    Args:
        model: ONNX model; it is changed.
        text: The function, of one input.
        output: Name of what the nodes read now. It gets the domain in front, since nodes of the
            model may have the same name: PyTorch calls a reshape `view`.
    """
    import onnx

    output = f"{DOMAIN}.{output}"
    function = onnx.parser.parse_function(text)
    for node in model.graph.node:
        node.input[:] = [output if name == "images" else name for name in node.input]
    node = onnx.helper.make_node(function.name, ["images"], [output], domain=DOMAIN)
    model.graph.node.insert(0, node)
    model.functions.append(function)
    if all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
