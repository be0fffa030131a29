"""The weights of a sweep's cells: some start from them, the others only take their view.

`--grid method=lightlayers,transfer --weights W` compares two ways: transfer starts from W,
lightlayers cannot. `--grid initial_weights=W,none` measures the gain from W. In both sweeps the
cells with random initial weights use the view that W asks for, so that nothing else differs.
"""

from collections.abc import Mapping, Sequence

from poc.shared.spec.methods.table import METHODS, find_method

from .pretrained import WeightDefaults, is_drawn

WEIGHTS = "initial_weights"


def keeps_model_open(products: Sequence[Mapping[str, Sequence[object]]]) -> bool:
    """Return whether methods or weights differ, so each cell asks its own weights for the model."""
    return any("method" in product or WEIGHTS in product for product in products)


def name_cell_model(
    own: dict[str, object], lender: Mapping[str, object] | None, defaults: WeightDefaults
) -> None:
    """Set the model of a cell's weights, in place; a random body has the model of a trained one.

    Args:
        own: The cell's values.
        lender: The result of `find_lender`.
        defaults: Reader of the model and the view in weight files.
    """
    if lender is None:
        defaults.name_model(own)
    elif "method" in lender:
        own["model"] = None if lender["model"] else own.get("model")
    else:
        like = {**own, **lender}
        defaults.name_model(like)
        own["model"] = like.get("model")


def take_cell_view(
    own: dict[str, object], lender: Mapping[str, object] | None, defaults: WeightDefaults
) -> None:
    """Set the view of a cell's weights, or of those that other cells start from, in place."""
    if lender is None:
        defaults.take_view(own)
        return
    like = {**own, **lender}
    defaults.name_model(like)
    defaults.take_view(like)
    own["data"] = like["data"]
    own[WEIGHTS] = None


def find_lender(
    own: Mapping[str, object],
    product: Mapping[str, Sequence[object]],
    settings: Mapping[str, object],
    defaults: WeightDefaults,
) -> dict[str, object] | None:
    """Return the settings with which a cell would start from weights.

    None means that the cell does start from weights, or that no cell does.

    Args:
        own: The cell's values, with its method, model and weights.
        product: The axes of the cell's grid.
        settings: The cell's values on these axes.
        defaults: Reader of weight files; it gets a note about the use of the weights.
    """
    if WEIGHTS in settings:
        files = [value for value in product[WEIGHTS] if not is_drawn(value)]
        return {WEIGHTS: files[0]} if is_drawn(settings[WEIGHTS]) and files else None
    named = [
        name for name in product.get("method", ()) if isinstance(name, str) and name in METHODS
    ]
    takers = [name for name in named if METHODS[name].fine_tuning is not None]
    weights, method = own.get(WEIGHTS), str(own.get("method"))
    if not takers or method in takers or is_drawn(weights):
        return None
    known = find_method(method).models
    # Only a method with a list of models can be unable to start from these weights.
    if not known or defaults.describe(str(weights), own).model in known:
        return None
    model = own.get("model") or {}
    of_weights = isinstance(model, Mapping) and model.get("name") not in (None, *known)
    defaults.note(
        f"The cells of {' and '.join(map(str, takers))} start from {weights!r}; those of {method} "
        f"draw theirs{', for its default model,' if of_weights else ''} and see the same view."
    )
    return {"method": takers[0], "method_options": {}, "model": model if of_weights else None}
