"""Commands that search: `rates` for a learning rate, `study` for a method, `probe` for weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poc.shared.errors import Interrupted, UsageError
from poc.shared.machine import find_process_start

from .completion import complete_backends, complete_sources, complete_weights
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

if TYPE_CHECKING:
    from poc.shared.engine.console.work_count import Event

# A budget counts the imports of this process too.
BEGAN = find_process_start()


@click.command(cls=Command)
@with_options([*RUN_OPTIONS])
@click.option(
    "--backend",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Framework to sweep in; default: both, one after the other.",
)
@click.option(
    "--lowest", type=float, default=1e-6, metavar="RATE", help="First rate; default: 1e-6."
)
@click.option("--highest", type=float, default=10.0, metavar="RATE", help="Last rate; default: 10.")
@click.option(
    "--steps", type=int, default=100, metavar="N", help="Rates to try, a step each; default: 100."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("rates"),
    help="Folder for the curves and their picture; default: rates.",
)
@JSON_OPTION
def rates(
    backend: str | None,
    lowest: float,
    highest: float,
    steps: int,
    output: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Suggest a range for the learning rate.

    One short sweep from a low rate to a high one, on the train part alone.
    """
    from poc.shared.actions.rates import describe_rates, find_rates
    from poc.shared.engine.console.progress import WorkProgress
    from poc.shared.spec.run import BACKENDS

    with WorkProgress("rates") as progress:
        spec = read_run(backend, report=progress.update, is_for_training=True, **given)
        backends = [backend] if backend else list(BACKENDS)
        try:
            content = find_rates(
                spec,
                backends,
                (lowest, highest, steps),
                output,
                command=command_line(),
                report=progress.update,
            )
        except Interrupted as error:
            raise type(error)("interrupted; a sweep writes nothing before its end") from None
    if as_json:
        echo_json(content)
        return
    for line in describe_rates(content):
        click.echo(line)
    click.echo(f"Written: {output}/rates.json, rates_light.svg, rates_dark.svg")


@click.command(cls=Command)
@click.argument("source", shell_complete=complete_sources)
@click.option("--budget", required=True, metavar="TIME", help="Time for all, such as 30m or 2h.")
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the study; the same study continues there.",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="FILE",
    shell_complete=complete_weights,
    help="Weights to start from; repeatable.",
)
@click.option(
    "--methods",
    metavar="M,M",
    help="Methods to try: logistic, knn, transfer, fixres, lightlayers, scratch, kd.",
)
@click.option(
    "--frameworks",
    default="torch,tf",
    metavar="F,F",
    help="Frameworks: the first searches, the other one confirms; default: torch,tf. both: each "
    "searches on its own.",
)
@click.option(
    "--groups",
    metavar="PATTERN",
    help="Regular expression for an image's group, such as the patient, which is never divided.",
)
@click.option(
    "--difference",
    type=float,
    default=0.05,
    metavar="SHARE",
    help="Smallest difference of accuracies worth knowing; default: 0.05.",
)
@click.option("--max-size", metavar="SIZE", help="Largest file of the network, such as 1MB.")
@click.option(
    "--max-latency", metavar="TIME", help="Longest time of that file for an image, such as 20ms."
)
@JSON_OPTION
def study(
    source: str,
    budget: str,
    output: Path,
    weights: tuple[str, ...],
    methods: str | None,
    frameworks: str,
    groups: str | None,
    difference: float,
    max_size: str | None,
    max_latency: str | None,
    as_json: bool,
) -> None:
    """Find the method and the framework for your images, in a given time.

    It tries candidates on validation images, tests the best ones, and writes the decision as a
    page and as decision.json.
    """
    from poc.shared.actions.study.budget import read_budget
    from poc.shared.actions.study.outcome.limit_texts import read_limits
    from poc.shared.actions.study.study import PAGE, Wish, run_study
    from poc.shared.analysis.study.decision import DECISION
    from poc.shared.data.protocol.question import Question
    from poc.shared.engine.console.progress import WorkProgress

    wish = Wish(
        data=source,
        budget_seconds=read_budget(budget),
        output=output,
        weights=weights,
        methods=tuple(methods.split(",")) if methods else (),
        frameworks=tuple(frameworks.split(",")),
        question=Question(smallest_difference=difference, group_pattern=groups),
        limits=read_limits(max_size, max_latency),
    )
    with WorkProgress("study") as progress:

        def watch(cell: str, event: "Event") -> None:
            if event["event"] == "work":
                text = f"{cell}: {event['text']}"
                progress.show(text, event.get("done", 0), event.get("total", 0))

        decision = run_study(
            wish, command=command_line(), began=BEGAN, tell=progress.say, watch=watch
        )
    if as_json:
        echo_json(decision.model_dump(mode="json"))
        return
    for sentence in decision.sentences:
        click.echo(sentence)
    click.echo(f"Written: {output / PAGE}, {output / DECISION}")


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

    weights = given.pop("weights")
    if weights is None:
        raise UsageError(
            "Got no --weights. Expected a canonical safetensors file with the pretrained network. "
            "Try adding --weights FILE."
        )
    settings = named_settings(**given)
    with SweepProgress(4 * folds) as progress:
        result = run_probe(
            given["config"],
            settings,
            weights=weights,
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
