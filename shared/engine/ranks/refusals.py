"""Runs that several processes cannot train together, refused before any of them starts."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from poc.shared.errors import UsageError
from poc.shared.spec.methods.l2t_ww import L2TWWOptions
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.run import RunSpec


def reads_parts(run: RunSpec) -> bool:
    """Say if l2t-ww needs examples of a batch that another rank has."""
    options = run.method_settings
    return isinstance(options, L2TWWOptions) and (
        options.meta_batch == "held_out" or options.standardize or run.batch_norm_sync == "local"
    )


# Reason -> whether a run has it. Each reason follows "Got --processes N for".
REASONS: Mapping[str, Callable[[RunSpec], bool]] = MappingProxyType(
    {
        "a head that is computed from the features of all images": (
            lambda run: find_method(run.method).fits_head
        ),
        "l2t-ww with meta_batch=held_out, standardize=true or batch_norm_sync=local, which read "
        "parts of a batch": reads_parts,
        "mode=compiled, whose programs cannot exchange sums": (lambda run: run.mode == "compiled"),
        "norm_statistics=exact, whose pass over the training part is one process's": (
            lambda run: run.norm_statistics == "exact"
        ),
        "native habits, which are rules of one process": (lambda run: bool(run.habits.native)),
    }
)


def check_ranks(run: RunSpec, count: int) -> None:
    """Refuse a run that so many processes cannot train together.

    Raises:
        UsageError: Names what the run has, and one way out.
    """
    if count == 1:
        return
    if reason := describe_refusal(run):
        raise UsageError(
            f"Got --processes {count} for {reason}. Expected one process. Try removing --processes."
        )
    if count > run.data.batch_size:
        raise UsageError(
            f"Got --processes {count} for data.batch_size={run.data.batch_size}. Expected at least "
            f"one example per process. Try --processes {run.data.batch_size}, or a larger "
            "data.batch_size."
        )


def describe_refusal(run: RunSpec) -> str | None:
    """Return what keeps several processes from training a run together, or None."""
    return next((reason for reason, has in REASONS.items() if has(run)), None)
