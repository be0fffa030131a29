"""Prints the rates of PyTorch's own schedulers, a warm-up before each, as JSON."""

import itertools
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
        "polynomial": lambda: lr_scheduler.PolynomialLR(optimizer, left),
        "polynomial of power 2.5": lambda: lr_scheduler.PolynomialLR(optimizer, left, 2.5),
        "one cycle": lambda: one_cycle(optimizer, NUM_STEPS),
    }[name]
    if not warmup:
        return after()
    rise = lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1)
    return lr_scheduler.SequentialLR(optimizer, [rise, after()], milestones=[warmup])


def one_cycle(
    optimizer: torch.optim.Optimizer, num_steps: int, **options: float
) -> lr_scheduler.LRScheduler:
    """PyTorch's one cycle; the momentum, which it would change too, stays."""
    return lr_scheduler.OneCycleLR(
        optimizer, BASE, total_steps=num_steps, cycle_momentum=False, **options
    )


def make_optimizer() -> torch.optim.Optimizer:
    """An optimiser of one number."""
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)


def rates(name: str, warmup: int) -> list[float]:
    """The rate of every step."""
    optimizer = make_optimizer()
    return follow(optimizer, sequence(name, warmup, optimizer), NUM_STEPS)


def follow(
    optimizer: torch.optim.Optimizer, schedule: lr_scheduler.LRScheduler, num_steps: int
) -> list[float]:
    """The rate of every step of a schedule."""
    found = []
    for _ in range(num_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def cycle(num_steps: int, rise: float, start: float, final: float) -> list[float]:
    """The rate of every step of one cycle: shares of the run and of the full rate."""
    optimizer = make_optimizer()
    divisors = {"div_factor": 1 / start, "final_div_factor": start / final}
    schedule = one_cycle(optimizer, num_steps, pct_start=rise, **divisors)
    return follow(optimizer, schedule, num_steps)


names = ("cosine", "cosine to a floor", "step", "polynomial", "polynomial of power 2.5")
found = {f"{name}, {w}": rates(name, w) for name in names for w in (0, WARMUP)}
cycles = [
    [*case, cycle(*case)]
    for case in itertools.product((2, 3, 7, 30, 1000), (0.0, 0.1, 0.3, 0.77), (0.04, 0.5), (4e-6,))
]
print(json.dumps({"sequences": found | {"one cycle, 0": rates("one cycle", 0)}, "cycles": cycles}))
