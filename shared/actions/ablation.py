"""The error of a trained network without single blocks at test time (arXiv 1605.06431).

A block is replaced by its shortcut, without any training. In a plain network (VGG) the blocks are
the convolutions whose output has the shape of their input.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.tables.networks import Removal
from poc.shared.data.sources.inspection import Note, ignore
from poc.shared.engine.numerics.answers import right_answers
from poc.shared.engine.numerics.metrics import average_views
from poc.shared.engine.trained_run import open_trained
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec

# Per batch: images (N * views, H, W, C) float32, and labels (N,) or (N, classes) int64.
Batches = list[tuple[NDArray[np.float32], NDArray[np.int64]]]
# The largest random set of blocks.
NUM_RANDOM = 10


def measure_removals(
    folder: Path,
    *,
    num_batches: int | None = None,
    data: str | None = None,
    note: Note = ignore,
) -> list[Removal]:
    """Measure the error of a run's best weights without each block, and without random sets.

    Args:
        folder: Run folder.
        num_batches: Test batches to evaluate; none: all.
        data: New place of the run's data; none: the recorded place.
        note: Called with each difference from the run.

    Returns:
        One row per measurement: `removed` (names), `kind` ("none", "identity", "projection" or
        "random"), `error` (share of wrong answers) and `num_images`.

    Raises:
        UsageError: As `open_trained`, or a network without removable blocks.
    """
    trained = open_trained(folder, data=data, note=note)
    run, weights = trained.run, trained.weights
    with trained.data as opened:
        choices = removals(declare_network(run), run.seed)
        pipeline = opened.test or opened.val or opened.train
        batches: Batches = [
            (batch.images, batch.labels) for batch in islice(pipeline.epoch(0), num_batches)
        ]
    with Worker(run.backend) as worker:
        return [
            {
                "kind": kind,
                "removed": list(names),
                "error": measure_error(worker, run, weights, batches, names),
                "num_images": sum(len(labels) for _, labels in batches),
            }
            for kind, names in choices
        ]


def removals(network: Network, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """List the (kind, names) of each measurement: none, each block, then growing random sets.

    Random sets contain only blocks with an identity shortcut.

    Raises:
        UsageError: The network has no block that can be removed.
    """
    blocks = network.removable
    if not blocks:
        raise UsageError(
            f"Got {network.name}, which has no block that can be left out. Expected a network with "
            "residual blocks or with convolutions that keep their shape. Try a run of such a model."
        )
    identities = [name for name, block in blocks.items() if block.is_identity]
    singles = [
        ("identity" if block.is_identity else "projection", (name,))
        for name, block in blocks.items()
    ]
    generator = np.random.default_rng(seed)
    order = [identities[index] for index in generator.permutation(len(identities))]
    growing = [
        ("random", tuple(order[:count])) for count in range(1, min(NUM_RANDOM, len(identities)) + 1)
    ]
    return [("none", ()), *singles, *growing]


def measure_error(
    worker: Worker, run: RunSpec, weights: Weights, batches: Batches, removed: Sequence[str]
) -> float:
    """Return the share of wrong answers of the network without the blocks `removed`.

    The `Weights` are canonical. The crops of an image are answered together, as in the run's test.
    """
    spec = run.model_dump(mode="json")
    spec["model"]["removed"] = list(removed)
    wrong = 0
    for images, labels in batches:
        logits = worker.call(Operations.logits, run=spec, weights=weights, images=images)
        crops = len(images) // len(labels)
        answers = average_views(logits, crops, run.data.eval_view.average)
        wrong += int((~right_answers(answers, labels)).sum())
    return wrong / sum(len(labels) for _, labels in batches)
