"""The recipe: by hand for small and large sets, for each method, and behind what a user sets."""

import json

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.open_settings import OPEN_SETTINGS
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.keys import list_keys
from poc.shared.spec.reading.pretrained import Described, WeightDefaults
from poc.shared.spec.reading.recipe import TrainingImages, count_epochs, describe_recipe, fill_in
from poc.shared.spec.reading.sweep import load_sweep

VIEW = {"train_view": {"resize": "shorter_side", "crop": "centre"}, "normalization": "tf"}
DEFAULTS = WeightDefaults(
    describe=lambda path, values: Described(view=VIEW),
    locate=lambda path, values: path,
    note=lambda text: None,
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def images_of(num_images=100, are_photos=False, has_norms=True):
    return TrainingImages(num_images=num_images, are_photos=are_photos, has_norms=has_norms)


def resolve(*assignments, method="scratch", **seen):
    """(the run filled in, what is told)."""
    before = load_run(None, assignments, defaults=DEFAULTS, method=method)
    images = images_of(**seen)
    run = fill_in(before, images)
    assert run.open_settings == ()
    return run, describe_recipe(before, run, images.num_images)


# (images, batch, drop_last) -> epochs, steps of warm-up, of drawn weights; by hand.
SIZES = {
    # 2 steps an epoch, so at most 300 passes: 5 % of 600.
    "100 images": ((100, 64, False), 300, 30),
    # 97 / 8 is 12.1, so 13 steps: 1200 / 13 = 92.3; 5 % of 1,209 are 60.45.
    "97 images in small batches": ((97, 8, False), 93, 60),
    # 2,000 / 64 is 31.25, so 32 steps: 1200 / 32 = 37.5; 5 % of 1,216 are 60.8.
    "2,000 images": ((2000, 64, False), 38, 61),
    # 1,563 steps: ten passes, 15,630 steps; 5 % are 781.5.
    "100,000 images": ((100_000, 64, False), 10, 782),
    # One step an epoch: 5 % of 300.
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


def test_batches_of_an_update_count_once():
    """97 / 8 is 12.1, so 13 batches, 4 updates of up to 4: 300 epochs, 5 % of 1,200 updates."""
    run, told = resolve("batch_size=8", "accumulation_steps=4", num_images=97)
    assert (run.num_epochs, run.schedule.warmup_steps) == (300, 60)
    assert "300 epochs of 4 updates (1,200)" in told
    large, _ = resolve("batch_size=32", num_images=97)
    assert (large.num_epochs, large.schedule) == (run.num_epochs, run.schedule)


def test_epochs_never_grow_with_the_steps_of_one():
    found = [count_epochs("head", steps) for steps in range(1, 100)]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[1], found[2], found[-1]) == (300, 300, 200, 10)
    assert [count_epochs("normed", steps) for steps in (1, 4, 5, 120, 121)] == [
        300,
        300,
        240,
        10,
        10,
    ]


FITTED = sorted(name for name, row in METHODS.items() if row.fits_head)


@pytest.mark.parametrize("method", FITTED)
def test_a_head_that_is_fitted_leaves_nothing_to_the_recipe(method):
    """One pass over the images; no rate, no schedule, no sentence."""
    run, told = resolve(method=method)
    assert load_run(None, (), defaults=DEFAULTS, method=method).open_settings == ()
    assert (run.num_epochs, run.schedule.name, told) == (1, "constant", None)


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(FITTED)))
def test_every_method_has_a_recipe(method):
    run, told = resolve(method=method)
    extra = {"fixres": 30}.get(method, 0)
    assert run.num_epochs == 300 + extra
    assert run.schedule.name == "cosine"
    assert told is not None
    assert f"{300 + extra} epochs of 2 steps" in told


# Rate -> method, settings.
RATES = {
    "drawn": (3e-3, "scratch", ()),
    "taught": (3e-3, "kd", ()),
    "from trained weights": (1e-3, "scratch", ("initial_weights=w.safetensors",)),
    "from the source": (1e-3, "lwf", ()),
    "beside the source": (3e-3, "lwf", ("method_options.form=cross_architecture",)),
    "head": (1e-3, "transfer", ()),
    "tuned": (1e-4, "transfer", ("trained_blocks=1",)),
    "norms": (1e-4, "fixres", ("bn_mode=adapt_all",)),
    "sgd": (0.05, "scratch", ("optimizer.name=sgd",)),
    "published": (0.1, "l2t-ww", ()),
}


@pytest.mark.parametrize("name", RATES)
def test_the_rate_is_that_of_what_is_trained(name):
    rate, method, assignments = RATES[name]
    assert resolve(*assignments, method=method)[0].optimizer.learning_rate == rate


def test_without_batch_norms_the_rate_is_smaller():
    assert resolve(has_norms=False)[0].optimizer.learning_rate == 1e-3
    sgd = resolve("optimizer.name=sgd", has_norms=False)[0]
    assert sgd.optimizer.learning_rate == 0.01


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
        "Recipe for 100 training images: 3 epochs of 2 steps (6) as set, Adam 0.003, cosine, no "
        "augmentation."
    )


def test_a_run_that_sets_everything_is_told_nothing():
    plan = ["num_epochs=3", "learning_rate=0.5", "schedule.name=constant"]
    assert resolve(*plan)[1] is None
    assert resolve(*plan, are_photos=True)[1].endswith("as set, flips and mild crops.")
    # What such a run does not set is told, though it be a detail.
    told = resolve(*plan, "train_view.crop=none", method="transfer")[1]
    assert told.endswith("constant as set, views as set, a small new head.")


def test_one_is_no_plural():
    told = resolve("num_epochs=1", "warmup_steps=1", num_images=10)[1]
    assert "1 epoch of 1 step (1) as set" in told
    assert "constant after 1 step of warm-up as set" in told


# What training sees -> method, settings; of photos.
VIEWS = {
    "a drawn network": (True, "scratch", ()),
    "a student": (True, "kd", ()),
    "a source whose outputs are kept": (False, "kd", ("teacher.cache=true",)),
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
        images = images_of(are_photos=True)
        pair = flat(before), flat(fill_in(before, images))
        changed |= {key for key in pair[1] if pair[0].get(key) != pair[1][key]}
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
