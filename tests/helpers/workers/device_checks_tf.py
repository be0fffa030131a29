"""Run by test_devices.py in a process of its own: what TensorFlow does on GPUs, as JSON.

GPUs are only named as visible. A graph for one is traced, but never run.
"""

import json
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import tensorflow as tf  # noqa: TID253

from poc.shared.engine.ranks.place import Place
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec
from poc.tf_impl import Trainer, device, join, prepare

RUN = {
    "backend": "tf",
    "method": "transfer",
    "method_options": {"bn_mode": "frozen", "trained_blocks": "all"},
    "model": {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [4, 4]}},
    "input_shape": [9, 8, 2],
    "num_classes": 3,
}
BATCH = 5


def make_run(**fields):
    return resolve_networks(RunSpec.parse({**RUN, **fields}, ""))


def norms_of_an_update(run):
    """Type of each fused batch norm of an update, and if it normalises by the batch."""
    trainer = Trainer(run, draw_weights(run.trained_network.parameters, 0))
    noise = {
        name: tf.ones((BATCH, *shape), tf.bool)
        for name, (shape, _) in run.trained_network.dropouts.items()
    }
    images = tf.zeros((BATCH, *RUN["input_shape"]))
    rate = tf.constant(np.float64(0.1))
    update = trainer.update.get_concrete_function(
        images, tf.zeros(BATCH, tf.int64), rate, noise, {}
    )
    return [
        (operation.type, bool(operation.get_attr("is_training")))
        for operation in update.graph.get_operations()
        if operation.type.startswith("FusedBatchNorm")
    ]


def norms_of_a_gpu(run):
    gpus = [tf.config.LogicalDevice("/device:GPU:0", "GPU")]
    with (
        patch.object(tf.config, "list_logical_devices", return_value=gpus),
        patch("poc.tf_impl.trainer.find_device", return_value="/CPU:0"),
    ):
        return norms_of_an_update(run)


def draws(seed):
    """Random numbers after the switches of a run whose operations are not deterministic."""
    prepare(make_run(deterministic=False, seed=seed).spec)
    return tf.random.uniform((3,)).numpy().tolist()


def shown_to_ranks(num_gpus):
    """The GPUs that three ranks of one machine see."""
    gpus = [f"gpu {index}" for index in range(num_gpus)]
    found = []
    with (
        patch.object(tf.config, "get_visible_devices", return_value=gpus),
        patch.object(
            tf.config, "set_visible_devices", side_effect=lambda *given: found.append(given)
        ),
        patch.object(tf.distribute, "MultiWorkerMirroredStrategy"),
        patch.dict("poc.tf_impl.ranks.collectives._STATE"),
    ):
        for index in range(3):
            place = Place(
                index=index, count=3, addresses=("a:1",) * 3, local_index=index, local_count=3
            )
            join(make_run().spec, place)
    return found


def describe_devices():
    """The device in the record of a run on a GPU, and of one on the CPU."""
    gpu = SimpleNamespace(name="/physical_device:GPU:0")
    details = {"device_name": "NVIDIA H200"}
    with (
        patch.object(tf.config, "list_logical_devices", return_value=[gpu]),
        patch.object(tf.config, "get_visible_devices", return_value=[gpu]),
        patch.object(tf.config.experimental, "get_device_details", return_value=details),
    ):
        return [device.describe(make_run(device=name).spec)["device"] for name in ("auto", "cpu")]


def main():
    found = {"draws": [draws(0), draws(0), draws(1)]}
    found["devices"] = describe_devices()
    found["ranks"] = {count: shown_to_ranks(count) for count in (0, 1, 2)}
    run = make_run()
    prepare(run.spec)
    found["norms"] = {"cpu": norms_of_an_update(run), "gpu": norms_of_a_gpu(run)}
    print(json.dumps(found))


main()
