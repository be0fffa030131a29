"""Removal of the names that other tools put around tensors: containers, prefixes, counters.

`torch.compile` adds `_orig_mod.`, parallel and averaging wrappers add `module.`, and Lightning adds
the name of the attribute. Training scripts put a state_dict under a key of a larger file, which the
reader of such files writes as `key/`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array, Arrays
from poc.shared.spec.networks.network import Network

from .check import printable
from .conversion import choose_candidates, count_known
from .published.schemes import Scheme

Tensors = Mapping[str, Array]
# Counters of updates, which are not weights.
COUNTER = re.compile(r"(^|[./])(n_averaged|num_batches_tracked|global_step)$")
PART = re.compile(r"[./]")
# A hostile name may have thousands of parts; wrappers add a few.
MAX_PARTS = 5


class Unwrapped(NamedTuple):
    """A network's tensors, and one sentence for each thing that was done to find them."""

    tensors: Tensors
    notes: list[str]


def unwrap(
    network: Network, schemes: Sequence[Scheme], tensors: Tensors, wanted: str | None = None
) -> Unwrapped:
    """Return the tensors below the prefix under which a naming knows most of the network.

    Args:
        network: The network that the tensors are for.
        schemes: The network's published schemes.
        tensors: Name in the file -> array (…).
        wanted: Format, as `find_scheme` takes it.

    Raises:
        UsageError: Next to that prefix there are tensors of something else, or the format is
            unknown.
    """
    candidates = choose_candidates(network, schemes, wanted)

    def known(prefix: str) -> int:
        inner = below(tensors, prefix)
        return max(count_known(network, scheme, inner) for scheme in candidates)

    prefixes = ["", *find_prefixes(tensors, len(network.parameters))]
    # `max` takes the first of equals: the shortest prefix that comes first in the file.
    prefix = max(prefixes, key=known)
    inner, dropped = below(tensors, prefix), []
    if prefix:
        others = [name for name in tensors if not name.startswith(prefix)]
        dropped = leave_out(network, prefix, others)
    counters = [name for name in inner if name == "n_averaged"]
    inner = {name: value for name, value in inner.items() if name not in counters}
    dropped += counters
    notes = []
    if prefix:
        notes.append(f"Read without the prefix {printable(prefix)!r} of {len(inner)} names.")
    if dropped:
        notes.append(f"Left out: {', '.join(printable(name) for name in dropped)}.")
    return Unwrapped(inner, notes)


def below(tensors: Tensors, prefix: str) -> Arrays:
    """Return the tensors (…), unchanged, whose names begin with `prefix`; take it off the names."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def find_prefixes(tensors: Tensors, num_parameters: int) -> list[str]:
    """Find the prefixes that enough names share to hold most of a network, the shortest first.

    Of the tensors (…), only the names are read.
    """
    counts: dict[tuple[int, str], int] = {}
    for name in tensors:
        for number, match in enumerate(PART.finditer(name)):
            if number == MAX_PARTS:
                break
            key = number, name[: match.end()]
            counts[key] = counts.get(key, 0) + 1
    found = [key for key, count in counts.items() if count >= num_parameters / 2]
    return [prefix for _, prefix in sorted(found, key=lambda key: key[0])]


def leave_out(network: Network, prefix: str, others: Sequence[str]) -> list[str]:
    """List what may be left out next to a prefix: other entries of the file, and counters.

    Raises:
        UsageError: The same state_dict has a tensor that is not the network's.
    """
    container = prefix[: prefix.rfind("/") + 1]
    inside = [name for name in others if name.startswith(container)]
    foreign = [name for name in inside if not COUNTER.search(name)]
    if foreign:
        raise UsageError(
            f"Got tensors of {network.name} below {printable(prefix)!r} and others next to them, "
            f"such as {printable(foreign[0])!r}. Expected one network. Try saving the "
            "state_dict of that network alone."
        )
    outside = {name.partition("/")[0] for name in others if not name.startswith(container)}
    return [*inside, *sorted(outside)]
