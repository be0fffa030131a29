"""The normalisation in an ONNX file, against the pipeline's."""

import numpy as np
import pytest

from poc.shared.data.views.normalization import normalize
from poc.shared.engine.export.onnx_entrance import add_normalization
from poc.shared.engine.export.onnx_resize import add_resize
from poc.shared.spec.data import DataSpec


@pytest.mark.parametrize("normalization", ["unit", "torch", "tf", "caffe", "none"])
def test_a_file_normalises_as_the_pipeline_does(normalization, tmp_path):
    """Each value of 0 to 255 in each channel; the same operations give the same bits."""
    import onnx
    import onnxruntime

    form = "float[batch, 16, 16, 3]"
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 18]> g ({form} images) => ({form} same) '
        "{ same = Identity (images) }"
    )
    onnx.save(model, tmp_path / "file.onnx")
    add_normalization(tmp_path / "file.onnx", normalization)
    draw = np.random.default_rng(0)
    levels = [draw.permutation(256).reshape(16, 16) for _ in range(3)]
    images = np.stack(levels, axis=-1).astype(np.uint8)[np.newaxis]
    session = onnxruntime.InferenceSession(str(tmp_path / "file.onnx"))
    found = session.run(None, {"images": images})[0]
    assert np.array_equal(found, normalize(images, normalization))


def test_names_of_the_network_may_be_those_of_the_entrance(tmp_path):
    """PyTorch calls a reshape `view`, which a vision transformer has."""
    import onnx
    import onnxruntime

    path, form = tmp_path / "file.onnx", "float[batch, 16, 16, 3]"
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 18]> g ({form} images) => ({form} same) '
        "{ view = Identity (images) normalized = Identity (view) same = Identity (normalized) }"
    )
    onnx.save(model, path)
    add_normalization(path, "none")
    add_resize(path, (16, 16), DataSpec())
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    found = onnxruntime.InferenceSession(str(path)).run(None, {"images": images})[0]
    assert np.array_equal(found, images.astype(np.float32))
