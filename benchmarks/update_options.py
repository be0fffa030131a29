"""Cost of a step with each option of the update, compared with the framework's own way of doing it.

    OMP_NUM_THREADS=1 python benchmarks/update_options.py --backend torch
    TF_NUM_INTRAOP_THREADS=1 python benchmarks/update_options.py --backend tf --rounds 60

Both sides run the same forward and backward pass of the same network on the same batch. After it
comes this project's update, or that of a user of the framework: `torch.nn.utils.clip_grad_norm_`,
`torch.optim.swa_utils.AveragedModel` and a `backward` per batch, or the options `global_clipnorm`,
`use_ema` and `gradient_accumulation_steps` of `keras.optimizers.Adam`. Keras averages no running
statistics, so its average is smaller.

The sides of all options take turns in one process (own, framework, framework, own). The script
prints the median of the ratios of a round, with the quartiles, in processor seconds and in seconds
of the clock. The steps of a tiny network mostly show what a plain step costs more or less here. So
the next column has the same ratio, divided by that of the plain steps of the round: the cost of the
option alone, in processor seconds. The last two are what the option adds to a plain step of its own
side. The exit code is 1 if an option alone costs more than the promised ratio.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.step_numbers import group_batches, inputs_of_step
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

PROMISED_RATIO = 1.03
ROUNDS, WARMUP, STEPS_A_TURN, GROUP = 30, 4, 4, 4
RATE, CLIP_NORM, DECAY = 1e-3, 1.0, 0.999
# Name -> model, options, input shape, batch size.
NETS: dict[str, tuple[str, dict[str, Any], tuple[int, int, int], int]] = {
    "small lightnet_plain": ("lightnet_plain", {"k": 2, "widths": [4, 4]}, (8, 8, 1), 8),
    "resnet32_cifar": ("resnet32_cifar", {}, (32, 32, 3), 16),
    "vgg16, width 1/4": ("vgg16", {"width": 0.25}, (64, 64, 3), 8),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clip_norm": {"optimizer": {"clip_norm": CLIP_NORM}},
    "ema.decay": {"ema": {"decay": DECAY, "warmup": False}},
    "accumulation_steps": {"optimizer": {"accumulation_steps": GROUP}},
}
# Takes the given number of steps.
Side = Callable[[int], None]


class Cost(NamedTuple):
    """Seconds of the processor and of the clock."""

    processor: float
    clock: float


def main() -> int:
    """Measure every network, and print one line for each option."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--net", choices=list(NETS), action="append", help="only this; repeatable")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    print("| network | option | processor | clock | option alone | adds here | adds there |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    for net in arguments.net or NETS:
        rounds = measure(make_sides(arguments.backend, net), arguments.rounds)
        for name in OPTIONS:
            print(line_of(net, name, rounds), flush=True)
            worst = max(worst, statistics.median(alone(rounds, name)))
    return int(worst > PROMISED_RATIO)


def make_sides(backend: str, net: str) -> dict[str, tuple[Side, Side]]:
    """Return option -> the steps of this project, and those of a user of the framework."""
    model, options, shape, batch_size = NETS[net]
    module, sides = load(backend), {}
    frameworks = {"torch": torch_side, "tf": tf_side}[backend]
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch_size, *shape)).astype(np.float32)
    labels = generator.integers(0, 10, batch_size)
    for name, fields in OPTIONS.items():
        values = {
            "method": "scratch",
            "backend": backend,
            "model": {"name": model, "options": options},
            "input_shape": shape,
            "num_classes": 10,
            **fields,
        }
        run = RunSpec.parse(values, "")
        module.prepare(run)
        resolved = resolve_networks(run)
        sides[name] = (
            own_side(module, resolved, images, labels),
            frameworks(module, resolved, images, labels, name),
        )
    return sides


def own_side(module: Any, run: ResolvedRun, images: Any, labels: Any) -> Side:
    """Return this project's steps on a batch of images (N, H, W, C) and labels (N,)."""
    trainer = module.Trainer(run, draw_weights(run.trained_network.parameters, 0))
    count = run.spec.optimizer.accumulation_steps
    grouping = group_batches(run, [len(labels)] * count)
    steps = []
    for position in range(count):
        noise, numbers = inputs_of_step(run, grouping, position)
        steps.append(trainer.prepared_step(images, labels, RATE, noise, numbers))

    def take(num_steps: int) -> None:
        for step in range(num_steps):
            steps[step % count]()
        trainer.wait()

    return take


def torch_side(module: Any, run: ResolvedRun, images: Any, labels: Any, option: str) -> Side:
    """Return the steps of a user of PyTorch: images (N, H, W, C), labels (N,)."""
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    plain = ResolvedRun(**{**vars_of(run), "spec": run.spec.replace(ema={}, optimizer={})})
    trainer = module.Trainer(plain, draw_weights(run.trained_network.parameters, 0))
    model, tensors = trainer.model, arguments_of(trainer, run, images, labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
    count = GROUP if option == "accumulation_steps" else 1

    def take(num_steps: int) -> None:
        for step in range(num_steps):
            losses, logits = trainer.objective.losses(*tensors, {})
            loss = losses["hard"].mean()
            (loss / count if count > 1 else loss).backward()
            count_on(trainer, losses, logits, loss, tensors[1])
            if (step + 1) % count:
                continue
            if option == "clip_norm":
                torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            optimizer.zero_grad()
            if option == "ema.decay":
                average.update_parameters(model)

    return take


def tf_side(module: Any, run: ResolvedRun, images: Any, labels: Any, option: str) -> Side:
    """Return the steps of a user of Keras: images (N, H, W, C), labels (N,)."""
    import keras
    import tensorflow as tf

    plain = ResolvedRun(**{**vars_of(run), "spec": run.spec.replace(ema={}, optimizer={})})
    trainer = module.Trainer(plain, draw_weights(run.trained_network.parameters, 0))
    tensors = arguments_of(trainer, run, images, labels)
    variables = list(trainer.weight_update.variables)
    keywords: Mapping[str, dict[str, Any]] = {
        "clip_norm": {"global_clipnorm": CLIP_NORM},
        "ema.decay": {"use_ema": True, "ema_momentum": DECAY},
        "accumulation_steps": {"gradient_accumulation_steps": GROUP},
    }
    optimizer = keras.optimizers.Adam(RATE, epsilon=1e-8, **keywords.get(option, {}))
    optimizer.build(variables)

    @tf.function(autograph=False)
    def update(*batch: Any) -> None:
        with tf.GradientTape() as tape:
            losses, logits = trainer.objective.losses(*batch, {})
            loss = tf.reduce_mean(losses["hard"])
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        count_on(trainer, losses, logits, loss, batch[1], dict(enumerate(gradients)))

    def take(num_steps: int) -> None:
        for _ in range(num_steps):
            update(*tensors)
        trainer.wait()

    return take


def vars_of(run: ResolvedRun) -> dict[str, Any]:
    """Return the fields of a resolved run, without what it has computed since."""
    return {name: getattr(run, name) for name in type(run).__dataclass_fields__}


def arguments_of(trainer: Any, run: ResolvedRun, images: Any, labels: Any) -> tuple[Any, Any, Any]:
    """Return a batch and its masks as the tensors that an objective takes."""
    arrays = __import__(f"poc.{run.spec.backend}_impl.arrays", fromlist=["arrays"])
    noise = draw_noise(run.trained_network, seed=0, step=0, batch_size=len(labels))
    device = trainer.device
    return (
        arrays.images_to_tensor(images, dtype="float32", device=device),
        arrays.labels_to_tensor(labels, dtype="float32", device=device),
        arrays.noise_to_tensors(noise, device=device),
    )


def count_on(trainer: Any, *outcome: Any) -> None:
    """Add a batch to the totals, as this project does: a user counts losses and hits too."""
    losses, logits, loss, labels, *gradients = outcome
    result = type("Outcome", (), {})()
    result.losses, result.logits, result.loss = losses, logits, loss
    result.by_name = gradients[0] if gradients else {}
    result.watched = {}
    trainer._count(result, labels)


def measure(
    sides: Mapping[str, tuple[Side, Side]], num_rounds: int
) -> list[dict[str, tuple[Cost, Cost]]]:
    """Return each round's cost of every option, on both sides."""
    for pair in sides.values():
        for side in pair:
            side(WARMUP)
    rounds = []
    for _ in range(num_rounds):
        found = {}
        for name, (own, framework) in sides.items():
            taken = [time_of(side) for side in (own, framework, framework, own)]
            found[name] = (total(taken[0], taken[3]), total(taken[1], taken[2]))
        rounds.append(found)
    return rounds


def time_of(side: Side) -> Cost:
    """Return the cost of one turn, after steps that fill the caches with this side's memory."""
    side(GROUP)
    started, processor = time.perf_counter(), time.process_time()
    side(STEPS_A_TURN)
    return Cost(time.process_time() - processor, time.perf_counter() - started)


def total(first: Cost, second: Cost) -> Cost:
    """Return the cost of both turns."""
    return Cost(first.processor + second.processor, first.clock + second.clock)


def ratios(rounds: list[dict[str, tuple[Cost, Cost]]], name: str, clock: str) -> list[float]:
    """Return own / framework of each round."""
    return [getattr(found[name][0], clock) / getattr(found[name][1], clock) for found in rounds]


def alone(rounds: list[dict[str, tuple[Cost, Cost]]], name: str) -> list[float]:
    """Return the ratio of each round, divided by that of its plain steps."""
    pairs = (ratios(rounds, option, "processor") for option in (name, "plain"))
    return [own / plain for own, plain in zip(*pairs, strict=True)]


def line_of(net: str, name: str, rounds: list[dict[str, tuple[Cost, Cost]]]) -> str:
    """Return a row of a Markdown table."""
    cells = []
    measured = [ratios(rounds, name, clock) for clock in ("processor", "clock")]
    for values in (*measured, alone(rounds, name)):
        low, middle, high = statistics.quantiles(values, n=4)
        cells.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
    for side in (0, 1):
        added = [found[name][side].processor / found["plain"][side].processor for found in rounds]
        cells.append(f"{100 * (statistics.median(added) - 1):+.1f} %")
    return f"| {net} | {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
