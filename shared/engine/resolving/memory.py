"""A lower bound of the memory that a run needs, compared with the memory of this machine."""

from collections.abc import Collection
from pathlib import Path

from poc.shared.data.sources.table import known_images
from poc.shared.engine.machine.memory import ITEM_BYTES, SLOTS, free_bytes
from poc.shared.errors import UsageError
from poc.shared.spec.networks.network import IMAGES, Network
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

from .before_data import SOME_CLASSES, early_shape

# Arrays of the file, drawn arrays, arrays of the model, and the copy that a checkpoint takes.
WEIGHT_COPIES = 4
GIB = 1 << 30
GPU = Path("/dev/nvidia0")
# A run that needs less is never refused: such an estimate is too rough to decide anything.
SMALL_BYTES = 4 * GIB


def needed_bytes(run: ResolvedRun, batch_size: int | None = None) -> int:
    """Estimate a lower bound in bytes: weights, gradients, optimiser state, values of one batch.

    All values of the part that learns are kept for the backward pass; of the frozen part only those
    that are still read. Workspaces of the framework are not counted.

    Args:
        run: The run.
        batch_size: Size of the batch; None for that of the run.
    """
    # The network of a fine-tuned run's stage has frozen layers, which keep no values.
    network = run.network if run.method.fine_tuning is None else run.trained_network
    spec = run.spec
    learning = learning_nodes(network)
    weights = sum(parameter.size for parameter in network.parameters)
    trained = sum(p.size for p in network.parameters if p.is_trainable)
    kept = total(network, learning)
    size = spec.data.batch_size if batch_size is None else batch_size
    values = (kept + peak_of_others(network, learning)) * size
    copies = 1 + SLOTS[spec.optimizer.name] + (spec.ema.decay is not None)
    stored = WEIGHT_COPIES * weights + copies * trained
    return ITEM_BYTES[spec.dtype] * stored + ITEM_BYTES[spec.precision] * values


def learning_nodes(network: Network) -> frozenset[str]:
    """Return the nodes that a gradient passes: trained ones and all that follow them."""
    found: set[str] = set()
    for node in network.needed([network.output]):
        is_trained = any(parameter.is_trainable for parameter in node.parameters)
        if is_trained or found.intersection(node.inputs):
            found.add(node.name)
    return frozenset(found)


def peak_of_others(network: Network, learning: Collection[str]) -> int:
    """Return the largest number of values of one image that frozen nodes keep at once."""
    alive, peak = {IMAGES}, 0
    for step in network.plan([network.output], training=False):
        if step.output in learning:
            continue
        alive.add(step.output)
        peak = max(peak, total(network, alive))
        alive.difference_update(step.freed)
    return peak


def total(network: Network, names: Collection[str]) -> int:
    """Count the values of several nodes for one image."""
    return sum(count(network, name) for name in names)


def count(network: Network, name: str) -> int:
    """Count the values of a node for one image."""
    size = 1
    for side in network.shape_of(name):
        size *= side
    return size


def likely_classes(run: RunSpec) -> int:
    """Return the number of classes, or one with which the networks can be declared."""
    known, teacher = known_images(run.data.source), run.teacher
    named = known.num_classes if known else teacher.num_classes if teacher else None
    # A student whose logits are compared has the classes of its teacher.
    return run.num_classes or named or SOME_CLASSES


def require_memory(run: RunSpec) -> None:
    """Refuse a run that cannot fit into memory, before anything is read.

    No run is refused if its image size follows from the data, or if a GPU has memory of its own.

    Raises:
        UsageError: The memory is too small; the message says how much is needed and available.
    """
    shape, available = early_shape(run), free_bytes()
    has_own_memory = run.device != "cpu" and GPU.exists()
    if shape is None or available is None or has_own_memory:
        return
    filled = run.replace(input_shape=shape, num_classes=likely_classes(run))
    stages = [resolve_networks(filled.at_stage(stage.name)) for stage in filled.stages]
    needed, largest = max((needed_bytes(stage), stage.network.input_shape[:2]) for stage in stages)
    if needed > max(available, SMALL_BYTES):
        # Smaller batches save nothing if the weights alone do not fit.
        alone = max(needed_bytes(stage, batch_size=0) for stage in stages)
        smaller = "data.batch_size or the image size" if alone < available else "the model's size"
        raise UsageError(
            f"Got {run.model_spec.name} at {largest[0]}x{largest[1]} with batches of "
            f"{run.data.batch_size}, which needs at least {needed / GIB:.1f} GiB of memory. "
            f"Expected at most {available / GIB:.1f} GiB, which this machine has left. Try "
            f"lowering {smaller}, or using a larger machine."
        )
