"""A run that starts from weights takes their model and their view, where it names none."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from poc.shared.spec.methods.table import find_method

LEAD = "From the weights:"
NORMALIZATIONS = {
    "unit": "x/255",
    "torch": "ImageNet mean and deviation",
    "tf": "x/127.5 - 1",
    "caffe": "BGR minus mean",
    "none": "0 to 255",
}


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a weight file says about itself; empty where it says nothing.

    Attributes:
        model: A row of the table of models.
        lineage: Option of that model, where it has one.
        view: Settings of `data`.
        is_there: Whether there is such a file; one that is missing is refused later, by name.
    """

    model: str | None = None
    lineage: str | None = None
    view: Mapping[str, Any] = field(default_factory=dict)
    is_there: bool = True


@dataclass(frozen=True, kw_only=True)
class WeightDefaults:
    """How a run that is being written learns what its weights ask for.

    Attributes:
        describe: (path or `imagenet`, the run's values so far) -> what the file says.
        locate: The same -> path of the canonical form of the file: its own, or that of a copy.
        note: Told one sentence each.
    """

    describe: Callable[[str, Mapping[str, Any]], Described]
    locate: Callable[[str, Mapping[str, Any]], str]
    note: Callable[[str], None]

    def name_model(self, values: dict[str, Any]) -> None:
        """Take the weights' model and lineage where none is named, in place."""
        path = values.get("initial_weights")
        model = values.get("model") or {}
        if not isinstance(path, str) or not isinstance(model, dict) or model.get("name"):
            return
        found = self.describe(path, values)
        if found.model is None:
            return
        options = {**({"lineage": found.lineage} if found.lineage else {})}
        values["model"] = {
            **model,
            "name": found.model,
            "options": {**options, **model.get("options", {})},
        }

    def take_view(self, values: dict[str, Any]) -> None:
        """Take the weights' view where the run's data says nothing, in place, and tell of both."""
        path, data = values.get("initial_weights"), values.setdefault("data", {})
        if not isinstance(path, str) or not isinstance(data, dict):
            return
        path = values["initial_weights"] = self.locate(path, values)
        found = self.describe(path, values)
        view = dict(found.view)
        if sets_size(values):
            view.pop("image_size", None)
        if not view:
            if found.is_there:
                self.note_unknown(path, data)
            return
        contradicted = list(contradictions(view, data, ""))
        values["data"] = merge(view, data)
        self.note(f"{LEAD} {describe_view(values['data'])}.")
        for text in contradicted:
            self.note(text)

    def note_unknown(self, path: str, data: Mapping[str, Any]) -> None:
        """Say that nobody knows how the weights want to see images, where the run does not say."""
        if missing := [key for key in ("image_size", "normalization") if key not in data]:
            self.note(
                f"The weights {path!r} name no view: set {' and '.join(missing)} as they were "
                "trained (`poc weights convert --set` records it in the file)."
            )


def sets_size(values: Mapping[str, Any]) -> bool:
    """Whether the method itself names the images' size."""
    method = find_method(str(values.get("method", "lightlayers")))
    if method.fine_tuning is None:
        return False
    given = values.get("method_options")
    options = method.options.parse(dict(given) if isinstance(given, Mapping) else {}, "")
    return method.fine_tuning.image_side(options) is not None


def merge(view: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The run's settings over the view's; a group that names a rule of its own keeps it whole."""
    merged = {**view, **data}
    for group in ("train_view", "eval_view"):
        own = data.get(group)
        if group in view and isinstance(own, Mapping):
            names_rule = {"resize", "crop"} & own.keys()
            merged[group] = dict(own) if names_rule else {**view[group], **own}
    return merged


def contradictions(view: Mapping[str, Any], data: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """A sentence for each setting of the run that is not what the weights were tested with."""
    for key, value in view.items():
        own = data.get(key)
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            yield from contradictions(value, own, f"{key}.")
        elif own is not None and own != value and not is_same_list(own, value):
            yield f"data.{prefix}{key}={own} is set; the weights were tested with {value}."


def is_same_list(first: Any, second: Any) -> bool:
    """Whether two lists hold the same; a typed size may still be a text such as `224x224`."""
    if isinstance(first, str) and isinstance(second, list):
        return first.replace(" ", "").replace(",", "x") == "x".join(map(str, second))
    return isinstance(first, list | tuple) and list(first) == list(second)


def describe_view(data: Mapping[str, Any]) -> str:
    """`224 px, bicubic, x/127.5 - 1`."""
    parts = []
    if isinstance(size := data.get("image_size"), list | tuple):
        parts.append(f"{size[0]} px" if size[0] == size[-1] else f"{size[0]}x{size[1]} px")
    if name := data.get("interpolation"):
        parts.append(str(name))
    crop = data.get("eval_view") or {}
    if crop.get("crop") == "centre" and "crop_share" in crop:
        parts.append(f"centre crop {crop['crop_share']:.3g}")
    if name := data.get("normalization"):
        parts.append(NORMALIZATIONS.get(str(name), str(name)))
    return ", ".join(parts)
