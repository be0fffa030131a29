"""Sums over the processes that train one run together, in TensorFlow: collective operations."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from poc.shared.engine.ranks.place import Place
from poc.shared.spec.run import RunSpec

# Any number that no other group of this process has.
_GROUP_KEY = 1
# Number of ranks, and the number of sums that the running step has asked for.
_STATE = {"count": 1, "sums": 0}
# The share () of each example of the running step, while batch norms normalise by all ranks; a
# list, so that a batch norm sees the current one.
_SHARES: list[tf.Tensor | None] = []


def join(run: RunSpec, place: Place) -> None:
    """Connect this process to the other ranks; called once, before anything is built."""
    cluster = tf.train.ClusterSpec({"worker": list(place.addresses)})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, task_type="worker", task_id=place.index, rpc_layer="grpc"
    )
    # Made for what it sets up: servers, the group's leader and its watch over dead ranks. Variables
    # stay those of one process, and the sums below are the operations that it would use.
    tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    _STATE["count"] = place.count


def is_joined() -> bool:
    """Say if this process is one of several ranks."""
    return _STATE["count"] > 1


def sum_over_ranks(values: tf.Tensor) -> tf.Tensor:
    """Return the sum of a tensor (…) over all ranks; no gradient passes."""
    _STATE["sums"] += 1
    # Ranks match their sums by this key. It is no count of traced operations: one rank may trace a
    # step again, for a part of another size, while another does not.
    name = f"{_STATE['sums']} {values.dtype.name} {values.shape}"
    return tf.raw_ops.CollectiveReduceV2(
        input=tf.stop_gradient(values),
        group_size=_STATE["count"],
        group_key=_GROUP_KEY,
        instance_key=zlib.crc32(name.encode()) & 0x7FFFFFFF,
        ordering_token=[],
        merge_op="Add",
        final_op="Id",
    )


def sum_all(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the sums of tensors (…) of one type over all ranks, with one exchange for all."""
    if not values:
        return []
    flat = sum_over_ranks(tf.concat([tf.reshape(value, [-1]) for value in values], 0))
    parts = tf.split(flat, [value.shape.num_elements() for value in values])
    return [tf.reshape(part, value.shape) for part, value in zip(parts, values, strict=True)]


@contextmanager
def counting(share: tf.Tensor | None) -> Iterator[None]:
    """Begin a step of all ranks; batch norms within the block normalise by the batches of all.

    Args:
        share: () share of each example of this rank in the global batch; 0: it counts nothing;
            none: each rank normalises by its own part.
    """
    # Every rank asks for the same sums in the same order.
    _STATE["sums"] = 0
    _SHARES.append(share)
    try:
        yield
    finally:
        _SHARES.pop()


def current_share() -> tf.Tensor | None:
    """Return the share () of the running step; None outside `counting`."""
    return _SHARES[-1] if _SHARES else None
