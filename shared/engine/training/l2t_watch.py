"""Record of an l2t-ww run while it learns: weights of pairs and channels, and what breaks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import CheckFailed
from poc.shared.files.arrays import Arrays
from poc.shared.spec.methods.l2t_ww import ChannelPair, L2TWWOptions

JUDGED = (
    # One index of `judged` each, in the order in which the phases compute them.
    "the cross-entropy of phase 3",
    "the outer loss of phase 4",
    "the hyper-gradient of phase 4",
)
ADVICE = (
    "Expected finite values; the last good checkpoint is kept. Try a lower "
    "optimizer.learning_rate or beta, or set standardize=true, clip_norm=1, meta_clip_norm=1 or "
    "regressor_scale=0."
)


def total_shapes(options: L2TWWOptions, pairs: Sequence[ChannelPair]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the sums that a batch adds to, in the order of the phases.

    `judged` holds the cross-entropy of phase 3, the outer loss, the hyper-gradient's norm, and the
    number of batches on which there was one.
    """
    return {
        "pair_weight": (len(pairs),),
        "matching": (1, len(pairs)),
        "channel_weight": (sum(pair.num_source_channels for pair in pairs),),
        "count": (),
        "look_ahead": (options.num_inner_steps, len(pairs)),
        "judged": (len(JUDGED) + 1,),
    }


def check_finite(totals: Mapping[str, NDArray[Any]], pairs: Sequence[ChannelPair]) -> None:
    """Refuse sums (…), of the shapes in `total_shapes`, that are not finite.

    Raises:
        CheckFailed: Names the first phase that broke, and its pairs.
    """
    # In the order of computation, so that the error names the cause and not what follows from it.
    phases = {"phase 1": totals["matching"][0]}
    phases |= {f"phase 2, step {i + 1},": row for i, row in enumerate(totals["look_ahead"])}
    for phase, row in phases.items():
        wrong = [pairs[int(index)].name for index in np.flatnonzero(~np.isfinite(row))]
        if wrong:
            others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise CheckFailed(
                f"Got a matching loss of {phase} that is not finite for the pair {wrong[0]}"
                f"{others}. {ADVICE}"
            )
    # The last of `judged` is a count of batches, which `zip` leaves out.
    for name, value in zip(JUDGED, totals["judged"], strict=False):
        if not np.isfinite(value):
            raise CheckFailed(f"Got a value of {name} that is not finite. {ADVICE}")


def describe_totals(
    totals: Mapping[str, NDArray[Any]], pairs: Sequence[ChannelPair]
) -> dict[str, float]:
    """Return means of sums (…) as metrics: `pair_weight/PAIR`, `matching/PAIR`.

    The sums have the shapes in `total_shapes`.

    If phi learns, add `outer_loss` and `hyper_gradient_norm`, over the batches on which it learns.
    """
    count = float(totals["count"])
    means: dict[str, float] = {}
    rows = {"pair_weight": totals["pair_weight"], "matching": totals["matching"][0]}
    for kind, values in rows.items():
        means |= {f"{kind}/{p.name}": float(v) / count for p, v in zip(pairs, values, strict=True)}
    _, outer, norm, batches = (float(value) for value in totals["judged"])
    if batches:
        means |= {"outer_loss": outer / batches, "hyper_gradient_norm": norm / batches}
    return means


def split_channels(values: NDArray[Any], pairs: Sequence[ChannelPair]) -> Arrays:
    """Split `values`, (sum of channels,), into pair -> (num_source_channels,)."""
    bounds = np.cumsum([pair.num_source_channels for pair in pairs])[:-1]
    return dict(zip((pair.name for pair in pairs), np.split(values, bounds), strict=True))
