"""ConvNeXt in torchvision, timm, transformers and keras.applications; narrow, or as published."""

from functools import partial
from typing import Any

CLASSES = 7
DEPTHS, WIDTHS = (1, 1, 2, 1), (8, 12, 16, 20)


def build_convnext(build: str) -> Any:
    """A model of a PyTorch library, without random layers: `convnext LIBRARY` is a narrow one."""
    library = build.partition(" ")[2]
    if library == "torchvision":
        from torchvision.models.convnext import CNBlockConfig, ConvNeXt

        rows = zip(WIDTHS, (*WIDTHS[1:], None), DEPTHS, strict=True)
        return ConvNeXt([CNBlockConfig(*row) for row in rows], num_classes=CLASSES)
    if library == "timm":
        from timm.models.convnext import ConvNeXt

        return ConvNeXt(num_classes=CLASSES, depths=DEPTHS, dims=WIDTHS)
    if library == "transformers":
        return build_of_transformers()
    from torchvision import models

    return getattr(models, build)(num_classes=CLASSES, stochastic_depth_prob=0.0)


def build_of_transformers() -> Any:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    class Logits(ConvNextForImageClassification):
        def forward(self, pixel_values: Any) -> Any:
            return super().forward(pixel_values).logits

    # The publication's number, which no file holds. The class has 1e-12 in its last norm.
    config = ConvNextConfig(
        num_labels=CLASSES, depths=DEPTHS, hidden_sizes=WIDTHS, layer_norm_eps=1e-6
    )
    return Logits(config)


def find_keras(build: str) -> Any:
    """A function of keras.applications, without the preprocessing that it may contain."""
    import keras

    if build == "convnext narrow":
        from keras.src.applications.convnext import ConvNeXt

        return partial(
            ConvNeXt,
            depths=DEPTHS,
            projection_dims=WIDTHS,
            name="convnext_tiny",
            include_preprocessing=False,
        )
    function = getattr(keras.applications, build)
    is_plain = build.startswith(("ConvNeXt", "MobileNetV3"))
    return partial(function, include_preprocessing=False) if is_plain else function
