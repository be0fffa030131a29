"""The place that a launcher gives, as torchrun and TensorFlow define their variables."""

import json

import pytest

from poc.shared.engine.ranks.launched import find_place
from poc.shared.engine.ranks.place import ALONE, Place
from poc.shared.errors import UsageError

TORCHRUN = {"RANK": "2", "WORLD_SIZE": "3", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}


def tf_config(role, index, **cluster):
    task = {"type": role, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_the_variables_of_torchrun():
    place = Place(index=2, count=3, meeting="node0:29500")
    assert find_place(TORCHRUN) == place
    # Two ranks a machine: rank 2 is the first one of the second machine.
    many = {**TORCHRUN, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "POC_RANK_TOKEN": "word"}
    found = find_place(many)
    assert (found.local_index, found.local_count, found.token) == (0, 2, "word")
    # Without LOCAL_RANK, ranks are counted machine by machine.
    found = find_place({**TORCHRUN, "RANK": "1", "LOCAL_WORLD_SIZE": "2"})
    assert (found.local_index, found.local_count) == (1, 2)


def test_ranks_that_meet_on_one_machine_share_it():
    found = find_place({**TORCHRUN, "MASTER_ADDR": "127.0.0.1"})
    assert (found.local_index, found.local_count) == (2, 3)


def test_torchrun_itself_holds_its_port():
    found = find_place({**TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE": "True"})
    assert found.meeting == "node0:29501"


def test_tf_config():
    workers = ["a:1", "b:2", "c:3"]
    assert find_place(tf_config("worker", 1, worker=workers)) == Place(
        index=1, count=3, meeting="a:1"
    )
    # The chief comes first, and its address is that of rank 0.
    found = find_place(tf_config("worker", 1, chief=["x:9"], worker=workers))
    assert (found.index, found.count, found.meeting) == (2, 4, "x:9")
    assert find_place(tf_config("chief", 0, chief=["x:9"], worker=workers)).is_first


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"RANK": "0"},
        {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"},
        {"TF_CONFIG": "{}"},
        tf_config("worker", 0, worker=["a:1"]),
    ],
)
def test_one_process_is_alone(variables):
    assert find_place(variables) == ALONE


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, r"without MASTER_ADDR and MASTER_PORT"),
        (
            {name: TORCHRUN[name] for name in ("RANK", "MASTER_ADDR", "MASTER_PORT")},
            r"RANK, MASTER_ADDR, MASTER_PORT without WORLD_SIZE\. .*would train alone",
        ),
        (
            {**TORCHRUN, "WORLD_SIZE": "-1"},
            r"WORLD_SIZE=-1\. Expected a number of ranks of at least",
        ),
        ({**TORCHRUN, "MASTER_PORT": "99999"}, r"node0:99999 for rank 0\. Expected a port from 1"),
        ({**TORCHRUN, "MASTER_PORT": "-1"}, r"node0:-1 for rank 0"),
        (tf_config("worker", 1, worker=["a:0", "b:2"]), r"the address a:0 for rank 0"),
        ({**TORCHRUN, "RANK": "one"}, r"RANK=one.*Expected numbers"),
        ({**TORCHRUN, "RANK": "3"}, r"rank 3 of 3\. Expected a rank from 0 to 2"),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "0"}, r"LOCAL_RANK= and LOCAL_WORLD_SIZE=0\."),
        ({**TORCHRUN, "LOCAL_RANK": "first"}, r"LOCAL_RANK=first and"),
        # Else both ranks of a machine would take all of its processors.
        ({**TORCHRUN, "LOCAL_RANK": "1"}, r"LOCAL_RANK=1 and LOCAL_WORLD_SIZE=\. "),
        ({"TF_CONFIG": "worker"}, r"TF_CONFIG='worker'\. Expected JSON"),
        ({"TF_CONFIG": "[]"}, r"Expected JSON"),
        (tf_config("ps", 0, worker=["a:1"], ps=["b:2"]), r"the task 'ps'"),
        (tf_config("worker", 5, worker=["a:1", "b:2"]), r"rank 5 of 2"),
    ],
)
def test_what_does_not_fit(variables, message):
    with pytest.raises(UsageError, match=message):
        find_place(variables)
