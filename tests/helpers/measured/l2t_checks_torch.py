"""Run by test_l2t_ww_parts.py in a process of its own: prints measured errors as JSON."""

import json

import numpy as np
import torch  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from poc.shared.spec.methods.l2t_ww import ChannelPair, L2TWWOptions
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.declaration import prefixed
from poc.torch_impl.layers import batch_norm, derivatives
from poc.torch_impl.layers.attention import SelfAttention
from poc.torch_impl.layers.derivatives import efficient_second_order
from poc.torch_impl.methods.l2t_ww.matching import Matching

torch.manual_seed(0)
CONVOLUTIONS = {
    "plain": ({"padding": 1}, (2, 4, 6, 7), (5, 4, 3, 3)),
    "strided": ({"stride": 2, "padding": (1, 0)}, (2, 4, 7, 6), (5, 4, 3, 3)),
    "grouped": ({"groups": 2, "padding": 1}, (2, 4, 6, 6), (6, 2, 3, 3)),
    "depthwise": ({"groups": 4, "stride": 2, "padding": 1}, (2, 4, 6, 6), (4, 1, 3, 3)),
    "1x1": ({}, (2, 4, 5, 5), (3, 4, 1, 1)),
}


def parameters_of(pair, options):
    """Regressor and meta-networks of a pair."""
    regressor = pair.layer(options).parameters((pair.target_shape,))
    return [*(prefixed(pair.regressor, p) for p in regressor), *pair.meta_parameters(options)]


def double(shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def both_orders(function, leaves):
    """First gradients, and second ones along random directions."""
    outputs = function(*leaves)
    loss = (outputs.sin() * outputs).sum()
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    torch.manual_seed(1)
    product = sum((g * torch.randn_like(g)).sum() for g in first)
    second = torch.autograd.grad(product, leaves)
    return [*first, *second]


def compare(function, leaves, oracle=None):
    """Against the framework's own derivatives, or those of a written-out formula."""
    expected = both_orders(oracle or function, leaves)
    with efficient_second_order():
        found = both_orders(function, leaves)
    return max(
        float((a - b).detach().abs().max() / b.detach().abs().max().clamp_min(1e-12))
        for a, b in zip(found, expected, strict=True)
    )


def normalise(gamma):
    def function(x, beta):
        mean, variance = (torch.zeros(3, dtype=torch.float64) for _ in range(2))
        return F.batch_norm(x, mean, variance, gamma, beta, training=True, momentum=0.1, eps=1e-5)

    return function


def written_out(gamma):
    """PyTorch's own second derivative refuses a batch norm without gamma."""

    def function(x, beta):
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = (1, 3, 1, 1)[: x.ndim]
        mean = x.mean(axes, keepdim=True)
        variance = (x - mean).square().mean(axes, keepdim=True)
        scale = torch.ones(3, dtype=x.dtype) if gamma is None else gamma
        return (x - mean) / (variance + 1e-5).sqrt() * scale.view(shape) + beta.view(shape)

    return function


def matching_forms():
    """Values and gradients of the Gram form against the naive one, in every geometry."""
    shapes = {"a": (4, 4, 3), "b": (9, 7, 5)}
    targets = {"s": (8, 8, 4), "t": (3, 3, 6), "u": (4, 4, 2)}
    pairs = [
        ChannelPair(source=m, target=n, source_shape=shapes[m], target_shape=targets[n])
        for n in targets
        for m in shapes
    ]
    maps = {
        n: torch.randn(2, shape[2], *shape[:2], dtype=torch.float64)
        for n, shape in {**shapes, **targets}.items()
    }
    results = []
    for form in ("naive", "gram"):
        options = L2TWWOptions(matching=form)
        matching = Matching(options, pairs, dtype="float64", device="cpu")
        drawn = draw_weights([p for pair in pairs for p in parameters_of(pair, options)], 0)
        values = {
            n: torch.from_numpy(v.transpose(3, 2, 0, 1) if v.ndim == 4 else v)
            for n, v in drawn.items()
        }
        constants = matching.prepare(maps)
        gates = matching.gates(constants.pooled, values)
        leaves = [v.requires_grad_() for n, v in values.items() if n.startswith("regressor")]
        leaves += [maps[n].detach().requires_grad_() for n in targets]
        live = {**maps, **dict(zip(targets, leaves[-3:], strict=True))}
        errors = matching.errors(constants, live, values)
        loss = matching.losses(gates.weights, errors).mean()
        results.append([*errors.values(), *torch.autograd.grad(loss, leaves)])
    return max(
        float((a - b).detach().abs().max() / b.detach().abs().max())
        for a, b in zip(results[1], results[0], strict=True)
    )


def attention_twice():
    """PyTorch's numeric check of second derivatives inside the switch, the error outside of it."""
    layer = SelfAttention(6, heads=3, dtype="float64")
    tokens = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)

    def inside(values):
        with derivatives.efficient_second_order():
            return layer(values).sin()

    found = {"inside": torch.autograd.gradgradcheck(inside, (tokens,))}
    try:
        torch.autograd.gradgradcheck(lambda values: layer(values).sin(), (tokens,))
    except RuntimeError as error:
        found["outside"] = str(error)
    with torch.no_grad():
        found["difference"] = float((inside(tokens) - layer(tokens).sin()).abs().max())
    return found


def main():
    errors = {}
    for name, (geometry, inputs, kernel) in CONVOLUTIONS.items():
        leaves = [double(inputs), double(kernel), double(kernel[:1])]
        errors[f"convolution {name}"] = compare(
            lambda x, k, b, geometry=geometry: F.conv2d(x, k, b, **geometry), leaves
        )
    for name, shape in (("maps", (4, 3, 5, 6)), ("vectors", (9, 3))):
        gamma = double(3)
        leaves = [double(shape), double(3), gamma]
        errors[f"batch norm {name}"] = compare(
            lambda x, beta, gamma: normalise(gamma)(x, beta), leaves
        )
        zero = torch.tensor([0.0, 1.0, -0.5], dtype=torch.float64, requires_grad=True)
        leaves = [double(shape), double(3), zero]
        errors[f"batch norm {name}, gamma 0"] = compare(
            lambda x, beta, gamma: normalise(gamma)(x, beta), leaves
        )
        errors[f"batch norm {name}, no gamma"] = compare(
            normalise(None), [double(shape), double(3)], written_out(None)
        )
    calls = {**derivatives.CALLS, **batch_norm.CALLS}
    with torch.no_grad():
        F.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3))
    print(
        json.dumps(
            {
                "errors": errors,
                "gram": matching_forms(),
                "attention": attention_twice(),
                "calls": calls,
                "calls_outside": {**derivatives.CALLS, **batch_norm.CALLS},
            }
        )
    )


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
