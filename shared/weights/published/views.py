"""View of the images on which published weights were tested: size, crop and normalisation.

Sources: torchvision's `Weights.transforms()`; the publications of EfficientNet and Lite0 (bicubic,
a centre crop that leaves 16 pixels on each side); `default_cfg` of timm's ConvNeXts and the image
processor of transformers; keras.applications' `preprocess_input` and default sizes. Keras publishes
no crop, so the run's own rule holds for its models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from poc.shared.spec.data import Interpolation, Normalization
from poc.shared.spec.networks.architectures.efficientnet import VARIANTS
from poc.shared.spec.networks.architectures.mobilenet import V3_VARIANTS
from poc.shared.spec.networks.architectures.vision_transformer import DINOV2_VARIANTS

KERAS, TORCHVISION = "keras", "torchvision"
TRANSFORMERS = ("transformers", "transformers_module")
# Names of nobody's own: canonical ones, as they are and with dots.
UNNAMED = ("", "dotted")
IMAGENET_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class PublishedView:
    """View of an image in evaluation.

    Attributes:
        size: Side of the square image in pixels.
        resized: Length of the shorter side in pixels before the centre crop; none: no crop is
            published.
        interpolation: Interpolation of that resize.
        normalization: Normalisation of the pixels.
    """

    size: int
    resized: int | None = None
    interpolation: Interpolation = "bilinear"
    normalization: Normalization = "torch"

    def settings(self) -> dict[str, object]:
        """Return the view as settings of `data`."""
        found: dict[str, object] = {
            "image_size": [self.size, self.size],
            "channels": 3,
            "normalization": self.normalization,
        }
        if self.resized is None:
            return found
        view = {
            "resize": "shorter_side",
            "crop": "centre",
            "crop_share": self.size / self.resized,
        }
        return {
            **found,
            "interpolation": self.interpolation,
            "train_view": view,
            "eval_view": view,
        }


PLAIN = PublishedView(size=224, resized=256)
# Size, and the side before the crop, of torchvision's EfficientNets.
EFFICIENTNET_SIDES = {
    "b0": (224, 256),
    "b1": (240, 256),
    "b2": (288, 288),
    "b3": (300, 320),
    "b4": (380, 384),
    "b5": (456, 456),
    "b6": (528, 528),
    "b7": (600, 600),
}
KERAS_EFFICIENTNET_SIZES = (224, 240, 260, 300, 380, 456, 528, 600)
# The side before the crop of torchvision's ConvNeXts.
CONVNEXT_SIDES = {"tiny": 236, "small": 230, "base": 232}
# Pixels that the EfficientNet publication leaves around the crop, 16 on each side.
CROP_PADDING = 32

VIEWS: Mapping[tuple[str, str], PublishedView] = MappingProxyType(
    {
        **{(name, TORCHVISION): PLAIN for name in ("vgg16", "vgg16_bn", "mobilenet_v2")},
        ("densenet121", TORCHVISION): PLAIN,
        # Keras scales by 255 and by the deviations, as its `preprocess_input` of DenseNet does.
        ("densenet121", KERAS): PublishedView(size=224),
        **{(f"resnet{depth}", TORCHVISION): PLAIN for depth in (18, 34, 50, 101, 152)},
        **{(name, TORCHVISION): PLAIN for name in V3_VARIANTS},
        **{(name, KERAS): PublishedView(size=224, normalization="tf") for name in V3_VARIANTS},
        **{
            (f"convnext_{size}", TORCHVISION): PublishedView(size=224, resized=resized)
            for size, resized in CONVNEXT_SIDES.items()
        },
        **{(f"convnext_{size}", KERAS): PublishedView(size=224) for size in CONVNEXT_SIDES},
        # Those of the publication: timm has others for its own trainings, which no name shows.
        **{
            (f"convnext_{size}", publisher): PublishedView(
                size=224, resized=256, interpolation="bicubic"
            )
            for size in CONVNEXT_SIDES
            for publisher in ("convnext", "timm", "transformers")
        },
        **{
            (f"efficientnet_{variant}", TORCHVISION): PublishedView(
                size=size, resized=resized, interpolation="bicubic"
            )
            for variant, (size, resized) in EFFICIENTNET_SIDES.items()
        },
        **{
            (name, KERAS): PublishedView(
                size=size, resized=size + CROP_PADDING, interpolation="bicubic"
            )
            for name, size in zip(sorted(VARIANTS), KERAS_EFFICIENTNET_SIZES, strict=True)
        },
        ("efficientnet_lite0", KERAS): PublishedView(
            size=224, resized=256, interpolation="bicubic", normalization="tf"
        ),
        # That of timm's own weights.
        ("efficientnet_lite0", TORCHVISION): PublishedView(
            size=224, resized=256, interpolation="bicubic"
        ),
        # Files of ViT by timm, and smaller ones by transformers, are of several trainings, such as
        # DeiT's, which normalise in different ways.
        ("vit_b16", TORCHVISION): PLAIN,
        **{
            ("vit_b16", publisher): PublishedView(size=224, normalization="tf")
            for publisher in TRANSFORMERS
        },
        # 224 of 256, at the size of the published positions.
        **{
            (name, publisher): PublishedView(size=518, resized=592, interpolation="bicubic")
            for name in DINOV2_VARIANTS
            for publisher in ("dinov2", "timm", *TRANSFORMERS)
        },
        ("mobilenet_v2", KERAS): PublishedView(size=224, normalization="tf"),
        **{(name, KERAS): PublishedView(size=224, normalization="caffe") for name in ("vgg16",)},
        **{
            (f"resnet{depth}", KERAS): PublishedView(size=224, normalization="caffe")
            for depth in (50, 101, 152)
        },
        **{
            (f"resnet{depth}v2", KERAS): PublishedView(size=224, normalization="tf")
            for depth in (50, 101, 152)
        },
        **{
            (name, KERAS): PublishedView(size=299, normalization="tf")
            for name in ("inception_v3", "inception_resnet_v2")
        },
    }
)


def find_view(
    model: str, publisher: str, num_classes: int = IMAGENET_CLASSES
) -> PublishedView | None:
    """Return the view of a published form, or None if it is not known.

    Args:
        model: A row of the table of models.
        publisher: Lineage, or name of a scheme. The only published form of a model is that of
            `UNNAMED` names, too.
        num_classes: Weights with another number of classes are not a published form.
    """
    if num_classes != IMAGENET_CLASSES:
        return None
    own = [view for (name, _), view in VIEWS.items() if name == model]
    is_only = publisher in UNNAMED and len(own) == 1
    return own[0] if is_only else VIEWS.get((model, publisher))
