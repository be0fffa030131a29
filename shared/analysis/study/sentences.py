"""The first screen of a study, in plain words: each sentence reads the decision alone."""

from collections.abc import Iterator, Sequence

from poc.shared.analysis.statistics.differences import Remedy
from poc.shared.analysis.verdicts.digits import write_difference, write_interval
from poc.shared.analysis.verdicts.findings import list_names
from poc.shared.analysis.verdicts.phrases import FRAMEWORKS, MAX_NAMES, write_remedy

from .costs import Cost
from .decision import Decision, Equivalent, LimitsVerdict, OpenQuestion
from .limits import Limits, size_of, write_latency, write_size

Ends = tuple[float, float]


def write_sentences(decision: Decision, margin: float) -> list[str]:
    """Write the first screen, the most important sentence first.

    Args:
        decision: The decision; its own sentences are not read.
        margin: Smallest difference worth knowing.
    """
    return [
        *describe_choice(decision),
        *describe_limits(decision),
        *describe_equivalent(decision.equivalent, margin),
        *describe_better(decision),
        *describe_frameworks(decision),
        *describe_open(decision.open_questions),
        *describe_learning(decision),
    ]


def describe_choice(decision: Decision) -> Iterator[str]:
    """Yield what to use, and what to expect of it."""
    chosen, (low, high) = decision.recommended, decision.interval
    framework = FRAMEWORKS.get(chosen.framework, chosen.framework)
    if len(decision.candidates) == 1 and chosen.framework not in FRAMEWORKS:
        yield f"No network was tested in time. All that is known is {chosen.candidate}."
    elif chosen.framework not in FRAMEWORKS:
        yield f"Use no network: {chosen.candidate} did as well on validation images."
    elif decision.limits is None or decision.limits.is_met:
        yield f"Use {chosen.candidate} in {framework}. It was chosen on validation images."
    else:
        limits = limits_of(decision.limits).describe()
        yield (
            f"No tested network is shown to keep the limits ({limits}). The nearest is "
            f"{chosen.candidate} in {framework}: {write_cost(decision)}."
        )
    images = f"{decision.num_test_images:,} test images"
    if decision.num_test_groups is not None:
        images += f" of {decision.num_test_groups:,} groups"
    yield (
        f"Expect {100 * decision.expected_accuracy:.1f} % of new images to be right (95 % interval "
        f"{100 * low:.1f} to {100 * high:.1f} %), measured on {images}."
    )


def limits_of(verdict: LimitsVerdict) -> Limits:
    """Return the limits of a verdict."""
    return Limits(max_bytes=verdict.max_bytes, max_latency_seconds=verdict.max_latency_seconds)


def write_cost(decision: Decision) -> str:
    """Return size and latency of the recommended row: `1.20 MB, 25 ms for one image`."""
    cost, limits = Cost(**decision.cost.model_dump()), decision.limits
    size, latency = size_of(cost), cost.latency_seconds
    most = limits.max_bytes if limits else None
    longest = limits.max_latency_seconds if limits else None
    parts = [] if size is None else [write_size(size, most)]
    unknown = "its latency was not measured"
    parts.append(unknown if latency is None else write_latency(latency, longest))
    return ", ".join(parts)


def describe_limits(decision: Decision) -> Iterator[str]:
    """Yield that the limits are kept, and how many rows and candidates they leave out."""
    verdict = decision.limits
    if verdict is None:
        return
    if verdict.is_met:
        others = f"; {len(verdict.over)} tested rows do not" if verdict.over else ""
        if len(verdict.over) == 1:
            others = "; one tested row does not"
        limits = limits_of(verdict).describe()
        yield f"It keeps the limits ({limits}): {write_cost(decision)}{others}."
    if verdict.not_trained:
        yield f"Too large, so not trained: {count_names(verdict.not_trained)}."


def describe_equivalent(equivalent: Sequence[Equivalent], margin: float) -> Iterator[str]:
    """Yield the cheaper candidates that are as good within noise."""
    for item in equivalent[:MAX_NAMES]:
        shown = (
            f"any difference is below {100 * margin:g} points"
            if item.is_within_margin
            else "the images are too few to show that they are equal"
        )
        yield (
            f"{item.candidate} is as good within noise and {write_savings(item)}: "
            f"{write_points(item.difference, item.interval)}; {shown}."
        )
    if equivalent[MAX_NAMES:]:
        yield f"{len(equivalent) - MAX_NAMES} more cheaper candidates are as good within noise."


def write_savings(item: Equivalent) -> str:
    """Return `5.0 times smaller and 2.1 times faster`."""
    words = {"smaller": item.size_ratio, "faster": item.latency_ratio}
    parts = [
        f"{1 / ratio:.1f} times {word}"
        for word, ratio in words.items()
        if ratio is not None and ratio < 0.95
    ]
    return list_names(parts)


def write_points(difference: float, interval: Ends) -> str:
    """Return `1.2 points lower (-0.4 to 2.8)`, the difference as seen from the recommended one."""
    low, high = interval
    side = "lower" if difference >= 0 else "higher"
    if difference < 0:
        low, high = -high, -low
    points = write_difference(abs(difference), low, high)
    return f"{points} points {side} ({write_interval(low, high)})"


def describe_better(decision: Decision) -> Iterator[str]:
    """Yield the candidates that the recommended one is shown to be better than, or worse."""
    name = decision.recommended.candidate
    beaten = [claim.worse for claim in decision.better_than if claim.better == name]
    above = [claim.better for claim in decision.better_than if claim.worse == name]
    if beaten:
        yield f"It is better than {count_names(beaten)}."
    limited = [name for name in above if is_over(name, decision)]
    if limited:
        verb = "are" if len(limited) > 1 else "is"
        yield f"{count_names(limited)} {verb} better, but over a limit."
    above = [name for name in above if name not in limited]
    if above:
        yield (
            f"{count_names(above)} did better on the test images, beyond chance. The choice stays "
            "that of the validation images: test images decide nothing."
        )


def is_over(candidate: str, decision: Decision) -> bool:
    """Return whether all rows of a candidate are over a limit of the user."""
    rows = {(row.candidate, row.framework) for row in decision.candidates}
    over = decision.limits.over if decision.limits else ()
    return all(row in over for row in rows if row[0] == candidate) and bool(over)


def count_names(names: Sequence[str]) -> str:
    """Return the names, or, if there are many, their number."""
    return list_names(names) if len(names) <= MAX_NAMES else f"{len(names)} other candidates"


def describe_frameworks(decision: Decision) -> Iterator[str]:
    """Yield the verdict on the frameworks."""
    if not decision.frameworks:
        return
    for item in decision.frameworks:
        if item.better:
            sign = 1 if item.better == "tf" else -1
            low, high = sorted(sign * end for end in item.interval)
            points = write_difference(abs(item.difference), low, high)
            size = f"{points} points ({write_interval(low, high)})"
            leader = f"{FRAMEWORKS[item.better]} is more accurate"
            yield f"The frameworks differ for {item.candidate}: {leader} by {size}."
    rest = [item for item in decision.frameworks if not item.better]
    if rest:
        widest = max(rest, key=lambda item: abs(item.difference))
        others = " for the other candidates" if len(rest) < len(decision.frameworks) else ""
        size = "the largest difference is" if rest[1:] else "the difference is"
        yield (
            f"The frameworks are not shown to differ{others}: {size} "
            f"{100 * abs(widest.difference):.1f} points ({widest.candidate})."
        )


def describe_open(questions: Sequence[OpenQuestion]) -> Iterator[str]:
    """Yield what would tell the closest rival apart, and the number of the other open questions."""
    for item in questions[:1]:
        remedy = Remedy(item.more_images, item.more_seeds, item.both)
        yield (
            f"{write_lead(item)}, within noise. If that is the true difference, "
            f"{write_remedy(remedy)} would show it."
        )
    if questions[1:]:
        yield f"Candidates that are not told apart from it: {len(questions)} in all."


def write_lead(item: OpenQuestion) -> str:
    """Return `A is 1.2 points ahead of B on the test images (-0.4 to 2.8)`, the higher first."""
    names, (low, high) = (item.first, item.second), item.interval
    if item.difference < 0:
        names, (low, high) = names[::-1], (-high, -low)
    points, ends = f"{100 * abs(item.difference):.1f}", f"({write_interval(low, high)})"
    if points == "0.0":
        return f"{names[0]} and {names[1]} are equal on the test images {ends}"
    return f"{names[0]} is {points} points ahead of {names[1]} on the test images {ends}"


def describe_learning(decision: Decision) -> Iterator[str]:
    """Yield whether more images help."""
    curve = decision.learning_curve
    if curve is None:
        return
    before, after = (point[0] for point in curve.points[-2:])
    change = f"from {before:,} to {after:,} training images the accuracy changed by"
    gain = write_difference(curve.gain, *curve.interval, "+")
    size = f"{gain} points ({write_interval(*curve.interval)})"
    if curve.helps:
        yield f"More images help: {change} {size}."
    else:
        yield f"More images are not shown to help: {change} {size}."
