"""Habits that change something in a run, and those that a run cannot have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from poc.shared.spec.networks.layers.pooling import Pool2D
from poc.shared.spec.networks.layers.window import Window
from poc.shared.spec.networks.network import Network
from poc.shared.spec.networks.nodes import Node
from poc.shared.spec.run_settings import BACKENDS, RunSettings
from poc.shared.spec.training.habits import HABITS, Framework, HabitsSpec

from .images import is_resized
from .networks import with_habits
from .rules import find_conflicts

UNCHANGED = "it changes nothing in this run"
NOT_RESIZED = f"{UNCHANGED}, which resizes no image"


def has_decay(run: RunSettings) -> bool:
    """Return whether weight decay is one that Keras would write as a regulariser."""
    return run.optimizer.weight_decay > 0 and run.optimizer.name != "adamw"


def has_class_weights(run: RunSettings) -> bool:
    """Return whether the classes have weights in the loss."""
    return run.loss.class_weights is not None


# Habits of the training alone. The optimiser is not among them: Keras' formulas always differ.
OF_TRAINING: Mapping[str, Callable[[RunSettings], bool]] = {
    "regularization": has_decay,
    "loss": has_class_weights,
}
# Habits that a declared network shows.
OF_LAYERS = ("batch_norm", "initializers", "padding", "dropout")


def leave_out(
    runs: Sequence[RunSettings], network: Network, stored: tuple[int, ...] | None
) -> dict[str, str]:
    """Map each habit that an experiment leaves out to the reason.

    Args:
        runs: Runs with common habits that differ in their hyper-parameters; at least one.
        network: The declared network of these runs.
        stored: (H, W, C) of the source's images; None: they differ in size.
    """
    found: dict[str, str] = {}
    conflicts = [find_conflicts(run) for run in runs]
    for name in HABITS:
        refused = [known[name] for known in conflicts if name in known]
        if refused:
            setting, reason = refused[0]
            found[name] = f"{setting}, {reason}"
        elif not acts(name, runs, network, stored):
            found[name] = NOT_RESIZED if name == "input_pipeline" else UNCHANGED
    return found


def acts(
    name: str, runs: Sequence[RunSettings], network: Network, stored: tuple[int, ...] | None
) -> bool:
    """Return whether a habit changes one of the runs in at least one framework."""
    if name == "input_pipeline":
        return any(is_resized(run, stored) for run in runs)
    if name in OF_TRAINING:
        return any(map(OF_TRAINING[name], runs))
    if name in OF_LAYERS:
        return any(changes(name, network, backend) for backend in BACKENDS)
    return True


def changes(name: str, network: Network, backend: Framework) -> bool:
    """Return whether a habit of a framework makes another network."""
    habits = HabitsSpec.parse({name: "native"}, "habits")
    changed = with_habits(network, habits, backend)
    return list(map(written_out, changed.nodes)) != list(map(written_out, network.nodes))


def written_out(node: Node) -> Node:
    """Return a node with the pads of its window in pixels: two rules may give the same ones."""
    layer = node.layer
    if not isinstance(layer, Window):
        return node
    pads = layer.pads(node.input_shapes[0])
    layer = replace(layer, padding=pads)
    if isinstance(layer, Pool2D) and not any(map(any, pads)):
        layer = replace(layer, count_padding=False)
    return replace(node, layer=layer)
