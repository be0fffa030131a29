"""Commands that train: `run`, `compare`, `parity`, `sweep`."""

from pathlib import Path
from typing import Any

import click

from poc.shared.errors import CheckFailed

from .completion import complete_backends
from .mistakes import Command
from .options import (
    CLUSTER_OPTIONS,
    JSON_OPTION,
    OUTPUT_OPTIONS,
    RUN_OPTIONS,
    SWEEP_OPTIONS,
    command_line,
    echo_json,
    judge,
    read_run,
    tell,
    with_options,
)


@click.command(cls=Command)
@click.option(
    "--backend",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Framework to train with; default: the one in the config.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Continue the run in this folder with its own settings.",
)
@click.option(
    "--processes",
    type=int,
    default=1,
    metavar="N",
    help="Processes that train together; default: 1.",
)
@click.option(
    "--max-restarts",
    type=int,
    default=0,
    metavar="N",
    help="Restarts from the last checkpoint after a process has died; default: 0.",
)
@with_options([*CLUSTER_OPTIONS, *RUN_OPTIONS, *OUTPUT_OPTIONS, JSON_OPTION])
def run(
    backend: str | None,
    resume: Path | None,
    processes: int,
    max_restarts: int,
    engine: str,
    address: str | None,
    output: Path | None,
    overwrite: bool,
    save_every: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Train in one framework; print the results.

    With the variables of torchrun, or TF_CONFIG, this process is one rank of the run.
    """
    from poc.shared.actions.requested_run import refuse_beside_resume, require_backend
    from poc.shared.analysis.runs.load import load_notes
    from poc.shared.analysis.tables.terminal import comparison_table, show, timing_table
    from poc.shared.engine.console.progress import TrainingProgress
    from poc.shared.engine.launch.course import Course
    from poc.shared.engine.launch.run import launch_run, resume_run
    from poc.shared.engine.ranks.launched import find_place

    course = Course(
        processes=processes,
        max_restarts=max_restarts,
        engine=engine,
        address=address,
        place=find_place(),
        **({"save_every": save_every} if save_every else {}),
    )
    if resume is not None:
        data = given.pop("data")
        refuse_beside_resume(backend=backend, output=output, overwrite=overwrite, **given)
        with TrainingProgress("resume") as progress:
            row = resume_run(
                resume, command=command_line(), report=progress.update, data=data, course=course
            )
    else:
        backend = require_backend(backend, given["config"])
        with TrainingProgress(backend) as progress:
            row = launch_run(
                read_run(backend, report=progress.update, is_for_training=True, **given),
                output,
                command=command_line(),
                overwrite=overwrite,
                report=progress.update,
                course=course,
            )
    if as_json:
        echo_json(row)
    elif not course.place.is_first:
        click.echo(f"Rank {course.place.index} is done. Run folder: {row['folder']}")
    else:
        show(comparison_table([row]), timing_table([row]))
        for note in load_notes([row]):
            click.echo(note)
        click.echo(f"Run folder: {row['folder']}")


@click.command(cls=Command)
@with_options([*RUN_OPTIONS, *OUTPUT_OPTIONS, JSON_OPTION])
@click.option("--no-parity", is_flag=True, help="Skip the parity check.")
def compare(
    output: Path | None,
    overwrite: bool,
    save_every: str | None,
    as_json: bool,
    no_parity: bool,
    **given: Any,
) -> None:
    """Train in both frameworks; compare accuracy, parity and time."""
    from poc.shared.actions.comparison import (
        TIMING_CAVEAT,
        check_parity,
        check_start,
        compare_backends,
        difference_verdict,
    )
    from poc.shared.analysis.parity.table import parity_table, rung_notes
    from poc.shared.analysis.runs.load import load_notes
    from poc.shared.analysis.tables.terminal import comparison_table, show, timing_table
    from poc.shared.engine.console.progress import TrainingProgress

    check_start(output, overwrite=overwrite, save_every=save_every)
    with TrainingProgress("compare") as progress:
        spec = read_run(report=progress.update, is_for_training=True, **given)
        rungs = [] if no_parity else check_parity(spec, is_small=True, report=progress.update)
        rows = compare_backends(
            spec,
            output,
            command=command_line(),
            overwrite=overwrite,
            report=progress.update,
            **({"save_every": save_every} if save_every else {}),
        )
    if as_json:
        echo_json({"rows": rows, "parity": [rung.to_json() for rung in rungs]})
    else:
        show(
            comparison_table(rows),
            *([] if no_parity else [parity_table(rungs)]),
            timing_table(rows),
        )
        for note in rung_notes(rungs):
            click.echo(note)
        click.echo(difference_verdict(rows))
        for note in (TIMING_CAVEAT, *load_notes(rows)):
            click.echo(note)
        click.echo("Run folders: " + ", ".join(row["folder"] for row in rows))
    if no_parity:
        tell("Parity was not checked. `poc parity` checks it.")
    else:
        judge(rungs)


@click.command(cls=Command)
@with_options([*RUN_OPTIONS, JSON_OPTION])
@click.option(
    "--processes",
    type=int,
    default=1,
    metavar="N",
    help="Check also that N processes of each framework compute what one does; default: 1.",
)
def parity(as_json: bool, processes: int, **given: Any) -> None:
    """Check that both frameworks compute the same values.

    If not, it names the tensor and exits with 1. Without a model, data, teacher or weights of your
    own, it checks a small form of the method.
    """
    from poc.shared.actions.comparison import (
        check_parity,
        check_rank_parity,
        describe_parity_run,
    )
    from poc.shared.actions.requested_run import named_settings
    from poc.shared.analysis.parity.table import parity_table, rung_notes
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.engine.console.work_count import Event
    from poc.shared.engine.launch.course import Course
    from poc.shared.spec.reading.small_forms import load_parity_run

    Course(processes=processes).check()
    form = None
    if given["batch_size"] == "auto":
        spec = read_run(**given)
    else:
        spec, form = load_parity_run(given["config"], named_settings(**given))
    for line in describe_parity_run(spec, form):
        tell(line) if as_json else click.echo(line)

    def report(event: Event) -> None:
        tell(event["text"])

    if processes > 1:
        rungs = check_rank_parity(spec, processes, report)
    else:
        rungs = check_parity(spec, report=report)
    if as_json:
        echo_json([rung.to_json() for rung in rungs])
    else:
        show(parity_table(rungs))
        for note in rung_notes(rungs):
            click.echo(note)
    judge(rungs)


@click.command(cls=Command)
@with_options([*RUN_OPTIONS, *SWEEP_OPTIONS, JSON_OPTION])
def sweep(
    output: Path,
    axes: tuple[str, ...],
    seeds: int | None,
    engine: str,
    address: str | None,
    jobs: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Train every cell of a grid, or continue an earlier sweep.

    Each cell trains in its own process.
    """
    from poc.shared.actions.requested_run import (
        named_settings,
        require_weights,
        weight_defaults,
    )
    from poc.shared.analysis.runs.load import load_notes
    from poc.shared.analysis.tables.terminal import print_headline, show, sweep_table
    from poc.shared.analysis.tables.verdicts import rival_table
    from poc.shared.analysis.verdicts.headline import read_headline
    from poc.shared.engine.console.progress import SweepProgress
    from poc.shared.engine.launch.executors import make_executor
    from poc.shared.engine.launch.sweep import run_sweep
    from poc.shared.spec.reading.sweep import load_sweep

    settings = named_settings(**given)
    cells = load_sweep(given["config"], settings, axes, seeds, defaults=weight_defaults(tell))
    for cell in cells:
        require_weights(cell.run, cell.settings.get("initial_weights", given["weights"]))
    executor = make_executor(engine, address=address, jobs=jobs)
    with SweepProgress(len(cells)) as progress:
        rows = run_sweep(
            cells,
            output,
            executor,
            command=command_line(),
            report=progress.update,
            watch=progress.watch,
        )
    if as_json:
        echo_json(rows)
    else:
        headline = read_headline([output])
        print_headline(headline.sentences, rival_table(headline.rivals))
        names = {row["cell"]: headline.labels.get(str(output / row["cell"])) for row in rows}
        show(sweep_table(rows, {cell: name for cell, name in names.items() if name}))
        for note in load_notes(rows):
            click.echo(note)
        click.echo(f"Sweep folder: {output}")
    failed = [row["cell"] for row in rows if row["status"] != "finished"]
    if failed:
        raise CheckFailed(
            f"Got failures in {len(failed)} of {len(rows)} cells, the first in {failed[0]}. "
            f"Expected all to finish. Try reading the error in {output / failed[0]}, then the same "
            "command again."
        )
