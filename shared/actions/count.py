"""Counts of a network: parameters, weight bytes and multiply-adds, layer by layer."""

import math
from collections.abc import Sequence

from poc.shared.analysis.parity.rungs import differing_rows
from poc.shared.analysis.tables.networks import LayerRow, NetworkSummary, TapsSummary
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations, ParameterRow, describe_parameter
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec

BYTES_PER_WEIGHT = 4


def summarize(run: RunSpec) -> NetworkSummary:
    """Count the layers of a declared network, and their totals.

    Totals include running statistics, as in Keras. `learnable_parameters` leaves them out, as in
    PyTorch; `trainable_parameters` counts the values that training changes, without frozen ones;
    `live_parameters` leaves out the kernel values that meet only padding at this input size.
    """
    network = declare_network(run)
    parameters = network.parameters
    total = sum(parameter.size for parameter in parameters)
    return {
        "model": network.name,
        "input_shape": list(network.input_shape),
        "num_classes": network.num_classes,
        "total_parameters": total,
        "learnable_parameters": network.learnable_parameters,
        "trainable_parameters": sum(p.size for p in parameters if p.is_trainable),
        "live_parameters": network.live_parameters,
        "weight_bytes": BYTES_PER_WEIGHT * total,
        "macs": network.macs,
        "layers": layer_rows(network),
    }


def layer_rows(network: Network) -> list[LayerRow]:
    """Return one row per layer: name, kind, output shape, parameters, live ones, multiply-adds."""
    return [
        {
            "name": node.name,
            "kind": node.layer.kind,
            "output_shape": list(node.output_shape),
            "parameters": sum(parameter.size for parameter in node.parameters),
            "live_parameters": sum(p.size for p in node.parameters) - node.dead_parameters,
            "macs": node.macs,
        }
        for node in network.nodes
    ]


def summarize_taps(run: RunSpec) -> TapsSummary:
    """List the taps of a network, each with its layer and the shape of its value."""
    network = declare_network(run)
    return {
        "model": network.name,
        "input_shape": list(network.input_shape),
        "taps": [
            {"name": tap, "layer": node, "shape": list(network.shape_of(node))}
            for tap, node in network.taps.items()
        ],
    }


def summarize_built(run: RunSpec) -> NetworkSummary:
    """Count as `summarize`, but in the model that the run's backend builds.

    Raises:
        CheckFailed: The built model differs from its declaration; the message names the parameter.
    """
    with Worker(run.backend) as worker:
        built = worker.call(Operations.parameters, run=run.model_dump(mode="json"))
    check_built(declare_network(run), built)
    sizes = [(math.prod(row["shape"]), row["is_trainable"]) for row in built]
    return {
        **summarize(run),
        "backend": run.backend,
        "total_parameters": sum(size for size, _ in sizes),
        "trainable_parameters": sum(size for size, is_trainable in sizes if is_trainable),
    }


def check_built(network: Network, built: Sequence[ParameterRow]) -> None:
    """Compare the parameters of a built model with its declaration.

    Raises:
        CheckFailed: A name or a shape differs.
    """
    wrong = differing_rows(
        [describe_parameter(parameter) for parameter in network.parameters], built
    )
    if wrong:
        raise CheckFailed(
            f"Got a {network.name} that differs from its declaration at {wrong[0]}. Expected the "
            "declared parameters. Try `poc parity`, and report it: the fault is in poc."
        )


def parse_input_shape(text: str) -> Shape:
    """Return a typed shape as numbers: `299x299x3` gives (299, 299, 3).

    Raises:
        UsageError: The text is not three positive numbers.
    """
    parts = text.lower().split("x")
    if len(parts) == 3 and all(part.isdigit() and int(part) > 0 for part in parts):
        height, width, channels = (int(part) for part in parts)
        return height, width, channels
    raise UsageError(
        f"Got --input {text!r}. Expected HEIGHTxWIDTHxCHANNELS in pixels. Try --input 224x224x3."
    )
