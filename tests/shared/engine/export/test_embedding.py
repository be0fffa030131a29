"""A text in an exported file: written, read again, and absent."""

import zipfile

import numpy as np

from poc.shared.engine.export import embedding
from poc.shared.engine.export.embedding import KEY, embed, read_attached
from poc.shared.engine.export.runtimes import open_file
from poc.tests.helpers.export.small_onnx import default_spec, write_file

TEXT = '{"classes": ["Löwe", "\u732b"]}'


def test_a_tflite_file_keeps_its_bytes_and_gets_an_archive_behind(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3 network")
    embed(path, TEXT)
    assert path.read_bytes().startswith(b"\x1c\0\0\0TFL3 network")
    assert read_attached(path) == TEXT
    with zipfile.ZipFile(path) as archive:
        assert archive.read(KEY).decode() == TEXT
    again = tmp_path / "again.tflite"
    again.write_bytes(b"\x1c\0\0\0TFL3 network")
    embed(again, TEXT)
    assert again.read_bytes() == path.read_bytes()


def test_files_without_a_text_have_an_empty_one(tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"TFL3")
    assert read_attached(path) == ""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat")
    assert read_attached(path) == ""
    embed(path, TEXT)
    assert read_attached(path) == TEXT
    monkeypatch.setattr(embedding, "MAX_BYTES", 10)
    assert read_attached(path) == ""


def test_an_onnx_file_still_answers_and_has_the_text(tmp_path):
    path = tmp_path / "model.onnx"
    weights = write_file(path, default_spec(), (12, 10, 3), ["cat", "dog"])
    embed(path, TEXT)
    model = open_file(path)
    assert model.metadata == TEXT
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 10, 3), dtype=np.uint8)
    expected = images.reshape(2, -1) @ weights.reshape(-1, 2).astype(np.float64)
    assert np.abs(model.logits(images) - expected).max() < 1e-4
