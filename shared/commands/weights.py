"""`poc weights`: weight files."""

import json
from pathlib import Path
from typing import Any

import click

from poc.shared.errors import CheckFailed, UsageError

from .completion import complete_models
from .mistakes import Group
from .options import DATA_OPTION, JSON_OPTION, echo_json, tell


@click.group(cls=Group)
def weights() -> None:
    """Weight files."""


@weights.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=complete_models,
    help="A row of `poc models list`.",
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A model option.")
@click.option("--classes", metavar="N", help="Number of classes.")
@click.option("--input", "shape", metavar="HxWxC", help="Image shape; default: the publication's.")
@click.option("--from", "origin", metavar="FORMAT", help="torch, keras, canonical or a scheme.")
@click.option("--to", metavar="FORMAT", default="canonical", help="The same; default canonical.")
@click.option("--overwrite", is_flag=True, help="Replace a file that stands at TARGET.")
@JSON_OPTION
def convert(source: Path, target: Path, overwrite: bool, as_json: bool, **given: Any) -> None:
    """Convert published weights into canonical ones, or back; check every name and shape.

    SOURCE may be a run folder, which needs neither --model nor --classes.
    """
    from poc.shared.actions.weights.convert import convert_for
    from poc.shared.actions.weights.of_run import convert_run

    if target.exists() and not overwrite:
        raise UsageError(
            f"received the output {str(target)!r}, which exists; allowed is a new file: name "
            "another, or add --overwrite"
        )
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
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="New folder.")
@click.option("--variant", default="spatial", metavar="basis|spatial", help="Default spatial.")
@click.option("--rank", type=int, metavar="N", help="The same rank in every convolution.")
@click.option(
    "--budget-parameters", type=float, metavar="N", help="Largest count, or a share up to 1."
)
@click.option("--budget-macs", type=float, metavar="N", help="The same of the multiply-adds.")
@DATA_OPTION
@JSON_OPTION
def factorize(folder: Path, output: Path, as_json: bool, **given: Any) -> None:
    """Write a trained network's convolutions as two of low rank each, to be fine-tuned."""
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
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best")
@DATA_OPTION
@JSON_OPTION
def verify(folder: Path, checkpoint: str, data: str | None, as_json: bool) -> None:
    """Load a run's checkpoint into both backends and compare their logits."""
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
            f"difference {rung.error:.1e}, allowed {rung.tolerance:.0e}."
        )
    if not rung.is_passed:
        raise CheckFailed(
            f"the backends' logits differ by {rung.error:.1e}, allowed is {rung.tolerance:.0e}"
        )
