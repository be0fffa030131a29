"""The place of a process among those that train one run together."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from poc.shared.data.batches.shard import Shard

_RANK, _COUNT = "POC_RANK", "POC_RANKS"
_ADDRESSES, _MEETING, _LOCAL = "POC_RANK_ADDRESSES", "POC_RANK_MEETING", "POC_RANK_LOCAL"
# A secret word, which a user may give the ranks too.
TOKEN = "POC_RANK_TOKEN"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Rank of a process, and the addresses at which the processes find each other.

    Attributes:
        index: Rank, from 0. Rank 0 alone writes the run's folder.
        count: Number of ranks; 1: the run has one process, and none of the rest is used.
        addresses: `host:port` of every rank, for the framework's own connections; none: the ranks
            agree on them where they meet.
        meeting: `host:port` at which rank 0 awaits the others (`meeting.py`).
        token: Word that a process has to say there.
        local_index: Number among the ranks of the same machine, which share its processors.
        local_count: Number of these ranks.
    """

    index: int = 0
    count: int = 1
    addresses: tuple[str, ...] = ()
    meeting: str = ""
    token: str = ""
    local_index: int = 0
    local_count: int = 1

    @classmethod
    def of_environment(cls, variables: Mapping[str, str] = os.environ) -> "Place":
        """Return the place that the variables of this process give; without them it is alone."""
        if _COUNT not in variables:
            return ALONE
        local_index, _, local_count = variables[_LOCAL].partition("/")
        return cls(
            index=int(variables[_RANK]),
            count=int(variables[_COUNT]),
            addresses=tuple(filter(None, variables[_ADDRESSES].split(","))),
            meeting=variables[_MEETING],
            token=variables[TOKEN],
            local_index=int(local_index),
            local_count=int(local_count),
        )

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which a process reads its place."""
        return {
            _RANK: str(self.index),
            _COUNT: str(self.count),
            _ADDRESSES: ",".join(self.addresses),
            _MEETING: self.meeting,
            TOKEN: self.token,
            _LOCAL: f"{self.local_index}/{self.local_count}",
        }

    @property
    def shard(self) -> Shard:
        """Return the share of every batch that this rank reads."""
        return Shard(self.index, self.count)

    @property
    def is_alone(self) -> bool:
        """Say if the run has one process."""
        return self.count == 1

    @property
    def is_first(self) -> bool:
        """Say if this rank writes the run's folder and reports."""
        return self.index == 0


ALONE = Place()


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port`."""
    host, _, port = address.rpartition(":")
    return host, int(port)
