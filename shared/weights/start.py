"""Initial weights of a run: drawn, or read from a canonical file."""

import shlex
from pathlib import Path
from typing import Literal

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays
from poc.shared.spec.methods.table import find_method, tell_default
from poc.shared.spec.networks.freezing import HIDDEN_LAYERS, head_names
from poc.shared.spec.networks.initializers import Weights, draw_weights
from poc.shared.spec.networks.layers.lora import is_term
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.run import RunSpec

from .check import check_finite, check_weights, refuse_lora
from .factorization import factorize_weights
from .lineage import read_weights_of
from .origin import check_origin

IMAGENET = "imagenet"
# Part of the head that is never taken from a file.
NewHead = Literal["none", "last", "all"]


def initial_weights(run: ResolvedRun) -> Weights:
    """Return the canonical `Weights` that a run starts from.

    Raises:
        UsageError: The file is unreadable, or one of its tensors is missing, extra or misshapen.
    """
    own = {parameter.name for parameter in run.network.parameters}
    # The method may draw a head in another way than the architecture declares.
    declared = (p for p in run.trained_network.parameters if p.name in own)
    drawn = draw_weights(declared, run.spec.seed)
    read = read_initial_weights(run.spec, run.network)
    if read is None:
        return drawn
    return transfer(run.network, read, drawn, new_head=head_parts(run.spec))


def drawn_weights(run: ResolvedRun) -> Weights:
    """Draw initial `Weights`; with `factor_initializer="spectral"`, by the SVD of full kernels.

    Spectral initialisation (Khodak et al., ICLR 2021) is there because a product of two drawn
    factors has other singular values than a drawn kernel.
    """
    weights = draw_weights(run.trained_network.parameters, run.spec.seed)
    model, network = run.spec.model_spec, run.network
    if model.factor_initializer != "spectral":
        return weights
    unfactored = model.model_copy(update={"factors": {}})
    whole = unfactored.declare(network.input_shape, network.num_classes)
    drawn = factorize_weights(draw_weights(whole.parameters, run.spec.seed), model.factors)
    return weights | {name: value for name, value in drawn.items() if name in weights}


def read_initial_weights(
    run: RunSpec, network: Network, *, knows_classes: bool = True
) -> Arrays | None:
    """Read the file's `Weights`, if the run can start from them; None if it draws its own.

    Args:
        run: Names the file.
        network: The network, declared for the run's images.
        knows_classes: False if the network's number of classes is only a guess.

    Raises:
        UsageError: As `initial_weights`.
    """
    path = run.initial_weights
    if path is None or path == IMAGENET:
        return None
    read = read_weights_of(run.model_spec, Path(path))
    for name, value in read.items():
        check_finite(name, value)
    check_origin(path, run.model_spec)
    is_head_new = wants_new_head(run)
    if is_head_new is False and knows_classes and replaces_head(network, read):
        last = network.parameters[-1].name
        raise UsageError(
            f"Got new_head=false with {path!r}, whose head gives {read[last].shape[-1]} classes. "
            f"Expected {network.num_classes}, as the data has. Try --set new_head=true."
        )
    check_channels(run, network, read)
    # Only shapes matter here, so a head need not be drawn, and outlines take no memory.
    outlines = {p.name: np.broadcast_to(np.float32(0), p.shape) for p in network.parameters}
    try:
        transfer(network, read, outlines, new_head=head_parts(run))
    except UsageError as error:
        what = str(error).removeprefix("Got ")
        # Both parts are sentences, whichever of them brings the full stop.
        told = tell_default(run.method, run.model_spec.name).lstrip(". ")
        raise UsageError(f"Got {path!r}: {what} {told}".rstrip()) from None
    return read


def wants_new_head(run: RunSpec) -> bool | None:
    """Return whether the method asks for a new head; None: only if the classes differ."""
    wanted: bool | None = getattr(run.method_settings, "new_head", None)
    return wanted


def check_channels(run: RunSpec, network: Network, read: Arrays) -> None:
    """Refuse `Weights` of a body that takes images with another number of channels.

    Raises:
        UsageError: It names the setting that reads the images as the weights need them.
    """
    first = network.parameters[0]
    shape = read[first.name].shape if first.name in read else ()
    if len(shape) != len(first.shape) or len(shape) < 2:
        return
    wanted, given = shape[-2], first.shape[-2]
    is_all = (*shape[:-2], given, shape[-1]) == first.shape
    if wanted == given or not is_all or {wanted, given} != {1, 3}:
        return
    kinds = {1: "grey images of 1 channel", 3: "images of 3 channels"}
    done = ", which repeats the grey channel" if wanted == 3 else ", which makes them grey"
    if run.data.channels is not None:
        done = f" instead of channels={given}"
    raise UsageError(
        f"Got {run.initial_weights!r}, weights for {kinds[wanted]}, with {kinds[given]}. "
        f"Expected the same number of channels. Try --set channels={wanted}{done}."
    )


def head_parts(run: RunSpec) -> NewHead:
    """Return which part of the head a run never takes from a file."""
    if find_method(run.method).fits_head:
        return "last"
    return "all" if wants_new_head(run) else "none"


def transfer(
    network: Network, weights: Arrays, drawn: Weights, *, new_head: NewHead = "none"
) -> Weights:
    """Return the file's weights, with the drawn head if it must be new or has other classes.

    All are canonical `Weights`, in the shapes that `network` declares; the file's head may differ.
    With `last`, only the last layer is new: features are what it reads. Terms of LoRA are always
    new, since a run starts from a plain network.

    Raises:
        UsageError: There is any other difference; it names the tensor.
    """
    refuse_lora(weights)
    weights = {**weights, **{name: v for name, v in drawn.items() if is_term(name)}}
    if new_head != "none" or replaces_head(network, weights):
        is_new = is_of_last if new_head == "last" else is_of_head
        weights = {name: v for name, v in weights.items() if not is_new(network, name)}
        weights |= {name: v for name, v in drawn.items() if is_new(network, name)}
    check_weights(network, weights)
    return dict(weights)


def replaces_head(network: Network, weights: Arrays) -> bool:
    """Say if the last layer of the file's `Weights` gives another number of logits."""
    last = network.parameters[-1].name
    return last in weights and weights[last].shape[-1:] != (network.num_classes,)


def is_of_head(network: Network, name: str) -> bool:
    """Say if a tensor belongs to the head, or to the larger one that a file may have."""
    layers = tuple(f"{node}/" for node in (*head_names(network), *HIDDEN_LAYERS))
    return name.startswith(layers) or is_of_last(network, name)


def is_of_last(network: Network, name: str) -> bool:
    """Say if a tensor belongs to the last layer with parameters."""
    return name.startswith(f"{network.head.name}/")


def explain_missing(path: Path) -> str:
    """Write the message for a path without a weight file, with the path to name instead."""
    best = path / "checkpoints" / "best.safetensors"
    if best.is_file():
        return (
            f"Got --weights {str(path)!r}, a run folder. Expected a file. Try its best weights, "
            f"--weights {shlex.quote(str(best))}"
        )
    return (
        f"Got --weights {str(path)!r}, which is no file. Expected a canonical safetensors file or "
        "imagenet. Try `poc weights convert`, which makes such a file."
    )


def require_weight_file(run: RunSpec) -> None:
    """Refuse a weight file that does not exist.

    Raises:
        UsageError: It says what to name.
    """
    path = run.initial_weights
    if path is not None and path != IMAGENET and not Path(path).is_file():
        raise UsageError(explain_missing(Path(path)))


def check_initial_weights(run: ResolvedRun) -> None:
    """Refuse a file that is missing, or that the run's network cannot start from.

    Raises:
        UsageError: As `initial_weights`.
    """
    require_weight_file(run.spec)
    read_initial_weights(run.spec, run.network)
