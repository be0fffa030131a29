"""Run by test_batch_norm.py in a process of its own: prints measured errors as JSON."""

import json

import torch  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from poc.torch_impl.layers import batch_norm
from poc.torch_impl.layers.basic import BatchNorm

# (N, C, H, W) of float64 maps, channels last.
CASES = {
    "8 channels": (3, 8, 64, 60),
    "3 channels": (4, 3, 56, 56),
    "1 channel": (4, 1, 56, 56),
    "20 channels": (2, 20, 80, 70),
    "pixels that 16 does not divide": (3, 4, 58, 58),
    "no scale": (3, 8, 64, 60),
    "no centre": (3, 8, 64, 60),
    # Left to PyTorch's kernels.
    "16 channels": (3, 16, 64, 60),
    "few pixels": (3, 8, 6, 5),
    "odd pixels": (3, 3, 59, 59),
    "channels first": (3, 8, 64, 60),
}
OPTIONS = {"no scale": {"scale": False}, "no centre": {"center": False}}


def make_layer(case):
    torch.manual_seed(0)
    channels = CASES[case][1]
    layer = BatchNorm(channels, momentum=0.7, dtype="float64", **OPTIONS.get(case, {}))
    values = [*layer.parameters(), layer.running_mean, layer.running_var]
    for value in values:
        value.data.uniform_(0.5, 1.5)
    return layer


def draw_maps(case):
    layout = torch.contiguous_format if case == "channels first" else torch.channels_last
    maps = torch.randn(CASES[case], dtype=torch.float64).add_(3)
    return maps.contiguous(memory_format=layout).requires_grad_()


def framework_norm(layer, inputs, training):
    """PyTorch's own function with the layer's values, on maps that have its favourite layout."""
    return F.batch_norm(
        inputs.contiguous(),
        layer.running_mean,
        layer.running_var,
        layer.weight,
        layer.bias,
        training=training,
        momentum=1 - layer.momentum,
        eps=layer.epsilon,
    )


def measure(case, apply, training):
    """Output, first and second gradients, and the running statistics."""
    layer, inputs = make_layer(case), draw_maps(case)
    leaves = [inputs, *layer.parameters()]
    outputs = apply(layer, inputs, training)
    directions = [torch.randn_like(leaf) for leaf in leaves]
    first = torch.autograd.grad((outputs.sin() * outputs).sum(), leaves, create_graph=True)
    product = sum((g * v).sum() for g, v in zip(first, directions, strict=True))
    # PyTorch's own second derivative refuses a batch norm without gamma.
    second = () if layer.weight is None else torch.autograd.grad(product, leaves)
    return [outputs, *first, *second, layer.running_mean, layer.running_var]


def compare(case, training):
    found = measure(case, lambda layer, x, training: layer(x, training=training), training)
    expected = measure(case, framework_norm, training)
    return max(
        float((a - b).detach().abs().max() / b.detach().abs().max())
        for a, b in zip(found, expected, strict=True)
    )


def main():
    rows = {}
    for case in CASES:
        before = batch_norm.CALLS["batch_norm"]
        errors = {str(training): compare(case, training) for training in (True, False)}
        rows[case] = {"errors": errors, "calls": batch_norm.CALLS["batch_norm"] - before}
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
