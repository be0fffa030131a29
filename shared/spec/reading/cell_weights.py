"""Which cells of a sweep start from its weights, and what the others take from them.

`--grid method=lightlayers,transfer --weights W` asks which of two ways is the better one: transfer
starts from W, lightlayers cannot. `--grid initial_weights=W,none` asks what W is worth. In both the
cells that start from drawn weights see the images as W asks for, so that they differ in nothing
else.
"""

from collections.abc import Mapping, Sequence

from poc.shared.spec.methods.table import METHODS, find_method

from .pretrained import WeightDefaults, is_drawn

WEIGHTS = "initial_weights"


def keeps_model_open(products: Sequence[Mapping[str, Sequence[object]]]) -> bool:
    """Whether each cell must ask its own weights for the model: methods or weights differ."""
    return any("method" in product or WEIGHTS in product for product in products)


def name_cell_model(
    own: dict[str, object], lender: Mapping[str, object] | None, defaults: WeightDefaults
) -> None:
    """Take the model of a cell's weights, in place; a drawn body is the same as a trained one.

    Args:
        own: The cell's values.
        lender: What `find_lender` gives.
        defaults: What weights ask for.
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
    """Take the view of a cell's weights, or of those that other cells start from, in place."""
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
    """What would make a cell one that starts from weights; none: it does, or no cell does.

    Args:
        own: The cell's values, its method, model and weights among them.
        product: The axes of the grid that it is a cell of.
        settings: Its own keys of them.
        defaults: What weights ask for; told what becomes of them.
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
    # Only a method that trains few models cannot take what it has not trained itself.
    if not known or defaults.describe(str(weights), own).model in known:
        return None
    model = own.get("model") or {}
    of_weights = isinstance(model, Mapping) and model.get("name") not in (None, *known)
    defaults.note(
        f"The cells of {' and '.join(map(str, takers))} start from {weights!r}; those of {method} "
        f"draw theirs{', for its default model,' if of_weights else ''} and see the same view."
    )
    return {"method": takers[0], "method_options": {}, "model": model if of_weights else None}
