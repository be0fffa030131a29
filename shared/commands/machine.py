"""Commands about the machine: `bench`, `doctor`."""

from pathlib import Path
from typing import Any

import click

from poc.shared.errors import CheckFailed
from poc.shared.shown_names import say

from .mistakes import Command
from .options import (
    JSON_OPTION,
    RUN_OPTIONS,
    command_line,
    echo_json,
    read_run,
    tell,
    with_options,
)


@click.command(cls=Command)
@with_options([*RUN_OPTIONS])
@click.option(
    "--side",
    "sides",
    multiple=True,
    metavar="BACKEND[:MODE[:THREADS]]",
    help="One side to time, such as torch:compile:4; repeatable.",
)
@click.option("--modes", metavar="all", help="Time every mode of both frameworks.")
@click.option(
    "--processes", type=int, default=5, metavar="N", help="Processes per side; default: 5."
)
@click.option(
    "--warmup", type=int, default=10, metavar="N", help="First steps, not timed; default: 10."
)
@click.option(
    "--steps", type=int, default=30, metavar="N", help="Fewest steps to time; default: 30."
)
@click.option("--seconds", type=float, default=3.0, help="Fewest seconds to time; default: 3.")
@click.option(
    "--alone", is_flag=True, help="Run one process at a time, for machines with little memory."
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="File to write; default: bench.json."
)
@click.option(
    "--report", "page", type=click.Path(path_type=Path), help="Folder for a page with the results."
)
@click.option(
    "--verify",
    "file",
    type=click.Path(path_type=Path),
    help="Check this bench file instead of timing.",
)
@JSON_OPTION
def bench(
    sides: tuple[str, ...],
    modes: str | None,
    processes: int,
    warmup: int,
    steps: int,
    seconds: float,
    alone: bool,
    output: Path | None,
    page: Path | None,
    file: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Time both frameworks side by side.

    It first checks that they compute the same values.
    """
    from poc.shared.actions.bench import bench as time_sides
    from poc.shared.actions.bench import verify_bench
    from poc.shared.analysis.tables.terminal import plain_table, show
    from poc.shared.analysis.timing.report import (
        bench_tables,
        check_page,
        findings,
        write_bench_report,
    )
    from poc.shared.spec.bench import BenchSpec, parse_sides

    output = output or Path("bench.json")
    if page is not None:
        check_page(page)
    if file is not None:
        result = verify_bench(file)
    else:
        values = {
            "run": read_run(**given),
            "sides": parse_sides(sides, modes),
            "num_processes": processes,
            "warmup_steps": warmup,
            "timed_steps": steps,
            "timed_seconds": seconds,
            "is_alone": alone,
        }
        result = time_sides(
            BenchSpec.parse(values, "bench"),
            output,
            command=command_line(),
            report=tell,
        )
    files = write_bench_report(result, file or output, page) if page else []
    if as_json:
        echo_json(result["derived"])
        return
    show(*(plain_table(table) for table in bench_tables(result)))
    for finding in findings(result):
        click.echo(f"Note: {finding}")
    if files:
        click.echo("Written: " + ", ".join(files))


@click.command(cls=Command)
@JSON_OPTION
def doctor(as_json: bool) -> None:
    """Show the installed packages, and try each device.

    The trial is a small parity check, or a training step if only one framework is installed.
    """
    from poc.shared.actions.doctor import doctor_tables, examine
    from poc.shared.analysis.tables.terminal import plain_table, show

    facts = examine()
    if as_json:
        echo_json(facts)
    else:
        show(*(plain_table(table) for table in doctor_tables(facts)))
    if facts["problems"]:
        problems = "; ".join(facts["problems"])
        raise CheckFailed(
            f"Got {say(len(facts['problems']), 'problem')}: {problems}. Expected none. Try solving "
            "the first, then `poc doctor` again."
        )
    tell("No problems found.")
