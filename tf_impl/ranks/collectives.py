"""Sums over the processes that train one run together, in TensorFlow: collective operations."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import tensorflow as tf

from poc.shared.engine.ranks.place import Place
from poc.shared.spec.run import RunSpec

# Any number that no other group of this process has.
_GROUP_KEY = 1
# Number of ranks, and the number of sums that the running step has asked for.
_STATE = {"count": 1, "sums": 0}


class RankedStep(NamedTuple):
    """A step of all ranks that is running.

    Attributes:
        share: () share of each example of this rank in the global batch.
        is_twice: Its gradient is differentiated again.
    """

    share: tf.Tensor
    is_twice: bool


# The running step, while batch norms normalise by all ranks; a list, so that a batch norm sees the
# current one.
_STEPS: list[RankedStep | None] = []


def join(run: RunSpec, place: Place) -> None:
    """Connect this process to the other ranks; called once, before anything is built."""
    # On the CPU `prepare` has hidden all of them.
    if gpus := tf.config.get_visible_devices("GPU"):
        # Ranks of one machine take one GPU each.
        tf.config.set_visible_devices(gpus[place.local_index % len(gpus)], "GPU")
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


def sum_through(values: tf.Tensor) -> tf.Tensor:
    """Return the sum of a tensor (…) over all ranks, through which gradients of any order pass.

    The gradient is that of all ranks' results: each of them depends on each rank's values.
    """
    return _sum_through(values)


@tf.custom_gradient
def _sum_through(values: tf.Tensor) -> Any:
    return sum_over_ranks(values), sum_through


def sum_named(values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the sums of tensors (…) over all ranks by their names, in a step of several ranks.

    In any other step they are what they were. No gradient passes.
    """
    if current_step() is None:
        return dict(values)
    return dict(zip(values, sum_all(list(values.values())), strict=True))


def sum_all(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the sums of tensors (…) of one type over all ranks, with one exchange for all."""
    if not values:
        return []
    flat = sum_over_ranks(tf.concat([tf.reshape(value, [-1]) for value in values], 0))
    parts = tf.split(flat, [value.shape.num_elements() for value in values])
    return [tf.reshape(part, value.shape) for part, value in zip(parts, values, strict=True)]


@contextmanager
def counting(share: tf.Tensor | None, *, is_twice: bool = False) -> Iterator[None]:
    """Begin a step of all ranks; batch norms within the block normalise by the batches of all.

    Args:
        share: () share of each example of this rank in the global batch; 0: it counts nothing;
            none: each rank normalises by its own part.
        is_twice: The gradient is differentiated again.
    """
    # Every rank asks for the same sums in the same order.
    _STATE["sums"] = 0
    _STEPS.append(None if share is None else RankedStep(share, is_twice))
    try:
        yield
    finally:
        _STEPS.pop()


def current_step() -> RankedStep | None:
    """Return the running step of all ranks; None outside `counting`, or if each is by itself."""
    return _STEPS[-1] if _STEPS else None
