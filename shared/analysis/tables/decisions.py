"""Terminal tables of one run's figures: its evaluation, and its decision before and after."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from poc.shared.engine.folder.decision import Decision, Threshold
from poc.shared.engine.numerics.metrics import SHARES
from poc.shared.engine.numerics.thresholds import RATES
from poc.shared.engine.summary.answer_columns import (
    ANSWERED,
    ANSWERED_ACCURACY,
    AREA,
    CALIBRATION,
)

RATE_TITLES: Mapping[str, str] = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
}
# Figures as JSON has them.
Values = Mapping[str, Any]
AREA_TITLE, CALIBRATION_TITLE = "area under ROC", "expected calibration error"
LINES: Mapping[str, str] = {
    "loss": "loss",
    CALIBRATION: CALIBRATION_TITLE,
    "accuracy": "accuracy",
    ANSWERED: "share of images that are answered",
    ANSWERED_ACCURACY: "accuracy of these answers",
    **RATE_TITLES,
}


def write_rate(values: Values, name: str) -> str:
    """Return a rate with its interval, `0.931 (0.884 to 0.960)`; a dash for a share of nothing."""
    if values.get(name) is None:
        return "-"
    return f"{values[name]:.3f} ({values[f'{name}_low']:.3f} to {values[f'{name}_high']:.3f})"


def write_answers(result: Values) -> dict[str, str]:
    """Return the lines of an evaluation about calibration and, for two classes, their rates."""
    lines = {}
    if result.get(CALIBRATION) is not None:
        lines[CALIBRATION_TITLE] = f"{result[CALIBRATION]:.4f}"
    if "positive_class" not in result:
        return lines
    lines["positive class"] = str(result["positive_class"])
    lines |= {RATE_TITLES[name]: write_rate(result, name) for name in RATES}
    area = result.get(AREA)
    return lines | {AREA_TITLE: "-" if area is None else f"{area:.4f}"}


def evaluation_table(result: Values) -> Table:
    """Return a table with a line per quantity."""
    table = Table(title="Evaluation", title_justify="left", box=None, show_header=False)
    crops = f"{result['crops']} crops, mean of {result['average']}"
    statistics = result["embedding"]
    rows = {
        "part": f"{result['part']}, {result['images']} images",
        "size": "x".join(str(side) for side in result["size"]),
        "crops": crops if result["crops"] > 1 else "one view per image",
        "accuracy": f"{result['accuracy']:.4f} ({result['hits']} of {result['images']}), 95 % "
        f"interval {result['accuracy_low']:.4f} to {result['accuracy_high']:.4f}",
        **{SHARES[name]: f"{result[name]:.4f}" for name in SHARES if name in result},
        "loss": f"{result['loss']:.4f}",
        **write_answers(result),
        "latency of one image, s": f"{result['latency_seconds']:.4f}",
        "embedding": f"mean {statistics['mean']:.4f}, deviation "
        f"{statistics['deviation']:.4f}, share of zeros {statistics['zero_share']:.4f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def decision_table(decision: Decision) -> Table:
    """Return the figures of each part before and after a decision, one line per figure.

    Those of the validation part have no interval: they were fitted, and no interval covers that.
    """
    table = Table(title="Decision", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    columns = []
    for part, figures in decision.figures.items():
        for when in ("before", "after"):
            table.add_column(f"{part}, {when}", justify="right")
            columns.append((figures[when], part == "test"))
    for name, title in LINES.items():
        if any(name in values for values, _ in columns):
            cells = (write_figure(values, name, is_wide=is_test) for values, is_test in columns)
            table.add_row(title, *cells)
    return table


def write_figure(values: Values, name: str, *, is_wide: bool) -> str:
    """Return a figure as a cell; with `is_wide`, a rate has its interval."""
    if values.get(name) is None:
        return "-"
    return write_rate(values, name) if is_wide and name in RATES else f"{values[name]:.3f}"


def describe_decision(decision: Decision) -> Iterator[str]:
    """Yield sentences about a decision: its values, and the images that it was fitted on."""
    source = decision.fitted_on
    counts = [f"{count:,} of {name!r}" for name, count in source.images_per_class.items()]
    listed = f" ({', '.join(counts)})" if len(counts) == 2 else ""
    yield f"Fitted on {source.images:,} validation images{listed}; no test image decides anything."
    if decision.is_temperature_fitted:
        yield f"Temperature: {decision.temperature:.4f}. Probabilities are of logits divided by it."
    else:
        yield (
            "Temperature: 1, unchanged. No temperature is best: the validation answers are all "
            "right, or do not favour the labels."
        )
    if decision.threshold is None:
        yield "Threshold: none; the answer is the most probable class."
    else:
        yield from describe_threshold(decision, decision.threshold)
    if rejection := decision.rejection:
        yield (
            "Least confidence: an image is answered if its most probable class has a probability "
            f"of at least {rejection.probability:.4f} ({rejection.describe()})."
        )


def describe_threshold(decision: Decision, threshold: Threshold) -> Iterator[str]:
    """Yield sentences about the threshold of a decision."""
    yield (
        f"Threshold: the answer is {threshold.positive!r} if its probability is at least "
        f"{threshold.probability:.4f} ({threshold.describe()})."
    )
    rate = decision.figures["validation"]["after"]
    yield (
        f"The validation part alone leaves the sensitivity between {rate['sensitivity_low']:.3f} "
        f"and {rate['sensitivity_high']:.3f} (95 %)."
    )
