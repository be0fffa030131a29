"""Commands about images that are new to a run, and its answers to them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from .completion import complete_backends
from .mistakes import Command
from .options import (
    CHECKPOINT_OPTION,
    JSON_OPTION,
    POSITIVE_OPTION,
    TRAINED_RUN,
    command_line,
    echo_json,
    tell,
    tell_event,
)


@click.command(cls=Command)
@click.argument("folder", type=TRAINED_RUN)
@click.option(
    "--sensitivity",
    type=float,
    metavar="SHARE",
    help="Choose the threshold that reaches this sensitivity, such as 0.95; two classes only.",
)
@click.option(
    "--costs",
    metavar="FP,FN",
    help="Choose the threshold of least cost: of a false positive and of a false negative.",
)
@click.option(
    "--answered-accuracy",
    type=float,
    metavar="SHARE",
    help="Leave unsure images unanswered, so that this share of the answers is right, such as "
    "0.95.",
)
@click.option(
    "--answered-share",
    type=float,
    metavar="SHARE",
    help="Answer this share of the images, the surest ones, such as 0.9.",
)
@POSITIVE_OPTION
@JSON_OPTION
def calibrate(
    folder: Path,
    sensitivity: float | None,
    costs: str | None,
    answered_accuracy: float | None,
    answered_share: float | None,
    positive: str | None,
    as_json: bool,
) -> None:
    """Fit a temperature and a threshold on the validation part.

    They are stored in the run folder; `poc predict` and `poc export` use them. The test part is
    measured before and after, and decides nothing.
    """
    from poc.shared.actions.calibrate import Wish, calibrate_folder, read_costs
    from poc.shared.analysis.tables.decisions import decision_table, describe_decision
    from poc.shared.analysis.tables.terminal import show

    wish = Wish(
        sensitivity=sensitivity,
        costs=read_costs(costs) if costs else None,
        answered_accuracy=answered_accuracy,
        answered_share=answered_share,
        positive=positive,
    )
    decision = calibrate_folder(folder, wish, command=command_line())
    if as_json:
        echo_json({"folder": str(folder), **decision.model_dump()})
        return
    show(decision_table(decision))
    for sentence in describe_decision(decision):
        click.echo(sentence)
    click.echo(f"Stored: {folder / 'decision.json'}")
    if wish.has_positive_alone:
        tell(
            f"The class {positive!r} is positive in this table alone: only a threshold stores it "
            "(--sensitivity or --costs). `poc report` and `poc evaluate` take --positive too."
        )


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--backend",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Framework to compute in; default: that of the run.",
)
@CHECKPOINT_OPTION
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
    input. A file that cannot be read gets a row with the reason, and the exit code is then 1.
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


@click.command(cls=Command)
@click.argument("run", type=TRAINED_RUN)
@click.argument("paths", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--method",
    default="gradcam",
    metavar="NAME",
    help="How to explain: gradcam (default) or occlusion.",
)
@click.option(
    "--class", "class_name", metavar="NAME", help="Class to explain; default: the answered one."
)
@click.option(
    "--tap",
    metavar="NAME",
    help="Map for gradcam, from `poc models summary MODEL --taps` or a layer; default: the last.",
)
@click.option(
    "--patch",
    type=int,
    metavar="PIXELS",
    help="Side of the patch for occlusion; default: a seventh of the image's.",
)
@click.option(
    "--stride",
    type=int,
    metavar="PIXELS",
    help="Pixels by which the patch moves; default: half of its side.",
)
@click.option(
    "--backend",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Framework to compute in; default: both, side by side.",
)
@CHECKPOINT_OPTION
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="New folder for the pictures."
)
def explain(run: Path, paths: tuple[str, ...], output: Path, **given: Any) -> None:
    """Show which parts of images a run's answers react to.

    IMAGE is an image file, a folder, a pattern in quotes, or - for a list of paths on standard
    input. The folder gets a picture per image, the numbers as JSON, and a page.
    """
    from poc.shared.actions.explanations.explain import Wish
    from poc.shared.actions.explanations.explain_files import (
        describe_rows,
        explain_files,
        refuse_unreadable,
    )
    from poc.shared.engine.console.progress import WorkProgress

    with WorkProgress("explain") as progress:
        rows = explain_files(
            run,
            paths,
            output,
            Wish(**given),
            command=command_line(),
            report=progress.update,
        )
    tell(describe_rows(rows))
    click.echo(f"Written: {output / 'index.html'}")
    refuse_unreadable(rows)


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, type=TRAINED_RUN, metavar="RUN...")
@click.option(
    "--backend",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Framework to compute in; default: both, and of two runs each its own.",
)
@CHECKPOINT_OPTION
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address to listen at; default: 127.0.0.1, this machine alone. 0.0.0.0 lets in everybody "
    "who can reach this machine, without a password.",
)
@click.option(
    "--port",
    type=int,
    default=7860,
    metavar="N",
    help="Port to listen at; default: 7860; 0 finds a free one.",
)
def demo(
    runs: tuple[Path, ...], backend: str | None, checkpoint: str, host: str, port: int
) -> None:
    """Open a local page that labels a photo and shows why.

    One run answers in both frameworks from the same weights; two runs answer side by side. Ctrl-C
    ends the page.
    """
    from poc.shared.actions.demonstration.serve import Wish, open_page
    from poc.shared.engine.console.progress import WorkProgress

    wish = Wish(backend=backend, checkpoint=checkpoint, host=host, port=port)
    with ExitStack() as stack:
        with WorkProgress("demo") as progress:
            page = stack.enter_context(open_page(runs, wish, progress.update))
        page.serve(click.echo)
