"""Weights bring their model and their view: what a run takes, what it keeps, what it is told."""

import json
import subprocess
import sys

import numpy as np
import pytest

from poc.shared.actions.weights import foreign
from poc.shared.actions.weights.convert import write_tensors
from poc.shared.actions.weights.foreign import locate_canonical, locate_recognised, named_model
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays, write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.pretrained import Described, WeightDefaults
from poc.shared.spec.reading.sweep import load_sweep
from poc.shared.weights.header import describe_weights, read_names, read_texts
from poc.shared.weights.published.views import EFFICIENTNET_SIDES, VIEWS, find_view

LITE0 = VIEWS["efficientnet_lite0", "keras"].settings()
WEIGHTS = "initial_weights=w.safetensors"


def defaults(told, **found):
    described = Described(**{"model": "efficientnet_lite0", "view": LITE0, **found})
    return WeightDefaults(
        describe=lambda path, values: described, locate=lambda path, values: path, note=told.append
    )


def load(*assignments, told=None, method="transfer", **found):
    notes = [] if told is None else told
    return load_run(None, [WEIGHTS, *assignments], defaults=defaults(notes, **found), method=method)


def test_weights_alone_give_the_view_and_one_line():
    told = []
    data = load(told=told).data
    assert (data.image_size, data.channels) == ((224, 224), 3)
    assert (data.interpolation, data.normalization) == ("bicubic", "tf")
    assert (data.eval_view.crop, data.eval_view.crop_share) == ("centre", 0.875)
    assert data.train_view.resize == "shorter_side"
    assert told == ["From the weights: 224 px, bicubic, centre crop 0.875, x/127.5 - 1."]


def test_what_the_run_sets_stays_and_the_contradiction_is_told():
    told = []
    data = load("image_size=96x96", "normalization=unit", told=told).data
    assert (data.image_size, data.normalization) == ((96, 96), "unit")
    assert data.interpolation == "bicubic"
    assert told[1:] == [
        "data.image_size=96x96 is set; the weights were tested with [224, 224].",
        "data.normalization=unit is set; the weights were tested with tf.",
    ]


def test_only_what_is_taken_is_said_to_come_from_the_weights():
    told = []
    load("interpolation=bilinear", "eval_view.crop_share=1.0", told=told)
    assert told == [
        "From the weights: 224 px, x/127.5 - 1.",
        "data.interpolation=bilinear is set; the weights were tested with bicubic.",
        "data.eval_view.crop_share=1.0 is set; the weights were tested with 0.875.",
    ]
    told.clear()
    view = {"normalization": "tf"}
    load("normalization=tf", told=told, view=view)
    assert told == []


def test_a_training_crop_contradicts_no_test():
    told = []
    load("train_view.crop=random_resized", told=told)
    assert len(told) == 1


def test_a_view_that_no_data_can_have_names_the_file():
    with pytest.raises(UsageError, match=r"'w.safetensors', in whose header the view has the unkn"):
        load(view={"colour": 3})


def test_the_same_size_typed_otherwise_is_no_contradiction():
    told = []
    load("image_size=224x224", told=told)
    assert len(told) == 1


def test_a_rule_of_ones_own_is_taken_whole():
    """`fit` needs no crop; the weights' crop beside it would be another rule."""
    view = load("eval_view.resize=fit").data.eval_view
    assert (view.resize, view.crop) == ("fit", "none")


def test_augmentation_is_added_to_the_weights_view():
    view = load("train_view.horizontal_flip=0.5").data.train_view
    assert (view.horizontal_flip, view.resize, view.crop) == (0.5, "shorter_side", "centre")


def test_the_model_comes_from_the_weights_unless_named():
    run = load(method="scratch", model="mobilenet_v2", lineage="torchvision")
    assert run.model_spec.name == "mobilenet_v2"
    assert run.model_spec.options["lineage"] == "torchvision"
    assert load("model=resnet18", method="scratch").model_spec.name == "resnet18"
    # An option of the weights' model is understood before the model is named anywhere.
    assert load("drop_connect=0.1", method="scratch").model_spec.options["drop_connect"] == 0.1


def test_fixres_names_its_sizes_itself():
    run = load("test_size=160", method="fixres")
    assert run.data.image_size is None
    assert run.data.normalization == "tf"


def test_weights_that_say_nothing_change_nothing():
    told = []
    run = load(told=told, model=None, view={})
    assert run.data == load_run(None, [], method="transfer").data
    assert len(told) == 1
    assert "name no view: set image_size and normalization" in told[0]
    told.clear()
    load("image_size=160x160", "normalization=tf", told=told, model=None, view={})
    load(told=told, model=None, view={}, is_there=False)
    assert told == []


@pytest.mark.parametrize("values", [{"model": "resnet18"}, {"method_options": "x"}])
def test_what_is_no_table_is_refused_later_by_name(values):
    """Looking for the weights' view meets values that nobody has checked yet."""
    told = []
    given = {"method": "transfer", "initial_weights": "w.safetensors", **values}
    defaults(told).take_view(given)
    assert named_model(given).name == "efficientnet_lite0"


def test_every_cell_of_a_sweep_takes_the_view():
    told = []
    cells = load_sweep(None, [WEIGHTS, "method=transfer"], ["seed=0,1"], defaults=defaults(told))
    assert [cell.run.data.normalization for cell in cells] == ["tf", "tf"]


def test_weights_of_another_number_of_classes_are_no_published_form():
    assert find_view("mobilenet_v2", "keras").size == 224
    assert find_view("mobilenet_v2", "keras", 19) is None
    assert find_view("lightnet_plain", "keras") is None


TRANSFORMS = """
import json, torchvision
found = {}
for variant in %r:
    weights = torchvision.models.get_model_weights("efficientnet_" + variant).IMAGENET1K_V1
    view = weights.transforms()
    found[variant] = [view.crop_size[0], view.resize_size[0], view.interpolation.value]
for name in ("vgg16", "vgg16_bn", "mobilenet_v2", "resnet18", "resnet50"):
    view = torchvision.models.get_model_weights(name).IMAGENET1K_V1.transforms()
    found[name] = [view.crop_size[0], view.resize_size[0], view.interpolation.value]
    assert view.mean == [0.485, 0.456, 0.406] and view.std == [0.229, 0.224, 0.225]
print(json.dumps(found))
"""


@pytest.mark.torch
def test_torchvisions_views_are_what_torchvision_says():
    code = TRANSFORMS % (sorted(EFFICIENTNET_SIDES),)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, said in json.loads(done.stdout).items():
        model = name if name[:1] != "b" else f"efficientnet_{name}"
        view = VIEWS[model, "torchvision"]
        assert [view.size, view.resized, view.interpolation] == said


def published_file(path, num_classes):
    """A Lite0 with the names of its publication, drawn; and the canonical weights."""
    from poc.shared.weights.conversion import from_canonical
    from poc.shared.weights.published.table import find_schemes

    network = ModelSpec(name="efficientnet_lite0").declare((224, 224, 3), num_classes)
    weights = draw_weights(network.parameters, 0)
    write_arrays(path, from_canonical(network, find_schemes("efficientnet_lite0")[0], weights))
    return weights


@pytest.mark.parametrize("num_classes", [1000, 7])
def test_a_foreign_file_is_converted_on_the_way_once(num_classes, tmp_path, monkeypatch):
    monkeypatch.setenv("POC_CACHE", str(tmp_path / "cache"))
    file, told = tmp_path / "theirs.safetensors", []
    weights = published_file(file, num_classes)
    values = {"method": "transfer"}
    found = locate_canonical(str(file), values, told.append)
    assert found != str(file)
    assert read_names(tmp_path / found) == set(weights)
    texts = read_texts(tmp_path / found)
    assert (texts["model"], texts["classes"]) == ("efficientnet_lite0", str(num_classes))
    assert ("view" in texts) == (num_classes == 1000)
    assert "Converted" in told[-1]
    num_told = len(told)
    stamp = (tmp_path / found).stat().st_mtime_ns
    assert locate_canonical(str(file), values, told.append) == found
    assert (tmp_path / found).stat().st_mtime_ns == stamp
    assert len(told) == num_told
    # A copy of another version of the conversion is not taken.
    with monkeypatch.context() as patch:
        patch.setattr(foreign, "CONVERSION", "poc conversion of tomorrow")
        assert locate_canonical(str(file), values, told.append) != found
    # Its own form is taken as it is, and says what it is for.
    assert locate_canonical(found, values, told.append) == found
    assert describe_weights(found, values).model == "efficientnet_lite0"


@pytest.mark.parametrize("named", ["", "model.safetensors.index.json"])
def test_a_saved_folder_in_several_files_is_converted(named, tmp_path, monkeypatch):
    """Its copy in the cache is another one if one of the files has other values."""
    monkeypatch.setenv("POC_CACHE", str(tmp_path / "cache"))
    weights = published_file(tmp_path / "whole.safetensors", 7)
    tensors = read_arrays(tmp_path / "whole.safetensors")
    files = {key: f"{place % 2}.safetensors" for place, key in enumerate(tensors)}
    folder = tmp_path / "saved"
    folder.mkdir()
    for file in set(files.values()):
        part = {key: tensors[key] for key in files if files[key] == file}
        write_arrays(folder / file, part)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    found = locate_canonical(str(folder / named), {"method": "transfer"}, print)
    arrays = read_arrays(tmp_path / found)
    assert all(np.array_equal(arrays[key], weights[key]) for key in weights)
    write_arrays(folder / file, {key: value + 1 for key, value in part.items()})
    assert locate_canonical(str(folder / named), {"method": "transfer"}, print) != found


def test_where_nobody_names_the_model_the_tensors_do(tmp_path, monkeypatch):
    """As in a study, which has no option for it."""
    monkeypatch.setenv("POC_CACHE", str(tmp_path / "cache"))
    weights = published_file(tmp_path / "whole.safetensors", 7)
    assert locate_recognised(str(tmp_path / "whole.safetensors"), print) == str(
        tmp_path / "whole.safetensors"
    )
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "0.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes())
    files = dict.fromkeys(read_arrays(folder / "0.safetensors"), "0.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    found = locate_recognised(str(folder), print)
    assert describe_weights(found, {}).model == "efficientnet_lite0"
    arrays = read_arrays(tmp_path / found)
    assert all(np.array_equal(arrays[key], weights[key]) for key in weights)


def test_tensors_of_no_model_name_the_command_that_converts(tmp_path, monkeypatch):
    (tmp_path / "odd.pth").write_bytes(b"")
    monkeypatch.setattr(foreign, "read_tensors", lambda path: ({"some.tensor": np.zeros(3)}, {}))
    with pytest.raises(UsageError, match=r"poc weights convert .*odd.pth NEW.safetensors --model"):
        locate_recognised(str(tmp_path / "odd.pth"), print)


@pytest.mark.slow
@pytest.mark.torch
def test_a_pickle_of_pytorch_needs_no_name_of_its_model(tmp_path, monkeypatch):
    monkeypatch.setenv("POC_CACHE", str(tmp_path / "cache"))
    weights = published_file(tmp_path / "whole.safetensors", 7)
    write_tensors(tmp_path / "net.pth", read_arrays(tmp_path / "whole.safetensors"), {})
    found = locate_recognised(str(tmp_path / "net.pth"), print)
    arrays = read_arrays(tmp_path / found)
    assert all(np.array_equal(arrays[key], weights[key]) for key in weights)


def test_variables_that_keras_only_numbers_are_known(tmp_path, monkeypatch):
    """As in `.weights.h5`: the head's number of classes is read too."""
    from poc.shared.weights.conversion import from_canonical
    from poc.shared.weights.published.keras_order import numbered_names
    from poc.shared.weights.published.table import find_schemes

    monkeypatch.setenv("POC_CACHE", str(tmp_path / "cache"))
    network = ModelSpec(name="mobilenet_v2").declare((224, 224, 3), 7)
    scheme = next(s for s in find_schemes("mobilenet_v2") if s.name == "keras")
    weights = draw_weights(network.parameters, 0)
    names, published = scheme.tensors(network), from_canonical(network, scheme, weights)
    numbered = {
        own.split("/", 2)[2]: published[names[key]]
        for key, own in numbered_names(network, scheme).items()
    }
    write_arrays(tmp_path / "keras.safetensors", numbered)
    values = {"method": "transfer", "model": {"name": "mobilenet_v2"}}
    found = locate_canonical(str(tmp_path / "keras.safetensors"), values, print)
    arrays = read_arrays(tmp_path / found)
    assert all(np.array_equal(arrays[key], weights[key]) for key in weights)


def test_a_file_of_no_known_form_names_the_command_that_converts(tmp_path):
    file = tmp_path / "odd.safetensors"
    write_arrays(file, {"some.tensor": np.zeros(3, np.float32)})
    with pytest.raises(UsageError, match=r"poc weights convert .*odd.safetensors .*--classes N"):
        locate_canonical(str(file), {"method": "transfer"}, print)


def test_a_run_folders_checkpoint_brings_the_view_of_its_run(tmp_path):
    checkpoint = tmp_path / "run" / "checkpoints" / "best.safetensors"
    checkpoint.parent.mkdir(parents=True)
    write_arrays(checkpoint, {"head/bias": np.zeros(3, np.float32)})
    data = {"image_size": [32, 32], "normalization": "torch", "source": "embedded"}
    record = {"run": {"data": data, "model": {"name": "resnet18", "options": {}}}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    view = describe_weights(str(checkpoint), {}).view
    assert view == {"image_size": [32, 32], "normalization": "torch"}
