"""Run by test_positions.py in a process of its own: positions that the libraries resize.

Takes grids (height, width, wanted height, wanted width) as JSON. Prints JSON: by rule and grid what
`torch.nn.functional.interpolate` gives, and by library what its function gives from 14x14 to 24x24.
"""

import json
import sys

import numpy as np
import torch  # noqa: TID253
from timm.layers import resample_abs_pos_embed
from torchvision.models.vision_transformer import interpolate_embeddings  # noqa: TID253
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTModel,
)


def draw(side):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(1, side**2 + 1, 3)))


def resize(grid, **options):
    side, _, *wanted = grid
    maps = draw(side)[:, 1:].reshape(1, side, side, 3).permute(0, 3, 1, 2)
    if options.pop("is_shifted", False):
        options["scale_factor"] = [(size + 0.1) / side for size in wanted]
    else:
        options["size"] = wanted
    resized = torch.nn.functional.interpolate(maps, mode="bicubic", **options)
    return resized.permute(0, 2, 3, 1).reshape(-1, 3).tolist()


SIZES = {
    "hidden_size": 3,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "image_size": 224,
    "patch_size": 16,
}


def of_transformers(model, side):
    """What a class of transformers makes of the table for images of side x side patches."""
    with torch.no_grad():
        model.embeddings.position_embeddings.copy_(draw(14))
    tokens = torch.zeros(1, side**2 + 1, 3)
    return model.embeddings.interpolate_pos_encoding(tokens, 16 * side, 16 * side).detach()


def of_libraries():
    value = draw(14)
    state = {"encoder.pos_embedding": value.clone()}
    vit = ViTModel(ViTConfig(intermediate_size=4, **SIZES))
    dinov2 = Dinov2Model(Dinov2Config(**SIZES))
    registers = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SIZES))
    return {
        "torchvision": interpolate_embeddings(384, 16, state)["encoder.pos_embedding"],
        "timm": resample_abs_pos_embed(value, [24, 24]),
        "transformers": of_transformers(vit, 24),
        "transformers_dinov2": of_transformers(dinov2, 9),
        "transformers_registers": of_transformers(registers, 9),
    }


if __name__ == "__main__":
    rules = {
        "corners": {"align_corners": True},
        "smooth": {"antialias": True},
        "shifted": {"is_shifted": True},
        "bicubic": {},
    }
    found = {
        name: {str(list(grid)): resize(grid, **options) for grid in json.loads(sys.argv[1])}
        for name, options in rules.items()
    }
    found |= {name: value[0].tolist() for name, value in of_libraries().items()}
    print(json.dumps(found))
