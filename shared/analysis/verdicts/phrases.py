"""Parts of a headline's sentences: names, accuracies, differences, remedies."""

from collections.abc import Sequence

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.statistics.differences import Remedy
from poc.shared.shown_names import say

from .digits import write_difference, write_interval
from .findings import baseline, list_names, mean_accuracy, name_baseline
from .pairs import Pair

FRAMEWORKS = {"tf": "TensorFlow", "torch": "PyTorch"}
MAX_NAMES = 4
"""A sentence that would have more names gives their number; the table below it names them."""


def name_rows(names: Sequence[str]) -> str:
    """Return the names, or, if there are many, their number; the table below names each."""
    return list_names(names) if len(names) <= MAX_NAMES else f"{len(names)} other rows"


def write_accuracy(group: Group) -> str:
    """Return a row's accuracy with its interval: `0.871 (95 % interval 0.840 to 0.900)`."""
    if group.interval is None:
        return f"{mean_accuracy(group):.3f}"
    low, high = group.interval
    return f"{mean_accuracy(group):.3f} (95 % interval {low:.3f} to {high:.3f})"


def where(group: Group) -> str:
    """Return the settings that both frameworks of a method have in common: ` with k=3`."""
    words = [word for word in group.label.split() if word != group.backend]
    return f" with {' '.join(words)}" if words else ""


def write_points(pair: Pair) -> str:
    """Return `1.2 points (-0.4 to 2.8)`: the sentence names the better row, so no sign is needed.

    The interval changes its sign together with the difference.
    """
    if pair.difference is None or pair.low is None or pair.high is None:
        return "-"
    sign = -1 if pair.difference < 0 else 1
    low, high = sorted((sign * pair.low, sign * pair.high))
    return (
        f"{write_difference(abs(pair.difference), low, high)} points ({write_interval(low, high)})"
    )


def write_baseline(group: Group) -> str:
    """Return the constant answer and its accuracy: `the majority baseline 0.369 (always “cat”)`."""
    known = baseline(group)
    share = f" {known[1]:.3f}" if known else ""
    return f"the majority baseline{share} ({name_baseline(group)})"


def write_remedy(remedy: Remedy | None) -> str:
    """Return `about 400 more test images or 5 more seeds per row`; empty if nothing is open."""
    if remedy is None:
        return ""
    parts = []
    if remedy.images is not None:
        parts.append(f"{remedy.images:,} more test images")
    if remedy.seeds is not None:
        parts.append(f"{say(remedy.seeds, 'more seed')} per row")
    if remedy.both is not None:
        images, seeds = remedy.both
        parts.append(f"{images:,} more test images with {say(seeds, 'more seed')} per row")
    return f"about {' or '.join(parts)}" if parts else "no number of images or seeds within reach"
