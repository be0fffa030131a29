"""Batches that give a batch norm one value a channel: an image alone, on a map of 1x1.

Such a batch has no variance. One at the end of an epoch is computed, equally in both backends: its
output is beta, and the moving variance stays as it is. Where every batch is such, no batch norm
would ever pass anything on, and the run is refused.
"""

from collections.abc import Iterator

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers import BatchNorm
from poc.shared.spec.networks.network import Node
from poc.shared.spec.resolved import ResolvedRun


def check_single_values(run: ResolvedRun, train: Pipeline) -> str | None:
    """What to tell of a last batch that is one image; none: nothing.

    Raises:
        UsageError: Every batch is one image, and a batch norm sees it on a map of 1x1.
    """
    found = next(single_norms(run), None)
    size, count = run.spec.data.batch_size, train.examples
    if found is None or train.num_views > 1:
        return None
    where = f"{found.name!r} (a map of {map_size(found)})"
    if 1 in (size, count):
        raise UsageError(
            f"received data.batch_size={size} for {count} training images, so that the batch norm "
            f"{where} would have one value a channel and no variance in every batch; allowed are "
            "two images a batch: raise data.batch_size, train on more images, or set a larger "
            "data.image_size"
        )
    if count % size != 1:
        return None
    return (
        f"The last of the {train.num_batches} batches of {size} is one image ({count:,} in all): "
        f"the batch norm {where} gives beta for it, and its moving variance stays as it is "
        "(data.drop_last=true leaves that batch out)."
    )


def single_norms(run: ResolvedRun) -> Iterator[Node]:
    """Batch norms of any stage that learn from the batch and see one value an image."""
    for stage in run.stages:
        network = run.at_stage(stage.name).trained_network
        for node in network.needed([network.output]):
            is_norm = isinstance(node.layer, BatchNorm) and node.uses_batch_statistics
            if is_norm and set(node.output_shape[:-1]) <= {1}:
                yield node


def map_size(node: Node) -> str:
    """`1x1`; a vector is a map of one pixel."""
    return "x".join(str(side) for side in node.output_shape[:-1]) or "1x1"
