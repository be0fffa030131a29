"""Run by test_native_torch.py in a process of its own: this project's nets and torchvision's.

Arguments: names of torchvision's functions. A state_dict of either loads into the other, strictly;
prints the errors of outputs and statistics, as JSON.
"""

import json
import sys

import numpy as np
import torch  # noqa: TID253
import torchvision  # noqa: TID253

from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.networks.freezing import standalone
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.weights.conversion import from_canonical
from poc.shared.weights.published.native_names import name_native_layers
from poc.shared.weights.published.table import find_schemes
from poc.torch_impl import build_native_model

SIDE, CLASSES, SEED = 224, 10, 3
# Names that torchvision spells in another way.
THEIRS = {"vit_b16": "vit_b_16"}


def declare(name):
    has_lineage = "lineage" in MODELS[name].options.model_fields
    spec = ModelSpec(name=name, options={"lineage": "torchvision"} if has_lineage else {})
    network = standalone(spec.declare((SIDE, SIDE, 3), CLASSES))
    return network, name_native_layers(network, spec, "torch")


def draw(network):
    """Values of which none is special; the published distributions take a minute for VGG."""
    generator = np.random.default_rng(1)

    def value(parameter):
        drawn = generator.random(parameter.shape, dtype=np.float32)
        if not parameter.name.endswith("/kernel"):
            return drawn * 0.1 + (0.5 if parameter.name.endswith(("gamma", "variance")) else 0)
        return (2 * drawn - 1) * np.float32(np.sqrt(3 / max(np.prod(parameter.shape[:-1]), 9)))

    return {parameter.name: value(parameter) for parameter in network.parameters}


def relative(first, second):
    assert first.shape == second.shape
    assert torch.isfinite(first).all()
    return float((first - second).abs().max() / second.abs().max())


def unequal(first, second):
    """Names of tensors that are not the same bits."""
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], torch.as_tensor(second[name]))]


def statistics_error(first, second):
    names = [name for name in second if "running_" in name]
    return max((relative(first[name], second[name]) for name in names), default=0.0)


@torch.no_grad()
def compare(name):
    network, names = declare(name)
    weights = draw(network)
    ours = build_native_model(network, weights, names)
    theirs = getattr(torchvision.models, THEIRS.get(name, name))(weights=None, num_classes=CLASSES)
    scheme = next(s for s in find_schemes(name) if s.name in ("torchvision", "dotted"))
    published = from_canonical(network, scheme, weights)
    found = {"unpublished": unequal(ours.state_dict(), published)}
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    found["evaluation"] = relative(ours.eval()(images), theirs.eval()(images))
    outputs = []
    for model in (ours, theirs):
        torch.manual_seed(SEED)
        outputs.append(model.train()(images))
    found["training"] = relative(*outputs)
    found["statistics"] = statistics_error(ours.state_dict(), theirs.state_dict())
    found["moved"] = statistics_error(ours.state_dict(), as_tensors(published))
    found["counts"] = [
        sorted({int(v) for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")})
        for model in (ours, theirs)
    ]
    # Under another seed the outputs differ, where there is something to draw.
    found["other draws"] = relative(ours(images), outputs[0]) if network.dropouts else None
    zeros = {p.name: np.zeros(p.shape, np.float32) for p in network.parameters}
    twin = build_native_model(network, zeros, names)
    twin.load_state_dict(theirs.state_dict(), strict=True)
    found["not taken back"] = unequal(twin.state_dict(), theirs.state_dict())
    found["back"] = relative(twin.eval()(images), theirs.eval()(images))
    return found


def as_tensors(arrays):
    return {name: torch.as_tensor(value) for name, value in arrays.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({name: compare(name) for name in sys.argv[1:]}))
