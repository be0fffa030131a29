"""The filter that resizes the images of a run: the common one, or that of its own framework."""

from collections.abc import Mapping

from poc.shared.spec.data import PLAIN, DataSpec, Interpolation
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.run_settings import RunSettings
from poc.shared.spec.training.habits import HabitsSpec, spread
from poc.shared.spec.views import EvalView, TrainView

# Framework -> filter: Keras' `image_dataset_from_directory`; torchvision's `Resize` of a picture.
NATIVE: Mapping[str, Interpolation] = {"tf": PLAIN, "torch": "bilinear"}


def fill_interpolation(values: dict[str, object]) -> dict[str, object]:
    """Fill in the filter of a run with the native habit, in place of either bilinear one.

    The settings of the data then say all about a view, also to whoever reads them later: caches,
    records, exports.

    Args:
        values: Settings of a run, not checked yet.
    """
    habits, data = values.get("habits"), values.get("data") or {}
    if isinstance(habits, HabitsSpec):
        habits = habits.model_dump()
    if isinstance(data, DataSpec):
        data = data.model_dump(exclude_unset=True)
    habits = spread(habits) if isinstance(habits, str) else habits
    if not isinstance(habits, dict) or habits.get("input_pipeline") != "native":
        return values
    own = NATIVE.get(str(habits.get("framework") or values.get("backend") or "torch"))
    if own is None or not isinstance(data, dict):
        return values
    if data.get("interpolation", "bilinear") not in NATIVE.values():
        return values
    return {**values, "data": {**data, "interpolation": own}}


def is_resized(run: RunSettings, stored: tuple[int, ...] | None) -> bool:
    """Return whether a view of the run resizes any image.

    Args:
        run: The run.
        stored: (H, W, C) of the source's images; None: they differ in size.
    """
    has_own_sizes = find_method(run.method).image_side(run.method_settings) is not None
    if stored is None or has_own_sizes or (run.asked_size or stored[:2]) != stored[:2]:
        return True
    return resizes_for_crop(run.data.train_view) or resizes_for_crop(run.data.eval_view)


def resizes_for_crop(view: TrainView | EvalView) -> bool:
    """Return whether a view resizes images that have the size of the model's input."""
    if view.crop in ("none", "padded"):
        return False
    return view.crop == "random_resized" or view.crop_share < 1
