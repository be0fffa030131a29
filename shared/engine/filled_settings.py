"""Settings that a run leaves open, filled in from its data and its network."""

from poc.shared.data.splits.split import Split
from poc.shared.data.views.normalization import prepared_shape
from poc.shared.data.views.photos import are_photos
from poc.shared.spec.networks.layers.elementwise import BatchNorm
from poc.shared.spec.reading.recipe import TrainingImages, fill_in
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
    network = run.model_spec.declare(shape, len(source.class_names))
    images = TrainingImages(
        num_images=len(split.train),
        are_photos=are_photos(source, split.train),
        has_norms=any(node.layer.kind == BatchNorm.kind for node in network.nodes),
    )
    return fill_in(run, images)
