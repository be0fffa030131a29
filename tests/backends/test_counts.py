"""Published counts of every architecture: as it is declared, and as each backend builds it."""

import math

import pytest

from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.resolved import declare_network
from poc.tests.helpers.architectures.table import ARCHITECTURES

COUNTED = [name for name, row in ARCHITECTURES.items() if row.counts is not None]


@pytest.mark.parametrize("name", COUNTED)
def test_declared_counts(name):
    row = ARCHITECTURES[name]
    network = declare_network(row.run())
    sizes = [(parameter.size, parameter.is_trainable) for parameter in network.parameters]
    assert sum(size for size, _ in sizes) == row.counts.total
    assert sum(size for size, is_trainable in sizes if is_trainable) == count_trainable(row)
    assert network.learnable_parameters == row.counts.learnable


def count_trainable(row):
    return row.counts.learnable if row.num_trainable is None else row.num_trainable


@pytest.mark.parametrize("name", COUNTED)
def test_built_counts(name, worker):
    row = ARCHITECTURES[name]
    table = worker.call(Operations.parameters, run=row.run(worker.backend).model_dump(mode="json"))
    sizes = [(math.prod(item["shape"]), item["is_trainable"]) for item in table]
    assert sum(size for size, _ in sizes) == row.counts.total
    assert sum(size for size, is_trainable in sizes if is_trainable) == count_trainable(row)


@pytest.mark.parametrize("name", [name for name in COUNTED if ARCHITECTURES[name].counts.keras])
def test_keras_counts_seven_more(name):
    counts = ARCHITECTURES[name].counts
    assert counts.total + 7 == counts.keras


@pytest.mark.parametrize("name", [name for name, row in ARCHITECTURES.items() if row.macs])
def test_multiply_adds(name):
    row = ARCHITECTURES[name]
    count, relative, absolute = row.macs
    assert declare_network(row.run()).macs == pytest.approx(count, rel=relative, abs=absolute)


@pytest.mark.parametrize("name", [name for name, row in ARCHITECTURES.items() if row.taps])
def test_taps(name):
    row = ARCHITECTURES[name]
    network = declare_network(row.run())
    shapes = {node.name: node.output_shape for node in network.nodes}
    assert {tap: shapes[network.node_of(tap)] for tap in row.taps} == row.taps
