"""The recipe: by hand for small and large sets, for each method, and behind what a user sets."""

import json
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.arrays import ArraySource
from poc.shared.data.photos import are_photos, is_photo
from poc.shared.engine.datasets import open_data
from poc.shared.engine.factorization import drawn_weights
from poc.shared.engine.files import write_arrays
from poc.shared.engine.operations import Operations
from poc.shared.engine.run_folder import RunFolder
from poc.shared.engine.saving import Saver
from poc.shared.engine.source_network import starting_weights
from poc.shared.errors import Terminated, UsageError
from poc.shared.spec.config import load_run
from poc.shared.spec.initializers import draw_weights
from poc.shared.spec.keys import list_keys
from poc.shared.spec.layers import Parameter
from poc.shared.spec.layers.declaration import Initializer
from poc.shared.spec.methods import METHODS
from poc.shared.spec.models import ModelSpec
from poc.shared.spec.open_settings import OPEN_SETTINGS
from poc.shared.spec.pretrained import Described, WeightDefaults
from poc.shared.spec.recipe import TrainingImages, count_epochs, describe_recipe, fill_in
from poc.shared.spec.run import RunSpec
from poc.shared.spec.sweep import load_sweep
from poc.tests.faults import stub

VIEW = {"train_view": {"resize": "shorter_side", "crop": "centre"}, "normalization": "tf"}
DEFAULTS = WeightDefaults(
    describe=lambda path, values: Described(view=VIEW),
    locate=lambda path, values: path,
    note=lambda text: None,
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def resolve(*assignments, num_images=100, are_photos=False, method="scratch"):
    """(the run filled in, what is told)."""
    before = load_run(None, assignments, defaults=DEFAULTS, method=method)
    images = TrainingImages(num_images=num_images, are_photos=are_photos)
    run = fill_in(before, images)
    assert run.open_settings == ()
    return run, describe_recipe(before, run, num_images)


# (images, batch, drop_last) -> epochs, steps of warm-up; by hand.
SIZES = {
    # 2 steps an epoch: 600 / 2; 5 % of 600.
    "100 images": ((100, 64, False), 300, 30),
    # 97 / 32 is 3.03, so 4 steps.
    "97 images in small batches": ((97, 32, False), 150, 30),
    # 2,000 / 64 is 31.25, so 32 steps: 600 / 32 = 18.75; 5 % of 608.
    "2,000 images": ((2000, 64, False), 19, 30),
    # 1,563 steps: ten passes, 15,630 steps; 5 % are 781.5.
    "100,000 images": ((100_000, 64, False), 10, 782),
    # One step an epoch: at most 300 passes; 5 % of 300.
    "batch larger than the set": ((50, 64, False), 300, 15),
    # 100 / 64 is 1.56: the rest is left out.
    "the rest dropped": ((100, 64, True), 300, 15),
}


@pytest.mark.parametrize("name", SIZES)
def test_epochs_are_steps(name):
    (num_images, batch_size, drop_last), epochs, warmup = SIZES[name]
    run, _ = resolve(
        f"batch_size={batch_size}", f"drop_last={str(drop_last).lower()}", num_images=num_images
    )
    assert run.num_epochs == epochs
    assert (run.schedule.name, run.schedule.warmup_steps) == ("cosine", warmup)


def test_epochs_never_grow_with_the_steps_of_one():
    found = [count_epochs(steps) for steps in range(1, 100)]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[1], found[2], found[-1]) == (300, 300, 200, 10)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_a_recipe(method):
    run, told = resolve(method=method)
    extra = {"fixres": 30}.get(method, 0)
    assert run.num_epochs == 300 + extra
    assert run.schedule.name == "cosine"
    assert told is not None
    assert f"{300 + extra} epochs of 2 steps" in told


def test_the_rates():
    rates = {
        name: resolve(*assignments, method=method)[0].optimizer.learning_rate
        for name, (method, *assignments) in {
            "drawn": ("scratch",),
            "taught": ("kd",),
            "head": ("transfer",),
            "tuned": ("transfer", "trained_blocks=1"),
            "norms": ("fixres", "bn_mode=adapt_all"),
            "sgd": ("scratch", "optimizer.name=sgd"),
            "published": ("l2t-ww",),
        }.items()
    }
    assert rates == {
        "drawn": 1e-3,
        "taught": 1e-3,
        "head": 1e-3,
        "tuned": 1e-4,
        "norms": 1e-4,
        "sgd": 0.05,
        "published": 0.1,
    }


def test_a_method_that_names_its_schedule_keeps_it():
    run, told = resolve(method="l2t-ww")
    assert (run.optimizer.name, run.schedule.name, run.schedule.warmup_steps) == (
        *("sgd", "cosine"),
        0,
    )
    assert told == (
        "Recipe for 100 training images: 300 epochs of 2 steps (600), SGD 0.1 as set, cosine as "
        "set, no augmentation."
    )


def test_the_second_phase_of_fixres_has_steps_of_its_own():
    """60 steps of 2 are 30 epochs; the warm-up is 5 % of these, since each phase has one."""
    run, told = resolve(method="fixres")
    assert [stage.num_epochs for stage in run.stages] == [300, 30]
    assert run.schedule.warmup_steps == 3
    assert "330 epochs of 2 steps (660), the last 30 to fine-tune, Adam 0.001" in told
    run, _ = resolve(method="fixres", num_images=100_000)
    assert [stage.num_epochs for stage in run.stages] == [10, 5]
    run, _ = resolve("finetune_epochs=12", method="fixres")
    assert [stage.num_epochs for stage in run.stages] == [300, 12]
    run, _ = resolve("num_epochs=9", method="fixres")
    assert [stage.num_epochs for stage in run.stages] == [4, 5]
    with pytest.raises(UsageError, match="finetune_epochs=5 with num_epochs=5"):
        _ = resolve("num_epochs=5", method="fixres")[0].stages


SET = {
    "num_epochs=3": {"num_epochs": 3},
    "learning_rate=0.5": {"optimizer.learning_rate": 0.5},
    "schedule.name=constant": {"schedule.name": "constant", "schedule.warmup_steps": 0},
    "warmup_steps=7": {"schedule.name": "constant", "schedule.warmup_steps": 7},
    "train_view.horizontal_flip=0.25": {
        "data.train_view.horizontal_flip": 0.25,
        "data.train_view.crop": "none",
    },
    "early_stopping.patience=4": {"schedule.name": "constant"},
    "early_stopping.reduce_patience=4": {"schedule.name": "constant"},
}


@pytest.mark.parametrize("assignment", SET)
def test_what_is_set_stays_and_the_rest_is_filled_in(assignment):
    plain, run = (flat(resolve(*own, are_photos=True)[0]) for own in ([], [assignment]))
    wanted = SET[assignment]
    assert {key: run[key] for key in wanted} == wanted
    groups = {key.split(".")[-2] if "." in key else key for key in wanted}
    groups |= {"early_stopping"} if "patience" in assignment else set()
    differing = {key for key in run if run[key] != plain[key] and key != "schedule.warmup_steps"}
    assert {key.split(".")[-2] if "." in key else key for key in differing} <= groups


def test_three_epochs_stay_three_and_the_line_says_so():
    _, told = resolve("num_epochs=3")
    assert told == (
        "Recipe for 100 training images: 3 epochs of 2 steps (6) as set, Adam 0.001, cosine, no "
        "augmentation."
    )


def test_a_run_that_sets_everything_is_told_nothing():
    plan = ["num_epochs=3", "learning_rate=0.5", "schedule.name=constant"]
    assert resolve(*plan)[1] is None
    assert resolve(*plan, are_photos=True)[1].endswith("as set, flips and mild crops.")


# What training sees -> method, settings; of photos.
VIEWS = {
    "a drawn network": (True, "scratch", ()),
    "a student": (True, "kd", ()),
    "a source whose outputs are kept": (False, "kd", ("source.cache=true",)),
    "a frozen body": (False, "transfer", ()),
    "a frozen body in two phases": (False, "fixres", ()),
    "a frozen body that is not kept": (True, "transfer", ("feature_cache=off",)),
    "a body that moves": (True, "transfer", ("trained_blocks=2",)),
    "a body that moves and is kept": (
        *(False, "transfer"),
        ("trained_blocks=2", "feature_cache=memory"),
    ),
    "norms that move": (True, "transfer", ("bn_mode=adapt_all",)),
    "norms behind kept maps": (False, "transfer", ("bn_mode=adapt_last_affine",)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_photos_are_varied_where_nothing_is_kept_of_them(name):
    is_varied, method, assignments = VIEWS[name]
    run, told = resolve(*assignments, are_photos=True, method=method)
    view = run.data.train_view
    assert view.is_random == is_varied
    expected = ("random_resized", (0.5, 1.0), 0.5) if is_varied else ("none", (0.08, 1.0), 0)
    assert (view.crop, view.area, view.horizontal_flip) == expected
    assert ("flips and mild crops" if is_varied else "no augmentation") in told
    assert not resolve(*assignments, method=method)[0].data.train_view.is_random


def test_photos_are_varied_within_the_view_of_the_weights():
    weights = "initial_weights=w.safetensors"
    frozen = resolve(weights, are_photos=True, method="transfer")[0].data
    assert (frozen.normalization, frozen.train_view.crop) == ("tf", "centre")
    moving = resolve(weights, "trained_blocks=1", are_photos=True, method="transfer")[0].data
    assert (moving.normalization, moving.train_view.crop) == ("tf", "random_resized")


def head_kernel(*assignments, method="transfer", model="efficientnet_lite0", fill=True):
    """How the last kernel of a run is drawn: (distribution, largest drawn value)."""
    run = load_run(None, [f"model={model}", *assignments], defaults=DEFAULTS, method=method)
    run = fill_in(run, TrainingImages(num_images=100, are_photos=True)) if fill else run
    run = run.replace(input_shape=[64, 64, 3], num_classes=5)
    kernel = next(p for p in run.trained_network.parameters if p.name == "head/kernel")
    return kernel.initializer.distribution, float(np.abs(drawn_weights(run)[kernel.name]).max())


def test_a_new_head_starts_small():
    """Lite0's own is within 1 / sqrt(5) = 0.447, that of the recipe within 1 / sqrt(1280)."""
    declared, recipe = head_kernel(fill=False), head_kernel()
    assert declared[0] == "uniform_fan_out"
    assert declared[1] == pytest.approx(0.447, abs=1e-3)
    assert recipe[0] == "torch_uniform"
    assert recipe[1] == pytest.approx(0.02795, abs=1e-4)
    assert head_kernel(method="fixres") == recipe
    assert head_kernel("head_initializer=declared") == declared
    assert head_kernel("new_head=false") == declared


def test_a_run_from_a_file_starts_with_such_a_head(tmp_path):
    """The body is the file's; the head is not that of the architecture, nor the file's."""
    model = ModelSpec(name="lightnet_plain", options={"layer": "conv2d", "widths": [2, 64]})
    network = model.declare((28, 28, 1), 7)
    path = tmp_path / "body.safetensors"
    file = draw_weights(network.parameters, 3)
    write_arrays(path, file)
    options = {"model": model.model_dump(), "initial_weights": str(path), "num_classes": 5}
    run = RunSpec.parse(
        {
            **options,
            "method": "transfer",
            "method_options": {"head_initializer": "torch_uniform"},
            "input_shape": [28, 28, 1],
        },
        "",
    )
    weights = starting_weights(run)
    body = [name for name in file if not name.startswith("head/")]
    assert all((weights[name] == file[name]).all() for name in body)
    wanted = draw_weights(
        [
            Parameter(
                name="head/kernel",
                shape=(64, 5),
                initializer=Initializer(distribution="torch_uniform", fan_in=64, fan_out=5),
            )
        ],
        run.seed,
    )
    assert (weights["head/kernel"] == wanted["head/kernel"]).all()
    assert np.abs(weights["head/kernel"]).max() <= 1 / 8


def test_only_the_last_layer_of_a_head_is_drawn_so():
    """VGG's head is three layers; the first two stay as published."""
    run = load_run(
        None, ["model=vgg16", "image_size=[32,32]"], defaults=DEFAULTS, method="transfer"
    )
    run = fill_in(run, TrainingImages(num_images=100, are_photos=True))
    run = run.replace(input_shape=[32, 32, 3], num_classes=5)
    before = {p.name: p.initializer for p in run.network.parameters}
    after = {p.name: p.initializer for p in run.trained_network.parameters}
    changed = {name for name in before if before[name] != after[name]}
    last = run.network.head.name
    assert changed <= {f"{last}/kernel"}
    assert after[f"{last}/kernel"].distribution == "torch_uniform"


def flat(run):
    """Dotted key -> value."""

    def walk(values, prefix):
        for key, value in values.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return dict(walk(run.model_dump(mode="json"), ""))


def test_config_keys_mark_just_what_the_recipe_fills_in():
    changed = set()
    for method in ("scratch", "fixres"):
        before = load_run(None, (), defaults=DEFAULTS, method=method)
        images = TrainingImages(num_images=100, are_photos=True)
        pair = flat(before), flat(fill_in(before, images))
        changed |= {key for key in pair[1] if pair[0].get(key) != pair[1][key]}
    # Its rate for drawn weights is the plain default.
    changed |= {"optimizer.learning_rate"}
    marked = {row["key"] for row in list_keys("fixres") if row["by_recipe"]}
    assert marked == changed - {"open_settings"}
    assert all(any(key.startswith(group) for group in OPEN_SETTINGS) for key in marked)
    rows = {row["key"]: row for row in list_keys("l2t-ww")}
    assert (rows["optimizer.learning_rate"]["default"], rows["schedule.name"]["default"]) == (
        *(0.1, "cosine"),
    )
    assert not rows["schedule.name"]["by_recipe"]


def test_without_a_command_nothing_is_left_open():
    assert load_run(None, []).open_settings == ()
    assert [cell.run.open_settings for cell in load_sweep(None, [], ["seed=0,1"])] == [(), ()]


def test_every_cell_of_a_sweep_leaves_open_what_it_does_not_set():
    cells = load_sweep(None, ["method=scratch"], ["num_epochs=3,4"], defaults=DEFAULTS)
    cells += load_sweep(None, [], ["method=scratch,l2t-ww"], defaults=DEFAULTS)
    assert [cell.run.open_settings for cell in cells] == [
        ("optimizer.learning_rate", "schedule", "data.train_view"),
        ("optimizer.learning_rate", "schedule", "data.train_view"),
        ("num_epochs", "optimizer.learning_rate", "schedule", "data.train_view"),
        ("num_epochs", "data.train_view"),
    ]


@pytest.mark.parametrize("values", [{"optimizer": "adamw"}, {"method": 3}, {"data": "x"}])
def test_what_is_no_table_is_refused_by_name(values, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items()))
    with pytest.raises(UsageError, match=next(iter(values))):
        load_run(path, defaults=WeightDefaults(**{**vars(DEFAULTS)}))


def paint(height, width, *, spread=60, share=1.0):
    """Grey noise; in the first rows, so large a share of it, red is brighter by `spread`."""
    noise = np.random.default_rng(0).integers(0, 190, (height, width, 1))
    image = np.repeat(noise, 3, axis=2)
    image[: round(height * share), :, 0] += spread
    return image.astype(np.uint8)


def test_what_a_photo_is():
    assert is_photo(paint(64, 80))
    assert is_photo(paint(100, 100, share=0.05))
    assert not is_photo(paint(63, 80))
    assert not is_photo(paint(100, 100, share=0.04))
    # An X-ray in a JPEG of three channels, and one of a single channel.
    assert not is_photo(paint(100, 100, spread=23))
    assert not is_photo(paint(100, 100)[..., :1])


def test_most_of_the_training_images_decide():
    mixed = np.stack([paint(64, 64, spread=60 * (index % 3 > 0)) for index in range(9)])
    source = ArraySource("test", {"train": (mixed, np.arange(9) % 2)})
    assert are_photos(source, np.arange(9))
    assert not are_photos(source, np.array([0, 3, 6, 1]))
    assert not are_photos(source, np.array([0, 1]))


@pytest.fixture
def photos(tmp_path):
    """12 images in colour a class."""
    for index in range(24):
        folder = tmp_path / "set" / ("cat" if index % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(paint(64, 64), index, axis=0)).save(folder / f"{index}.png")
    return f"folder:{tmp_path / 'set'}"


def test_opening_the_data_fills_in_and_tells(photos):
    told = []
    written = load_run(None, [f"data.source={photos}", "batch_size=4"], defaults=DEFAULTS)
    run, data = open_data(written, told.append)
    with data:
        # 0.64 of 24, by class: 15.4, so 16 or 15.
        assert len(data.split.train) in (15, 16)
        assert data.train.num_batches == 4
        assert data.shown.train_view.crop == "random_resized"
        assert told[-1] == data.notes[-1]
    assert run.num_epochs == 150
    assert told[-1] == (
        f"Recipe for {len(data.split.train)} training images: 150 epochs of 4 steps (600), Adam "
        "0.001, cosine after 30 steps of warm-up, flips and mild crops."
    )


MODEL = {"name": "lightnet_plain", "options": {"widths": [2, 2], "k": 1}}
SMALL = {"data": {"split": {"train_per_class": 10}, "batch_size": 2}, "model": MODEL}


def train(folder, run, *, is_resumed=False):
    """The notes of a run, by the stub."""
    output = folder if is_resumed else RunFolder.create(folder).path
    events = []
    operations = Operations(stub, events.append, 0.0)
    with suppress(Terminated):
        operations.train(run, str(output), "poc", is_resumed=is_resumed)
    return [event["text"] for event in events if event["event"] == "note"]


def test_the_run_folder_holds_numbers_and_a_resume_keeps_them(tmp_path, monkeypatch):
    """100 images by 2 are 50 steps: 12 epochs. Stopped and resumed it ends where it would have."""
    run = {**SMALL, "open_settings": list(OPEN_SETTINGS[:4])}
    notes = train(tmp_path / "whole", run)
    line = next(text for text in notes if text.startswith("Recipe"))
    assert "12 epochs of 50 steps (600), Adam 0.001, cosine after 30 steps" in line
    record = RunFolder(tmp_path / "whole").read_run()
    assert (record["run"]["num_epochs"], record["run"]["open_settings"]) == (12, [])
    assert record["run"]["schedule"]["warmup_steps"] == 30
    assert line in record["data"]["notes"]
    monkeypatch.setattr(Saver, "is_due", stub.stop_at([120]))
    train(tmp_path / "parts", run)
    stopped = RunFolder(tmp_path / "parts").read_run()
    assert (stopped["status"], stopped["run"]) == ("interrupted", record["run"])
    monkeypatch.undo()
    notes = train(tmp_path / "parts", stopped["run"], is_resumed=True)
    assert not [text for text in notes if text.startswith("Recipe")]
    rows = [RunFolder(tmp_path / name).read_metrics() for name in ("whole", "parts")]
    rates = [[row["learning_rate"] for row in lines] for lines in rows]
    assert rates[0] == rates[1]
    assert len(rates[0]) == 12
    losses = [[row["train/loss"] for row in lines] for lines in rows]
    assert losses[0] == losses[1]
