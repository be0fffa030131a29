"""A small TFLite file as `poc export` writes them, without a framework."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from poc.shared.engine.export.embedding import embed
from poc.tests.helpers.export.small_onnx import describe, make_weights

UINT8, FLOAT = schema.TensorType.UINT8, schema.TensorType.FLOAT32
CAST, DENSE = schema.BuiltinOperator.CAST, schema.BuiltinOperator.FULLY_CONNECTED


def write_file(path, spec, shape, names, **changes):
    """Write a linear network of the pixels; return its weights (H, W, C, num_classes)."""
    weights = make_weights(shape, len(names))
    # TFLite's dense kernel is (out, in).
    flat = np.ascontiguousarray(weights.reshape(-1, len(names)).T)
    model = schema.ModelT()
    model.version, model.description = 3, b"small"
    model.buffers = [schema.BufferT() for _ in range(2)]
    model.buffers[1].data = flat.view(np.uint8).reshape(-1)
    model.operatorCodes = [make_code(CAST), make_code(DENSE)]
    graph = schema.SubGraphT()
    graph.tensors = [
        make_tensor(b"images", (1, *shape), UINT8),
        make_tensor(b"values", (1, *shape), FLOAT),
        make_tensor(b"weights", flat.shape, FLOAT, 1),
        make_tensor(b"logits", (1, len(names)), FLOAT),
    ]
    options = schema.FullyConnectedOptionsT()
    graph.operators = [
        make_operator(0, [0], [1], schema.BuiltinOptions.CastOptions, schema.CastOptionsT()),
        # -1: no bias.
        make_operator(1, [1, 2, -1], [3], schema.BuiltinOptions.FullyConnectedOptions, options),
    ]
    graph.inputs, graph.outputs = [0], [3]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    embed(path, describe(spec, shape, names, **changes).write())
    return weights


def make_code(code):
    found = schema.OperatorCodeT()
    found.builtinCode = found.deprecatedBuiltinCode = code
    found.version = 1
    return found


def make_tensor(name, shape, kind, buffer=0):
    """A tensor of any number of images; `shape` is that of one."""
    found = schema.TensorT()
    found.name, found.shape, found.type, found.buffer = name, list(shape), kind, buffer
    if not buffer:
        found.shapeSignature = [-1, *shape[1:]]
    return found


def make_operator(code, inputs, outputs, kind, options):
    found = schema.OperatorT()
    found.opcodeIndex, found.inputs, found.outputs = code, inputs, outputs
    found.builtinOptionsType, found.builtinOptions = kind, options
    return found
