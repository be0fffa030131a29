"""Apparent sizes, resolutions that do not fit, memory, and the grid: no framework needed."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from poc.shared.analysis.figures.resolution.cells import data_warning, grid_of_runs, read_grid
from poc.shared.analysis.figures.resolution.grid import draw_grid, grid_table, write_picture
from poc.shared.analysis.runs.reading import read_runs
from poc.shared.analysis.statistics.intervals import mcnemar
from poc.shared.data.views.object_size import (
    apparent_sizes,
    final_grid,
    ideal_crop_share,
    ideal_ratio,
    matching_train_size,
    measure_size,
)
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.resolving import memory
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.run_data import make_pipelines
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import initial_weights

CONFIGS = Path(__file__).parents[4] / "configs"


def test_the_ideal_follows_the_published_law():
    assert ideal_crop_share() == pytest.approx(0.7082, abs=5e-5)
    published = {(128, 224): 1.42, (224, 128): 0.46, (224, 224): 0.81, (224, 320): 1.15}
    published |= {(224, 400): 1.45, (320, 224): 0.57, (320, 320): 0.81, (320, 380): 0.96}
    for (train, test), ratio in published.items():
        assert ideal_ratio(train, test) == pytest.approx(ratio, abs=0.006)
    assert [final_grid(size) for size in (128, 224, 320, 380, 400)] == [4, 7, 10, 12, 13]
    assert 277 <= apparent_sizes(224, 224, ())["matching_test_size"] <= 280


@pytest.mark.parametrize(
    ("size", "rule", "crop_share", "ratio"),
    [
        ((375, 500), "shorter_side", 0.634, 0.837),
        ((400, 600), "shorter_side", 0.602, 0.843),
        ((500, 500), "shorter_side", 0.668, 0.763),
        ((500, 375), "height", 0.634, 0.628),
    ],
)
def test_measured_sizes_are_those_of_the_real_boxes(size, rule, crop_share, ratio):
    found = measure_size(size, 224, 224, rule=rule)
    assert found.crop_share == pytest.approx(crop_share, abs=0.005)
    assert found.ratio == pytest.approx(ratio, abs=0.007)


def test_another_area_has_another_ideal():
    """The recipe's crops keep .8619 of the side: 2/3 (1 - .5^1.5) / .5."""
    assert ideal_crop_share((0.5, 1.0)) == pytest.approx(0.8619, abs=5e-5)
    found = apparent_sizes(224, 224, [(500, 500)], area=(0.5, 1.0))
    assert found["ideal_ratio"] == pytest.approx(0.8619 * 256 / 224, abs=1e-3)
    # As above, fewer of the largest boxes fit into a square image than the law has.
    assert found["measured"][0]["ratio"] == pytest.approx(found["ideal_ratio"], abs=0.05)
    # 228 is the first of which int(size / .875) is at least 224 / .8619, which is 259.9.
    assert found["matching_test_size"] == 228
    assert matching_train_size(224, area=(0.5, 1.0)) == pytest.approx(220.6, abs=0.1)
    assert apparent_sizes(224, 224, (), area=(1.0, 1.0))["ideal_crop_share"] == 1
    # E[s] is 2/3 (.002^1.5 - .001^1.5) / .001 = .038547: int(size / .875) must reach 5811.1.
    assert apparent_sizes(224, 224, (), area=(0.001, 0.002))["matching_test_size"] == 5086
    whole = {"crop_share": 1.0, "area": (1.0, 1.0)}
    assert apparent_sizes(1, 1, (), **whole)["matching_test_size"] == 1


@pytest.mark.parametrize("area", [(0.0, 1.0), (0.5, 0.4), (0.5, 1.1)])
def test_areas_of_no_crop_are_refused(area):
    with pytest.raises(UsageError, match=r"^Got area=.* Try 0.08 1.$"):
        apparent_sizes(224, 224, (), area=area)


def test_sizes_below_one_are_refused():
    with pytest.raises(UsageError, match="at least 1 pixel"):
        apparent_sizes(0, 224)


def test_the_published_cells_differ_as_the_facts_say():
    """z of the study: 94.73 % and 94.40 % of 4,140 images are 14 images apart."""

    def z(first, second, count):
        share = (first + second) / 2
        return (first - second) / np.sqrt(2 * share * (1 - share) / count)

    assert z(0.9473, 0.9440, 4140) == pytest.approx(0.66, abs=0.01)
    assert z(0.9348, 0.9321, 4140) == pytest.approx(0.49, abs=0.01)
    hits = np.zeros(100, bool), np.arange(100) < 9
    assert mcnemar(*hits).p_value == pytest.approx(2 * 0.5**9)


def make_run(**fields):
    return RunSpec.parse({"method": "fixres", "num_epochs": 6, **fields}, "")


def test_a_resolution_that_is_too_small_for_the_net_is_refused():
    run = make_run(
        model={"name": "inception_v3"},
        method_options={"train_size": 32, "test_size": 96},
        data={"channels": 3},
    )
    with pytest.raises(UsageError, match=r"^Got the layer \S+ of inception_v3 with") as caught:
        resolve(run)
    assert "\n" not in str(caught.value)


def test_a_net_that_depends_on_the_size_is_refused():
    run = make_run(
        model={"name": "vgg16"},
        method_options={"train_size": 32, "test_size": 64, "finetune_bn_mode": "frozen"},
        data={"channels": 3},
    )
    with pytest.raises(UsageError, match="vgg16 for images of two sizes, where dense1/kernel"):
        resolve(run)


def test_the_second_phase_is_given_training_images_alone():
    run = make_run(
        model={"name": "lightnet_plain"},
        method_options={"train_size": 14, "test_size": 18, "finetune_bn_mode": "frozen"},
        data={"split": {"train_per_class": 2}},
    )
    resolved, data = resolve(run)
    with data:
        held_out = set(data.split.val) | set(data.split.test)
        for stage, side in (("train", 14), ("finetune", 18)):
            data.show(resolved.at_stage(stage).spec)
            batches = list(data.train.epoch(0))
            assert batches[0].images.shape[1:3] == (side, side)
            seen = {int(index) for batch in batches for index in batch.indices}
            assert seen == set(data.split.train)
            assert not seen & held_out


def test_a_split_whose_training_images_are_tested_is_refused():
    _, data = resolve(make_run(model={"name": "lightnet_plain"}, method="transfer"))

    class Leaking:
        train, val, test = np.arange(5), np.arange(5, 8), np.array([8, 3])

    with pytest.raises(CheckFailed, match="1 training examples that also validate or test"):
        make_pipelines(data.source, Leaking(), make_run())


@pytest.fixture(scope="module")
def weights_of_a_chain(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "chain.safetensors"
    network = declare_network(tuned("conv2d_chain"))
    write_arrays(path, draw_weights(network.parameters, 0))
    return str(path)


def tuned(model, classes=10, **fields):
    return RunSpec.parse(
        {
            "method": "transfer",
            "model": {"name": model},
            "input_shape": [64, 64, 3],
            "num_classes": classes,
            **fields,
        },
        "",
    )


def test_weights_of_another_architecture_are_refused(weights_of_a_chain):
    with pytest.raises(UsageError, match=r"which mobilenet_v2 has\..* Try its own file"):
        initial_weights(resolve_networks(tuned("mobilenet_v2", initial_weights=weights_of_a_chain)))


def test_a_head_is_new_unless_the_files_is_asked_for(weights_of_a_chain):
    same = tuned("conv2d_chain", initial_weights=weights_of_a_chain)
    kept = tuned(
        "conv2d_chain",
        initial_weights=weights_of_a_chain,
        method_options={"new_head": False},
        seed=5,
    )
    fresh = tuned("conv2d_chain", initial_weights=weights_of_a_chain, seed=5)
    before = initial_weights(resolve_networks(same))
    assert (initial_weights(resolve_networks(kept))["head/kernel"] == before["head/kernel"]).all()
    assert (initial_weights(resolve_networks(fresh))["head/kernel"] != before["head/kernel"]).any()
    body = next(name for name in before if name.endswith("conv1/kernel"))
    assert (initial_weights(resolve_networks(fresh))[body] == before[body]).all()
    wrong = tuned(
        "conv2d_chain",
        classes=7,
        initial_weights=weights_of_a_chain,
        method_options={"new_head": False},
    )
    with pytest.raises(UsageError, match=r"gives 10 classes\. Expected 7, .* --set new_head=true"):
        initial_weights(resolve_networks(wrong))


def test_the_large_config_is_refused_where_it_cannot_fit(monkeypatch):
    run = load_run(CONFIGS / "fixres" / "resnext101_32x48d_dogs.toml")
    monkeypatch.setattr(memory, "free_bytes", lambda: 8 << 30)
    monkeypatch.setattr(memory, "GPU", Path("/none"))
    with pytest.raises(
        UsageError, match=r"resnext101_32x48d at 320x320.*needs at least [0-9.]+ GiB.*most 8\.0 GiB"
    ):
        memory.require_memory(run)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 << 40)
    memory.require_memory(run)


def test_no_batch_is_advised_where_the_weights_alone_do_not_fit(monkeypatch):
    """Images of a known size need no data; a step of 10 million channels needs hundreds of GiB."""
    monkeypatch.setattr(memory, "free_bytes", lambda: 8 << 30)
    monkeypatch.setattr(memory, "GPU", Path("/none"))
    with pytest.raises(UsageError, match=r"at 28x28 .* Try lowering the model's size"):
        memory.require_memory(load_run(None, ["k=10000000"]))
    with pytest.raises(UsageError, match=r"Try lowering data\.batch_size"):
        memory.require_memory(load_run(None, ["batch_size=10000000"]))


def test_a_student_of_a_teacher_is_estimated_before_its_classes_are_known(monkeypatch):
    """It has those of its teacher, else the estimate itself would refuse the pair."""
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 << 40)
    monkeypatch.setattr(memory, "GPU", Path("/none"))
    for source, classes in (("embedded", 10), ("folder:.", 7)):
        settings = [f"data.source={source}", "image_size=[28,28]", f"teacher.num_classes={classes}"]
        memory.require_memory(load_run(None, ["method=kd", *settings]))


def test_memory_grows_with_what_is_trained():
    frozen, whole = (
        tuned("efficientnet_lite0", method_options={"trained_blocks": blocks})
        for blocks in (0, "all")
    )
    assert (
        memory.needed_bytes(resolve_networks(frozen))
        < memory.needed_bytes(resolve_networks(whole)) / 2
    )
    # Norms that re-estimate their statistics keep nothing: no gradient passes them.
    adapting = tuned("efficientnet_lite0", method_options={"bn_mode": "adapt_all"})
    assert memory.needed_bytes(resolve_networks(adapting)) == memory.needed_bytes(
        resolve_networks(frozen)
    )
    small = tuned("efficientnet_lite0", data={"batch_size": 1})
    assert memory.needed_bytes(resolve_networks(small)) < memory.needed_bytes(
        resolve_networks(frozen)
    )


def write_cell(root, train, test, before, after, backend="torch", view=None):
    """A run folder of the grid whose first `before` and `after` of ten images are right."""
    folder = RunFolder.create(root / f"{backend}-{train}-{test}")
    run = make_run(
        backend=backend,
        method_options={"train_size": train, "test_size": test},
        data={
            "eval_view": {"resize": "shorter_side", "crop": "centre"},
            "train_view": view or {"crop": "random_resized"},
        },
    )
    data = {"source": "x", "split_fingerprint": "y", "counts": {"test": 10}, "class_names": "ab"}
    data["class_names"] = ["a", "b"]
    record = {"status": "finished", "run": run.model_dump(mode="json"), "data": data}
    folder.write_run({**record, "environment": {}})
    labels, ids = np.zeros(10, np.int64), [str(index) for index in range(10)]
    for count, name in ((before, "predictions_before.npz"), (after, "predictions.npz")):
        logits = np.where(np.arange(10)[:, None] < count, [1.0, 0.0], [0.0, 1.0])
        folder.write_predictions(logits, labels, ids, name)
    whole = {"backend": backend, "seed": 0, "total_parameters": 1, "trainable_parameters": 1}
    whole |= {"weight_bytes": 4, "best_epoch": 1, "epoch_seconds": 1.0, "total_seconds": 1.0}
    values = {"test_accuracy": after / 10, "before_test_accuracy": before / 10}
    values |= {f"{key}_{side}": 0.5 for key in values for side in ("low", "high")}
    folder.write_summary({**whole, **values, "latency_seconds": 0.01})
    (folder.path / "metrics.jsonl").write_text('{"epoch": 1, "stage": "train"}\n')


def test_the_grid_compares_phases_and_the_control(tmp_path):
    write_cell(tmp_path, 64, 64, before=9, after=9)
    write_cell(tmp_path, 32, 64, before=2, after=8)
    failed = RunFolder.create(tmp_path / "out of memory")
    run = make_run(method_options={"train_size": 64, "test_size": 4000})
    failed.write_run({"status": "failed", "run": run.model_dump(mode="json"), "error": "x"})
    failed.mark("failed", error="CUDA out of memory", failure="out of memory")
    cells = read_grid([tmp_path])
    rows = {(row[1], row[2]): row for row in grid_table(cells).rows}
    assert rows["32", "64"][4:7:2] == ["0.2000", "0.8000"]
    assert rows["32", "64"][8:11] == ["0.031", "0.9000", "1.000"]
    assert rows["64", "64"][9] == "-"
    assert rows["64", "4000"][4] == "out of memory"
    picture = draw_grid(cells)
    write_picture(picture, tmp_path / "grid.svg")
    write_picture(picture, tmp_path / "grid.svg")
    (tmp_path / "mine.svg").write_text("mine")
    with pytest.raises(UsageError, match=r"Got --image .* which exists"):
        write_picture(picture, tmp_path / "mine.svg")
    assert (tmp_path / "mine.svg").read_text() == "mine"
    text = "".join(ElementTree.parse(tmp_path / "grid.svg").getroot().itertext())
    assert all(word in text for word in ("0.200", "0.800", "failed", "training size"))


@pytest.mark.parametrize(
    ("view", "share"),
    [
        ({"crop": "random_resized"}, 0.7082),
        ({"crop": "random_resized", "area": [0.5, 1.0]}, 0.8619),
        ({"crop": "centre", "resize": "shorter_side"}, 0.875),
        ({"crop": "none"}, 1.0),
    ],
)
def test_the_size_ratio_is_that_of_the_runs_own_crops(view, share, tmp_path):
    """A test at 64 resizes to 73 pixels."""
    write_cell(tmp_path, 64, 64, before=9, after=9, view=view)
    (row,) = grid_table(read_grid([tmp_path])).rows
    assert row[3] == f"{share * 73 / 64:.2f}"


def test_a_folder_without_such_runs_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no run of the method fixres"):
        read_grid([tmp_path])
    with pytest.raises(UsageError, match="which is not a folder"):
        read_grid([tmp_path / "none"])


def test_a_run_without_a_test_part_is_a_line_with_the_reason(tmp_path):
    """The runs of a study's search keep the test part for later."""
    write_cell(tmp_path, 64, 64, before=9, after=9)
    write_cell(tmp_path, 32, 64, before=2, after=8)
    folder = RunFolder(tmp_path / "torch-32-64")
    record, row = folder.read_run(), folder.read_summary()
    folder.write_run({**record, "data": {**record["data"], "counts": {"test": 0}}})
    wanted = {key: value for key, value in row.items() if "test" not in key and "late" not in key}
    folder.write_summary(wanted)
    for name in ("predictions.npz", "predictions_before.npz"):
        (folder.path / name).unlink()
    cells = read_grid([tmp_path])
    rows = {(row[1], row[2]): row for row in grid_table(cells).rows}
    assert rows["32", "64"][4:] == ["no test part", *["-"] * 7]
    text = "".join(ElementTree.fromstring(draw_grid(cells).svg).itertext())
    assert all(word in text for word in ("0.900", "no test"))
    # A report has no picture of runs that were not tested.
    runs, _ = read_runs([tmp_path])
    assert len(runs) == 2
    assert [cell.train_size for cell in grid_of_runs(runs)] == [64]


def test_rows_are_read_as_json(tmp_path):
    write_cell(tmp_path, 32, 64, before=2, after=8)
    assert json.dumps([dict(cell.row) for cell in read_grid([tmp_path])])


def test_cells_of_other_classes_or_labels_are_not_compared(tmp_path):
    """The control's class list was changed: same ids, same numbers, and no p-value."""
    write_cell(tmp_path, 64, 64, before=9, after=9)
    write_cell(tmp_path, 32, 64, before=2, after=8)
    assert data_warning(read_grid([tmp_path])) is None
    folder = RunFolder(tmp_path / "torch-64-64")
    record = folder.read_run()
    record["data"]["class_names"] = ["a", "c"]
    folder.write_run(record)
    cells = read_grid([tmp_path])
    rows = {(row[1], row[2]): row for row in grid_table(cells).rows}
    assert rows["32", "64"][8:11] == ["0.031", "-", "-"]
    assert "trained on 2 different sets" in data_warning(cells)
    labels = np.ones(10, np.int64)
    folder = RunFolder(tmp_path / "torch-32-64")
    folder.write_predictions(np.eye(2)[labels], labels, [str(index) for index in range(10)])
    rows = {(row[1], row[2]): row for row in grid_table(read_grid([tmp_path])).rows}
    assert rows["32", "64"][8] == "-"
