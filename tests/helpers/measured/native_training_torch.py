"""Run by test_native_torch.py in a process of its own: prints how native modules train, as JSON."""

import json
import math

import numpy as np
import torch  # noqa: TID253
from torch import nn  # noqa: TID253

from poc.shared.data.sources.table import open_source
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.freezing import standalone
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.elementwise import Activate
from poc.shared.spec.networks.models import ModelSpec
from poc.tests.helpers.layers.cases import CASES
from poc.torch_impl import build_native_model
from poc.torch_impl.layers.basic import Dropout
from poc.torch_impl.layers.declared import Declared
from poc.torch_impl.layers.residual import StochasticDepth
from poc.torch_impl.models import Model
from poc.torch_impl.weights import load_weights

COUNT, BATCH, EPOCHS = 320, 40, 8


def build(name="simple_cnn", shape=(28, 28, 1), **options):
    options = options or {"widths": [6, 8], "dropout": 0.1}
    network = standalone(ModelSpec(name=name, options=options).declare(shape, 10))
    names = {node.name: node.name.replace("/", ".") for node in network.nodes}
    return build_native_model(network, draw_weights(network.parameters, 0), names)


def read_images():
    source = open_source("embedded")
    images = np.stack([source.image(index) for index in range(COUNT)]).astype(np.float32) / 255
    labels = torch.from_numpy(np.asarray(source.labels)[:COUNT]).long()
    return torch.from_numpy(images).permute(0, 3, 1, 2), labels


def loss_of(model, images, labels):
    with torch.no_grad():
        return nn.functional.cross_entropy(model(images), labels).item()


def learn(model, images, labels):
    """The plain loop of PyTorch's own tutorials."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(EPOCHS):
        for first in range(0, COUNT, BATCH):
            batch = slice(first, first + BATCH)
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def unmoved(before, model):
    return [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def run_loop(images, labels):
    torch.manual_seed(0)
    model = build()
    before, first = state_of(model), loss_of(model.eval(), images, labels)
    loss_of(model, images, labels)
    still = unmoved(before, model)
    learn(model.train(), images, labels)
    moved, middle = unmoved(before, model), state_of(model)
    last = [loss_of(model.eval(), images, labels) for _ in range(2)]
    return {
        "before": first,
        "after": last,
        "chance": math.log(10),
        "all": list(before),
        "unmoved by evaluation": still,
        "unmoved by training": moved,
        "unmoved afterwards": unmoved(middle, model),
        "counted": sorted({int(v) for k, v in middle.items() if k.endswith("tracked")}),
        "steps": EPOCHS * COUNT // BATCH,
    }


def parts_have_modes(images):
    """A module's own mode counts, and so does one that a user put in place of the declared."""
    model = build().train()
    norm = model.get_submodule("stage1.norm")
    norm.eval()
    before = state_of(model)
    with torch.no_grad():
        model(images[:4])
    still = [name for name in unmoved(before, model) if "running" in name]
    model.head = nn.Linear(model.head.in_features, 3)
    return {
        "still": still,
        "replaced": list(model(images[:4]).shape),
        "attribute": model.stage1["norm"] is norm,
        "reachable": all(model.get_submodule(name) is m for name, m in model.named_modules()),
        "half": str(model.eval().bfloat16()(images[:4].bfloat16()).dtype),
    }


def names_that_meet():
    """Modules of nodes whose names lie inside each other, or are those of methods."""
    net = NetworkBuilder("case", (2, 2, 3))
    for name in ("one/two", "one", "one/two/three", "double/up", "features"):
        net.add(name, Activate(activation="tanh"))
    model = Model(net.build())
    return [name for name, module in model.named_modules() if isinstance(module, Declared)]


def read_flattened():
    """If a flattened map leaves and enters the engine's model in canonical order."""
    network = CASES["flatten"]
    model = Model(network)
    load_weights(model, draw_weights(network.parameters, 0))
    height, width, channels = network.input_shape
    images = torch.randn(2, channels, height, width)
    expected = images.permute(0, 2, 3, 1).flatten(1)
    found = model.read_taps(images, ["layer"])["layer"]
    given = model.values(images[:, :, :0, :0], ["dense"], given={"layer": expected})["dense"]
    logits = model(images, training=False)
    return [torch.equal(found, expected), float((given - logits).abs().max())]


def draws(layer, images, axes):
    """What two passes in training mode and one in evaluation do with ones; `axes` share a draw."""
    torch.manual_seed(5)
    first, second = layer.train()(images), layer(images)
    shared = first.amin(axes, keepdim=True) if axes else first
    return {
        "values": sorted({round(value, 5) for value in first.unique().tolist()}),
        "dropped": float((shared == 0).float().mean()),
        "is_shared": bool((first == shared).all()),
        "differs": not torch.equal(first, second),
        "evaluation": layer.eval()(images).unique().tolist(),
        "told": layer.train()(images, training=False).unique().tolist(),
    }


def draw_layers():
    """Random layers without masks, and with one."""
    branch = {"rate": 0.25, "training_factor": 1 / 0.75, "evaluation_factor": 1.0}
    paper = {"rate": 0.25, "training_factor": 1.0, "evaluation_factor": 0.75}
    gate = StochasticDepth(is_gate=True, **paper)
    torch.manual_seed(6)
    passes = torch.stack([gate(torch.ones(3, 2, 2, 2)) for _ in range(1000)])
    kept = torch.arange(12).view(3, 4) % 3 > 0
    return {
        "dropout": draws(Dropout(0.25), torch.ones(2000, 4), ()),
        "spatial": draws(Dropout(0.25, is_spatial=True), torch.ones(1000, 4, 3, 2), (2, 3)),
        "spatial vector": draws(Dropout(0.25, is_spatial=True), torch.ones(2000, 4), ()),
        "row": draws(
            StochasticDepth(is_gate=False, **branch), torch.ones(4000, 3, 2, 2), (1, 2, 3)
        ),
        "paper": draws(
            StochasticDepth(is_gate=False, **paper), torch.ones(4000, 3, 2, 2), (1, 2, 3)
        ),
        "gate": {
            "values": passes.unique().tolist(),
            "dropped": float((passes[:, 0, 0, 0, 0] == 0).float().mean()),
            "is_shared": bool((passes == passes[:, :1, :1, :1, :1]).all()),
            "evaluation": gate.eval()(torch.ones(3, 2, 2, 2)).unique().tolist(),
        },
        "given": Dropout(0.5)(torch.ones(3, 4), kept).tolist(),
        "kept": kept.tolist(),
        "no rate": draws(Dropout(0.0), torch.ones(20, 4), ()),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    images, labels = read_images()
    print(
        json.dumps(
            {
                "loop": run_loop(images, labels),
                "parts": parts_have_modes(images),
                "draws": draw_layers(),
                "names": names_that_meet(),
                "flattened": read_flattened(),
            }
        )
    )
