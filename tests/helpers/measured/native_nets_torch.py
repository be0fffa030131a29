"""Run by test_native_torch.py in a process of its own: prints how native modules compare, as JSON.

Arguments: names of rows of the table of architectures. Each net is held against the engine's model
of the same weights; then it is copied, pickled and filled from a state_dict.
"""

import copy
import io
import json
import sys
from dataclasses import replace

import numpy as np
import torch  # noqa: TID253
from torch import nn  # noqa: TID253

from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.spec.networks.freezing import standalone
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.weights.published.native_names import name_native_layers
from poc.tests.helpers.architectures.table import SMALL_CASES
from poc.torch_impl import build_native_model
from poc.torch_impl.arrays import noise_to_tensors
from poc.torch_impl.models import Model
from poc.torch_impl.weights import load_weights, read_weights

BATCH = 3


def declare(name):
    """Network, weights whose statistics are no plain zeros and ones, names and images."""
    run = SMALL_CASES[name].run("torch")
    network = standalone(declare_network(run))
    generator = np.random.default_rng(7)
    weights = {
        key: value
        if key.endswith("kernel")
        else (value + generator.uniform(0, 0.1, value.shape)).astype(np.float32)
        for key, value in draw_weights(network.parameters, 0).items()
    }
    height, width, channels = network.input_shape
    images = torch.randn(BATCH, channels, height, width, generator=torch.Generator().manual_seed(1))
    return network, weights, name_native_layers(network, run.model, "torch"), images


def relative(first, second):
    assert first.shape == second.shape
    assert torch.isfinite(first).all()
    return float((first - second).abs().max() / second.abs().max())


def relative_weights(first, second):
    assert first.keys() == second.keys()
    return max(
        float(np.abs(first[name] - second[name]).max() / max(np.abs(second[name]).max(), 1e-3))
        for name in first
    )


def pickled(model):
    """The module as `torch.save` writes it whole."""
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def filled(network, names, state):
    """Another module of zeros, filled from a state_dict."""
    zeros = {p.name: np.zeros(p.shape, np.float32) for p in network.parameters}
    twin = build_native_model(network, zeros, names)
    twin.load_state_dict(state, strict=True)
    return twin


def unshown_options(network, native, names):
    """Options of a declaration that the printed module lacks."""
    return [
        f"{node.name}: {option}"
        for node in network.nodes
        for option, value in node.layer.arguments(node.input_shapes).items()
        if f"{option}={value!r}" not in repr(native.get_submodule(attribute(names[node.name])))
    ]


def attribute(name):
    """A dotted name as it is in PyTorch, where a module cannot be named as a method."""
    return ".".join(
        f"{part}_" if hasattr(nn.ModuleDict, part) else part for part in name.split(".")
    )


@torch.no_grad()
def compare(name):
    network, weights, names, images = declare(name)
    native = build_native_model(network, weights, names)
    engine = Model(network)
    load_weights(engine, weights)
    found = {
        "is_training": native.training,
        "weights": relative_weights(read_weights(native), weights),
    }
    native.eval()
    logits = native(images)
    found["evaluation"] = relative(logits, engine(images, training=False))
    others = {
        "copied": copy.deepcopy(native),
        "pickled": pickled(native),
        "filled": filled(network, names, native.state_dict()).eval(),
    }
    found |= {key: relative(other(images), logits) for key, other in others.items()}
    found["double"] = relative(others["copied"].double()(images.double()).float(), logits)
    found["unshown"] = unshown_options(network, native, names)
    # The engine does not compute a block that its gate drops, so neither do its statistics move.
    open_gates = {gate: np.array([True]) for gate in network.gates}
    noise = draw_noise(network, seed=1, step=0, batch_size=BATCH)
    masks = noise_to_tensors(noise, device="cpu")
    found["closed gates"] = [gate for gate in network.gates if not noise[gate][0]]
    found["training"] = relative(
        copy.deepcopy(native).train()(images, masks), engine(images, masks, training=True)
    )
    load_weights(engine, weights)
    masks = noise_to_tensors({**noise, **open_gates}, device="cpu")
    native.train()
    found["open gates"] = relative(native(images, masks), engine(images, masks, training=True))
    found["statistics"] = relative_weights(read_weights(native), read_weights(engine))
    moved = {k for k, v in read_weights(native).items() if not np.array_equal(v, weights[k])}
    found["unmoved"] = [k for k in weights if "/moving_" in k and k not in moved]
    found["moved"] = sorted(k for k in moved if "/moving_" not in k)
    counts = {v.item() for k, v in native.state_dict().items() if k.endswith("num_batches_tracked")}
    found["counts"] = sorted(counts)
    found["drops"] = bool(network.dropouts or network.gates)
    if found["drops"]:
        found["refused"] = refuse(network, engine, images)
    return found


def refuse(network, engine, images):
    """The engine's answer where every mask is missing, and that of a model that is frozen."""
    try:
        engine(images, {}, training=True)
    except ValueError as error:
        answer = str(error)
    else:
        answer = ""
    frozen = Model(replace(network, nodes=tuple(replace(n, is_frozen=True) for n in network.nodes)))
    load_weights(frozen, read_weights(engine))
    expected = frozen(images, training=False)
    return [answer, relative(frozen(images, {}, training=True), expected)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({name: compare(name) for name in sys.argv[1:]}))
