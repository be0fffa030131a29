"""The rows of a batch of which several ranks have a part each, in PyTorch."""

from collections.abc import Mapping

import torch

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE, FIRST_PLACE

from .collectives import sum_through


def gather_rows(
    values: torch.Tensor, extras: Mapping[str, torch.Tensor], *, length: int
) -> torch.Tensor:
    """Return the rows of all ranks in the order of one process: (N, K) -> (length, K).

    Rows behind the batch are 0. Gradients of any order pass to the rank that a row is from.

    Args:
        values: (N, K), of the examples of this rank.
        extras: Scalars () of the step, with the share of an example and the first one's place.
        length: Rows of the result, at least as many as the batch of all ranks has.
    """
    # A stand-in is no example of the batch.
    own = values * (extras[EXAMPLE_SHARE] > 0).to(values.dtype)
    places = torch.arange(len(own), device=own.device) + extras[FIRST_PLACE].long()
    rows = own.new_zeros(length, own.shape[1]).index_copy(0, places, own)
    return sum_through(rows)
