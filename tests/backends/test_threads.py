"""The number of threads that each backend tells: of one operation, whoever set it."""

import pytest

from poc.shared.engine.worker.operations import Operations
from poc.shared.machine import count_cpus
from poc.tests.conftest import start_worker


def test_a_worker_tells_its_threads(tf_worker, torch_worker):
    """The session's workers are held to one."""
    assert tf_worker.call(Operations.describe)["intra_op_threads"] == 1
    assert torch_worker.call(Operations.describe)["intra_op_threads"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "set_here", "expected"),
    [
        pytest.param("tf", {"TF_NUM_INTRAOP_THREADS": "3"}, 3, marks=pytest.mark.tf),
        # OpenMP's variable is PyTorch's alone: TensorFlow 2.21 does not read it.
        pytest.param(
            "tf",
            {"OMP_NUM_THREADS": "3", "TF_NUM_INTRAOP_THREADS": "2"},
            2,
            marks=pytest.mark.tf,
        ),
        # Not a number, or 0, is TensorFlow's own choice: every processor.
        pytest.param("tf", {"TF_NUM_INTRAOP_THREADS": "many"}, "all", marks=pytest.mark.tf),
        pytest.param("tf", {"TF_NUM_INTRAOP_THREADS": "0"}, "all", marks=pytest.mark.tf),
        # PyTorch tells what it got: with MKL no more than there are processors.
        pytest.param(
            "torch", {"OMP_NUM_THREADS": "2"}, min(2, count_cpus()), marks=pytest.mark.torch
        ),
    ],
)
def test_the_threads_follow_the_variables(backend, set_here, expected, tmp_path):
    with start_worker(backend, tmp_path, **set_here) as worker:
        facts = worker.call(Operations.describe)
    assert facts["intra_op_threads"] == (count_cpus() if expected == "all" else expected)
