"""Names of a sweep's cells: what differs, method and backend first, short and never equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poc.shared.spec.reading.cell_names import MAX_NAME_LENGTH, label_settings, name_cells
from poc.shared.spec.reading.sweep import load_sweep

RUNS = "runs/20261128-1200-scratch-resnet32-torch/checkpoints/best.safetensors"


def test_what_differs_names_a_cell_and_nothing_else():
    settings = [
        {"k": k, "epochs": 3, "backend": backend, "method": method, "seed": 0}
        for method in ("kd", "lwf")
        for backend in ("tf", "torch")
        for k in (1, 2)
    ]
    assert name_cells(settings)[:3] == [
        "method=kd,backend=tf,k=1",
        "method=kd,backend=tf,k=2",
        "method=kd,backend=torch,k=1",
    ]
    assert label_settings([{"k": 1}, {"k": 1}]) == ["", ""]
    assert name_cells([{"k": 1, "seed": 7}]) == ["seed=7"]


def test_seeds_stand_last_and_what_only_some_cells_set_is_named():
    cells = load_sweep(None, [], ["seed=3,4", "backend=tf,torch"])
    assert [cell.name for cell in cells] == [
        "backend=tf,seed=3",
        "backend=torch,seed=3",
        "backend=tf,seed=4",
        "backend=torch,seed=4",
    ]
    assert label_settings([{"model": "a", "k": 1}, {"model": "b"}]) == ["model=a,k=1", "model=b"]


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("split.fold", [0, 1], ["fold=0", "fold=1"]),
        ("optimizer.name", ["adam", "sgd"], ["optimizer=adam", "optimizer=sgd"]),
        ("optimizer.learning_rate", [1e-3, 0.1], ["learning_rate=0.001", "learning_rate=0.1"]),
        ("model.widths", [[8, 16], [4]], ["widths=8x16", "widths=4"]),
        ("teacher.weights", ["none", RUNS],
         ["teacher=none", "teacher=20261128-1200-scratch-resnet32-torch"]),
        ("data.source", ["embedded", "folder:/a b/my photos"], ["data=embedded", "data=my-photos"]),
        ("initial_weights", ["x/lite0.safetensors", "y/net.weights.h5"],
         ["initial_weights=lite0", "initial_weights=net"]),
        # Equal last parts: as much of the way as tells them apart.
        ("teacher.weights", ["a/x/net.pth", "a/y/net.pth"], ["teacher=x-net", "teacher=y-net"]),
        ("teacher.weights", ["a/Net.pth", "b/net.pth"], ["teacher=a-Net", "teacher=b-net"]),
        ("early_stopping.patience", [None, 3], ["patience=null", "patience=3"]),
        ("norm_momentum", [-1, 1], ["norm_momentum=-1", "norm_momentum=1"]),
    ],
)  # fmt: skip
def test_a_value_is_named_by_what_a_reader_calls_it(key, values, expected):
    assert label_settings([{key: value} for value in values]) == expected


def test_keys_that_end_alike_stand_whole():
    rows = [{"train_view.crop": "a", "eval_view.crop": "b"}, {}]
    assert label_settings(rows) == ["train_view.crop=a,eval_view.crop=b", ""]


def test_values_that_look_alike_get_a_digest():
    first, second = label_settings([{"k": "a/b"}, {"k": "a\\b"}])
    assert first != second
    assert first.startswith("k=a-b-")


def test_nothing_is_cut_within_a_word():
    words = "_".join(f"word{index}" for index in range(30))
    names = name_cells([{f"key{i}": f"{words}-{n}" for i in range(9)} for n in range(2)])
    assert len(set(names)) == 2
    for name in names:
        assert len(name) <= MAX_NAME_LENGTH
        *settings, digest = name.rsplit("-", 1)
        assert len(digest) == 8
        assert all("word" in part for part in ",".join(settings).split(","))
        assert not name.split("-")[0].endswith(("wo", "wor"))


KEYS = st.sampled_from(["k", "model.k", "split.fold", "data.source", "backend", "method"])
VALUES = st.one_of(st.text(max_size=60), st.integers(), st.none(), st.lists(st.integers()))


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=6))
def test_names_are_legal_everywhere_and_never_equal(settings):
    """On Windows and macOS names that differ in the case of letters are one."""
    different = []
    for row in settings:
        if row not in different:
            different.append(row)
    names = name_cells(different)
    assert len({name.lower() for name in names}) == len(different)
    for name in names:
        assert 0 < len(name) <= MAX_NAME_LENGTH
        assert not set(name) & set("/\\\0 \n<>:|?*&\"'")
        assert not name.endswith((".", " "))


def test_a_name_does_not_depend_on_the_run_that_writes_it():
    axes = ["k=1,2", "backend=tf,torch"]
    assert [c.name for c in load_sweep(axes=axes)] == [c.name for c in load_sweep(axes=axes)]
    assert load_sweep(axes=axes)[0].name == "backend=tf,k=1"
    assert list(load_sweep(axes=axes)[0].settings) == ["k", "backend"]
