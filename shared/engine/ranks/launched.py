"""The place that a launcher gives a process: by the variables of torchrun, or by TF_CONFIG.

Slurm, Kubernetes and a hand start one process for each rank, each with the same command. All that
they need to know is their number, and where rank 0 can be met; the other addresses are exchanged
there.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress

from poc.shared.errors import UsageError

from .place import ALONE, TOKEN, Place, split_address
from .ports import LOCAL_HOST

_COUNT, _NEEDED = "WORLD_SIZE", ("RANK", "MASTER_ADDR", "MASTER_PORT")
_CONFIG = "TF_CONFIG"
# Roles of TF_CONFIG that train, in the order of their ranks.
_ROLES = ("chief", "worker")
_LOCAL_NAMES = (LOCAL_HOST, "localhost")
_PORTS = range(1, 2**16)


def find_place(variables: Mapping[str, str] = os.environ) -> Place:
    """Return the place of this process among those that a launcher started; alone without one.

    Raises:
        UsageError: The variables are not complete, or do not fit together.
    """
    if variables.get(_COUNT, "1") != "1":
        return of_torchrun(variables)
    if _COUNT not in variables and all(name in variables for name in _NEEDED):
        raise UsageError(
            f"Got {', '.join(_NEEDED)} without {_COUNT}. Expected the number of ranks too, or this "
            f"process would train alone. Try setting {_COUNT}, or unsetting RANK."
        )
    if _CONFIG in variables:
        return of_tf_config(variables)
    return ALONE


def of_torchrun(variables: Mapping[str, str]) -> Place:
    """Return the place that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT give.

    Raises:
        UsageError: One of them is missing or no number, or the rank is none of so many.
    """
    if missing := [name for name in _NEEDED if name not in variables]:
        raise UsageError(
            f"Got {_COUNT}={variables[_COUNT]} without {' and '.join(missing)}. Expected all of "
            f"{', '.join((_COUNT, *_NEEDED))}. Try setting them, or unsetting {_COUNT}."
        )
    names = ("RANK", _COUNT, "MASTER_PORT")
    try:
        index, count, port = (int(variables[name]) for name in names)
    except ValueError:
        given = ", ".join(f"{name}={variables[name]}" for name in names)
        raise UsageError(f"Got {given}. Expected numbers. Try correcting them.") from None
    if variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # torchrun itself listens at its port; with it, the next one is that of the run.
        port += 1
    return place_at(index, count, f"{variables['MASTER_ADDR']}:{port}", variables)


def of_tf_config(variables: Mapping[str, str]) -> Place:
    """Return the place that TF_CONFIG gives: that of a worker, or of the chief before them.

    Raises:
        UsageError: It is no such text, or this process has another role.
    """
    try:
        config = json.loads(variables[_CONFIG])
        cluster, task = config.get("cluster", {}), config.get("task", {})
        addresses = [address for role in _ROLES for address in cluster.get(role, ())]
        role, position = task.get("type"), int(task.get("index", 0))
        if not addresses or (role is None and len(addresses) == 1):
            return ALONE
        index = position + (len(cluster.get("chief", ())) if role == "worker" else 0)
        split_address(addresses[0])
    except (ValueError, TypeError, AttributeError):
        raise UsageError(
            f"Got {_CONFIG}={variables[_CONFIG]!r}. Expected JSON with the addresses of a cluster "
            "and the task of this process. Try correcting it, or unsetting it."
        ) from None
    if role not in _ROLES:
        raise UsageError(
            f"Got the task {role!r} in {_CONFIG}. Expected {' or '.join(_ROLES)}: every process of "
            "a run trains. Try a cluster of workers."
        )
    return place_at(index, len(addresses), addresses[0], variables)


def place_at(index: int, count: int, meeting: str, variables: Mapping[str, str]) -> Place:
    """Return a place of several, or alone if there is one.

    Raises:
        UsageError: The rank is none of so many, its number on its machine none of those there, or
            the port none.
    """
    if count < 1:
        raise UsageError(
            f"Got {_COUNT}={count}. Expected a number of ranks of at least 1. Try correcting it."
        )
    if split_address(meeting)[1] not in _PORTS:
        raise UsageError(
            f"Got the address {meeting} for rank 0. Expected a port from {_PORTS[0]} to "
            f"{_PORTS[-1]}. Try another MASTER_PORT, or another first address in TF_CONFIG."
        )
    if not 0 <= index < count:
        raise UsageError(
            f"Got rank {index} of {count}. Expected a rank from 0 to {count - 1}. Try correcting "
            "the variables that the launcher sets."
        )
    if count == 1:
        return ALONE
    is_local = split_address(meeting)[0] in _LOCAL_NAMES
    local_index, local_count = place_on_machine(index, count if is_local else 1, variables)
    return Place(
        index=index,
        count=count,
        meeting=meeting,
        token=variables.get(TOKEN, ""),
        local_index=local_index,
        local_count=local_count,
    )


def place_on_machine(index: int, usual: int, variables: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of a rank on its machine, and how many ranks share it.

    Args:
        index: The rank.
        usual: How many share it, if the launcher does not say.
        variables: Those of the launcher.

    Raises:
        UsageError: They are no numbers, or the rank is none of so many.
    """
    given = (variables.get("LOCAL_RANK", ""), variables.get("LOCAL_WORLD_SIZE", ""))
    with suppress(ValueError):
        count = int(given[1] or usual)
        number = int(given[0] or index % max(count, 1))
        if 0 <= number < count:
            return number, count
    raise UsageError(
        f"Got LOCAL_RANK={given[0]} and LOCAL_WORLD_SIZE={given[1]}. Expected the number of ranks "
        "on this machine, and a rank from 0 below it. Try setting both, or neither."
    )
