"""What a row of the table of architectures holds."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from poc.shared.spec.run import RunSpec

Shape = tuple[int, int, int]
NUM_REFERENCE_CLASSES = 7


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model with its options, images and classes."""

    model: str
    options: dict[str, Any] = field(default_factory=dict)
    input_shape: Shape = (224, 224, 3)
    num_classes: int = 1000
    trainable: Literal["all", "head"] = "all"

    def run(self, backend: str = "torch", **fields: Any) -> RunSpec:
        """The run spec that trains it."""
        model = {"name": self.model, "options": self.options, "trainable": self.trainable}
        return RunSpec.parse(
            {
                "method": "scratch",
                "backend": backend,
                "model": model,
                "input_shape": self.input_shape,
                "num_classes": self.num_classes,
                **fields,
            },
            "",
        )

    def with_options(self, **options: Any) -> "Case":
        """The same with more options, or others."""
        return replace(self, options={**self.options, **options})


class Counts(NamedTuple):
    """Published parameters: all of them, running statistics too, and those that gradients reach.

    keras: What keras.applications counts itself, where that is more.
    """

    total: int
    learnable: int
    keras: int | None = None


class Macs(NamedTuple):
    """Published multiply-adds of one image, and how far the declared ones may be from them."""

    count: float
    relative: float = 0.0
    absolute: float = 0.0


def about_millions(millions: float) -> Macs:
    """Published to three or four digits, some without the dense layer."""
    return Macs(millions * 1e6, relative=2e-3)


def about_billions(billions: float) -> Macs:
    """Published to three decimals of 1e9."""
    return Macs(billions * 1e9, absolute=6e5)


@dataclass(frozen=True, kw_only=True)
class Small:
    """A form that the parity ladder climbs in seconds: the whole topology with few channels.

    Its options stand beside the row's. What a rung can find does not depend on the number of
    channels. Maps are no squares, so that swapped axes differ.

    Attributes:
        climb: How it is climbed.
            "strict": every rung, and rounding stays far from its bounds (parity/test_ladder);
            "whole": every rung, noise on (parity/test_architecture_ladder);
            "calm": a few SGD steps, branches calmed where depth amplifies rounding
            (backends/test_architectures);
            "one step": so too, with one step, and in float32 logits alone.
        precisions: Those in which it is climbed.
        mode: "eager" saves TensorFlow the tracing.
        is_slow: It takes minutes to compile and to step. Calm climbs are all slow.
    """

    options: dict[str, Any] = field(default_factory=dict)
    input_shape: Shape
    climb: Literal["strict", "whole", "calm", "one step"]
    precisions: tuple[str, ...] = ("float64", "float32")
    mode: Literal["default", "eager"] = "default"
    is_slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The same function in somebody else's library, compared in float64 for copied weights.

    `framework` and `build` name a function of libraries/reference_models.py; `scheme` names the
    tensors. Compared are logits, loss and gradients. Its options stand beside the row's.
    """

    framework: Literal["tf", "torch"]
    build: str
    scheme: str
    options: dict[str, Any] = field(default_factory=dict)
    sides: tuple[int, ...] = (64, 65)
    is_slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Twin:
    """The same net in torchvision or keras.applications, at two input sizes, one of them odd.

    `build` is its name there. Compared are outputs of evaluation and of training, in torch running
    statistics too; `order` says how weights find their layers (libraries/published_cases.py).
    """

    framework: Literal["tf", "torch"]
    build: str
    sides: tuple[int, int]
    order: Literal["named", "numbered"] = "named"


@dataclass(frozen=True, kw_only=True)
class Architecture(Case):
    """A row: a model or a variant, and everything that tests need of it.

    Attributes:
        counts: Published counts.
        num_trainable: What is learned where that is not all that is learnable.
        macs: Published multiply-adds.
        taps: Tap -> (height, width, channels).
        small: The form for the parity ladder.
        references: Libraries that have the same function.
        twin: A library's net of the same layers.
    """

    counts: Counts | None = None
    num_trainable: int | None = None
    macs: Macs | None = None
    taps: dict[str, Shape] = field(default_factory=dict)
    small: Small | None = None
    references: tuple[Reference, ...] = ()
    twin: Twin | None = None

    def small_case(self) -> Case:
        """The form for the parity ladder, with three classes."""
        assert self.small is not None
        return self.form(self.small.options, self.small.input_shape, 3)

    def small_run(self, precision: str, **fields: Any) -> RunSpec:
        """The run of that form."""
        assert self.small is not None
        return self.small_case().run(precision=precision, mode=self.small.mode, **fields)

    def reference_case(self, reference: Reference, side: int) -> Case:
        """What a library is compared with, for images of this side."""
        return self.form(reference.options, (side, side, 3), NUM_REFERENCE_CLASSES)

    def form(self, options: dict[str, Any], input_shape: Shape, num_classes: int) -> Case:
        """The same with more options, for other images."""
        return Case(
            model=self.model,
            options={**self.options, **options},
            input_shape=input_shape,
            num_classes=num_classes,
        )

    def at(self, num_classes: int, counts: Counts) -> "Architecture":
        """The same net for another number of classes: its counts alone are compared."""
        return replace(
            self, num_classes=num_classes, counts=counts, small=None, references=(), twin=None
        )


def tap_sizes(prefix: str, first: int, *sizes: tuple[int, int]) -> dict[str, Shape]:
    """(channels, side) of each tap, numbered from `first`."""
    return {
        f"{prefix}{index}": (side, side, channels)
        for index, (channels, side) in enumerate(sizes, start=first)
    }
