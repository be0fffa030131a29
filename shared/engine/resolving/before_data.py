"""The first half of a run's checks: those that need no data and no process of a framework.

The images' shape is known early if the settings give it or the source always has the same one. The
checks in `after_data` run in the worker.
"""

from poc.shared.data.sources.table import known_images, require_source
from poc.shared.errors import UsageError
from poc.shared.shown_names import say
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import read_initial_weights, require_weight_file

from .decay import check_decay
from .stages import check_stages
from .teacher import check_teacher, require_teacher, resolve_teacher

# Statistics of ImageNet's three channels; other normalisations fit any number of channels.
RGB_NORMALIZATIONS = ("torch", "caffe")
# Any number of classes serves to declare a network when only its input size is checked.
SOME_CLASSES = 2


def check_before_data(run: RunSpec) -> None:
    """Refuse a run that is known to fail by its data, plan, weights, teacher or sizes.

    Raises:
        UsageError: The run would fail; the message names both sides.
    """
    require_source(run.data.source)
    check_plan(run)
    require_weight_file(run)
    require_teacher(run)
    run, known = resolve_teacher(run), known_images(run.data.source)
    shape = early_shape(run)
    if shape is None:
        return
    check_normalization(run, shape)
    classes = run.num_classes or (known.num_classes if known else SOME_CLASSES)
    run = run.replace(input_shape=shape, num_classes=classes)
    # A pattern takes the classes from the file names, which are not read yet.
    knows_classes = known is not None and run.data.class_pattern is None
    if known is not None:
        run.loss.check_labels(run.data.source, is_multi_label=known.is_multi_label)
    if knows_classes and run.loss.class_weights != "balanced":
        run.loss.weights_of(classes)
    read_initial_weights(run, declare_network(run), knows_classes=knows_classes)
    if known is not None:
        resolved = resolve_networks(run)
        check_stages(resolved)
        check_decay(resolved)
        check_teacher(resolved)


def check_plan(run: RunSpec) -> None:
    """Refuse stages that do not fit the number of epochs.

    Raises:
        UsageError: The numbers contradict each other; the message names both.
    """
    find_method(run.method).plan_stages(run.method_settings, run.num_epochs)


def early_shape(run: RunSpec) -> Shape | None:
    """Return (H, W, C) of the model's input, or None if it is not known without the data."""
    data, known = run.data, known_images(run.data.source)
    size = run.asked_size
    if size is None and known is not None:
        size = known.shape[:2]
    channels = data.channels or (known.shape[2] if known else 3)
    return None if size is None else (*size, channels)


def check_normalization(run: RunSpec, shape: Shape) -> None:
    """Refuse RGB statistics for images that are known to be grey.

    Raises:
        UsageError: The settings contradict each other; the message names both.
    """
    if run.data.normalization in RGB_NORMALIZATIONS and shape[2] != 3:
        raise UsageError(
            f"Got data.normalization={run.data.normalization!r} for images of "
            f"{say(shape[2], 'channel')}. Expected 3 channels. Try "
            "data.channels=3 or data.normalization=unit."
        )
