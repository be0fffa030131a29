"""Bench files: whatever is changed in one is seen, and what cannot be seen is said."""

import copy
import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from poc.benchmarks.reissue_bench import reissue
from poc.shared.actions.bench import read_bench, verify_bench
from poc.shared.analysis.timing.report import findings
from poc.shared.analysis.timing.samples import derive, verify
from poc.shared.analysis.timing.seal import checksum_of, seal
from poc.shared.errors import CheckFailed, UsageError
from poc.tests.shared.engine.timing.test_rounds import make_bench, make_process

STORED = Path(__file__).parents[4] / "docs" / "results" / "bench"
NUM_TRIES = 100
OPERATIONS = ("changed", "removed", "added", "swapped")


def make_whole():
    steps = {0: [0.010, 0.011, 0.012, 0.013, 0.014], 1: [0.020, 0.022, 0.024, 0.026, 0.028]}
    processes = [
        make_process(turn, side, [value + turn * 1e-4 for value in values])
        for turn in range(3)
        for side, values in steps.items()
    ]
    for process in processes:
        process["environment"] |= {"version": "2.1", "gpus": [], "is_tf32_enabled": False}
    bench = make_bench(processes)
    return seal({**bench, "failures": {"tf xla": "no compiler"}, "derived": derive(bench)})


@pytest.fixture
def whole():
    return make_whole()


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def leaves(value, path=()):
    """Paths of everything that is no container, and of empty containers."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        if isinstance(child, dict | list) and child:
            yield from leaves(child, (*path, key))
        else:
            yield (*path, key)


def kind_of(path):
    """A leaf's path without its places in lists: `processes[].seconds.step[]`."""
    return ".".join("[]" if isinstance(key, int) else key for key in path)


def parent_of(content, path):
    for key in path[:-1]:
        content = content[key]
    return content


def another(value):
    """A value of the same type where there is another one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 1.001 + 1
    return value + "1" if isinstance(value, str) else "1"


def tamper(content, path, operation):
    """A copy in which one thing is changed."""
    changed = copy.deepcopy(content)
    parent, key = parent_of(changed, path), path[-1]
    if operation == "removed":
        del parent[key]
    elif operation == "added" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif operation == "added":
        parent[f"{key}_too"] = None
    elif operation == "swapped" and (other := other_place(parent, key)) is not None:
        parent[key], parent[other] = parent[other], parent[key]
    else:
        parent[key] = another(parent[key])
    assert changed != content
    return changed


def other_place(parent, key):
    """Another place beside it that holds another value; none: there is none."""
    places = parent if isinstance(parent, dict) else range(len(parent))
    return next((place for place in places if parent[place] != parent[key]), None)


def tries_of(content, seed):
    """A hundred places and operations: every kind of leaf before any comes twice, where it fits."""
    draw = random.Random(seed)
    kinds = {}
    for path in leaves(content):
        kinds.setdefault(kind_of(path), []).append(path)
    names = draw.sample(sorted(kinds), len(kinds))
    return [
        (draw.choice(kinds[names[number % len(names)]]), OPERATIONS[number % len(OPERATIONS)])
        for number in range(NUM_TRIES)
    ]


def is_refused(path):
    try:
        verify_bench(path)
    except (CheckFailed, UsageError):
        return True
    return False


@pytest.mark.parametrize(("name", "seed"), [("made", 0), ("made", 1), ("lightlayers", 2)])
def test_a_hundred_tampered_copies_are_refused_a_hundred_times(name, seed, tmp_path):
    content = make_whole() if name == "made" else read_bench(STORED / f"2026-11-22-{name}.json")
    file = write(tmp_path / "bench.json", content)
    assert verify_bench(file) == content
    refused = Counter()
    for path, operation in tries_of(content, seed):
        refused[operation] += is_refused(write(file, tamper(content, path, operation)))
    assert refused == dict.fromkeys(OPERATIONS, NUM_TRIES // len(OPERATIONS))


def test_a_change_of_every_kind_of_leaf_is_refused(whole, tmp_path):
    kinds = {kind_of(path): path for path in leaves(whole)}
    assert {"processes.[].seconds.evaluation_batch.[]", "parity", "checksum"} < kinds.keys()
    missed = [
        kind
        for kind, path in kinds.items()
        if not is_refused(write(tmp_path / "bench.json", tamper(whole, path, "changed")))
    ]
    assert missed == []


def test_what_an_audit_changed_without_being_seen(whole, tmp_path):
    """An evaluation sample, a peak memory that is not the largest, a version, the verdict."""
    changes = [
        (("processes", 0, "seconds", "evaluation_batch", 3), 0.0050001),
        (("processes", 0, "peak_memory_bytes"), 2**19),
        (("processes", 0, "environment", "version"), "2.2"),
        (("parity",), "failed"),
    ]
    for path, value in changes:
        changed = copy.deepcopy(whole)
        parent_of(changed, path)[path[-1]] = value
        with pytest.raises(CheckFailed, match=r"checksum|parity 'failed'|do not follow"):
            verify_bench(write(tmp_path / "bench.json", changed))


def test_a_forger_who_makes_the_checksum_anew_is_not_seen(whole, tmp_path):
    """What the page says that a checksum cannot do: only derived numbers are out of his reach."""
    whole["processes"][0]["environment"]["version"] = "2.2"
    verify_bench(write(tmp_path / "bench.json", seal(whole)))
    whole["processes"][0]["seconds"]["step"] = [0.1] * 5
    with pytest.raises(CheckFailed, match="do not follow from its samples"):
        verify_bench(write(tmp_path / "bench.json", seal(whole)))


@pytest.mark.parametrize("samples", [[], [0.1, 0.0], [-0.1], [float("nan")], [float("inf")]])
def test_samples_that_no_clock_gives_are_refused(samples, whole):
    whole["processes"][2]["seconds"]["epoch"] = samples
    with pytest.raises(CheckFailed, match="'epoch' in round 1"):
        derive(whole)


def test_the_checksum_by_hand():
    """Keys in order, no spaces, the checksum itself left out."""
    content = {"b": [1, 2.5, None], "a": {"d": True, "c": "é"}}
    text = '{"a":{"c":"\\u00e9","d":true},"b":[1,2.5,null]}'
    assert checksum_of(content) == hashlib.sha256(text.encode()).hexdigest()
    assert seal(content)["checksum"] == checksum_of({**content, "checksum": "other"})
    assert seal({"a": float("nan")}) == {"a": None, "checksum": checksum_of({"a": None})}


def test_a_key_that_stands_twice_is_refused(whole, tmp_path):
    text = json.dumps(whole).replace('"parity":', '"parity": "failed", "parity":')
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        verify_bench(tmp_path / "bench.json")


def test_a_number_that_is_missing_or_too_many_differs_from_one_that_is_null(whole):
    assert verify(whole) == []
    side = whole["derived"]["sides"][0]
    assert side["peak_device_bytes"] is None
    del side["peak_device_bytes"]
    whole["derived"]["ratios"][0]["is_new"] = None
    assert verify(whole) == ["derived.ratios[0].is_new", "derived.sides[0].peak_device_bytes"]


def unsealed(content):
    """The same samples in the first format, with its intervals."""
    kept = {key: value for key, value in content.items() if key != "checksum"}
    former = {**kept, "format": "poc bench 2"}
    return {**former, "derived": derive(former)}


def test_a_file_of_the_format_before_is_verified_and_called_unsealed(whole, tmp_path):
    file = write(tmp_path / "bench.json", unsealed(whole))
    assert any("no checksum" in text for text in findings(verify_bench(file)))
    assert not any("no checksum" in text for text in findings(whole))
    for changed in (
        {**whole, "format": "poc bench 2"},
        {key: value for key, value in whole.items() if key != "checksum"},
        {**unsealed(whole), "parity": "failed"},
    ):
        assert is_refused(write(file, changed))


def test_a_reissued_file_says_so_and_keeps_its_numbers(whole, tmp_path):
    former = unsealed(whole)
    file = write(tmp_path / "bench.json", former)
    assert reissue(file, "2000-01-01") == "verified, and given a checksum"
    found = verify_bench(file)
    assert any("given one on 2000-01-01" in text for text in findings(found))
    assert found["processes"] == whole["processes"]
    assert found["derived"] == former["derived"]
    assert found["format"] == "poc bench 3"
    assert reissue(file, "2000-01-02") == "left alone"
    changed = unsealed(whole)
    changed["derived"]["sides"][0]["images_per_second"] *= 2
    with pytest.raises(CheckFailed, match="do not follow"):
        reissue(write(file, changed), "2000-01-01")


@pytest.mark.parametrize("path", sorted(STORED.glob("*.json")), ids=lambda path: path.stem)
def test_stored_files_are_whole(path):
    """Files of one format before are given a checksum by `benchmarks/reissue_bench.py`."""
    content = json.loads(path.read_text())
    if "format" not in content:
        # Ratios of repeated benches, without their samples: benchmarks/equal_sides.py.
        assert {"spec", "wrong", "repeats"} == content.keys()
        return
    assert verify_bench(path)["format"] == "poc bench 3"
