"""Commands about images that a run was not given before: `predict`."""

from pathlib import Path

import click

from .completion import complete_backends
from .mistakes import Command
from .options import JSON_OPTION, tell, tell_event


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--backend",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Framework to compute in; default: that of the run.",
)
@click.option(
    "--checkpoint", default="best", metavar="NAME", help="Weights to load: best (default), last …"
)
@click.option(
    "--no-decision",
    is_flag=True,
    help="Answer as trained, without the temperature and the rule of `poc calibrate`.",
)
@click.option(
    "--batch-size", type=int, default=64, metavar="N", help="Images of a batch; default: 64."
)
@click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Threads that decode images; default: one per processor, at most 8.",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path),
    help="New file for the rows, with the probability of each class.",
)
@JSON_OPTION
def predict(
    run: Path,
    paths: tuple[str, ...],
    backend: str | None,
    checkpoint: str,
    no_decision: bool,
    batch_size: int,
    workers: int | None,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """Label new images with a trained run, or with a file of `poc export`.

    PATH is an image file, a folder, a pattern in quotes, or - for a list of paths on standard
    input. A file that cannot be read gets a row that says so, and the exit code is then 1.
    """
    from poc.shared.actions.new_images.label_files import Destination, Wish, label_files
    from poc.shared.actions.new_images.written_rows import describe_counts, refuse_unreadable_rows

    wish = Wish(
        backend=backend,
        checkpoint=checkpoint,
        use_decision=not no_decision,
        batch_size=batch_size,
        num_threads=workers,
    )
    destination = Destination(write=click.echo, csv_file=csv_file, as_json=as_json)
    counts = label_files(run, paths, wish, destination, note=tell, report=tell_event)
    tell(describe_counts(counts))
    if csv_file is not None:
        tell(f"Written: {csv_file}")
    refuse_unreadable_rows(counts)
