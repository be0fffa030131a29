"""Sums over the processes that train one run together, in PyTorch.

NCCL adds up where each process has a GPU of its own, gloo elsewhere: on CPUs, and on a GPU that
several share, which NCCL refuses.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from torch import distributed

from poc.shared.engine.ranks.place import Place
from poc.shared.spec.run import RunSpec
from poc.torch_impl.device import find_device

# Ranks wait for each other while rank 0 writes or one of them reads slowly. A rank that has died is
# noticed by its closed connection, and by the command, which ends the others.
_TIMEOUT = timedelta(hours=2)


class RankedStep(NamedTuple):
    """A step of all ranks that is running.

    Attributes:
        share: () share of each example of this rank in the global batch.
        is_twice: Its gradient is differentiated again.
    """

    share: torch.Tensor
    is_twice: bool


# The running step, while batch norms normalise by all ranks; a list, so that a batch norm sees the
# current one.
_STEPS: list[RankedStep | None] = []


def join(run: RunSpec, place: Place) -> None:
    """Connect this process to the other ranks; called once, before anything is built."""
    meeting = f"tcp://{place.addresses[0]}"
    store, *_ = next(distributed.rendezvous(meeting, place.index, place.count, timeout=_TIMEOUT))
    store.set_timeout(_TIMEOUT)
    library = "gloo"
    if find_device(run) != "cpu":
        # Ranks of one machine take one GPU each.
        torch.cuda.set_device(place.local_index % torch.cuda.device_count())
        library = _choose_library(store, place)
    distributed.init_process_group(
        library, store=store, rank=place.index, world_size=place.count, timeout=_TIMEOUT
    )


def _choose_library(store: distributed.Store, place: Place) -> str:
    """Return `gloo` if several ranks share a GPU, which NCCL refuses; all ranks choose the same.

    Counts of GPUs and ranks would not do: a launcher may show each rank one GPU, its own.
    """
    own = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
    store.set(f"gpu of rank {place.index}", str(own))
    found = {store.get(f"gpu of rank {index}") for index in range(place.count)}
    return "nccl" if len(found) == place.count else "gloo"


def is_joined() -> bool:
    """Say if this process is one of several ranks."""
    return bool(distributed.is_initialized())


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor (…) over all ranks; no gradient passes."""
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


def sum_through(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor (…) over all ranks, through which gradients of any order pass.

    The gradient is that of all ranks' results: each of them depends on each rank's values.
    """
    total: torch.Tensor = _SumThrough.apply(values)
    return total


class _SumThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return sum_over_ranks(values)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
        return sum_through(upstream)


def sum_named(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the sums of tensors (…) over all ranks by their names, in a step of several ranks.

    In any other step they are what they were. No gradient passes.
    """
    if current_step() is None:
        return dict(values)
    return dict(zip(values, sum_all(list(values.values())), strict=True))


def sum_all(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the sums of tensors (…) of one type over all ranks, with one exchange for all."""
    if not values:
        return []
    flat = sum_over_ranks(torch.cat([value.reshape(-1) for value in values]))
    parts = flat.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


@contextmanager
def counting(share: torch.Tensor | None, *, is_twice: bool = False) -> Iterator[None]:
    """Begin a step of all ranks; batch norms within the block normalise by the batches of all.

    Args:
        share: () share of each example of this rank in the global batch; 0: it counts nothing;
            none: each rank normalises by its own part.
        is_twice: The gradient is differentiated again.
    """
    _STEPS.append(None if share is None else RankedStep(share, is_twice))
    try:
        yield
    finally:
        _STEPS.pop()


def current_step() -> RankedStep | None:
    """Return the running step of all ranks; None outside `counting`, or if each is by itself."""
    return _STEPS[-1] if _STEPS else None
