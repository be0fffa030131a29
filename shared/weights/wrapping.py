"""Names that other tools put around a network's tensors: containers, prefixes, counters.

`torch.compile` adds `_orig_mod.`, parallel and averaging wrappers `module.`, Lightning the name of
the attribute; training scripts put a state_dict under a key of a larger file, which the reader of
such files writes as `key/`.
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
# Numbers of updates, which are no weights.
COUNTER = re.compile(r"(^|[./])(n_averaged|num_batches_tracked|global_step)$")
PART = re.compile(r"[./]")
MAX_PARTS = 5


class Unwrapped(NamedTuple):
    """A network's tensors, and what was done to find them: one sentence each."""

    tensors: Tensors
    notes: list[str]


def unwrap(
    network: Network, schemes: Sequence[Scheme], tensors: Tensors, wanted: str | None = None
) -> Unwrapped:
    """The tensors below the prefix under which a naming of the network knows most of them.

    Args:
        network: What the tensors are for.
        schemes: Its published schemes.
        tensors: By the names in the file.
        wanted: As `find_scheme` takes it.

    Raises:
        UsageError: Beside that prefix there are tensors of something else, or no such format.
    """
    candidates = choose_candidates(network, schemes, wanted)

    def known(prefix: str) -> int:
        inner = below(tensors, prefix)
        return max(count_known(network, scheme, inner) for scheme in candidates)

    prefixes = ["", *find_prefixes(tensors, len(network.parameters))]
    # Of equals the first: the shortest, and the one that stands first in the file.
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
    """Those whose names begin so, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def find_prefixes(tensors: Tensors, num_parameters: int) -> list[str]:
    """Beginnings of names that most of a network could stand below, the shortest first."""
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
    """What stands beside a prefix and may be left out: other entries of the file, and counters.

    Raises:
        UsageError: A tensor that stands beside the network's in the same state_dict.
    """
    container = prefix[: prefix.rfind("/") + 1]
    inside = [name for name in others if name.startswith(container)]
    foreign = [name for name in inside if not COUNTER.search(name)]
    if foreign:
        raise UsageError(
            f"received tensors of {network.name} below {printable(prefix)!r} and others beside "
            f"them, such as {printable(foreign[0])!r}; save the state_dict of that network alone"
        )
    outside = {name.partition("/")[0] for name in others if not name.startswith(container)}
    return [*inside, *sorted(outside)]
