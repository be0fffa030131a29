"""What a run leaves open, filled in by what its data and its network are."""

from poc.shared.data.splits.split import Split
from poc.shared.data.views.normalization import prepared_shape
from poc.shared.data.views.photos import are_photos
from poc.shared.spec.networks.layers import BatchNorm
from poc.shared.spec.reading.recipe import TrainingImages, describe_recipe, fill_in
from poc.shared.spec.run import RunSpec


def fill_open(run: RunSpec, split: Split) -> tuple[RunSpec, str | None]:
    """The run with what it leaves to the recipe filled in, and the sentence that says so, if any.

    Raises:
        UsageError: The images are too small for the network.
    """
    if not run.open_settings:
        return run, None
    source, count = split.source, len(split.train)
    network = run.model_spec.declare(prepared_shape(source, run.data), len(source.class_names))
    images = TrainingImages(
        num_images=count,
        are_photos=are_photos(source, split.train),
        has_norms=any(node.layer.kind == BatchNorm.kind for node in network.nodes),
    )
    filled = fill_in(run, images)
    return filled, describe_recipe(run, filled, count)
