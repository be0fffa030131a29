"""Published names of vision transformers: torchvision, timm, DINOv2's own files, transformers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from poc.shared.spec.networks.layers.attention import PARTS
from poc.shared.spec.networks.network import Network

from .positions import BICUBIC, CORNERS, SHIFTED, SMOOTH, Resizing
from .schemes import LayerNames, Scheme, layers_with_parameters

BLOCK = re.compile(r"block(\d+)/(\w+)")
Names = Mapping[str, str]

TORCHVISION_ENDS: Names = {
    "patches": "conv_proj",
    "class_token": "class_token",
    "position_embedding": "encoder.pos_embedding",
    "norm": "encoder.ln",
    "head": "heads.head",
}
TORCHVISION_PARTS: Names = {
    "norm1": "ln_1",
    "attention": "self_attention",
    "norm2": "ln_2",
    "dense1": "mlp.0",
    "dense2": "mlp.3",
}
TIMM_ENDS: Names = {
    "patches": "patch_embed.proj",
    "class_token": "cls_token",
    "registers": "reg_token",
    "position_embedding": "pos_embed",
    "norm": "norm",
    "head": "head",
}
DINOV2_ENDS: Names = {**TIMM_ENDS, "registers": "register_tokens"}
TIMM_PARTS: Names = {
    "norm1": "norm1",
    "attention": "attn",
    "scale1": "ls1",
    "norm2": "norm2",
    "dense1": "mlp.fc1",
    "dense2": "mlp.fc2",
    "scale2": "ls2",
}
FACE_VIT_ENDS: Names = {
    "patches": "vit.embeddings.patch_embeddings.projection",
    "class_token": "vit.embeddings.cls_token",
    "position_embedding": "vit.embeddings.position_embeddings",
    "norm": "vit.layernorm",
    "head": "classifier",
}
FACE_VIT_PARTS: Names = {
    "norm1": "layernorm_before",
    "attention": "attention",
    "norm2": "layernorm_after",
    "dense1": "intermediate.dense",
    "dense2": "output.dense",
}
FACE_DINOV2_PARTS: Names = {
    "norm1": "norm1",
    "attention": "attention",
    "scale1": "layer_scale1",
    "norm2": "norm2",
    "dense1": "mlp.fc1",
    "dense2": "mlp.fc2",
    "scale2": "layer_scale2",
}
# Tables of vectors are stored without a layer around them.
TABLES: Names = {f"{kind}/embedding": "" for kind in ("learned_tokens", "position_embedding")}


def attention_names(
    parts: str, projection: str, shown: Names = MappingProxyType({})
) -> dict[str, str]:
    """Return the names of an attention's tensors below the layer.

    `{}` stands for query, key or value, or for what `shown` has for it.
    """
    owners = {part: parts.format(shown.get(part, part)) for part in PARTS}
    return {
        f"self_attention/{part}/{kind}": f"{owner}.{name}"
        for part, owner in {**owners, "projection": projection}.items()
        for kind, name in (("kernel", "weight"), ("bias", "bias"))
    }


def name_layers(network: Network, ends: Names, parts: Names, block: str) -> LayerNames:
    """Name the layers of blocks, counted from 0, below `block`, and the others by `ends`.

    Layers that the publisher does not have stay out.
    """
    names: LayerNames = {}
    for node in layers_with_parameters(network):
        found = BLOCK.fullmatch(node.name)
        if found and found[2] in parts:
            names[node.name] = f"{block.format(int(found[1]) - 1)}.{parts[found[2]]}"
        elif node.name in ends:
            names[node.name] = ends[node.name]
    return names


def torchvision(network: Network) -> LayerNames:
    """Name layers as torchvision does: `encoder.layers.encoder_layer_0.ln_1`, …."""
    block = "encoder.layers.encoder_layer_{}"
    return name_layers(network, TORCHVISION_ENDS, TORCHVISION_PARTS, block)


def timm(network: Network) -> LayerNames:
    """Name layers as timm and DeiT's own files do: `blocks.0.norm1`, …."""
    return name_layers(network, TIMM_ENDS, TIMM_PARTS, "blocks.{}")


def dinov2(network: Network) -> LayerNames:
    """Name layers as DINOv2's own files do, which is as timm does but for the registers."""
    return name_layers(network, DINOV2_ENDS, TIMM_PARTS, "blocks.{}")


def transformers_vit(network: Network) -> LayerNames:
    """Name layers as files of the ViT of transformers do: `vit.encoder.layer.0.…`."""
    return name_layers(network, FACE_VIT_ENDS, FACE_VIT_PARTS, "vit.encoder.layer.{}")


def transformers_vit_module(network: Network) -> LayerNames:
    """Name layers as its module of release 5 does: `vit.layers.0.layernorm_before`, …."""
    parts = {**FACE_VIT_PARTS, "dense1": "mlp.fc1", "dense2": "mlp.fc2"}
    return name_layers(network, FACE_VIT_ENDS, parts, "vit.layers.{}")


def transformers_dinov2(network: Network) -> LayerNames:
    """Name layers as the DINOv2 of transformers does: `dinov2.encoder.layer.0.norm1`, …."""
    body = dinov2_body(network)
    ends = {node: name.replace("vit.", body, 1) for node, name in FACE_VIT_ENDS.items()}
    ends["registers"] = f"{body}embeddings.register_tokens"
    return name_layers(network, ends, FACE_DINOV2_PARTS, f"{body}encoder.layer.{{}}")


def dinov2_body(network: Network) -> str:
    """Return the prefix of the body in transformers, which has a class for nets with registers."""
    return "dinov2_with_registers." if has_registers(network) else "dinov2."


def has_registers(network: Network) -> bool:
    """Say if a network has register tokens."""
    return any(node.name == "registers" for node in network.nodes)


def dinov2_resizing(network: Network) -> Resizing:
    """Return the rule of DINOv2's own code, which has another one for nets with registers."""
    return SMOOTH if has_registers(network) else SHIFTED


def transformers_resizing(network: Network) -> Resizing:
    """Return the rule of transformers, whose class for nets with registers has another one."""
    return SMOOTH if has_registers(network) else BICUBIC


SHORT: Names = {"query": "q", "key": "k", "value": "v"}
PACKED: Names = {"qkv.weight": "weight", "qkv.bias": "bias"}
TIMM_TENSORS = {**TABLES, **attention_names("{}", "proj"), "layer_scale/gamma": "gamma"}
# In files, and in the modules of release 5, which renames what it reads and writes.
IN_FILES = {
    **TABLES,
    **attention_names("attention.{}", "output.dense"),
    "layer_scale/gamma": "lambda1",
}
IN_MODULES = {**IN_FILES, **attention_names("{}_proj", "o_proj", SHORT)}

TORCHVISION = Scheme(
    name="torchvision",
    layout="torch",
    layers=torchvision,
    suffixes={**TABLES, **attention_names("{}", "out_proj")},
    packed={"in_proj_weight": "weight", "in_proj_bias": "bias"},
    resizing=lambda network: CORNERS,
)
TIMM = Scheme(
    name="timm",
    layout="torch",
    layers=timm,
    suffixes=TIMM_TENSORS,
    packed=PACKED,
    resizing=lambda network: SMOOTH,
    may_lack_head=True,
)
DINOV2 = Scheme(
    name="dinov2",
    layout="torch",
    layers=dinov2,
    suffixes=TIMM_TENSORS,
    packed=PACKED,
    resizing=dinov2_resizing,
    may_lack_head=True,
)


def of_transformers(
    files: Callable[[Network], LayerNames],
    modules: Callable[[Network], LayerNames],
    body: Callable[[Network], str],
) -> tuple[Scheme, Scheme]:
    """Return the namings of transformers' files and of its modules."""
    in_files = Scheme(
        name="transformers",
        layout="torch",
        layers=files,
        suffixes=IN_FILES,
        resizing=transformers_resizing,
        body=body,
        may_lack_head=True,
    )
    in_modules = replace(in_files, name="transformers_module", layers=modules, suffixes=IN_MODULES)
    return in_files, in_modules


VIT_SCHEMES = (
    TORCHVISION,
    TIMM,
    *of_transformers(transformers_vit, transformers_vit_module, lambda network: "vit."),
)
DINOV2_SCHEMES = (
    DINOV2,
    TIMM,
    *of_transformers(transformers_dinov2, transformers_dinov2, dinov2_body),
)
