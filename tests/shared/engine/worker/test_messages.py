"""What is sent to a worker arrives as it was."""

import io
import math

import numpy as np
import pytest

from poc.shared.engine.worker.messages import receive, send


def round_trip(message):
    stream = io.BytesIO()
    send(stream, message)
    stream.seek(0)
    result = receive(stream)
    assert stream.read() == b""
    return result


ARRAYS = {
    "scalar": np.asarray(2.5),
    "integer": np.asarray(3, dtype=np.int64),
    "empty": np.zeros((0, 3), dtype=np.float32),
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(10.0)[::3],
    "bool": np.array([[True], [False]]),
    "uint8": np.arange(4, dtype=np.uint8),
    "not finite": np.array([math.nan, math.inf, -0.0]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array(name):
    found = round_trip({"value": ARRAYS[name]})["value"]
    assert found.dtype == ARRAYS[name].dtype
    assert found.shape == ARRAYS[name].shape
    assert np.array_equal(found, ARRAYS[name], equal_nan=ARRAYS[name].dtype.kind == "f")


def test_nesting_and_plain_values():
    message = {
        "list": [1, {"deep": [ARRAYS["float32"], None]}, "text"],
        "none": None,
        "flag": True,
        "unicode": "größer",
        "dict": {},
    }
    found = round_trip(message)
    assert np.array_equal(found["list"][1]["deep"][0], ARRAYS["float32"])
    found["list"][1]["deep"][0] = message["list"][1]["deep"][0] = 0
    assert found == message


def test_tuples_become_lists_and_numpy_numbers_plain():
    assert round_trip({"a": (1, 2), "b": np.float64(0.5), "c": np.int64(7)}) == {
        "a": [1, 2],
        "b": 0.5,
        "c": 7,
    }


def test_empty():
    assert round_trip({}) == {}


def test_several_messages_in_a_row():
    stream = io.BytesIO()
    send(stream, {"first": ARRAYS["scalar"]})
    send(stream, {"second": 2})
    stream.seek(0)
    assert receive(stream)["first"] == 2.5
    assert receive(stream) == {"second": 2}
    with pytest.raises(EOFError):
        receive(stream)


@pytest.mark.parametrize("cut", [1, 16, 20, -1])
def test_a_cut_message_is_an_end_of_file(cut):
    stream = io.BytesIO()
    send(stream, {"value": ARRAYS["float32"]})
    with pytest.raises(EOFError):
        receive(io.BytesIO(stream.getvalue()[:cut]))


def test_the_sender_s_array_is_not_shared():
    array = np.zeros(3)
    found = round_trip({"value": array})["value"]
    array[0] = 1
    assert found[0] == 0
