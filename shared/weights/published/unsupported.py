"""Published networks that share a model's name and differ from it; their files are refused."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Form:
    """A published network with the name of a model here.

    Attributes:
        tensor: Name of a tensor that only its files have.
        owner: Publisher and name of the network.
        differences: Differences that make its weights useless here.
        supported: Files that can be read instead.
    """

    tensor: str
    owner: str
    differences: str
    supported: str


FORMS: Mapping[str, tuple[Form, ...]] = MappingProxyType(
    {
        "googlenet": (
            Form(
                tensor="inception3a.branch1.conv.weight",
                owner="torchvision's googlenet",
                differences="batch norm after every convolution, no biases, 3x3 where the paper "
                "has 5x5",
                supported="only files of this declaration, with its own names",
            ),
        ),
        "inception_v3": (
            Form(
                tensor="Mixed_5b.branch1x1.conv.weight",
                owner="torchvision's inception_v3",
                differences="gamma in every batch norm, averages that count the padding",
                supported="keras.applications.InceptionV3",
            ),
        ),
    }
)


def find_unsupported(model: str, names: Collection[str]) -> Form | None:
    """Find the known form that a file has, under any prefix, or None."""
    return next(
        (
            form
            for form in FORMS.get(model, ())
            if any(name == form.tensor or name.endswith(f".{form.tensor}") for name in names)
        ),
        None,
    )
