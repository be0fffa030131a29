"""Rungs of a method that fits its head: the features of both backends, and the heads they give."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from poc.shared.engine.training.heads.choice import candidates_of, fit
from poc.shared.files.arrays import Arrays
from poc.shared.spec.methods.fitted_heads import LogisticOptions
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun

from .backend_pair import BackendPair
from .batches import Batch
from .rungs import Rung, compare
from .tolerances import TOLERANCES


def compare_heads(
    pair: BackendPair, run: ResolvedRun, weights: Weights, batches: Sequence[Batch]
) -> Iterator[Rung]:
    """Compare the features (N, F) of all batches under `weights`, then the heads fitted to them.

    Image k has the class k modulo the number of classes, so that no class is without images.
    """
    features = gather_features(pair, run, weights, batches)
    tolerances = TOLERANCES[run.spec.precision]
    yield compare("features", features, tolerances.logits)
    values = [next(iter(found.values())) for found in features]
    labels = np.arange(len(values[0])) % run.network.num_classes
    (chosen,) = candidates_of(run, len(labels), is_chosen=False)
    heads = [fit(run, value, labels, chosen)[0] for value in values]
    is_solved = isinstance(run.method_settings, LogisticOptions)
    yield compare("fitted head", heads, tolerances.heads if is_solved else tolerances.logits)


def gather_features(
    pair: BackendPair, run: ResolvedRun, weights: Weights, batches: Sequence[Batch]
) -> list[Arrays]:
    """Return what the last layer reads, (N, F), for the images of all batches, per backend."""
    (source,) = run.network.head.inputs
    maps = [pair.features(weights, batch["images"], [source]) for batch in batches]
    return [
        cast(Arrays, {source: np.concatenate([found[side][source] for found in maps])})
        for side in range(len(pair.workers))
    ]
