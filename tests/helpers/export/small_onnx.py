"""A small ONNX file as `poc export` writes them, without a framework."""

import numpy as np

from poc.shared.actions.exports.description import find_target
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.engine.export.embedding import embed
from poc.shared.engine.export.onnx_resize import add_resize
from poc.shared.engine.export.preprocess import Preprocess, RunFacts
from poc.shared.spec.data import DataSpec

FACTS = RunFacts(method="scratch", model="none", backend="torch", seed=0, date="today")


def describe(spec, shape, names, **changes):
    """What a file of these settings says about itself."""
    known = {
        "kind": "view",
        "size": shape[:2],
        "target": find_target(spec, shape[:2]),
        "channels": shape[2],
        "mode": "L" if shape[2] == 1 else "RGB",
        "interpolation": spec.interpolation,
        "fill": spec.fill,
        "eval_view": spec.eval_view,
        "num_views": EvaluationView(spec, shape).num_views,
        "normalization": "unit",
        "class_names": names,
        "is_multi_label": False,
        "decision": None,
        "run": FACTS,
        "precision": "float32",
        "weights_licence": "none",
        "pillow": "any",
        **changes,
    }
    return Preprocess.model_validate(known)


def make_weights(shape, num_classes):
    """(H, W, C, num_classes) float32."""
    draw = np.random.default_rng(1)
    return (draw.normal(size=(*shape, num_classes)) / 100).astype(np.float32)


def write_file(path, spec, shape, names, **changes):
    """Write a linear network of the pixels; return its weights (H, W, C, num_classes)."""
    import onnx

    weights = make_weights(shape, len(names))
    height, width, channels = shape
    taken = f"uint8[batch, {height}, {width}, {channels}] images"
    text = f"""<ir_version: 9, opset_import: ["" : 18]>
        net ({taken}) => (float[batch, classes] logits) {{
            values = Cast <to = 1> (images)
            row = Flatten (values)
            logits = MatMul (row, weights)
        }}"""
    model = onnx.parser.parse_model(text)
    flat = weights.reshape(-1, len(names))
    model.graph.initializer.append(onnx.numpy_helper.from_array(flat, "weights"))
    onnx.save(model, path)
    known = describe(spec, shape, names, **changes)
    if known.kind == "picture":
        add_resize(path, shape[:2], spec)
    embed(path, known.write())
    return weights


def default_spec(**settings):
    return DataSpec(**{"image_size": (12, 10), **settings})
