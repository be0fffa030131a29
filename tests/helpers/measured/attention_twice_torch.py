"""Run by test_l2t_ww_parts.py in a process of its own: attention, differentiated twice.

Prints JSON: if PyTorch's numeric check of second derivatives holds inside the switch, and the error
outside of it.
"""

import json

import torch  # noqa: TID253

from poc.torch_impl.layers.attention import SelfAttention
from poc.torch_impl.layers.derivatives import efficient_second_order


def main():
    torch.manual_seed(0)
    layer = SelfAttention(6, heads=3, dtype="float64")
    tokens = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)

    def inside(values):
        with efficient_second_order():
            return layer(values).sin()

    found = {"inside": torch.autograd.gradgradcheck(inside, (tokens,))}
    try:
        torch.autograd.gradgradcheck(lambda values: layer(values).sin(), (tokens,))
    except RuntimeError as error:
        found["outside"] = str(error)
    with torch.no_grad():
        found["difference"] = float((inside(tokens) - layer(tokens).sin()).abs().max())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
