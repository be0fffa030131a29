"""Sweeps: cells, their folders, failures, interruption and both executors.

Where no training is needed a stand-in for the worker writes the run folder.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from poc.shared.analysis.tables.terminal import sweep_table
from poc.shared.engine.console.progress import SweepProgress
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch import sweep as engine
from poc.shared.engine.launch.executors import (
    THREAD_VARIABLES,
    Done,
    LocalExecutor,
    RayExecutor,
    Task,
    Work,
    added_to_environment,
    make_executor,
)
from poc.shared.engine.launch.sweep import kind_of_failure, run_sweep
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import UsageError
from poc.shared.spec.reading.sweep import Cell, load_sweep

SMALL = ["num_epochs=1", "data.split.train_per_class=4", "data.batch_size=32"]


def write_config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sweep.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_grid_is_the_product_of_its_axes_and_seeds() -> None:
    cells = load_sweep(None, ["seed=5"], ["k=1,2,3", "backend=tf,torch"], 2)
    assert len(cells) == 12
    assert cells[0].name == "backend=tf,k=1,seed=5"
    assert cells[-1].name == "backend=torch,k=3,seed=6"
    assert cells[-1].settings == {"k": 3, "backend": "torch"}
    run = cells[-1].run
    assert (run.backend, run.seed, dict(run.model_spec.options)) == ("torch", 6, {"k": 3})


def test_an_axis_that_is_given_twice_is_refused() -> None:
    message = "^Got --grid k twice. Expected each key once. Try --grid k=1,2,3.$"
    with pytest.raises(UsageError, match=message):
        load_sweep(None, [], ["k=1", "backend=tf,torch", "k=2,3"])
    # A value of both is advised once: twice in one axis is refused as well.
    with pytest.raises(UsageError, match=message):
        load_sweep(None, [], ["k=1,2", "k=2,3"])


def test_tables_of_a_file_are_united_and_fixed_values_are_no_axes(tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        """
        num_epochs = 7
        seeds = 3
        [[grid]]
        k = [1, 2]
        model = "lightnet_residual"
        [[grid]]
        norm_momentum = 0.99
        model = "conv2d_chain"
        """,
    )
    cells = load_sweep(path)
    names = [cell.run.model_spec.name for cell in cells]
    assert names == ["lightnet_residual"] * 6 + ["conv2d_chain"] * 3
    assert all(cell.run.num_epochs == 7 for cell in cells)
    assert dict(cells[-1].run.model_spec.options) == {"norm_momentum": 0.99}
    assert len(load_sweep(path, axes=["backend=tf,torch"], num_seeds=1)) == 6


def test_values_are_written_as_in_toml() -> None:
    cells = load_sweep(axes=["widths=[8,16],[4]", "optimizer.learning_rate=1e-3,0.1"])
    assert [tuple(cell.run.model_spec.options["widths"]) for cell in cells] == [
        (8, 16), (8, 16), (4,), (4,),
    ]  # fmt: skip
    assert cells[1].run.optimizer.learning_rate == 0.1
    assert load_sweep(axes=["data.source=embedded,idx:/a b"])[1].run.data.source == "idx:/a b"


@pytest.mark.parametrize(
    ("axes", "seeds", "message"),
    [
        (["k"], None, "Expected key=value,value"),
        (["k="], None, "Expected key=value,value"),
        (["k=1,1"], None, "each value once"),
        (["k=1,0"], None, "Got the cell k=0 with model.k=0"),
        (["kk=1"], None, "unknown key 'kk'"),
        (["backend=tf,jax"], None, "Got the cell backend=jax with backend='jax'"),
        (["seed=1,2"], 3, "Try removing one"),
        (["k=1"], 0, "at least 1"),
    ],
)
def test_wrong_grids_are_refused(axes: list[str], seeds: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_sweep(axes=axes, num_seeds=seeds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid = 3", "Expected a table"),
        ("grid = []", "Expected a table"),
        ("[grid]\nk = []", "at least one value"),
        ("seeds = true\n[grid]\nk = [1]", "Got seeds=True"),
        ("[[grid]]\nk = [1, 2]\n[[grid]]\nk = [2]", "same run"),
        ("epochs = 3\n[grid]\nk = [1]", "unknown key 'epochs'"),
    ],
)
def test_wrong_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load_sweep(write_config(tmp_path, text))


class Counting:
    """A stand-in for training: writes a finished run, or fails as told."""

    def __init__(self, failures: dict[str, BaseException] | None = None) -> None:
        self.failures = failures or {}
        self.started: list[str] = []

    def __call__(self, run: Any, output: Path, **options: Any) -> dict[str, Any]:
        name = output.name
        options["report"]({"event": "step", "step": 1})
        self.started.append(name)
        folder = RunFolder.create(output, overwrite=True)
        folder.write_run({"status": "running", "run": run.model_dump(mode="json")})
        if name in self.failures:
            raise self.failures[name]
        row = {"total_parameters": 10, "test_accuracy": 0.5, "total_seconds": 1.0}
        folder.write_summary(row)
        folder.mark("finished")
        return row


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Counting:
    stand_in = Counting()
    monkeypatch.setattr(engine, "launch_run", stand_in)
    return stand_in


def sweep(cells: Sequence[Cell], output: Path, **options: Any) -> list[dict[str, Any]]:
    return run_sweep(cells, output, LocalExecutor(**options), command="poc sweep")


def test_a_failed_cell_is_a_row_and_the_others_go_on(training: Counting, tmp_path: Path) -> None:
    cells = load_sweep(axes=["k=1,2,3,4,5"])
    training.failures = {
        "k=1": WorkerCrashed("the tf worker died with exit status -9\nNothing points to it"),
        "k=2": WorkerCrashed("the tf worker died with exit status -9\nPerhaps memory ended"),
        "k=3": WorkerCrashed("the tf worker raised ResourceExhaustedError: OOM"),
        "k=4": UsageError("received images that do not fit"),
    }
    rows = sweep(cells, tmp_path / "sweep")
    assert [row["status"] for row in rows] == [
        "failed", "failed", "failed", "failed", "finished",
    ]  # fmt: skip
    assert [row.get("failure") for row in rows] == [
        "killed", "killed, most likely out of memory", "out of memory", "error", None,
    ]  # fmt: skip
    record = RunFolder(tmp_path / "sweep" / "k=4").read_run()
    assert record["status"] == "failed"
    assert record["error"] == "received images that do not fit"
    assert record["sweep"]["settings"] == {"k": 4}


def test_events_of_a_cell_come_with_its_name(training: Counting, tmp_path: Path) -> None:
    heard: list[tuple[str, Any]] = []
    run_sweep(
        load_sweep(axes=["k=1,2"]),
        tmp_path / "sweep",
        LocalExecutor(),
        command="poc sweep",
        watch=lambda cell, event: heard.append((cell, event.get("step", event.get("text")))),
    )
    # The data of both are the same, and looked at once.
    assert heard == [("k=1", "looking at the data"), ("k=1", 1), ("k=2", 1)]


def test_a_second_call_keeps_what_is_finished_and_redoes_the_rest(
    training: Counting, tmp_path: Path
) -> None:
    cells, output = load_sweep(axes=["k=1,2,3,4,5"]), tmp_path / "sweep"
    training.failures = {"k=2": WorkerCrashed("died")}
    sweep(cells, output)
    training.failures, training.started = {}, []
    RunFolder(output / "k=3").mark("running")
    (output / "k=4" / "summary.json").unlink()
    (output / "k=5" / "summary.json").write_text("{half")
    (output / "k=5" / "notes.txt").write_text("mine")
    rows = sweep(cells, output)
    assert training.started == ["k=2", "k=3", "k=4", "k=5"]
    assert {row["status"] for row in rows} == {"finished"}
    assert (output / "k=5" / "notes.txt").read_text() == "mine"


def age(output: Path, names: dict[str, str]) -> None:
    """Give a sweep's cells and their folders the names that a former version gave them."""
    stored = json.loads((output / "sweep.json").read_text())
    for cell in stored["cells"]:
        former = names[cell["name"]]
        (output / cell["name"]).rename(output / former)
        cell["name"] = former
    (output / "sweep.json").write_text(json.dumps(stored))


def test_a_sweep_of_former_names_goes_on_under_them(training: Counting, tmp_path: Path) -> None:
    cells, output = load_sweep(axes=["k=1,2,3"]), tmp_path / "sweep"
    training.failures = {"k=2": WorkerCrashed("died")}
    sweep(cells, output)
    names = {f"k={k}": f"k={k},seed=0" for k in (1, 2, 3)}
    age(output, names)
    training.failures, training.started = {}, []
    rows = sweep(cells, output)
    assert training.started == ["k=2,seed=0"]
    assert [row["cell"] for row in rows] == list(names.values())
    assert {row["status"] for row in rows} == {"finished"}
    assert sorted(path.name for path in output.iterdir()) == [*names.values(), "sweep.json"]


@pytest.mark.parametrize("name", ["../k=1", "/tmp/k=1", "..", "", "a/b", 3, None])
def test_a_definition_names_folders_in_its_own_folder_alone(
    name: Any, training: Counting, tmp_path: Path
) -> None:
    output = tmp_path / "sweep"
    sweep(load_sweep(axes=["k=1,2"]), output)
    stored = json.loads((output / "sweep.json").read_text())
    stored["cells"][0]["name"] = name
    (output / "sweep.json").write_text(json.dumps(stored))
    training.started = []
    with pytest.raises(UsageError, match="not of the format"):
        sweep(load_sweep(axes=["k=1,2"]), output)
    assert training.started == []


def test_another_sweep_in_the_same_folder_is_refused(training: Counting, tmp_path: Path) -> None:
    sweep(load_sweep(axes=["k=1,2"]), tmp_path / "sweep")
    others = {
        "'k=3' is new": load_sweep(axes=["k=1,2,3"]),
        "'k=2' is gone": load_sweep(axes=["k=1"]),
        "'k=1' has changed": load_sweep(None, ["num_epochs=3"], ["k=1,2"]),
    }
    training.started = []
    for message, cells in others.items():
        with pytest.raises(UsageError, match=message):
            sweep(cells, tmp_path / "sweep")
    assert training.started == []


def test_a_folder_in_which_no_cell_has_begun_takes_another_sweep(
    training: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "sweep"

    def refuse(run: Any, output: Path, **options: Any) -> dict[str, Any]:
        raise UsageError("received data that cannot be split")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "launch_run", refuse)
        assert {row["status"] for row in sweep(load_sweep(axes=["k=1,2"]), output)} == {"failed"}
    (output / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="Got another sweep"):
        sweep(load_sweep(axes=["k=3"]), output)
    (output / "mine.txt").unlink()
    assert sweep(load_sweep(axes=["k=3"]), output)[0]["status"] == "finished"
    assert sorted(path.name for path in output.iterdir()) == ["seed=0", "sweep.json"]
    with pytest.raises(UsageError, match="another sweep"):
        sweep(load_sweep(axes=["k=1,2"]), output)


@pytest.mark.parametrize(
    ("assignments", "axis", "message"),
    [
        (["method=transfer"], "initial_weights=none,nofile", "^Got the cell initial_weights=nofil"),
        (["method=fixres", "num_epochs=2"], "finetune_epochs=1,2", "both phases share"),
    ],
)
def test_every_cell_is_looked_at_before_the_first_trains(
    assignments: list[str], axis: str, message: str, training: Counting, tmp_path: Path
) -> None:
    cells = load_sweep(None, assignments, [axis])
    with pytest.raises(UsageError, match=message):
        sweep(cells, tmp_path / "sweep")
    assert training.started == []
    assert not (tmp_path / "sweep").exists()


def test_an_error_of_many_cells_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SweepProgress(3)
    for cell, error in (("k=1", "no data"), ("k=2", "no data"), ("k=3", "no memory")):
        progress.update({"cell": cell, "status": "failed", "failure": "error", "error": error})
    assert capsys.readouterr().err.splitlines() == [
        "k=1: error: no data (1 of 3)",
        "k=2: the same error as k=1 (2 of 3)",
        "k=3: error: no memory (3 of 3)",
    ]


def test_a_folder_with_something_else_is_refused(training: Counting, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="no sweep"):
        sweep(load_sweep(None, ["data.source=idx:/nowhere"], ["k=1"]), tmp_path)
    (tmp_path / "sweep.json").write_text('{"format": "other"}')
    with pytest.raises(UsageError, match="not of the format"):
        sweep(load_sweep(axes=["k=1"]), tmp_path)
    assert training.started == []


def test_two_sweeps_at_once_in_one_folder_are_refused(training: Counting, tmp_path: Path) -> None:
    cells = load_sweep(axes=["k=1,2"])

    class Nested:
        @property
        def description(self) -> dict[str, Any]:
            return {"engine": "nested", "jobs": 1}

        def run(self, work: Work, tasks: Sequence[Task]) -> Iterator[Done]:
            with pytest.raises(UsageError, match="runs now"):
                sweep(cells, tmp_path / "sweep")
            yield from LocalExecutor().run(work, tasks)

    rows = run_sweep(cells, tmp_path / "sweep", Nested(), command="poc sweep")
    assert [row["status"] for row in rows] == ["finished"] * 2


def test_a_task_that_the_executor_loses_is_a_row(training: Counting, tmp_path: Path) -> None:
    class Losing:
        @property
        def description(self) -> dict[str, Any]:
            return {"engine": "losing", "jobs": 1}

        def run(self, work: Work, tasks: Sequence[Task]) -> Iterator[Done]:
            return (Done(task, None, "the node is gone") for task in tasks)

    rows = run_sweep(load_sweep(axes=["k=1"]), tmp_path / "s", Losing(), command="poc sweep")
    assert rows[0]["error"] == "the node is gone"
    assert RunFolder(tmp_path / "s" / "seed=0").read_run()["status"] == "failed"


def test_jobs_share_the_processors_and_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("poc.shared.engine.launch.executors.count_cpus", lambda: 8)

    def look(task: Task) -> dict[str, Any]:
        return {"threads": os.environ.get("OMP_NUM_THREADS")}

    for jobs, threads in ((1, None), (2, "4"), (16, "1")):
        done = list(LocalExecutor(jobs).run(look, [{"name": str(index)} for index in range(3)]))
        assert [item.result for item in done] == [{"threads": threads}] * 3
        assert "OMP_NUM_THREADS" not in os.environ


def test_a_sweeps_table_holds_hand_computed_means_and_deviations() -> None:
    """Lopsided seeds: the mean is .79, the median .72; the variance is .0386 / 2 = .0193."""
    common = {"status": "finished", "settings": {"k": 1}, "total_parameters": 5}
    rows = [
        {**common, "seed": seed, "test_accuracy": accuracy}
        for seed, accuracy in enumerate((0.7, 0.72, 0.95))
    ]
    columns = {column.header: list(column.cells) for column in sweep_table(rows).columns}
    assert columns["test accuracy"] == ["0.7900 ± 0.1389"]
    assert columns["runs"] == ["3"]


class SilentRay:
    """Stands for the module `ray`: keeps what a cell was told to need, and runs it here."""

    def __init__(self) -> None:
        self.needs: dict[str, Any] = {}
        self.init = self.shutdown = lambda **_: None

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0}

    def remote(self, **needs: Any) -> Any:
        self.needs = needs
        return lambda work: SimpleNamespace(remote=lambda task: work(task)["name"])

    def wait(self, references: list[Any]) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: Any) -> dict[str, Any]:
        return {"name": reference}


@pytest.mark.parametrize(
    ("address", "own", "expected"),
    [
        (None, {}, {"OMP_NUM_THREADS": "4", "TF_NUM_INTRAOP_THREADS": "4"}),
        (None, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "4"}),
        (
            None,
            {"OMP_NUM_THREADS": "3", "TF_NUM_INTRAOP_THREADS": "5"},
            {"OMP_NUM_THREADS": "3", "TF_NUM_INTRAOP_THREADS": "5"},
        ),
        ("auto", {}, None),
        ("auto", {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1"}),
    ],
)
def test_ray_leaves_the_users_own_number_of_threads(
    address: str | None,
    own: dict[str, str],
    expected: dict[str, str] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight processors: two cells at a time get four threads each, unless the user says more."""
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("poc.shared.engine.launch.executors.count_cpus", lambda: 8)
    silent = SilentRay()
    monkeypatch.setattr("poc.shared.engine.launch.executors.import_ray", lambda: silent)
    executor = RayExecutor(address, 2)
    done = list(executor.run(dict, [{"name": "a"}, {"name": "b"}]))
    assert [item.result for item in done] == [{"name": "a"}, {"name": "b"}]
    if expected is None:
        assert "runtime_env" not in silent.needs
    else:
        assert silent.needs["runtime_env"] == {"env_vars": expected}


def test_variables_of_a_while_give_back_what_the_user_had_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    with added_to_environment({"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}):
        assert os.environ["OMP_NUM_THREADS"] == os.environ["TF_NUM_INTRAOP_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ


def test_an_error_ends_the_local_executor_without_starting_the_rest() -> None:
    started = []

    def work(task: Task) -> dict[str, Any]:
        started.append(task["name"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(LocalExecutor().run(work, [{"name": index} for index in range(50)]))
    assert len(started) < 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "slurm"}, "one of local, ray"),
        ({"engine": "local", "jobs": 0}, "at least 1"),
        ({"engine": "local", "address": "auto"}, "with --engine local"),
        ({"engine": "ray", "address": "auto", "jobs": 2}, "--jobs 2"),
    ],
)
def test_wrong_executors_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_executor(**options)


def test_a_missing_ray_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'poc\[ray\]'"):
        make_executor("ray")


def test_kinds_of_failure() -> None:
    assert kind_of_failure("RuntimeError: CUDA out of memory. Tried") == "out of memory"
    assert kind_of_failure("MemoryError: Unable to allocate 3 GiB") == "out of memory"
    assert kind_of_failure("DefaultCPUAllocator: can't allocate memory") == "out of memory"
    assert kind_of_failure("ValueError: shapes") == "error"


@pytest.mark.parity
@pytest.mark.slow
def test_both_backends_in_one_sweep_and_one_killed_while_it_trains(tmp_path: Path) -> None:
    """Each cell is a process of its own, so the death of one is a row and no more."""
    cells = load_sweep(None, [*SMALL, "k=1"], ["backend=tf,torch"])
    rows = sweep(cells, tmp_path / "sweep")
    assert [(row["backend"], row["status"]) for row in rows] == [
        ("tf", "finished"), ("torch", "finished"),
    ]  # fmt: skip
    assert rows[0]["total_parameters"] == rows[1]["total_parameters"] == 2649
    records = [RunFolder(tmp_path / "sweep" / cell.name).read_run() for cell in cells]
    assert [record["environment"]["framework"] for record in records] == ["tensorflow", "torch"]
    assert records[0]["sweep"]["engine"] == "local"


@pytest.mark.torch
@pytest.mark.slow
def test_an_interrupted_command_continues(tmp_path: Path) -> None:
    """SIGKILL while the second cell trains; the second call keeps the first cell's files."""
    output = tmp_path / "sweep"
    command = [
        sys.executable, "-m", "poc.cli", "sweep", "--grid", "num_epochs=1,15",
        "--set", "data.split.train_per_class=4", "--output", str(output), "--json",
    ]  # fmt: skip
    # One thread: on a busy machine several wait for each other.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, start_new_session=True, env=environment
    )
    second = output / "num_epochs=15" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not second.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert second.exists()
    first = output / "num_epochs=1" / "summary.json"
    written = first.stat().st_mtime_ns
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["status"] for row in rows] == ["finished", "finished"]
    assert first.stat().st_mtime_ns == written
    assert len(RunFolder(second.parent).read_metrics()) == 15


@pytest.mark.torch
@pytest.mark.slow
def test_a_local_ray_cluster_gives_what_local_processes_give(tmp_path: Path) -> None:
    """Same cells, same threads: the same numbers; what is refused here at once is a row there."""
    cells = load_sweep(
        None, [*SMALL, "k=1", "backend=torch"], ["data.source=embedded,idx:/nowhere"]
    )
    with pytest.raises(UsageError) as refusal:
        sweep(cells, tmp_path / "refused")
    local = sweep(cells[:1], tmp_path / "local")
    cluster = run_sweep(cells, tmp_path / "ray", make_executor("ray"), command="poc sweep")
    assert [row["status"] for row in cluster] == ["finished", "failed"]
    message = cluster[1]["error"].removeprefix("Got ")
    assert str(refusal.value) == f"Got the cell data=nowhere with {message}"
    assert cluster[0]["test_loss"] == local[0]["test_loss"]
    record = RunFolder(tmp_path / "ray" / cells[0].name).read_run()
    assert record["sweep"]["engine"] == "ray"


def test_a_ray_address_without_a_cluster_is_one_sentence(tmp_path: Path) -> None:
    executor = make_executor("ray", address="127.0.0.1:1")
    with pytest.raises(UsageError, match="no Ray cluster answers"):
        run_sweep(load_sweep(axes=["k=1"]), tmp_path / "sweep", executor, command="poc sweep")
