"""Settings that a run leaves open, filled in from its data and its network."""

from poc.shared.data.splits.split import Split
from poc.shared.data.views.normalization import prepared_shape
from poc.shared.data.views.photos import are_photos
from poc.shared.spec.networks.layers import BatchNorm
from poc.shared.spec.reading.recipe import TrainingImages, describe_recipe, fill_in
from poc.shared.spec.run import RunSpec


def fill_open(run: RunSpec, split: Split) -> tuple[RunSpec, str | None]:
    """Fill in the settings that the run leaves to the recipe.

    Returns:
        The run, and one sentence about the values that were chosen; None if nothing was open.

    Raises:
        UsageError: The images are too small for the network.
    """
    if not run.open_settings:
        return run, None
    source, count = split.source, len(split.train)
    # Declared for the look at its layers alone: the recipe differs for networks with batch norm.
    network = run.model_spec.declare(prepared_shape(source, run.data), len(source.class_names))
    images = TrainingImages(
        num_images=count,
        are_photos=are_photos(source, split.train),
        has_norms=any(node.layer.kind == BatchNorm.kind for node in network.nodes),
    )
    filled = fill_in(run, images)
    return filled, describe_recipe(run, filled, count)
