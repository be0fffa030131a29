"""Time of a training step of a published network: this project's and the library's own model.

    python benchmarks/library_step.py convnext_tiny --backend torch --batch-size 8 --rounds 11
    python benchmarks/library_step.py convnext_tiny --backend tf --batch-size 8 --rounds 11
    python benchmarks/library_step.py vit_s16 --backend torch --batch-size 8 --rounds 11

The other side is torchvision's model, or that of keras.applications. Both have the same batch and
optimiser, and take turns in one process; both drop branches at the same rates. In PyTorch they have
the same weights. A step is the forward pass, the loss, all gradients and SGD with momentum. The
time of a step is the median over the rounds; the last line has the median of the rounds' ratios, of
which 1.03 is the bound. keras.applications has no ViT.
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

CLASSES, BOUND, DROPPED = 1000, 1.03, 0.1
Step = Callable[[], object]


def main() -> int:
    """Print one line per form, and the ratio; 1 if it is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=("convnext_tiny", "vit_s16"))
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    if given.model == "vit_s16" and given.backend == "tf":
        parser.error("keras.applications has no ViT: try --backend torch")
    keep_heap()
    make = {"tf": keras_steps, "torch": torch_steps}[given.backend]
    times = time_in_turn(make(given.model, given.batch_size, given.side), given.rounds)
    for name, values in times.items():
        print(f"{name:18} {1000 * statistics.median(values):9.1f} ms", flush=True)
    # In pairs: what else the machine does hits both members of a round.
    ratio = statistics.median(ours / theirs for ours, theirs in zip(*times.values(), strict=True))
    print(f"{'ratio':18} {ratio:9.3f}, bound {BOUND}")
    return int(ratio > BOUND)


def declare(model: str, backend: str, side: int) -> tuple[Any, Any, Any]:
    """Return the network for images of this side, its weights, and the names of its layers."""
    spec = ModelSpec(name=model)
    network = standalone(spec.declare((side, side, 3), CLASSES))
    weights = draw_weights(network.parameters, 0)
    return network, weights, name_native_layers(network, spec, backend)


def torch_steps(model: str, batch_size: int, side: int) -> dict[str, Step]:
    """Return a step of each side in PyTorch, from the same weights."""
    import torch
    from torchvision.models import VisionTransformer, convnext_tiny

    from poc.torch_impl import build_native_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours = build_native_model(*declare(model, "torch", side)).to(device)
    theirs = (
        convnext_tiny(num_classes=CLASSES)
        if model == "convnext_tiny"
        else VisionTransformer(side, 16, 12, 6, 384, 1536, num_classes=CLASSES)
    ).to(device)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(batch_size, 3, side, side, device=device)
    # Convolutions are faster in this layout; a ViT has one.
    layout = torch.channels_last if model == "convnext_tiny" else torch.contiguous_format
    images = images.to(memory_format=layout)
    labels = torch.arange(batch_size, device=device) % CLASSES

    def make_step(model: Any) -> Step:
        model.to(memory_format=layout)
        optimizer = torch.optim.SGD(model.train().parameters(), lr=1e-3, momentum=0.9)

        def step() -> object:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    return {"ours": make_step(ours), "torchvision": make_step(theirs)}


def keras_steps(model: str, batch_size: int, side: int) -> dict[str, Step]:
    """Return a step of each side in Keras."""
    import keras
    import tensorflow as tf

    # The public function drops nothing.
    from keras.src.applications.convnext import ConvNeXt

    from poc.tf_impl import build_native_model

    images = tf.random.normal((batch_size, side, side, 3))
    labels = tf.range(batch_size) % CLASSES
    theirs = ConvNeXt(
        depths=(3, 3, 9, 3),
        projection_dims=(96, 192, 384, 768),
        drop_path_rate=DROPPED,
        include_preprocessing=False,
        input_shape=(side, side, 3),
        classes=CLASSES,
        classifier_activation=None,
        weights=None,
        name=model,
    )

    def make_step(model: Any) -> Step:
        optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
        optimizer.build(model.trainable_variables)

        @tf.function
        def run() -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits = model(images, training=True)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                loss = tf.reduce_mean(losses)
            variables = [variable.value for variable in model.trainable_variables]
            optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
            return loss

        return lambda: float(run())

    return {
        "ours": make_step(build_native_model(*declare(model, "tf", side))),
        "keras.applications": make_step(theirs),
    }


def time_in_turn(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round of each side; every second round goes the other way."""
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
