"""Initial weights of a run: they set its model and its view if the run names none."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec
from poc.shared.spec.methods.table import find_method

# Value of `--weights` for random weights with a method that expects trained ones.
NO_WEIGHTS = "none"
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
    """The content of a weight file's header; empty if it has none.

    Attributes:
        model: A row of the table of models.
        lineage: Option of that model, if it has one.
        view: Settings of `data`.
        is_there: True if the file exists; a missing one is refused later, by name.
        is_guessed: True if only the names and shapes of the tensors show the model.
        remarks: A sentence for each entry of the header that has no meaning here.
    """

    model: str | None = None
    lineage: str | None = None
    view: Mapping[str, object] = field(default_factory=dict)
    is_there: bool = True
    is_guessed: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WeightDefaults:
    """Functions that read the model and the view of a run's weights while the run is written.

    Attributes:
        describe: (path or `imagenet`, the run's values so far) -> the content of the header.
        locate: (the same) -> path of the file in canonical form: its own, or that of a copy.
        note: Takes each note to the user, one sentence at a time.
    """

    describe: Callable[[str, Mapping[str, object]], Described]
    locate: Callable[[str, Mapping[str, object]], str]
    note: Callable[[str], None]

    def name_model(self, values: dict[str, object]) -> None:
        """Set the weights' model and lineage if the run names no model, in place."""
        path = values.get("initial_weights")
        model = values.get("model") or {}
        if not isinstance(path, str) or is_drawn(path):
            return
        if not isinstance(model, dict) or model.get("name"):
            return
        found = self.describe(path, values)
        if found.model is None:
            return
        if found.is_guessed:
            self.note(f"The weights {path!r} fit {found.model}, which is used as the model.")
        options = {**({"lineage": found.lineage} if found.lineage else {})}
        values["model"] = {
            **model,
            "name": found.model,
            "options": {**options, **model.get("options", {})},
        }

    def take_view(self, values: dict[str, object]) -> None:
        """Set the weights' view in place; settings of the run win, and notes report both.

        Raises:
            UsageError: The view in the file's header is not valid.
        """
        path, data = values.get("initial_weights"), values.setdefault("data", {})
        if not isinstance(path, str) or is_drawn(path) or not isinstance(data, dict):
            return
        path = values["initial_weights"] = self.locate(path, values)
        found = self.describe(path, values)
        for text in found.remarks:
            self.note(text)
        view = dict(found.view)
        check_view(path, view)
        if sets_size(values):
            view.pop("image_size", None)
        if not view:
            if found.is_there:
                self.note_unknown(path, data)
            return
        contradicted = list(contradictions(view, data, ""))
        values["data"] = merge(view, data)
        if taken := describe_view(find_taken(view, data)):
            self.note(f"{LEAD} {taken}.")
        for text in contradicted:
            self.note(text)

    def note_unknown(self, path: str, data: Mapping[str, object]) -> None:
        """Note that neither the weights nor the run say how images must be prepared."""
        if missing := [key for key in ("image_size", "normalization") if key not in data]:
            self.note(
                f"The weights {path!r} name no view: set {' and '.join(missing)} as they were "
                "trained (`poc weights convert --set` records it in the file)."
            )


def is_drawn(weights: object) -> bool:
    """Return whether a run's `initial_weights` name no file: not set, or the word none."""
    return not isinstance(weights, str) or weights == NO_WEIGHTS


def sets_size(values: Mapping[str, object]) -> bool:
    """Return whether the method itself sets the images' size."""
    method = find_method(str(values.get("method", "lightlayers")))
    if method.fine_tuning is None:
        return False
    given = values.get("method_options")
    options = method.options.parse(dict(given) if isinstance(given, Mapping) else {}, "")
    return method.fine_tuning.image_side(options) is not None


def merge(view: Mapping[str, object], data: Mapping[str, object]) -> dict[str, object]:
    """Put the run's settings over the view's.

    A group in which the run names a resize rule or a crop takes nothing from the view: the other
    settings of the view belong to another rule.
    """
    merged = {**view, **data}
    for group in ("train_view", "eval_view"):
        own, taken = data.get(group), view.get(group)
        if isinstance(taken, Mapping) and isinstance(own, Mapping):
            names_rule = {"resize", "crop"} & own.keys()
            merged[group] = dict(own) if names_rule else {**taken, **own}
    return merged


def check_view(path: str, view: Mapping[str, object]) -> None:
    """Refuse a file whose view is not a valid setting of the data.

    Raises:
        UsageError: The message names the file, since the user did not type the wrong key.
    """
    try:
        DataSpec.parse(dict(view), "")
    except UsageError as error:
        wrong = str(error).removeprefix("Got ").partition(". Expected")[0]
        raise UsageError(
            f"Got the weights {path!r}, in whose header the view has {wrong}. Expected the view's "
            "settings to be valid. Try writing the file again with `poc weights convert`, its view "
            "given by --set."
        ) from None


def find_taken(view: Mapping[str, object], data: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of a view that a run takes: all that its own data does not set."""
    taken: dict[str, object] = {}
    for key, value in view.items():
        own = data.get(key)
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            names_rule = {"resize", "crop"} & own.keys()
            taken[key] = {} if names_rule else find_taken(value, own)
        elif key not in data:
            taken[key] = value
    return taken


def contradictions(
    view: Mapping[str, object], data: Mapping[str, object], prefix: str
) -> Iterator[str]:
    """Yield a sentence for each setting of the run that differs from the weights' view."""
    for key, value in view.items():
        own = data.get(key)
        if key == "train_view":
            # Training views differ from those of the test; the weights only record the latter.
            continue
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            yield from contradictions(value, own, f"{key}.")
        elif own is not None and own != value and not is_same_list(own, value):
            yield f"data.{prefix}{key}={own} is set; the weights were tested with {value}."


def is_same_list(first: object, second: object) -> bool:
    """Return whether two lists are equal; a typed size may still be a text such as `224x224`."""
    if isinstance(first, str) and isinstance(second, list):
        return first.replace(" ", "").replace(",", "x") == "x".join(map(str, second))
    if not isinstance(first, list | tuple) or not isinstance(second, Iterable):
        return False
    return list(first) == list(second)


def describe_view(data: Mapping[str, object]) -> str:
    """Write a view in few words: `224 px, bicubic, x/127.5 - 1`."""
    parts = []
    if isinstance(size := data.get("image_size"), list | tuple):
        parts.append(f"{size[0]} px" if size[0] == size[-1] else f"{size[0]}x{size[1]} px")
    if name := data.get("interpolation"):
        parts.append(str(name))
    crop = data.get("eval_view")
    is_centred = isinstance(crop, Mapping) and crop.get("crop", "centre") == "centre"
    if isinstance(crop, Mapping) and is_centred and "crop_share" in crop:
        parts.append(f"centre crop {crop['crop_share']:.3g}")
    if name := data.get("normalization"):
        parts.append(NORMALIZATIONS.get(str(name), str(name)))
    return ", ".join(parts)
