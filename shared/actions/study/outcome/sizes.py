"""Candidates whose weights alone are over the limit on size: left out before any training.

The network of a candidate is declared, not built: no framework is needed to count its parameters.
"""

from collections.abc import Callable, Sequence

from poc.shared.actions.count import BYTES_PER_WEIGHT
from poc.shared.actions.study.jobs import Job
from poc.shared.actions.study.search import Searches
from poc.shared.analysis.study.limits import Limits, write_size
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec


def count_weight_bytes(run: RunSpec) -> int:
    """Return four bytes per parameter of a run's network, for the images of its data."""
    resolved, data = resolve(run)
    data.close()
    return BYTES_PER_WEIGHT * sum(parameter.size for parameter in resolved.network.parameters)


def find_large(
    jobs: Sequence[Job], make_run: Callable[[Job], RunSpec], max_bytes: float
) -> dict[str, int]:
    """Return the candidates whose weights are too large, with their size in bytes.

    Args:
        jobs: The first cell of each candidate.
        make_run: Makes the settings of a cell's run.
        max_bytes: The limit.

    Raises:
        UsageError: All of them are.
    """
    sizes = {job.candidate.name: count_weight_bytes(make_run(job)) for job in jobs}
    large = {name: size for name, size in sizes.items() if size > max_bytes}
    if sizes and len(large) == len(sizes):
        name = min(sizes, key=lambda item: sizes[item])
        raise UsageError(
            f"Got --max-size {write_size(max_bytes)}, which no candidate keeps: the smallest, "
            f"{name}, has weights of {write_size(sizes[name], max_bytes)}. Expected a limit that "
            "one of them keeps. Try a larger one, or other --methods."
        )
    return large


def leave_out_large(
    search: Searches,
    make_run: Callable[[Job], RunSpec],
    limits: Limits,
    tell: Callable[[str], None],
) -> list[str]:
    """Leave out the candidates whose weights are over the limit; return their names.

    Raises:
        UsageError: All of them are.
    """
    if limits.max_bytes is None:
        return []
    large = find_large(search.list_first(), make_run, limits.max_bytes)
    nets = {job.candidate.name: job for each in search.each for job in each.list_nets()}
    sizes = {name: count_weight_bytes(make_run(job)) for name, job in nets.items()}
    taught = {name: size for name, size in sizes.items() if size > limits.max_bytes}
    for each in search.each:
        each.candidates = [item for item in each.candidates if item.name not in large]
        each.too_large = tuple(taught)
    large |= {f"{name} with a teacher": size for name, size in taught.items()}
    if large:
        most = limits.max_bytes
        names = ", ".join(f"{name} ({write_size(size, most)})" for name, size in large.items())
        tell(f"Left out, since the weights are over {write_size(most)}: {names}.")
    return list(large)
