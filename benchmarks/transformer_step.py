"""Time of a training step of ViT-S/16 in PyTorch: this project's and torchvision's own.

    python benchmarks/transformer_step.py --batch-size 8 --rounds 11

Both have the same weights, batch and optimiser, and take turns in one process. A step is the
forward pass, the loss, all gradients and SGD with momentum. The time of a step is the median over
the rounds; the last line has their ratio, of which 1.03 is the bound.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from poc.shared.engine.machine.malloc import keep_heap
from poc.shared.spec.networks.freezing import standalone
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.weights.published.native_names import name_native_layers

SIDE, CLASSES, BOUND = 224, 1000, 1.03
Step = Callable[[], object]


def main() -> int:
    """Print one line per form, and the ratio; 1 if it is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    keep_heap()
    times = time_in_turn(make_steps(given.batch_size), given.rounds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:12} {1000 * median:9.1f} ms", flush=True)
    # In pairs: what else the machine does hits both members of a round.
    ratio = statistics.median(ours / theirs for ours, theirs in zip(*times.values(), strict=True))
    print(f"ratio        {ratio:9.3f}, bound {BOUND}")
    return int(ratio > BOUND)


def make_steps(batch_size: int) -> dict[str, Step]:
    """Return a step of each form, from the same weights."""
    import torch
    from torchvision.models import VisionTransformer

    from poc.torch_impl import build_native_model

    spec = ModelSpec(name="vit_s16")
    network = standalone(spec.declare((SIDE, SIDE, 3), CLASSES))
    names = name_native_layers(network, spec, "torch")
    ours = build_native_model(network, draw_weights(network.parameters, 0), names)
    theirs = VisionTransformer(SIDE, 16, 12, 6, 384, 1536, num_classes=CLASSES)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(batch_size, 3, SIDE, SIDE)
    labels = torch.arange(batch_size) % CLASSES
    return {
        "ours": make_step(ours, images, labels),
        "torchvision": make_step(theirs, images, labels),
    }


def make_step(model: Any, images: Any, labels: Any) -> Step:
    """Return a training step of a module: images (N, C, H, W), labels (N,)."""
    import torch

    optimizer = torch.optim.SGD(model.train().parameters(), lr=1e-3, momentum=0.9)

    def step() -> object:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def time_in_turn(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round of each form; every second round goes the other way."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for index in range(rounds):
        order = list(steps) if index % 2 == 0 else list(steps)[::-1]
        for name in order:
            start = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    sys.exit(main())
