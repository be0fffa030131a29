"""`poc weights`: weight files; `poc probe`: what pretrained weights are worth."""

import json
from pathlib import Path
from typing import Any

import click

from poc.shared.errors import CheckFailed, UsageError

from .completion import complete_models
from .mistakes import Command, Group
from .options import (
    DATA_OPTION,
    JSON_OPTION,
    RUN_OPTIONS,
    TRAINED_RUN,
    command_line,
    echo_json,
    tell,
    with_options,
)


@click.group(cls=Group)
def weights() -> None:
    """Convert, factorize and verify weight files."""


@weights.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=complete_models,
    help="Model that the weights are for, from `poc models list`.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one option of the model; repeatable.",
)
@click.option("--classes", metavar="N", help="Number of classes.")
@click.option("--input", "shape", metavar="HxWxC", help="Image shape; default: the publication's.")
@click.option(
    "--from",
    "origin",
    metavar="FORMAT",
    help="Format of SOURCE: torch, keras, canonical or a scheme; default: found by the names.",
)
@click.option(
    "--to",
    metavar="FORMAT",
    default="canonical",
    help="Format of TARGET, as for --from; default: canonical.",
)
@click.option("--overwrite", is_flag=True, help="Replace TARGET if it exists.")
@JSON_OPTION
def convert(source: Path, target: Path, overwrite: bool, as_json: bool, **given: Any) -> None:
    """Convert published weights to the project's format or back.

    Every name and shape is checked. SOURCE may be a run folder: it needs neither --model nor
    --classes.
    """
    from poc.shared.actions.weights.convert import convert_for
    from poc.shared.actions.weights.of_run import convert_run
    from poc.shared.files.shards import find_saved

    if target.exists() and not overwrite:
        raise UsageError(
            f"Got the output {str(target)!r}, which exists. Expected a new file. Try another name, "
            "or --overwrite."
        )
    source = find_saved(source)
    if source.is_dir():
        named = {"set" if key == "assignments" else key: value for key, value in given.items()}
        named["from"], named["input"] = named.pop("origin"), named.pop("shape")
        report = convert_run(source, target, **named)
    else:
        report = convert_for(source, target, **given)
    for note in report["notes"]:
        tell(f"Note: {note}")
    click.echo(json.dumps(report, indent=1) if as_json else "{output}: {summary}".format(**report))


@weights.command("factorize")
@click.argument("folder", type=TRAINED_RUN)
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="New folder for the result."
)
@click.option(
    "--variant",
    default="spatial",
    metavar="basis|spatial",
    help="Way to factorize a convolution; default: spatial.",
)
@click.option("--rank", type=int, metavar="N", help="Same rank for every convolution.")
@click.option(
    "--budget-parameters",
    type=float,
    metavar="N",
    help="Largest number of parameters, or up to 1 a share of the trained network's.",
)
@click.option(
    "--budget-macs",
    type=float,
    metavar="N",
    help="Largest number of multiply-adds, or up to 1 a share of the trained network's.",
)
@DATA_OPTION
@JSON_OPTION
def factorize(folder: Path, output: Path, as_json: bool, **given: Any) -> None:
    """Factorize the convolutions of a trained network.

    Each becomes two of low rank, to fine-tune.
    """
    from poc.shared.actions.weights.factorize import factorize_run
    from poc.shared.analysis.tables.networks import factor_table
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.engine.console.progress import WorkProgress

    with WorkProgress("factorize") as progress:
        progress.show("two networks on the run's images")
        result = factorize_run(folder, output, note=progress.say, **given)
    if as_json:
        echo_json(result)
        return
    show(factor_table(result))
    click.echo(
        "Accuracy on {num_images} images: {accuracy_before:.4f} before, {accuracy_after:.4f} after "
        "truncation.".format(**result)
    )
    click.echo(f"Fine-tune: poc run --backend tf|torch --config {output / 'run.toml'}")


@weights.command("verify")
@click.argument("folder", type=TRAINED_RUN)
@click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    help="Weights to load; default: best.",
)
@DATA_OPTION
@JSON_OPTION
def verify(folder: Path, checkpoint: str, data: str | None, as_json: bool) -> None:
    """Check that a run's weights work in both frameworks.

    It compares the logits that both compute from the same images.
    """
    from poc.shared.actions.weights.verify import verify_weights
    from poc.shared.engine.console.progress import WorkProgress

    with WorkProgress("verify") as progress:
        progress.show("both backends on the same images")
        rung = verify_weights(folder, checkpoint, data=data, note=progress.say)
    if as_json:
        echo_json(rung.to_json())
    elif rung.is_passed:
        click.echo(
            f"Both backends give the same logits from {checkpoint}.safetensors: largest relative "
            f"difference {rung.error:.1e}, bound {rung.tolerance:.0e}."
        )
    if not rung.is_passed:
        raise CheckFailed(
            f"Got logits that differ by {rung.error:.1e} between the backends. Expected at most "
            f"{rung.tolerance:.0e}. Try `poc parity` with the run's settings, which names the "
            "tensor."
        )


@click.command(cls=Command)
@with_options([*RUN_OPTIONS, JSON_OPTION])
@click.option("--folds", type=int, default=5, metavar="N", help="Number of folds; default: 5.")
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Folder of the probe."
)
def probe(folds: int, output: Path, as_json: bool, **given: Any) -> None:
    """Compare pretrained with random weights on every fold.

    A new head is trained on the frozen network, in both frameworks.
    """
    from poc.shared.actions.probe import probe_table, run_probe
    from poc.shared.actions.requested_run import named_settings, weight_defaults
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.engine.console.progress import SweepProgress

    pretrained = given.pop("weights")
    if pretrained is None:
        raise UsageError(
            "Got no --weights. Expected a canonical safetensors file with the pretrained network. "
            "Try adding --weights FILE."
        )
    settings = named_settings(**given)
    with SweepProgress(4 * folds) as progress:
        result = run_probe(
            given["config"],
            settings,
            weights=pretrained,
            num_folds=folds,
            output=output,
            command=command_line(),
            defaults=weight_defaults(tell),
            progress=progress,
        )
    if as_json:
        echo_json(result)
        return
    show(probe_table(result))
    for backend, gain in result["gain"].items():
        p_value = result["p_values"][backend]
        click.echo(f"{backend}: pretrained {100 * gain:+.1f} points, McNemar p = {p_value:.2g}")
