"""Training loops that a user of each framework would write on a GPU, for `gpu.py`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from poc.shared.spec.run import RunSpec

Round = Callable[[], None]


def torch_round(
    run: RunSpec, images: NDArray[np.float32], labels: NDArray[np.int64], num_steps: int
) -> Round:
    """Return steps of torchvision's ResNet-50 with autocast, channels last and SGD.

    Args:
        run: The run whose precision, mode and device are taken.
        images: (N, H, W, C).
        labels: (N,).
        num_steps: Steps of a round.
    """
    import torch
    from torchvision.models import resnet50

    device = "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"
    model = resnet50(num_classes=1000).to(device, memory_format=torch.channels_last).train()
    if run.mode == "compiled":
        model = torch.compile(model)
    rate, momentum = run.optimizer.learning_rate, run.optimizer.momentum
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    is_mixed = run.precision != "float32"
    dtype = getattr(torch, run.precision) if is_mixed else torch.bfloat16
    scaler = torch.amp.GradScaler(device, enabled=run.precision == "float16")
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2)
    targets = torch.from_numpy(labels)
    if device == "cuda":
        # A loader with `pin_memory` gives batches like these.
        inputs, targets = inputs.pin_memory(), targets.pin_memory()

    def take() -> None:
        loss = torch.zeros(())
        for _ in range(num_steps):
            batch, wanted = (x.to(device, non_blocking=True) for x in (inputs, targets))
            optimizer.zero_grad()
            with torch.autocast(device, dtype, enabled=is_mixed):
                loss = torch.nn.functional.cross_entropy(model(batch), wanted)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        # Reading the loss waits for the device.
        loss.item()

    return take


def keras_round(
    run: RunSpec, images: NDArray[np.float32], labels: NDArray[np.int64], num_steps: int
) -> Round:
    """Return `fit` of keras.applications' ResNet-50 with a policy of mixed precision and SGD.

    Args:
        run: The run whose precision and mode are taken.
        images: (N, H, W, C).
        labels: (N,).
        num_steps: Steps of a round.
    """
    import keras
    import tensorflow as tf

    former = keras.config.dtype_policy()
    if run.precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{run.precision}")
    model = keras.applications.ResNet50(
        weights=None,
        input_shape=images.shape[1:],
        classes=1000,
        classifier_activation=None,
    )
    optimizer = keras.optimizers.SGD(run.optimizer.learning_rate, run.optimizer.momentum)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=run.mode == "compiled")
    keras.config.set_dtype_policy(former)
    with tf.device("/CPU:0"):
        batches = tf.data.Dataset.from_tensors((images, labels)).repeat(num_steps).prefetch(2)
    return lambda: model.fit(batches, epochs=1, verbose=0) and None


STOCK = {"tf": keras_round, "torch": torch_round}
