"""The place of a process among those that train one run together."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from poc.shared.data.batches.shard import Shard

_RANK, _COUNT = "POC_RANK", "POC_RANKS"
_ADDRESSES, _MEETING, _TOKEN = "POC_RANK_ADDRESSES", "POC_RANK_MEETING", "POC_RANK_TOKEN"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Rank of a process, and the addresses at which the processes find each other.

    Attributes:
        index: Rank, from 0. Rank 0 alone writes the run's folder.
        count: Number of ranks; 1: the run has one process, and none of the rest is used.
        addresses: `host:port` of every rank, for the framework's own connections.
        meeting: `host:port` at which rank 0 awaits the others (`meeting.py`).
        token: Word that a process has to say there.
    """

    index: int = 0
    count: int = 1
    addresses: tuple[str, ...] = ()
    meeting: str = ""
    token: str = ""

    @classmethod
    def of_environment(cls, variables: Mapping[str, str] = os.environ) -> "Place":
        """Return the place that the variables of this process give; without them it is alone."""
        if _COUNT not in variables:
            return ALONE
        return cls(
            index=int(variables[_RANK]),
            count=int(variables[_COUNT]),
            addresses=tuple(variables[_ADDRESSES].split(",")),
            meeting=variables[_MEETING],
            token=variables[_TOKEN],
        )

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which a process reads its place."""
        return {
            _RANK: str(self.index),
            _COUNT: str(self.count),
            _ADDRESSES: ",".join(self.addresses),
            _MEETING: self.meeting,
            _TOKEN: self.token,
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
