"""Recipe numbers of the configs that follow a publication, typed from what is published.

A number that stands here was never copied out of a config: a slip in a TOML file is red. Where a
publication is silent a row is silent, too. `options` are the model's, `method` the method's, both
with this project's defaults filled in, so that a changed default is red as well.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from poc.shared.spec.habits.designs import COMMON, Arm
from poc.shared.spec.reading.config import load_run, read_toml
from poc.shared.spec.reading.habit_cells import make_cells, read_experiment
from poc.shared.spec.reading.sweep import load_sweep
from poc.shared.spec.run import RunSpec

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted(
    path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.toml")
)
Recipe = Mapping[str, Any]


def sgd(learning_rate: float, weight_decay: float) -> Recipe:
    """SGD with momentum .9 and without Nesterov's."""
    return {
        "optimizer.name": "sgd",
        "optimizer.learning_rate": learning_rate,
        "optimizer.momentum": 0.9,
        "optimizer.nesterov": False,
        "optimizer.weight_decay": weight_decay,
    }


ADAM: Recipe = {
    "optimizer.name": "adam",
    "optimizer.learning_rate": 0.001,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.999,
    "optimizer.weight_decay": 0.0,
}
# LightLayers on Fashion-MNIST, arXiv 2101.02268 and its program: the test set as validation part.
LIGHTLAYERS: Recipe = {
    **ADAM,
    "num_epochs": 10,
    "data.batch_size": 64,
    "data.shuffle": False,
    "data.split.val_on_test": True,
    "schedule.name": "constant",
    "early_stopping.patience": 10,
    "early_stopping.reduce_patience": 3,
    "early_stopping.reduce_factor": 0.1,
    "options.widths": [8, 16, 32],
    "options.norm_momentum": 0.99,
    "options.kernel_l2": 0.0001,
}
# The chest X-ray study; batch norm as Keras has it, .99 kept.
X_RAY: Recipe = {
    **ADAM,
    "num_epochs": 20,
    "data.batch_size": 64,
    "data.image_size": [299, 299],
    "data.channels": 3,
    "schedule.name": "constant",
    "options.norm_momentum": 0.99,
}
# CIFAR-100 in RepDistiller: 240 epochs, a tenth at 150, 180 and 210.
REPDISTILLER: Recipe = {
    **sgd(0.05, 0.0005),
    "num_epochs": 240,
    "data.batch_size": 64,
    "data.image_size": [32, 32],
    "schedule.name": "step",
    "schedule.milestones": [150 / 240, 180 / 240, 210 / 240],
    "schedule.factor": 0.1,
}
KD: Recipe = {"method.temperature": 4.0, "method.alpha": 0.9, "method.mixing": "convex"}
FITNETS: Recipe = {"method.stages": "one", "method.hint_weight": 100.0, "method.reduction": "mean"}
SEMCKD: Recipe = {
    "method.beta": 400.0,
    "method.layer_reduction": "mean",
    "method.soft_weight": 1.0,
    "method.temperature": 4.0,
    "method.hidden_factor": 2,
    "method.projection_factor": 2,
}
ATTENTION: Recipe = {"method.form": "code", "method.power": 2.0, "method.beta": None}
RESNETS = {20: 3, 32: 5, 56: 9, 110: 18}


def pair(source: int, target: int, method: Recipe) -> Recipe:
    """ResNets of CIFAR by their depth, which is 6 n + 2."""
    return {
        **REPDISTILLER,
        **method,
        "options.blocks_per_stage": RESNETS[target],
        "teacher.model.options.blocks_per_stage": RESNETS[source],
    }


# L2T-ww, arXiv 1905.05901, section by section of its program.
L2T: Recipe = {
    "method.beta": 0.5,
    "method.num_inner_steps": 2,
    "method.meta_learning_rate": 0.0001,
    "method.meta_weight_decay": 0.0001,
    "method.loss_weights": "relu6",
    "method.channel_weights": "softmax",
    "method.pairs": "all",
}
PAPER: Recipe = {
    **sgd(0.1, 0.0001),
    "num_epochs": 200,
    "schedule.name": "cosine",
    "schedule.warmup_steps": 0,
    "schedule.final_fraction": 0.0,
    "data.normalization": "torch",
    "data.train_view.horizontal_flip": 0.5,
}
AT_32: Recipe = {
    **PAPER,
    "data.batch_size": 128,
    "data.image_size": [32, 32],
    "data.train_view.crop": "padded",
    "data.train_view.pad_pixels": 4,
    "teacher.model.name": "resnet32_cifar",
    "teacher.num_classes": 200,
    "model.name": "vgg9_bn",
}
AT_224: Recipe = {
    **PAPER,
    "data.batch_size": 64,
    "data.image_size": [224, 224],
    "data.train_view.crop": "random_resized",
    "data.eval_view.resize": "shorter_side",
    "data.eval_view.crop": "centre",
    "data.eval_view.crop_share": 224 / 256,
    "teacher.model.name": "resnet34",
    "teacher.num_classes": 1000,
    "model.name": "resnet18",
}
# The Stanford Dogs study of L2T-ww: the paper's numbers at batch 8, a tenth of the training part.
DOGS: Recipe = {
    **L2T,
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 0.0001,
    "schedule.name": "cosine",
    "data.batch_size": 8,
    "data.split.fractions": [0.64, 0.16, 0.2],
    "data.split.train_sample": 0.1,
    "data.split.is_stratified": True,
    "early_stopping.patience": 20,
    "early_stopping.metric": "val/accuracy",
}
AS_PUBLISHED: Recipe = {
    **DOGS,
    "optimizer.learning_rate": 0.1,
    "data.shuffle": False,
    "data.train_view.horizontal_flip": 0.0,
    "method.standardize": False,
    "method.clip_norm": None,
}
CORRECTED: Recipe = {**DOGS, "data.shuffle": True, "method.standardize": True}
B4_CNN: Recipe = {
    "data.image_size": [256, 256],
    "model.name": "simple_cnn",
    "teacher.model.name": "efficientnet_b4",
    "initial_weights": None,
}
B4_VGG: Recipe = {
    "data.image_size": [224, 224],
    "model.name": "vgg16_bn",
    "teacher.model.name": "efficientnet_b4",
    "initial_weights": "imagenet",
}
B7_B0: Recipe = {
    "data.image_size": [224, 224],
    "model.name": "efficientnet_b0",
    "teacher.model.name": "efficientnet_b7",
    "initial_weights": "imagenet",
}
# The FixRes study: 12,240 / 4,200 / 4,140 of 20,580 images, at most 30 epochs.
FIXRES_STUDY: Recipe = {
    **ADAM,
    "data.batch_size": 32,
    "data.split.fractions": [0.595, 0.204, 0.201],
    "early_stopping.patience": 5,
    "early_stopping.metric": "val/loss",
}

# One row a config: what its publication says, at its own place in the run.
RECIPES: Mapping[str, Recipe] = {
    "lightlayers/fashion_mnist": {
        **LIGHTLAYERS,
        "options.k": 3,
        "options.head_rank": 8,
        "options.scale": "reference",
        "options.bias_initializer": "reference",
    },
    "lightlayers/fashion_mnist_four_rows": LIGHTLAYERS,
    "lightlayers/fashion_mnist_sweep": LIGHTLAYERS,
    "lightlayers/chest_xray": {**X_RAY, "options.k": 3, "options.bias_initializer": "reference"},
    "lightlayers/chest_xray_3_classes": {**X_RAY, "options.k": 3},
    "lightlayers/chest_xray_regularized": {
        **X_RAY,
        "num_epochs": 40,
        "options.k": 3,
        "options.dropout": 0.25,
    },
    "lightlayers/chest_xray_sweep": X_RAY,
    "scratch/cifar100_teacher": {**REPDISTILLER, "options.blocks_per_stage": RESNETS[56]},
    "kd/cifar100_resnet56_resnet20": pair(56, 20, KD),
    "kd/cifar100_resnet110_resnet20": pair(110, 20, KD),
    "kd/cifar100_resnet110_resnet32": pair(110, 32, KD),
    "fitnets/cifar100_resnet56_resnet20": pair(56, 20, FITNETS),
    "fitnets/cifar100_resnet110_resnet32": pair(110, 32, FITNETS),
    "attention_transfer/cifar100_resnet56_resnet20": pair(56, 20, ATTENTION),
    "attention_transfer/cifar100_resnet110_resnet20": pair(110, 20, ATTENTION),
    "attention_transfer/cifar100_resnet110_resnet32": pair(110, 32, ATTENTION),
    # torchdistill: T = 1, alpha = .5, and for attention the last two stages.
    "kd/imagenet_resnet34_resnet18": {"method.temperature": 1.0, "method.alpha": 0.5},
    "attention_transfer/imagenet_resnet34_resnet18": {
        **ATTENTION,
        "method.pairs": ["layer3>layer3", "layer4>layer4"],
    },
    # The baselines of the L2T-ww paper; FM has beta = .5, LwF T = 2 and lambda = 1 by its authors.
    "attention_transfer/cifar100_resnet32_vgg9": {**AT_32, **ATTENTION},
    "fitnets/cifar100_resnet32_vgg9": {**AT_32, "method.stages": "one", "method.hint_weight": 0.5},
    "lwf/cifar100_resnet32_vgg9": {
        **AT_32,
        "method.temperature": 2.0,
        "method.lambda_old": 1.0,
        "method.scale_by_temperature_squared": False,
    },
    "kd/fashion_mnist_100": KD,
    "kd/embedded": KD,
    "attention_transfer/fashion_mnist_100": ATTENTION,
    "attention_transfer/embedded": ATTENTION,
    # beta = 400, both other weights 1 and T = 4 (Chen and others, their program).
    "semckd/fashion_mnist_100": SEMCKD,
    "semckd/embedded": SEMCKD,
    "semckd/fashion_mnist_50": {"method.temperature": 4.0, "method.layer_reduction": "mean"},
    # Two stages, T = 3 (Romero and others).
    "fitnets/fashion_mnist_100": {"method.stages": "two", "method.temperature": 3.0},
    "fitnets/embedded": {"method.stages": "two", "method.temperature": 3.0},
    "lwf/fashion_mnist_100": {"method.temperature": 2.0, "method.lambda_old": 1.0},
    "lwf/embedded": {"method.temperature": 2.0, "method.lambda_old": 1.0},
    "comparisons/l2t_ww_cifar100": AT_32 | {"teacher.model.name": ..., "teacher.num_classes": ...},
    "l2t-ww/paper_cifar100": {**AT_32, **L2T},
    "l2t-ww/paper_stl10": {**AT_32, **L2T},
    "l2t-ww/paper_cub200": {**AT_224, **L2T},
    "l2t-ww/paper_mit67": {**AT_224, **L2T},
    "l2t-ww/paper_stanford40": {**AT_224, **L2T},
    "l2t-ww/paper_stanford_dogs": {**AT_224, **L2T},
    "l2t-ww/study_b4_simple_cnn": {**AS_PUBLISHED, **B4_CNN},
    "l2t-ww/study_b4_vgg16_bn": {**AS_PUBLISHED, **B4_VGG},
    "l2t-ww/study_b7_b0": {**AS_PUBLISHED, **B7_B0},
    # The rate of the paper at batch 64, scaled to 8.
    "l2t-ww/study_b4_simple_cnn_corrected": {
        **CORRECTED,
        **B4_CNN,
        "optimizer.learning_rate": 0.1 * 8 / 64,
    },
    "l2t-ww/study_b4_vgg16_bn_corrected": {**CORRECTED, **B4_VGG},
    "l2t-ww/study_b7_b0_corrected": {**CORRECTED, **B7_B0},
    "fixres/resnext101_32x48d_dogs": {
        **FIXRES_STUDY,
        # The study's 30, and one of the second phase that it never ran.
        "num_epochs": 31,
        "method.finetune_epochs": 1,
        "method.train_size": 320,
        "method.test_size": 224,
        "method.bn_mode": "adapt_all",
        "method.finetune_bn_mode": "adapt_last_stats",
        "data.train_view.crop": "random_resized",
        "data.train_view.area": [0.08, 1.0],
        "data.train_view.horizontal_flip": 0.5,
        "data.train_view.brightness": 0.3,
        "data.train_view.contrast": 0.3,
        "data.train_view.saturation": 0.3,
        "data.eval_view.resize": "height",
        "data.eval_view.crop_share": 224 / 256,
    },
    "transfer/inception_resnet_v2_dogs": {**FIXRES_STUDY, "num_epochs": 30},
    # The course: five epochs of 430 steps, the first 5,000 images held out; dropout is the paper's.
    "scratch/googlenet_fashion_mnist": {
        "num_epochs": 5,
        "data.batch_size": 128,
        "data.split.num_val_examples": 5000,
        "options.dropout": 0.4,
        "options.pool_size": 3,
    },
    # CrossedWires, arXiv 2108.12768: Adam, batches in order, no validation, x / 255.
    "habits/cifar10_resnet20": {
        "optimizer.name": "adam",
        "optimizer.weight_decay": 0.0,
        "data.shuffle": False,
        "data.normalization": "unit",
        "data.split.val_fraction": 0.0,
        "schedule.name": "constant",
    },
    # Survival falls from 1 to .5 with depth, one draw a block and batch (arXiv 1603.09382).
    "scratch/stochastic_depth_embedded": {
        "options.survival": 0.5,
        "options.stochastic_depth": "batch",
        "options.survival_scaling": "test",
    },
}
# Configs of this project's own making: nothing is published that their numbers could be held to.
OWN = {
    "comparisons/course_embedded",
    "comparisons/distillation_fashion_mnist",
    "comparisons/l2t_ww_collapse",
    "comparisons/l2t_ww_fashion_mnist",
    "comparisons/methods_embedded",
    "comparisons/policies_embedded",
    "fixres/photos",
    "fixres/photos_control",
    "habits/embedded",
    "habits/fashion_mnist_densenet10",
    "habits/fashion_mnist_resnet8",
    "habits/fashion_mnist_vgg9",
    "habits/target_densenet10",
    "habits/target_resnet8",
    "habits/target_vgg9",
    "knn/photos",
    "l2t-ww/embedded",
    "lightlayers/chest_xray_balanced",
    "lightlayers/embedded",
    "lightlayers/embedded_sweep",
    "lightlayers/photos",
    "logistic/photos",
    "scratch/embedded_low_rank",
    "scratch/embedded_student",
    "scratch/embedded_teacher",
    "scratch/embedded_update",
    "scratch/fashion_mnist_100",
    "scratch/fashion_mnist_teacher",
    "scratch/fashion_mnist_vgg9",
    "scratch/plain_embedded",
    "scratch/residual_embedded",
    "scratch/uneven_classes",
    "scratch/vgg_embedded",
    "scratch/vit_embedded",
    "transfer/lora_embedded",
    "transfer/photos_probe",
}


def read_runs(name: str) -> list[RunSpec]:
    """The config's run, or all those of its sweep; of drawn sets, those with common habits."""
    path = FOLDER / f"{name}.toml"
    if "sets" in read_toml(path):
        common = [Arm(COMMON, frozenset())]
        return [item.cell.run for item in make_cells(read_experiment(path), common)]
    return (
        [cell.run for cell in load_sweep(path)] if "grid" in read_toml(path) else [load_run(path)]
    )


def numbers(run: RunSpec) -> dict[str, Any]:
    """Every setting by its dotted place, the defaults of model and method filled in."""
    return flatten(
        {
            **run.model_dump(mode="json"),
            "options": run.model_spec.resolved().model_dump(mode="json"),
            "method": run.method_settings.model_dump(mode="json"),
        }
    )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differences(run: RunSpec, recipe: Recipe) -> list[str]:
    """`place: found, published`, one line a difference; `...` asks for nothing."""
    found = numbers(run)
    return [
        f"{place}: the config has {found.get(place, 'nothing')!r}, published is {value!r}"
        for place, value in recipe.items()
        if value is not ... and (place not in found or found[place] != value)
    ]


def test_every_config_has_a_row_or_is_of_our_own_making() -> None:
    assert sorted({*RECIPES, *OWN}) == CONFIGS
    assert not OWN & RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_config_has_its_published_numbers(name: str) -> None:
    runs = read_runs(name)
    assert runs
    assert [text for run in runs for text in differences(run, RECIPES[name])] == []


@pytest.mark.parametrize(
    "name", [name for name in CONFIGS if re.search("cifar100_resnet(56|110)", name)]
)
def test_a_teacher_of_cifar100_has_the_recipe_of_its_students(name: str) -> None:
    (student,), (teacher,) = read_runs(name), read_runs("scratch/cifar100_teacher")
    for key in ("data", "optimizer", "schedule", "num_epochs"):
        assert getattr(student, key) == getattr(teacher, key)


def test_the_rows_of_the_lightlayers_tables() -> None:
    """Four rows and eight; the study's table has eight without its transfer row."""
    expected = {
        "lightlayers/fashion_mnist_four_rows": [3, 5, "conv2d", "separable"],
        "lightlayers/fashion_mnist_sweep": [1, 2, 3, 4, 5, 6, "conv2d", "separable"],
        "lightlayers/chest_xray_sweep": [1, 2, 3, 4, 5, "chain", "conv2d", "separable"],
    }
    for name, rows in expected.items():
        found = set()
        for run in read_runs(name):
            options = run.model_spec.resolved().model_dump(mode="json")
            if run.model_spec.name == "conv2d_chain":
                found.add("chain")
            elif options["layer"] != "light":
                found.add(options["layer"])
            else:
                found.add(options["k"])
                assert options["bias_initializer"] == "reference"
        assert sorted(found, key=str) == rows
