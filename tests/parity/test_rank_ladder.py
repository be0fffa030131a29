"""Several processes of each backend give what one gives: every method, on its small form.

It is what `poc parity --processes 2 --dtype float64 --method NAME` does.
"""

import pytest

from poc.shared.actions.comparison import read_batches
from poc.shared.analysis.parity.batches import make_uneven
from poc.shared.analysis.parity.rank_ladder import RankLadder, check_rank_ladder
from poc.shared.engine.launch.rank_group import open_group
from poc.shared.engine.ranks.refusals import describe_refusal
from poc.shared.engine.worker.interruption import LIVE
from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.reading.small_forms import load_parity_run

COUNT = 2
EXACT = "precision=float64"


@pytest.fixture(scope="module")
def groups(workers, tmp_path_factory):
    """The ranks of both backends; each has the thread of its share of the processors."""
    log = tmp_path_factory.mktemp("ranks") / "log"
    with open_group("tf", COUNT, log) as first, open_group("torch", COUNT, log) as second:
        # A signal that another test sends to this process is not for them.
        for worker in (*first.workers, *second.workers):
            LIVE.discard(worker)
        yield first, second


def make_run(method, *settings):
    return load_parity_run(None, [f"method={method}", EXACT, *settings])[0]


def climb(run, workers, groups):
    resolved, batches = read_batches(run)
    return RankLadder(resolved, workers, groups, COUNT).climb(make_uneven(batches))


def check_method(name, workers, groups):
    run = make_run(name)
    if reason := describe_refusal(run):
        with pytest.raises(UsageError, match=f"^Got --processes {COUNT} for {reason}"):
            check_rank_ladder(run, COUNT)
        return
    check_rank_ladder(run, COUNT)
    rungs = climb(run, workers, groups)
    assert [rung.failure for rung in rungs if not rung.is_passed] == []
    optimizers = METHODS[name].optimizers or ("adam", "sgd")
    # One process: parameters, logits, loss, gradients, the tap, losses and weights of steps. Then
    # tf, torch and both with several: loss, gradients, losses and weights of steps.
    stages = len(run.stages)
    assert len(rungs) == (5 + 2 * len(optimizers) + 3 * (2 + 2 * len(optimizers))) * stages
    assert sum("both, 2 processes" in rung.name for rung in rungs) == stages * (
        2 + 2 * len(optimizers)
    )
    assert all(rung.num_tensors > 0 for rung in rungs)


def test_the_plain_method(workers, groups):
    check_method("lightlayers", workers, groups)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in METHODS if name != "lightlayers"])
def test_each_other_method(name, workers, groups):
    check_method(name, workers, groups)


def test_a_difference_of_several_processes_is_named(workers, groups):
    """Batch norms by the own part are another formula with several processes alone."""
    rungs = climb(make_run("lightlayers", "batch_norm_sync=local"), workers, groups)
    verdicts = {rung.name: rung.verdict for rung in rungs}
    assert verdicts["gradients"] == "equal"
    assert verdicts["tf, 2 processes: gradients"] == "DIFFERENT"
    assert verdicts["torch, 2 processes: gradients"] == "DIFFERENT"
    # Both are the same other formula.
    assert verdicts["both, 2 processes: gradients"] == "equal"


def test_batches_are_cut_unevenly():
    _, batches = read_batches(make_run("lightlayers"))
    assert [len(batch["labels"]) for batch in make_uneven(batches)] == [7, 7, 7, 7, 1]


def test_rounding_is_no_excuse():
    with pytest.raises(UsageError, match=r"precision='float32'.*Try --dtype float64"):
        check_rank_ladder(load_parity_run(None, ["method=lightlayers"])[0], COUNT)
