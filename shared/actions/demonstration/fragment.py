"""The part of the page that changes: answers, or a sentence; every value is escaped."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from poc.shared.actions.explanations.explain import Explanation
from poc.shared.actions.explanations.overlays import draw_overlay
from poc.shared.actions.explanations.pages import describe_image, explain_method
from poc.shared.actions.explanations.plan import Plan
from poc.shared.shown_names import plain

FRAGMENT = "answers.html.jinja"
# The most probable classes, by the framework that is explained.
NUM_CLASSES = 5


class ClassRow(NamedTuple):
    """A class, and its probability by each framework."""

    name: str
    shares: Sequence[float]


class Section(NamedTuple):
    """The answers of one run.

    Attributes:
        name: The run's folder.
        backends: Frameworks, in the order of the columns.
        labels: The answer of each framework; None if it is too unsure for one.
        least: Confidence below which there is no answer; None without such a rule.
        temperature: Temperature of the probabilities; None if they are as trained.
        rows: The most probable classes.
        num_others: Number of the other classes.
        picture: PNG in base64.
        text: Text that stands for the picture.
        note: Words about the picture.
    """

    name: str
    backends: Sequence[str]
    labels: Sequence[str | None]
    least: float | None
    temperature: float | None
    rows: Sequence[ClassRow]
    num_others: int
    picture: str
    text: str
    note: str


def write_answers(answered: Sequence[tuple[str, Plan, Explanation]]) -> str:
    """Return the HTML of the answers of each run: its name, its plan and its explanation."""
    sections = [describe_run(name, plan, found) for name, plan, found in answered]
    return render(problem="", sections=sections, photo=str(answered[0][2].name))


def write_problem(sentence: str) -> str:
    """Return the HTML of a sentence that says why there is no answer."""
    return render(problem=sentence, sections=[], photo="")


def describe_run(name: str, plan: Plan, found: Explanation) -> Section:
    """Return the answers of one run as they are shown."""
    answering, backends = plan.trained.answering, sorted(found.answers)
    first = found.shares[plan.backends[0]]
    likely = (-first).argsort(kind="stable")[:NUM_CLASSES]
    decision = answering.decision
    rejection = decision.rejection if decision else None
    image = describe_image(found, plan.method, "")
    return Section(
        name=name,
        backends=backends,
        labels=[found.answers[backend].label for backend in backends],
        least=rejection.probability if rejection else None,
        temperature=decision.temperature if decision else None,
        rows=[
            ClassRow(
                answering.class_names[place],
                [float(found.shares[backend][place]) for backend in backends],
            )
            for place in likely
        ],
        num_others=len(first) - len(likely),
        picture=base64.b64encode(draw_overlay(found, plan.method)).decode("ascii"),
        text=image["text"] or "",
        note=explain_method(plan.method, answering.view.num_views)[-1],
    )


def render(*, problem: str, sections: Sequence[Section], photo: str) -> str:
    """Fill the template; Jinja escapes every value."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    template = environment.get_template(FRAGMENT)
    return template.render(problem=problem, sections=sections, photo=photo)
