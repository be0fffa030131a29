"""Combinations that cannot work, refused before data is opened or a framework starts.

What the images are is known early for the embedded set, and where the settings say it. Everything
else is refused when the worker has opened the data.
"""

from poc.shared.data.sources.table import require_source
from poc.shared.engine.teacher import check_teacher, require_teacher, resolve_teacher
from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import find_method, tell_default
from poc.shared.spec.networks.layers import Shape
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import check_initial_weights

EMBEDDED = "embedded"
EMBEDDED_SHAPE, EMBEDDED_CLASSES = (28, 28, 1), 10
RGB_NORMALIZATIONS = ("torch", "caffe")


def check_combination(run: RunSpec) -> None:
    """Refuse what can be known to fail: data, method, model, teacher, weights.

    Raises:
        UsageError: Names both sides.
    """
    require_source(run.data.source)
    run.stages  # noqa: B018 - phases that do not fit the epochs are refused
    check_initial_weights(run)
    require_teacher(run)
    run = resolve_teacher(run)
    shape = early_shape(run)
    if shape is None:
        return
    check_normalization(run, shape)
    is_embedded = run.data.source == EMBEDDED
    classes = EMBEDDED_CLASSES if is_embedded else 2
    resolved = run.replace(input_shape=shape, num_classes=run.num_classes or classes)
    try:
        resolved.network  # noqa: B018 - a size that does not fit is refused
    except UsageError as error:
        raise UsageError(f"{error}{tell_default(run.method, run.model_spec.name)}") from None
    knows_classes = is_embedded and run.data.class_pattern is None
    check_initial_weights(resolved, knows_classes=knows_classes)
    if is_embedded:
        check_teacher(resolved)


def early_shape(run: RunSpec) -> Shape | None:
    """(H, W, C) of the model's input, as far as it is known without the data."""
    data = run.data
    own = EMBEDDED_SHAPE if data.source == EMBEDDED else None
    fine_tuning = find_method(run.method).fine_tuning
    side = fine_tuning.image_side(run.method_settings) if fine_tuning else None
    size = data.image_size or ((side, side) if side else None) or (own[:2] if own else None)
    channels = data.channels or (own[2] if own else 3)
    return None if size is None else (*size, channels)


def check_normalization(run: RunSpec, shape: Shape) -> None:
    """Refuse RGB statistics for images that are known to be grey.

    Raises:
        UsageError: See above.
    """
    if run.data.normalization in RGB_NORMALIZATIONS and shape[2] != 3:
        raise UsageError(
            f"received data.normalization={run.data.normalization!r} for images of {shape[2]} "
            "channels; allowed is it with 3: set data.channels=3 or data.normalization=unit"
        )
