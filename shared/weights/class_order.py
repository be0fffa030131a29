"""Logits of a network in another order of their classes."""

from collections.abc import Sequence

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.light import LightConv2D, LightDense
from poc.shared.spec.networks.network import Network


def reordered_head(teacher: Network, weights: Arrays, order: Sequence[int]) -> Arrays:
    """Return the last layer's weights, each (…, num_classes), with its logits reordered.

    Logit `i` of the result was logit `order[i]`.

    Raises:
        UsageError: `order` is not a permutation of the classes, or the last layer is not plain.
    """
    if sorted(order) != list(range(teacher.num_classes)):
        raise UsageError(
            f"Got teacher.class_order={list(order)} for a teacher of {teacher.num_classes} "
            f"classes. Expected each of 0 to {teacher.num_classes - 1} once. Try correcting it."
        )
    head = teacher.head
    after = teacher.nodes[teacher.nodes.index(head) + 1 :]
    # A light layer reduces first; its last factor is what gives the logits.
    last = [p for p in head.parameters if not p.name.startswith(f"{head.name}/reduce/")]
    is_known = isinstance(head.layer, Dense | Conv2D | LightDense | LightConv2D)
    # A layer after the head that joins two values would mix other numbers with the logits.
    is_known &= all(len(node.inputs) == 1 for node in after)
    if not is_known or any(p.shape[-1] != teacher.num_classes for p in last):
        raise UsageError(
            f"Got a teacher of the model {teacher.name!r} with its classes in another order than "
            f"the run, and with a last layer {head.name!r} that gives more than its logits. "
            "Expected the order of the run. Try training the teacher on the same classes again."
        )
    return {p.name: weights[p.name][..., list(order)] for p in last}
