"""Where a run's weights start: drawn, or read from a canonical file."""

import shlex
from pathlib import Path

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays
from poc.shared.spec.methods.table import tell_default
from poc.shared.spec.networks.initializers import Weights, draw_weights
from poc.shared.spec.networks.network import Network
from poc.shared.spec.run import RunSpec

from .check import check_weights
from .factorization import factorize_weights
from .lineage import read_weights_of
from .origin import check_origin

IMAGENET = "imagenet"
# A classifier is the last layer with parameters and, in VGG, the dense layers before it.
DENSE_LAYERS = ("dense1", "dense2")


def initial_weights(run: RunSpec) -> Weights:
    """Weights that a run starts from.

    Raises:
        UsageError: The file is unreadable, or one of its tensors is missing, extra or misshapen.
    """
    own = {parameter.name for parameter in run.network.parameters}
    # The method may draw a head otherwise than the architecture declares it.
    drawn = draw_weights((p for p in run.trained_network.parameters if p.name in own), run.seed)
    if run.initial_weights is None:
        return drawn
    read = read_initial_weights(run, run.initial_weights)
    is_head_new = getattr(run.method_settings, "new_head", None)
    return transfer(run.network, read, drawn, is_head_new=bool(is_head_new))


def drawn_weights(run: RunSpec) -> Weights:
    """Initial weights; with `factor_initializer="spectral"` the SVD of those of the whole network.

    Spectral initialisation (Khodak et al., ICLR 2021): a product of two drawn factors has other
    singular values than a drawn kernel.
    """
    weights = draw_weights(run.trained_network.parameters, run.seed)
    model = run.model_spec
    if model.factor_initializer != "spectral" or run.input_shape is None or not run.num_classes:
        return weights
    whole = model.model_copy(update={"factors": {}}).declare(run.input_shape, run.num_classes)
    drawn = factorize_weights(draw_weights(whole.parameters, run.seed), model.factors)
    return weights | {name: value for name, value in drawn.items() if name in weights}


def read_initial_weights(run: RunSpec, path: str, *, knows_classes: bool = True) -> Arrays:
    """The file's tensors, if the run can start from them.

    Args:
        run: With the images' shape and the number of classes filled in.
        path: Of the file.
        knows_classes: Whether that number is more than a guess.

    Raises:
        UsageError: As `initial_weights`.
    """
    read = read_weights_of(run.model_spec, Path(path))
    check_origin(path, run.model_spec)
    is_head_new = getattr(run.method_settings, "new_head", None)
    if is_head_new is False and knows_classes and replaces_head(run.network, read):
        last = run.network.parameters[-1].name
        raise UsageError(
            f"received new_head=false with {path!r}, whose head gives {read[last].shape[-1]} "
            f"classes; the data has {run.network.num_classes}: set new_head=true"
        )
    check_channels(run, path, read)
    # What a drawn head would hold does not matter here.
    outlines = {p.name: np.broadcast_to(np.float32(0), p.shape) for p in run.network.parameters}
    try:
        transfer(run.network, read, outlines, is_head_new=bool(is_head_new))
    except UsageError as error:
        what = str(error).removeprefix("received ")
        told = tell_default(run.method, run.model_spec.name)
        raise UsageError(f"received {path!r}: {what}{told}") from None
    return read


def check_channels(run: RunSpec, path: str, read: Arrays) -> None:
    """Refuse weights of a body that takes images of another number of channels.

    Raises:
        UsageError: Says how the images are read as the weights want them.
    """
    first = run.network.parameters[0]
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
        done = f" in place of channels={given}"
    raise UsageError(
        f"received {path!r}, weights for {kinds[wanted]}, with {kinds[given]}; allowed is the same "
        f"number: write --set channels={wanted}{done}"
    )


def transfer(
    network: Network, weights: Arrays, drawn: Weights, *, is_head_new: bool = False
) -> Weights:
    """The file's weights; the drawn head where it must be new or knows other classes.

    Raises:
        UsageError: Any other difference; names the tensor.
    """
    if is_head_new or replaces_head(network, weights):
        weights = {name: v for name, v in weights.items() if not is_of_head(network, name)}
        weights |= {name: v for name, v in drawn.items() if is_of_head(network, name)}
    check_weights(network, weights)
    return dict(weights)


def replaces_head(network: Network, weights: Arrays) -> bool:
    """Whether the file's last layer gives another number of logits."""
    last = network.parameters[-1].name
    return last in weights and weights[last].shape[-1:] != (network.num_classes,)


def is_of_head(network: Network, name: str) -> bool:
    """Whether a tensor belongs to the classifier."""
    last = next(node.name for node in reversed(network.nodes) if node.parameters)
    return name.partition("/")[0] in DENSE_LAYERS or name.startswith(f"{last}/")


def explain_missing(path: Path) -> str:
    """What to name in place of a path where no weight file is."""
    best = path / "checkpoints" / "best.safetensors"
    if best.is_file():
        return (
            f"received --weights {str(path)!r}, a run folder; allowed is a file: name its best "
            f"weights, --weights {shlex.quote(str(best))}"
        )
    return (
        f"received --weights {str(path)!r}, which is no file; name a canonical "
        "safetensors file (poc weights convert makes one) or imagenet"
    )


def check_initial_weights(run: RunSpec, *, knows_classes: bool = True) -> None:
    """Refuse a file that is missing, or that the run's network cannot start from.

    Where the images' shape is not filled in yet, only what can be known without it.

    Raises:
        UsageError: See above.
    """
    if run.initial_weights not in (None, IMAGENET) and not Path(str(run.initial_weights)).is_file():
        raise UsageError(explain_missing(Path(str(run.initial_weights))))
    if run.initial_weights not in (None, IMAGENET) and run.input_shape and run.num_classes:
        read_initial_weights(run, str(run.initial_weights), knows_classes=knows_classes)
