"""Prints the rates of PyTorch's own schedulers, a warm-up before each, as JSON."""

import json

import torch  # noqa: TID253
from torch.optim import lr_scheduler  # noqa: TID253

NUM_STEPS, WARMUP, BASE, FLOOR = 30, 10, 0.1, 0.02


def sequence(name: str, warmup: int, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    """The schedule, after `warmup` steps of a linear rise that ends at the whole rate."""
    left = NUM_STEPS - warmup
    after = {
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, T_max=left),
        "cosine to a floor": lambda: lr_scheduler.CosineAnnealingLR(optimizer, left, FLOOR),
        # Milestones at steps 15 and 24 of the whole run.
        "step": lambda: lr_scheduler.MultiStepLR(optimizer, [15 - warmup, 24 - warmup], 0.1),
    }[name]
    if not warmup:
        return after()
    rise = lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1)
    return lr_scheduler.SequentialLR(optimizer, [rise, after()], milestones=[warmup])


def rates(name: str, warmup: int) -> list[float]:
    """The rate of every step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    schedule, found = sequence(name, warmup, optimizer), []
    for _ in range(NUM_STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


names = ("cosine", "cosine to a floor", "step")
print(json.dumps({f"{name}, {w}": rates(name, w) for name in names for w in (0, WARMUP)}))
