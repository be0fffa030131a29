"""ViT and DINOv2: counts of torchvision, timm and transformers, and their nets as references."""

from typing import Any

from .row import Architecture, Counts, Macs, Reference, Small

# What the small nets of `libraries/transformer_models.py` have.
NARROW: dict[str, Any] = {"depth": 2, "width": 24, "heads": 3}
NOISY: dict[str, Any] = {"dropout": 0.2, "stochastic_depth": 0.4}


def narrow(build: str, scheme: str, side: int, options: dict[str, Any] | None = None) -> Reference:
    """A narrow net of a library, at one size; the library's own positions have that size."""
    return Reference(
        framework="torch",
        build=f"{build} {side}",
        scheme=scheme,
        options={**NARROW, **(options or {})},
        sides=(side,),
    )


def published(build: str, scheme: str, side: int) -> Reference:
    """A net of the published sizes."""
    return Reference(
        framework="torch", build=f"{build} {side}", scheme=scheme, sides=(side,), is_slow=True
    )


ROWS = {
    # timm counts 5,717,416 and 22,050,664; torchvision's ViT_B_16_Weights say the rest.
    "vit_ti16": Architecture(
        model="vit_ti16",
        counts=Counts(5_717_416, 5_717_416),
        small=Small(
            options={"depth": 2, "width": 12, "heads": 3, "patch_size": 4, **NOISY},
            input_shape=(12, 8, 3),
            climb="whole",
        ),
        references=(
            narrow("torchvision vit", "torchvision", 32),
            narrow("torchvision vit", "torchvision", 48),
            narrow("timm vit", "timm", 48),
            # The ViTs of transformers have another epsilon.
            narrow("transformers vit", "transformers_module", 48, {"epsilon": 1e-12}),
        ),
    ),
    "vit_s16": Architecture(model="vit_s16", counts=Counts(22_050_664, 22_050_664)),
    "vit_s16 mean": Architecture(
        model="vit_s16",
        options={"pooling": "mean", "registers": 2},
        small=Small(
            options={"depth": 1, "width": 12, "heads": 2, "patch_size": 4, **NOISY},
            input_shape=(12, 8, 3),
            climb="whole",
        ),
    ),
    "vit_b16": Architecture(
        model="vit_b16",
        counts=Counts(86_567_656, 86_567_656),
        macs=Macs(17.564e9, absolute=1e6),
        small=Small(
            options={"depth": 1, "width": 8, "heads": 2, "patch_size": 4},
            input_shape=(12, 8, 3),
            climb="whole",
            precisions=("float64",),
        ),
        references=(
            published("torchvision vit_b_16", "torchvision", 224),
            published("torchvision vit_b_16", "torchvision", 256),
        ),
    ),
    # transformers' Dinov2Model has 22,056,576 and 86,580,480 values, of which a token for masked
    # patches, one row of the width, is not read; the head has the rest.
    "dinov2_s14": Architecture(
        model="dinov2_s14",
        input_shape=(518, 518, 3),
        counts=Counts(22_056_576 - 384 + 385_000, 22_056_576 - 384 + 385_000),
        small=Small(
            options={"depth": 2, "width": 12, "heads": 3, "patch_size": 4, **NOISY},
            input_shape=(12, 8, 3),
            climb="whole",
        ),
        references=(
            narrow("timm dinov2", "timm", 42),
            narrow("timm dinov2", "dinov2", 28),
            narrow(
                "transformers dinov2",
                "transformers_module",
                42,
                {"pooling": "class_token_and_mean"},
            ),
            published("transformers dinov2_s14", "transformers_module", 224),
        ),
    ),
    # Dinov2WithRegistersModel: 22,058,112.
    "dinov2_s14 registers": Architecture(
        model="dinov2_s14",
        options={"registers": 4, "pooling": "class_token_and_mean"},
        input_shape=(518, 518, 3),
        counts=Counts(22_058_112 - 384 + 769_000, 22_058_112 - 384 + 769_000),
        small=Small(
            options={"depth": 2, "width": 12, "heads": 3, "patch_size": 4, **NOISY},
            input_shape=(8, 12, 3),
            climb="whole",
        ),
        references=(narrow("transformers dinov2_with_registers", "transformers_module", 42),),
    ),
    "dinov2_b14": Architecture(
        model="dinov2_b14",
        input_shape=(518, 518, 3),
        counts=Counts(86_580_480 - 768 + 769_000, 86_580_480 - 768 + 769_000),
        small=Small(
            options={"depth": 1, "width": 8, "heads": 2, "patch_size": 4, "layer_scale": 0.1},
            input_shape=(12, 8, 3),
            climb="whole",
            precisions=("float64",),
        ),
    ),
}
