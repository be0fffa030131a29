"""Safetensors in several files: read as one, and an index that leads elsewhere is refused."""

import json

import numpy as np
import pytest

from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.files.shards import find_saved, list_files, read_shards


def write(folder, weight_map):
    write_arrays(folder / "a.safetensors", {"x": np.arange(3)})
    write_arrays(folder / "b.safetensors", {"y": np.ones((2, 2))})
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return path


def test_all_files_are_one(tmp_path):
    found = read_shards(write(tmp_path, {"x": "a.safetensors", "y": "b.safetensors"}))
    assert found.keys() == {"x", "y"}
    assert found["x"].tolist() == [0, 1, 2]


def test_an_index_lists_its_files_and_names_a_missing_one(tmp_path):
    index = write(tmp_path, {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"})
    files = [index, tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    assert list_files(index) == files
    assert list_files(files[1]) == files[1:2]
    files[2].unlink()
    with pytest.raises(UsageError, match=r"whose file 'b.safetensors' is missing"):
        list_files(index)


@pytest.mark.parametrize("name", ["model.safetensors.index.json", "model.safetensors"])
def test_a_saved_folder_is_its_file(name, tmp_path):
    assert find_saved(tmp_path) == tmp_path
    (tmp_path / name).write_text("not looked at")
    assert find_saved(tmp_path) == tmp_path / name
    assert find_saved(tmp_path / name) == tmp_path / name


@pytest.mark.parametrize(
    "file", ["../a.safetensors", "/tmp/a.safetensors", "a.pth", "", 3, None, "x/a.safetensors"]
)
def test_a_file_elsewhere_is_refused(tmp_path, file):
    with pytest.raises(UsageError, match="no index of safetensors"):
        read_shards(write(tmp_path, {"x": file}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "["])
def test_no_index_is_refused(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="no index of safetensors"):
        read_shards(path)


def test_a_missing_tensor_or_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="'z'"):
        read_shards(write(tmp_path, {"x": "a.safetensors", "z": "b.safetensors"}))
    with pytest.raises(UsageError, match=r"c\.safetensors"):
        read_shards(write(tmp_path, {"x": "c.safetensors"}))
