"""Sums over the processes that train one run together, in PyTorch: NCCL on a GPU, gloo on a CPU."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from poc.shared.engine.ranks.place import Place
from poc.shared.spec.run import RunSpec
from poc.torch_impl.device import find_device

# Ranks wait for each other while rank 0 writes or one of them reads slowly. A rank that has died is
# noticed by its closed connection, and by the command, which ends the others.
_TIMEOUT = timedelta(hours=2)
# The share () of each example of the running step, while batch norms normalise by all ranks; a
# list, so that a batch norm sees the current one.
_SHARES: list[torch.Tensor | None] = []


def join(run: RunSpec, place: Place) -> None:
    """Connect this process to the other ranks; called once, before anything is built."""
    is_cpu = find_device(run) == "cpu"
    if not is_cpu:
        # Ranks of one machine take one GPU each.
        torch.cuda.set_device(place.local_index % torch.cuda.device_count())
    distributed.init_process_group(
        "gloo" if is_cpu else "nccl",
        init_method=f"tcp://{place.addresses[0]}",
        rank=place.index,
        world_size=place.count,
        timeout=_TIMEOUT,
    )


def is_joined() -> bool:
    """Say if this process is one of several ranks."""
    return bool(distributed.is_initialized())


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor (…) over all ranks; no gradient passes."""
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


def sum_all(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the sums of tensors (…) of one type over all ranks, with one exchange for all."""
    if not values:
        return []
    flat = sum_over_ranks(torch.cat([value.reshape(-1) for value in values]))
    parts = flat.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


@contextmanager
def counting(share: torch.Tensor | None) -> Iterator[None]:
    """Begin a step of all ranks; batch norms within the block normalise by the batches of all.

    Args:
        share: () share of each example of this rank in the global batch; 0: it counts nothing;
            none: each rank normalises by its own part.
    """
    _SHARES.append(share)
    try:
        yield
    finally:
        _SHARES.pop()


def current_share() -> torch.Tensor | None:
    """Return the share () of the running step; None outside `counting`."""
    return _SHARES[-1] if _SHARES else None
