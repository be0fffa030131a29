"""Vision transformers of torchvision, timm and transformers with random weights, by name.

A name is the library, the net and the side of its images: `timm dinov2 42`. Those without a size
of their own are narrow. Only `reference_models.py` imports this, in a process of PyTorch.
"""

from typing import Any

CLASSES, WIDTH, DEPTH, HEADS = 7, 24, 2, 3


def build_transformer(name: str) -> Any:
    library, net, side = name.split(" ")
    return BUILDERS[library](net, int(side))


def of_torchvision(net: str, side: int) -> Any:
    import torch
    from torchvision import models

    sizes = (
        {"num_layers": DEPTH, "num_heads": HEADS, "hidden_dim": WIDTH, "mlp_dim": 4 * WIDTH}
        if net == "vit"
        else {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
    )
    # Its fused path of evaluation sums in another order, and in float32.
    torch.backends.mha.set_fastpath_enabled(False)
    return models.VisionTransformer(side, 16, num_classes=CLASSES, **sizes)


def of_timm(net: str, side: int) -> Any:
    from timm.models import vision_transformer

    # A value of its own for each factor comes later; `init_values` makes the layers.
    own = {"vit": {"patch_size": 16}, "dinov2": {"patch_size": 14, "init_values": 1.0}}
    return vision_transformer.VisionTransformer(
        img_size=side,
        num_classes=CLASSES,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        **own[net],
    )


def of_transformers(net: str, side: int) -> Any:
    import transformers

    narrow = {"hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS}
    common = {"image_size": side, "num_labels": CLASSES}
    if net == "vit":
        config = transformers.ViTConfig(**common, **narrow, intermediate_size=4 * WIDTH)
        return with_logits(transformers.ViTForImageClassification)(config)
    if net == "dinov2":
        config = transformers.Dinov2Config(**common, **narrow, patch_size=14)
        return with_logits(transformers.Dinov2ForImageClassification)(config)
    if net == "dinov2_with_registers":
        config = transformers.Dinov2WithRegistersConfig(**common, **narrow, patch_size=14)
        return with_logits(transformers.Dinov2WithRegistersForImageClassification)(config)
    small = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
    config = transformers.Dinov2Config(**common, **small, patch_size=14)
    return with_head(transformers.Dinov2Model(config))


def with_logits(kind: Any) -> Any:
    """The same class, which returns its logits alone."""

    class WithLogits(kind):
        def forward(self, images: Any) -> Any:
            return super().forward(images).logits

    return WithLogits


def with_head(body: Any) -> Any:
    """A body with a dense layer on its class token."""
    from torch import nn

    class WithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dinov2 = body
            self.classifier = nn.Linear(384, CLASSES)

        def forward(self, images: Any) -> Any:
            return self.classifier(self.dinov2(images).last_hidden_state[:, 0])

    return WithHead()


BUILDERS = {"torchvision": of_torchvision, "timm": of_timm, "transformers": of_transformers}
