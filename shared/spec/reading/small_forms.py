"""The table of small forms: the runs of `poc parity` if its user names no model and no data.

A small network on small images uses the same formulas as a large one and takes a minute. The images
are not square and have three channels, so that swapped axes make a difference. Dropout is on, so
that the noise is compared too. All methods with a teacher share one form; any other new method
needs a row here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any

from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.networks.models import find_model
from poc.shared.spec.run import RunSpec

from .config import full_key, load_run

Form = Mapping[str, Any]

DATA: Form = {"image_size": [12, 10], "channels": 3, "batch_size": 8}
LIGHT: Form = {
    "name": "lightnet_plain",
    "options": {"k": 3, "widths": [4, 6], "dropout": 0.25},
}
PLAIN: Form = {
    "name": "lightnet_plain",
    "options": {"layer": "conv2d", "head": "dense", "widths": [4, 6], "dropout": 0.25},
}
TEACHER: Form = {"name": "lightnet_residual", "options": {"layer": "conv2d", "widths": [3, 5]}}
TAUGHT: Form = {"model": LIGHT, "teacher": {"model": TEACHER}, "data": DATA}

SMALL_FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "lightlayers": {"model": LIGHT, "data": DATA},
        # Nine convolutions without padding shrink the map; smaller images would end below 1 pixel.
        "scratch": {
            "model": {"name": "conv2d_chain", "options": {"widths": [4, 6], "dropout": 0.25}},
            "data": {**DATA, "image_size": [24, 22]},
        },
        "transfer": {"model": PLAIN, "data": DATA},
        "fixres": {
            "model": PLAIN,
            "method_options": {"train_size": 9, "test_size": 12},
            "data": {key: value for key, value in DATA.items() if key != "image_size"},
        },
        "logistic": {"model": PLAIN, "data": DATA},
        # Few stored images, as one of them counts for more then.
        "knn": {"model": PLAIN, "data": {**DATA, "split": {"train_per_class": 20}}},
        # No teacher's model: the published form trains the source itself.
        "lwf": {"model": LIGHT, "data": DATA},
        "l2t-ww": {**TAUGHT, "model": PLAIN},
    }
)
# With one of these settings the user's own run is compared; other settings change the small form.
OWN_KEYS = ("model", "model.name", "data.source", "initial_weights", "teacher")


def load_parity_run(
    path: Path | None, assignments: Sequence[str], backend: str | None = None
) -> tuple[RunSpec, Form | None]:
    """Load the run that `poc parity` compares, and the small form that it is made of, if any.

    No form is used with a config file, or with a model, data, a teacher or weights of the user's
    own.

    Raises:
        UsageError: As in `load_run`.
    """
    form = None if path else find_form(assignments)
    return load_run(path, assignments, backend=backend, **deepcopy(dict(form or {}))), form


def find_form(assignments: Sequence[str]) -> Form | None:
    """Find the small form that these `key=value` leave in place, if any.

    Raises:
        UsageError: No such method, or it has no small form.
    """
    given = {key.strip(): value for key, _, value in (text.partition("=") for text in assignments)}
    method = given.get("method", RunSpec.model_fields["method"].default).strip()
    find_method(method)
    if any(key in OWN_KEYS or key.startswith("teacher.") for key in given):
        return None
    form = {"method": method, **small_form(method)}
    return None if any(is_own(key, form) for key in given) else form


def small_form(method: str) -> Form:
    """Return the row of a method, or the common form of methods with a teacher.

    Raises:
        UsageError: The method has no row and no teacher.
    """
    if method in SMALL_FORMS:
        return SMALL_FORMS[method]
    if find_method(method).distillation is not None:
        return TAUGHT
    raise UsageError(
        f"Got the method {method!r}, which has no small form for parity. Expected, without a "
        f"model, one of {', '.join(SMALL_FORMS)} or a method with a teacher. Try --model and "
        "--data, or add its row to SMALL_FORMS in shared/spec/reading/small_forms.py."
    )


def is_own(key: str, form: Form) -> bool:
    """Return whether a setting is an option of another model than the form's."""
    try:
        parent, *rest = full_key(key, form)
    except UsageError:
        return True
    known = find_model(form["model"]["name"]).options.model_fields
    return parent == "model" and rest[0] == "options" and rest[-1] not in known


def describe_form(form: Form) -> str:
    """Write the form as a user would type it."""
    pairs = ((key, json.dumps(value, separators=(",", ":"))) for key, value in flatten(form))
    return " ".join(f"{key}={value}" for key, value in pairs).replace('"', "")


def flatten(values: Form, parents: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted keys and values; a model's options have keys next to its name."""
    for key, value in values.items():
        path = parents if key == "options" else f"{parents}.{key}".removeprefix(".")
        if isinstance(value, Mapping):
            yield from flatten(value, path)
        else:
            yield path, value
