"""`poc weights factorize`: split each convolution of a trained network into two of low rank.

The result is a folder with weights and a run's config, from which either backend fine-tunes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poc.shared.actions.exports.evaluation import NUM_IMAGES, evaluate_trained
from poc.shared.data.sources.inspection import Note, ignore
from poc.shared.engine.trained_run import open_trained
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.files.whole import write_bytes
from poc.shared.spec.networks.factors import (
    VARIANTS,
    Factor,
    Variant,
    full_rank,
    is_factorable,
    kernel_shape,
)
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.shared.spec.suggestions import choose
from poc.shared.weights.factorization import (
    Measure,
    choose_factors,
    discarded_energy,
    factored_cost,
    factorize_weights,
    layer_cost,
    network_cost,
)
from poc.shared.weights.lineage import HABITS, refuse_habits, weight_metadata
from poc.shared.weights.merging import merge_run

MEASURES: tuple[Measure, ...] = ("parameters", "macs")


def factorize_run(
    folder: Path,
    output: Path,
    *,
    variant: str = "spatial",
    rank: int | None = None,
    budget_parameters: float | None = None,
    budget_macs: float | None = None,
    num_images: int = NUM_IMAGES,
    data: str | None = None,
    note: Note = ignore,
) -> dict[str, Any]:
    """Convert a run's best weights; write `weights.safetensors` and `run.toml` into `output`.

    Args:
        folder: Run folder of either backend.
        output: New or empty folder.
        variant: `basis` or `spatial`.
        rank: Rank of every convolution, or the full rank of those that have less.
        budget_parameters: Largest number of parameters, or a share of the trained network's.
        budget_macs: Largest number of multiply-adds per image, or a share.
        num_images: Largest number of evaluation images for the accuracy before and after.
        data: New place of the run's data; none: the recorded place.
        note: Called with each difference from the run.

    Raises:
        UsageError: As `open_trained`; a wrong or unreachable budget, or nothing to factorize.
    """
    trained = open_trained(folder, data=data, note=note)
    run, weights = merge_run(trained.run, trained.weights)
    if run.model_spec.factors:
        raise UsageError(
            f"Got {str(folder)!r}, which has factors. Expected none. Try the run that it came from."
        )
    network, chosen = declare_network(run), choose("--variant", variant, VARIANTS)
    factors = find_factors(network, weights, chosen, rank, budget_parameters, budget_macs)
    model = with_factors(run.model_spec, factors)
    factored = run.replace(model=model)
    converted = factorize_weights(weights, factors)
    recorded = trained.record.spec.model_dump(mode="json")
    fine_tuned = run.replace(
        **{key: recorded[key] for key in ("method", "method_options", "teacher")}, model=model
    )
    write_result(folder, output, fine_tuned, converted)
    with trained.data as opened:
        before = evaluate_trained(run, weights, opened, num_images)
        after = evaluate_trained(factored, converted, opened, num_images)
    return {
        "output": str(output),
        "variant": variant,
        "layers": layer_rows(network, weights, factors),
        **{f"{m}_before": network_cost(network, m) for m in MEASURES},
        **{f"{m}_after": network_cost(declare_network(factored), m) for m in MEASURES},
        "num_images": len(before.labels),
        "accuracy_before": float(before.hits(before.logits).mean()),
        "accuracy_after": float(after.hits(after.logits).mean()),
        "notes": list(trained.notes),
    }


def with_factors(model: ModelSpec, factors: Mapping[str, Factor]) -> dict[str, object]:
    """Return a model's settings with these layers as products of two."""
    declared = {key: factor.model_dump(mode="json") for key, factor in factors.items()}
    return {**model.model_dump(mode="json"), "factors": declared}


def find_factors(
    network: Network,
    weights: Weights,
    variant: Variant,
    rank: int | None,
    budget_parameters: float | None,
    budget_macs: float | None,
) -> dict[str, Factor]:
    """Choose the factors that the rank or one of the budgets asks for: layer -> factor.

    Under a budget, the singular values of the canonical `Weights` decide the ranks.

    Raises:
        UsageError: Not exactly one of them is given, or no convolution can be factorized.
    """
    given = {"--rank": rank, "parameters": budget_parameters, "macs": budget_macs}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise UsageError(
            f"Got {len(chosen)} of --rank, --budget-parameters and --budget-macs. Expected exactly "
            "one. Try --budget-parameters 0.5."
        )
    nodes = [node for node in network.nodes if is_factorable(node)]
    if not nodes:
        raise UsageError(
            f"Got {network.name}, which has no ordinary convolution. Expected a network with at "
            "least one. Try lightnet_residual with layer=conv2d."
        )
    if rank is not None:
        return {
            node.name: Factor.parse(
                {"variant": variant, "rank": min(rank, full_rank(kernel_shape(node), variant))},
                "--rank",
            )
            for node in nodes
        }
    measure: Measure = "parameters" if budget_parameters is not None else "macs"
    budget = budget_parameters if budget_parameters is not None else budget_macs or 0
    if budget <= 1:
        budget *= network_cost(network, measure)
    return choose_factors(network, weights, variant=variant, budget=int(budget), measure=measure)


def layer_rows(
    network: Network, weights: Weights, factors: Mapping[str, Factor]
) -> list[dict[str, object]]:
    """Return a row per convolution: kernel, rank, discarded energy, cost before and after.

    The canonical `Weights` are the network's own, with kernels (kh, kw, C, F).
    """
    rows = []
    for node in network.nodes:
        if not is_factorable(node):
            continue
        factor = factors.get(node.name)
        row: dict[str, object] = {"layer": node.name, "kernel": list(kernel_shape(node))}
        row["rank"] = factor.rank if factor else None
        kernel = weights[f"{node.name}/kernel"]
        row["discarded_energy"] = discarded_energy(kernel, factor) if factor else 0.0
        for measure in MEASURES:
            whole = layer_cost(node.layer, node.input_shapes, measure)
            row[f"{measure}_before"] = whole
            row[f"{measure}_after"] = factored_cost(node, factor, measure) if factor else whole
        rows.append(row)
    return rows


def write_result(folder: Path, output: Path, run: RunSpec, weights: Weights) -> None:
    """Write the canonical `Weights` and the config from which either backend fine-tunes.

    Raises:
        UsageError: The output is not a new or empty folder, or the network has native habits.
    """
    refuse_habits({HABITS: run.network_habits}, folder)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(
            f"Got the output {str(output)!r}, which is not empty. Expected a new or empty folder. "
            f"Try --output {output.name}-2, or another new name."
        )
    output.mkdir(parents=True, exist_ok=True)
    path = output / "weights.safetensors"
    write_arrays(path, weights, origin=str(folder), **weight_metadata(run.model_spec))
    left_out = {"backend", "input_shape", "num_classes", "stage"}
    settings = run.replace(initial_weights=str(path)).model_dump(
        mode="json", exclude=left_out, exclude_defaults=True
    )
    head = [
        f"# poc run --backend tf --config {output / 'run.toml'}",
        "#",
        f"# Fine-tuning of {folder} in low-rank factors; a lower rate is usual: ",
        "# --set learning_rate=1e-4",
    ]
    text = "\n".join([*(line.rstrip() for line in head), "", *toml_lines(settings)]) + "\n"
    write_bytes(output / "run.toml", text.encode())


def toml_lines(values: Mapping[str, object], path: tuple[str, ...] = ()) -> list[str]:
    """Return nested settings as lines of TOML: values first, then a table per group.

    A value after a table's header would belong to that table.
    """
    lines = [
        f"{key} = {json.dumps(value)}"
        for key, value in values.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            inner = (*path, key if key.isidentifier() else json.dumps(key))
            lines += ["", f"[{'.'.join(inner)}]", *toml_lines(value, inner)]
    return lines
