"""`poc models`: the table of models."""

import json
from pathlib import Path

import click

from .completion import complete_backends, complete_models
from .mistakes import Group
from .options import DATA_OPTION, JSON_OPTION, TRAINED_RUN, echo_json, tell


@click.group(cls=Group)
def models() -> None:
    """List and measure models."""


@models.command("list")
@JSON_OPTION
def list_models(as_json: bool) -> None:
    """List every architecture with its options."""
    from poc.shared.spec.networks.architectures.table import MODELS

    rows = [
        {
            "name": name,
            "summary": row.summary,
            "options": {
                key: {"default": field.default, "description": field.description}
                for key, field in row.options.model_fields.items()
            },
        }
        for name, row in MODELS.items()
    ]
    if as_json:
        echo_json(rows)
        return
    for name, row in MODELS.items():
        click.echo(f"{name}: {row.summary}")
        for key, field in row.options.model_fields.items():
            click.echo(f"    {key} = {json.dumps(field.default)}  {field.description}")


@models.command("summary")
@click.argument("name", shell_complete=complete_models)
@click.option(
    "--backend",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Count in the model that this framework builds.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one option of the model; repeatable.",
)
@click.option("--input", "input_shape", metavar="HxWxC", help="Image shape, such as 224x224x3.")
@click.option("--classes", metavar="N", help="Number of classes; default: 10.")
@click.option(
    "--taps", "only_taps", is_flag=True, help="List the named feature maps with their shapes."
)
@JSON_OPTION
def summarize_model(
    name: str,
    backend: str | None,
    assignments: tuple[str, ...],
    input_shape: str | None,
    classes: str | None,
    only_taps: bool,
    as_json: bool,
) -> None:
    """Print the layers of a model and their cost.

    A layer has an output shape, parameters and multiply-adds.
    """
    from poc.shared.actions.count import (
        parse_input_shape,
        summarize,
        summarize_built,
        summarize_taps,
    )
    from poc.shared.analysis.tables.networks import summary_table, taps_table
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.spec.networks.models import find_model
    from poc.shared.spec.reading.config import load_run

    example = find_model(name).example_input
    shape = parse_input_shape(input_shape) if input_shape else example
    named = [f"model.name={name}", f"num_classes={classes or 10}"]
    spec = load_run(
        None, [*named, *assignments], method="scratch", backend=backend, input_shape=shape
    )
    counted: object
    if only_taps:
        counted = taps = summarize_taps(spec)
        table = taps_table(taps)
    else:
        counted = summary = summarize_built(spec) if backend else summarize(spec)
        table = summary_table(summary)
    if as_json:
        echo_json(counted)
    else:
        show(table)


@models.command("removal")
@click.argument("folder", type=TRAINED_RUN)
@click.option("--batches", type=int, metavar="N", help="Test batches to evaluate; default: all.")
@DATA_OPTION
@JSON_OPTION
def remove_blocks(folder: Path, batches: int | None, data: str | None, as_json: bool) -> None:
    """Remove single blocks from a trained network.

    It prints the test error without each block, and without random sets of blocks.
    """
    from poc.shared.actions.ablation import measure_removals
    from poc.shared.analysis.tables.networks import removal_table
    from poc.shared.analysis.tables.terminal import show

    rows = measure_removals(folder, num_batches=batches, data=data, note=tell)
    if as_json:
        echo_json(rows)
    else:
        show(removal_table(rows))
