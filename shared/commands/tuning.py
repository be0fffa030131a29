"""Commands of many runs: `rates` and `study` search, `habits` measures the frameworks' habits."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poc.shared.errors import Interrupted, UsageError
from poc.shared.machine import find_process_start

from .completion import complete_backends, complete_sources, complete_weights
from .mistakes import Command
from .options import (
    CLUSTER_OPTIONS,
    ENGINE_OPTIONS,
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
@click.option(
    "--seeds",
    type=int,
    metavar="N",
    help="Networks per finalist: seeds on a holdout (default: 3), repeats of all folds (1).",
)
@click.option("--max-size", metavar="SIZE", help="Largest file of the network, such as 1MB.")
@click.option(
    "--max-latency", metavar="TIME", help="Longest time of that file for an image, such as 20ms."
)
@with_options([*CLUSTER_OPTIONS, JSON_OPTION])
def study(
    source: str,
    budget: str,
    output: Path,
    weights: tuple[str, ...],
    methods: str | None,
    frameworks: str,
    groups: str | None,
    difference: float,
    seeds: int | None,
    max_size: str | None,
    max_latency: str | None,
    engine: str,
    address: str | None,
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
    from poc.shared.data.protocol.question import make_question
    from poc.shared.engine.console.progress import WorkProgress
    from poc.shared.engine.launch.executors import make_executor

    wish = Wish(
        data=source,
        budget_seconds=read_budget(budget),
        output=output,
        weights=weights,
        methods=tuple(methods.split(",")) if methods else (),
        frameworks=tuple(frameworks.split(",")),
        question=make_question(difference, groups, seeds),
        limits=read_limits(max_size, max_latency),
        executor=make_executor(engine, address=address),
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
@with_options([*RUN_OPTIONS])
@click.option("--sets", "num_sets", type=int, metavar="N", help="Sets to draw from [sets.ranges].")
@click.option("--draw-seed", type=int, metavar="S", help="Seed of the draw.")
@click.option("--seeds", "num_seeds", type=int, metavar="N", help="Runs per cell; default: 1.")
@click.option("--habits", "listed", metavar="H,H", help="Habits; default: all that have an effect.")
@click.option(
    "--design",
    default="full",
    metavar="full|single|ends",
    help="Native habits of the cells: ends: none and all; single: each alone too; full (default): "
    "all but each too.",
)
@click.option(
    "--target",
    type=float,
    metavar="ACCURACY",
    help="Validation accuracy; compares the epochs that both frameworks need for it.",
)
@click.option(
    "--plan", "is_plan", is_flag=True, help="Write plan.json and print the cells; train nothing."
)
@click.option(
    "--analyse",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Analyse the runs of this folder again; train nothing.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the experiment.")
@with_options([*ENGINE_OPTIONS, JSON_OPTION])
def habits(
    listed: str | None,
    is_plan: bool,
    analyse: Path | None,
    output: Path | None,
    engine: str,
    address: str | None,
    jobs: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure how far each habit of the frameworks moves their results apart.

    A designed experiment: habits native one by one, all but one and all together, in both
    frameworks. The same command continues it.
    """
    from poc.shared.actions.habits.experiment import (
        analyse_folder,
        describe_plan,
        require_complete,
        run_experiment,
    )
    from poc.shared.actions.habits.planning import Wish, make_plan
    from poc.shared.actions.requested_run import named_settings, weight_defaults
    from poc.shared.analysis.habits.page import EFFECTS, PAGE, RUNS, effect_frame
    from poc.shared.analysis.habits.plan import FILE, store_plan
    from poc.shared.engine.launch.executors import make_executor

    names = ("num_sets", "draw_seed", "num_seeds", "design", "target")
    own = {name: given.pop(name) for name in names} | {"weights": given["weights"]}
    if analyse is not None:
        output, analysis = analyse, analyse_folder(analyse, command_line())
    else:
        if output is None:
            raise UsageError(
                "Got no --output. Expected a folder for the experiment. Try --output habits."
            )
        executor = make_executor(engine, address=address, jobs=jobs)
        chosen = tuple(listed.split(",")) if listed else ()
        wish = Wish(
            config=given["config"],
            settings=named_settings(**given),
            habits=chosen,
            **own,
        )
        plan, cells = make_plan(wish, command_line(), weight_defaults(tell))
        if is_plan:
            store_plan(plan, output)
            if as_json:
                echo_json(plan.model_dump(mode="json"))
            else:
                click.echo("\n".join([*describe_plan(plan), f"Written: {output / FILE}"]))
            return
        analysis = run_experiment(plan, cells, output, executor)
    if as_json:
        click.echo(effect_frame(analysis.effects).to_json(orient="records", indent=1))
    else:
        click.echo("\n".join(analysis.sentences))
        click.echo(f"Written: {output / PAGE}, {output / RUNS}, {output / EFFECTS}")
    require_complete(analysis, output)
