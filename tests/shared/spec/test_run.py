"""The run spec: every field refuses a wrong value by name; assignments reach where they should."""

import re
from typing import get_args

import pytest
from pydantic import BaseModel

from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec

# Dotted key -> a value that it must refuse.
WRONG = {
    **{
        f"habits.{name}": "keras"
        for name in ("optimizer", "batch_norm", "initializers", "padding", "regularization")
    },
    "habits.loss": 1,
    "habits.dropout": "mine",
    "habits.input_pipeline": "pillow",
    "habits.framework": "jax",
    "batch_norm_sync": "sometimes",
    "backend": "jax",
    "method": "alchemy",
    "method_options": 3,
    "method_options.k": 3,
    "model.name": "alexnet_2050",
    "model.options.k": 0,
    "model.options.widths": [],
    "data.source": "",
    "data.split.kind": "random",
    "data.split.val_fraction": 1.0,
    "data.split.val_on_test": "perhaps",
    "data.split.fractions": [0.5, 0.5, 0.5],
    "data.split.num_val_examples": 0,
    "data.split.train_sample": 1.5,
    "data.split.train_per_class": 0,
    "data.split.seed": -1,
    "data.split.hold_test_back": "perhaps",
    "data.image_size": [0, 8],
    "data.channels": 2,
    "data.normalization": "loud",
    "data.batch_size": 0,
    "data.shuffle": "perhaps",
    "data.sampling": "magic",
    "data.drop_last": "perhaps",
    "data.num_workers": -1,
    "model.trainable": "some",
    "model.removed": [3],
    # Of convolutions called "rank" and "variant".
    "model.factors.rank.rank": 0,
    "model.factors.variant.variant": "cp",
    "model.factor_initializer": "magic",
    "model.stored_images.num_images": 0,
    "model.stored_images.most_neighbours": 0,
    "model.stored_images.metric": "hamming",
    "model.stored_images.sharpness": -1.0,
    "norm_statistics": "guessed",
    "data.class_pattern": 3,
    "early_stopping.min_validation_images": -1,
    "initial_weights": 3,
    "data.on_error": "cry",
    "data.split.is_stratified": "perhaps",
    "data.split.group_pattern": 3,
    "data.split.num_folds": 1,
    "data.split.fold": -1,
    "data.split.file": 3,
    "data.interpolation": "magic",
    "data.fill": 256,
    "data.train_view.resize": "magic",
    "data.train_view.crop": "magic",
    "data.columns.path": "",
    "data.columns.label": 3,
    "data.columns.labels": "edema",
    "data.columns.group": "",
    "data.columns.split": "",
    "data.train_view.crop_share": 0,
    "data.train_view.area": [0.5],
    "data.train_view.aspect": [0.5],
    "data.train_view.pad_pixels": 0,
    "data.train_view.horizontal_flip": 2,
    "data.train_view.vertical_flip": 2,
    "data.train_view.rotation_degrees": 181,
    "data.train_view.shift": 1,
    "data.train_view.zoom": 1,
    "data.train_view.brightness": -1,
    "data.train_view.contrast": -1,
    "data.train_view.saturation": -1,
    "data.train_view.hue": 1,
    "data.train_view.policy": "magic",
    "data.train_view.policy_operations": 0,
    "data.train_view.policy_magnitude": 31,
    "data.train_view.erasing": 2,
    "data.train_view.erasing_area": [0.5],
    "data.train_view.erasing_aspect": [0.5],
    "data.train_view.mixup": -1,
    "data.train_view.cutmix": -1,
    "data.eval_view.resize": "magic",
    "data.eval_view.crop": "magic",
    "data.eval_view.crop_share": 0,
    "data.eval_view.average": "magic",
    "data.cache": "magic",
    "data.cache_folder": 3,
    "num_epochs": 0,
    "loss.name": "hinge",
    "loss.focal_gamma": -1,
    "loss.class_weights": [1.0, -1.0],
    "loss.label_smoothing": 1.0,
    "optimizer.name": "lion",
    "optimizer.learning_rate": 0,
    "optimizer.momentum": 1.0,
    "optimizer.nesterov": "perhaps",
    "optimizer.beta1": 1.0,
    "optimizer.beta2": -0.1,
    "optimizer.epsilon": 0,
    "optimizer.weight_decay": -1,
    "optimizer.clip_norm": 0,
    "optimizer.accumulation_steps": 0,
    "optimizer.decay_exempt": "some",
    "optimizer.frobenius_decay": -1,
    "lora.rank": 0,
    "lora.alpha": -1.0,
    "lora.targets": [],
    "ema.decay": 1.0,
    "ema.warmup": "perhaps",
    "schedule.name": "zigzag",
    "schedule.warmup_steps": -1,
    "schedule.milestones": "half",
    "schedule.factor": 0,
    "schedule.final_fraction": 2,
    "schedule.start_fraction": 2,
    "schedule.rise_fraction": 1.0,
    "schedule.power": 0,
    "early_stopping.patience": 0,
    "early_stopping.metric": "test/accuracy",
    "early_stopping.reduce_patience": 0,
    "early_stopping.reduce_factor": 1.0,
    "seed": -1,
    "precision": "float8",
    "layout": "rows",
    "device": "toaster",
    "deterministic": "perhaps",
    "mode": "turbo",
    "input_shape": [28, 28],
    "num_classes": 1,
    "stage": 3,
    "open_settings": 3,
    "teacher.weights": 3,
    "teacher.num_classes": 1,
    "teacher.normalization": "loud",
    "teacher.cache": "perhaps",
    "teacher.class_order": 3,
    "teacher.model.name": 3,
    "teacher.model.options": 3,
    "teacher.model.trainable": "some",
    "teacher.model.removed": [3],
    "teacher.model.factors.rank.rank": 0,
    "teacher.model.factors.variant.variant": "cp",
    "teacher.model.factor_initializer": "magic",
    "teacher.model.stored_images.num_images": 0,
    "teacher.model.stored_images.most_neighbours": 0,
    "teacher.model.stored_images.metric": "hamming",
    "teacher.model.stored_images.sharpness": -1.0,
}


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def leaves(settings, prefix=""):
    """Dotted keys of every field that is no group of settings."""
    for name, field in settings.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        group = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if group:
            yield from leaves(group, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_field_is_in_the_table():
    tested = {key for key in leaves(RunSpec) if any(row.startswith(key) for row in WRONG)}
    assert set(leaves(RunSpec)) == tested


@pytest.mark.parametrize(
    "options", [{"widths": [8, 0]}, {"k": 2.5}, {"k": "x"}, {"dropout": 1.0}, {"layer": "dense"}]
)
@pytest.mark.parametrize("model", ["lightnet_plain", "lightnet_residual", "conv2d_chain"])
def test_a_wrong_option_of_a_model_is_refused_by_name(model, options):
    with pytest.raises(UsageError, match=f"model.{next(iter(options))}"):
        RunSpec.parse({"model": {"name": model, "options": options}}, "")


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_is_refused_by_name(key):
    # Only a method that learns from a source has settings of one.
    method = {"method": "kd"} if key.startswith("teacher.") else {}
    with pytest.raises(UsageError) as caught:
        RunSpec.parse({**nested(key, WRONG[key]), **method}, "")
    message = str(caught.value)
    field, value = key.rpartition(".")[2], WRONG[key]
    # The message has the field, its value, the allowed values and the next step.
    assert field in message or key.endswith("model.name") or field == "k"
    assert repr(value) in message or field in ("removed", "k")
    assert re.match(r"Got .*\. Expected \S.*\. Try \S.*\.$", message)
    assert "\n" not in message


@pytest.mark.parametrize(
    "key", ["colour", "data.colour", "data.split.colour", "optimizer.lr", "model.options.colour"]
)
def test_an_unknown_key_is_refused_by_name(key):
    with pytest.raises(UsageError, match=key.rpartition(".")[2]):
        RunSpec.parse(nested(key, 1), "")


def test_a_spec_survives_json():
    run = load_run(None, ["k=2", "data.split.train_per_class=5", "schedule.milestones=[0.5]"])
    assert RunSpec.parse(run.model_dump(mode="json"), "") == run


def test_a_spec_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        RunSpec().seed = 1


@pytest.mark.parametrize(
    ("assignment", "found"),
    [
        ("k=2", lambda run: run.model.options["k"] == 2),
        ("model.k=2", lambda run: run.model.options["k"] == 2),
        ("model=lightnet_residual", lambda run: run.model.name == "lightnet_residual"),
        ("batch_size=7", lambda run: run.data.batch_size == 7),
        ("learning_rate=0.5", lambda run: run.optimizer.learning_rate == 0.5),
        ("optimizer.name=sgd", lambda run: run.optimizer.name == "sgd"),
        ("seed = 3", lambda run: run.seed == 3),
        ("deterministic=false", lambda run: run.deterministic is False),
        ("data.image_size=[8, 9]", lambda run: run.data.image_size == (8, 9)),
    ],
)
def test_an_assignment_reaches_its_field(assignment, found):
    assert found(load_run(None, [assignment]))


@pytest.mark.parametrize("assignment", ["k", "=3", "seed.x=3", "colour=1", "data.source.x=1"])
def test_a_bad_assignment_is_refused(assignment):
    with pytest.raises(UsageError, match=r"^Got .*\. Expected .*\. Try "):
        load_run(None, [assignment])


def test_later_settings_win(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('seed = 1\nnum_epochs = 3\n[model]\nname = "lightnet_residual"\n')
    run = load_run(path, ["seed=2", "k=4"], backend="tf")
    assert (run.seed, run.num_epochs, run.backend) == (2, 3, "tf")
    assert run.model.name == "lightnet_residual"
    assert run.model.options == {"k": 4}


@pytest.mark.parametrize("content", ["seed = ", b"\xff\xfe"])
def test_a_malformed_config_is_refused(content, tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=r"Expected a TOML file"):
        load_run(path)


def test_a_missing_config_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        load_run(tmp_path / "none.toml")


def test_images_that_are_too_small_for_the_model_name_the_layer():
    run = RunSpec.parse(
        {"model": {"name": "conv2d_chain"}, "input_shape": [20, 20, 1], "num_classes": 2}, ""
    )
    with pytest.raises(UsageError, match=r"^Got the layer stage\S+ of conv2d_chain with"):
        declare_network(run)


def test_a_config_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("num_epochs = 7\n", encoding="utf-8-sig")
    assert load_run(path).num_epochs == 7
