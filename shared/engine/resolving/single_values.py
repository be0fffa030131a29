"""Batches in which a batch norm has one value per channel: a single image on a map of 1x1.

Such a batch has no variance. If only the last batch of an epoch is one, it is computed, equally in
both backends: the output is beta, and the moving variance does not change. If every batch is one,
the batch norm would never pass a value on, and the run is refused.
"""

from collections.abc import Iterator

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers.elementwise import BatchNorm
from poc.shared.spec.networks.network import Node
from poc.shared.spec.resolved import ResolvedRun


def check_single_values(run: ResolvedRun, train: Pipeline) -> str | None:
    """Return a note about a last batch of one image; None if there is no such batch.

    Raises:
        UsageError: Every batch is one image, and a batch norm has it on a map of 1x1.
    """
    found = next(single_norms(run), None)
    size, count = run.spec.data.batch_size, train.examples
    # Several views of an image give several values.
    if found is None or train.num_views > 1:
        return None
    where = f"{found.name!r} (a map of {map_size(found)})"
    if 1 in (size, count):
        raise UsageError(
            f"Got data.batch_size={size} for {count} training images, so that the batch norm "
            f"{where} would have one value per channel and no variance in every batch. Expected at "
            "least two images per batch. Try raising data.batch_size, training on more images, or "
            "setting a larger data.image_size."
        )
    if count % size != 1:
        return None
    return (
        f"The last of the {train.num_batches} batches of {size} is one image ({count:,} in all): "
        f"the batch norm {where} gives beta for it, and its moving variance does not change "
        "(data.drop_last=true leaves that batch out)."
    )


def single_norms(run: ResolvedRun) -> Iterator[Node]:
    """Yield the batch norms of all stages that use the batch's statistics on a map of 1x1."""
    for stage in run.stages:
        network = run.at_stage(stage.name).trained_network
        for node in network.needed([network.output]):
            is_norm = isinstance(node.layer, BatchNorm) and node.uses_batch_statistics
            if is_norm and set(node.output_shape[:-1]) <= {1}:
                yield node


def map_size(node: Node) -> str:
    """Return the size of a node's map as `HxW`; a vector is a map of one pixel."""
    return "x".join(str(side) for side in node.output_shape[:-1]) or "1x1"
