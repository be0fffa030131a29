"""Settings that a run leaves open, filled in from its data and its network."""

from collections.abc import Sequence

from poc.shared.data.sources.base import Source
from poc.shared.data.sources.inspection import Note
from poc.shared.data.splits.split import Split
from poc.shared.data.views.normalization import prepared_shape
from poc.shared.data.views.photos import are_photos
from poc.shared.engine.numerics.class_weights import balanced_weights
from poc.shared.spec.methods.fitted_heads import NeighboursOptions
from poc.shared.spec.networks.layers.elementwise import BatchNorm
from poc.shared.spec.reading.recipe import TrainingImages, fill_in
from poc.shared.spec.resolved import declare_for
from poc.shared.spec.run import RunSpec


def fill_open(run: RunSpec, split: Split) -> RunSpec:
    """Fill in the settings that the run leaves to the recipe.

    Raises:
        UsageError: The images are too small for the network.
    """
    if not run.open_settings:
        return run
    source = split.source
    # Declared for the look at its layers alone: the recipe differs for networks with batch norm.
    shape = prepared_shape(source, run.data, int(split.train[0]))
    network = declare_for(run, shape, len(source.class_names))
    images = TrainingImages(
        num_images=len(split.train),
        are_photos=are_photos(source, split.train),
        has_norms=any(node.layer.kind == BatchNorm.kind for node in network.nodes),
    )
    return fill_in(run, images)


def fill_stored_images(run: RunSpec, num_images: int) -> RunSpec:
    """Declare the classifier of a run by nearest neighbours, which stores its training images."""
    options = run.method_settings
    if not isinstance(options, NeighboursOptions):
        return run
    stored = options.store(num_images).model_dump(mode="json")
    return run.replace(model={**run.model_spec.model_dump(mode="json"), "stored_images": stored})


def fill_loss(run: RunSpec, source: Source, tell: Note) -> RunSpec:
    """Take the loss for any number of labels if the images have them, and only then.

    Raises:
        UsageError: The loss is for the other kind of data.
    """
    if source.is_multi_label and run.loss.name == "cross_entropy":
        tell(f"The images of {source.name} have any number of labels: the loss is binary.")
        return run.replace(
            loss={**run.loss.model_dump(mode="json"), "name": "binary_cross_entropy"}
        )
    run.loss.check_labels(source.name, is_multi_label=source.is_multi_label)
    return run


def fill_class_weights(run: RunSpec, split: Split, tell: Note) -> RunSpec:
    """Count balanced class weights over the training part; refuse a list of another length.

    The run then has numbers, so that a resume and an evaluation use the same ones.

    Raises:
        UsageError: A class has no training image, or there is not one number per class.
    """
    names = split.source.class_names
    if run.loss.class_weights != "balanced":
        run.loss.weights_of(len(names))
        return run
    weights = balanced_weights(split.source.labels[split.train], names)
    tell(describe_weights(weights, names))
    return run.replace(loss={**run.loss.model_dump(mode="json"), "class_weights": weights})


def describe_weights(weights: Sequence[float], class_names: Sequence[str]) -> str:
    """Write the smallest and the largest class weight in one sentence."""
    rows = sorted(zip(weights, class_names, strict=True), key=lambda row: row[0])
    (least, common), (most, rare) = rows[0], rows[-1]
    return f"Class weights (balanced): from {least:.4g} for {common!r} to {most:.4g} for {rare!r}."
