"""Timing: the samples that a stopwatch takes, and what is said about them."""

import copy
import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from poc.shared.actions.bench import prove_parity, read_bench, verify_bench
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.analysis.timing.report import check_page, findings, ratio_table, write_bench_report
from poc.shared.analysis.timing.samples import derive, verify
from poc.shared.analysis.timing.seal import seal
from poc.shared.engine.machine.environment import thread_variables
from poc.shared.engine.timing.bench_file import FORMAT
from poc.shared.engine.timing.rounds import in_turn, run_bench, time_round
from poc.shared.engine.timing.stopwatch import Stopwatch, TimedSide
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.bench import BenchSpec, Side, Turn, parse_sides
from poc.shared.spec.run import RunSpec

MACHINE = {"processor": "P", "num_cpus": 2, "platform": "Linux"}


def make_process(turn, side, step_seconds, **changes):
    steps = list(np.asarray(step_seconds, dtype=float))
    return {
        "round": turn,
        "side": side,
        "seconds": {
            "import": [2.0],
            "build": [0.1],
            "first_step": [1.0],
            "step": steps,
            "bare_step": [0.9 * value for value in steps],
            "evaluation_batch": [0.005] * 10,
            "pipeline_epoch": [0.01],
            "epoch": [float(np.median(steps)) * 20],
        },
        "batch_size": 64,
        "num_batches": 10,
        "num_images": 640,
        "macs": 1_000_000,
        "precision": "float32",
        "is_deterministic": True,
        "input_shape": [28, 28, 1],
        "matmul_flops_per_second": 1e11,
        "peak_memory_bytes": 2**20,
        "peak_device_bytes": None,
        "environment": dict(MACHINE),
        "load": [0.1, 0.2],
        **changes,
    }


def make_bench(processes, num_sides=2, share=0.01):
    sides = [Side(backend="torch"), Side(backend="tf", mode="graph")][:num_sides]
    spec = BenchSpec(run=RunSpec(), sides=tuple(sides))
    return {
        "format": FORMAT,
        "command": "poc bench",
        "started": "2000-01-01",
        "wall_seconds": 1.0,
        "other_processor_share": share,
        "spec": spec.model_dump(mode="json"),
        "processes": processes,
        "parity": "holds",
    }


@pytest.fixture
def bench():
    steps = {0: [0.010, 0.011, 0.012, 0.013, 0.014], 1: [0.020, 0.022, 0.024, 0.026, 0.028]}
    return make_bench(
        [make_process(turn, side, values) for turn in range(3) for side, values in steps.items()]
    )


def test_medians_quartiles_and_rates_are_exact(bench):
    first = derive(bench)["sides"][0]
    row = first["rows"]["step"]
    assert row["median"] == 0.012
    assert row["iqr"] == pytest.approx(0.002)
    assert (row["num_samples"], row["num_processes"]) == (15, 3)
    assert first["images_per_second"] == pytest.approx(64 / 0.012)
    assert first["flops_per_second"] == pytest.approx(6e6 * 64 / 0.012)
    assert first["utilisation"] == pytest.approx(6e6 * 64 / 0.012 / 1e11)
    for name, value in (("loop_over_bare", 1 / 0.9), ("epoch_over_steps", 2.0)):
        assert first[name] == pytest.approx({"ratio": value, "low": value, "high": value})


def test_a_ratio_of_equal_rounds_is_exact(bench):
    ratio = next(item for item in derive(bench)["ratios"] if item["row"] == "step")
    assert ratio["ratio"] == pytest.approx(0.5)
    assert (ratio["low"], ratio["high"]) == pytest.approx((0.5, 0.5))
    assert ratio["is_shown"]


def simulate(generator, slowdown):
    """Rounds of two sides whose processes differ by 2 % and whose machine drifts by 5 %."""
    processes = []
    for turn in range(5):
        drift = generator.normal(0, 0.05)
        for side in range(2):
            level = 0.01 * math.exp(drift + generator.normal(0, 0.02)) * (1 + slowdown * side)
            processes.append(
                make_process(turn, side, level * np.exp(generator.normal(0, 0.03, 30)))
            )
    return next(item for item in derive(make_bench(processes))["ratios"] if item["row"] == "step")[
        "is_shown"
    ]


def test_the_same_side_twice_shows_no_difference_and_a_slowdown_does():
    generator = np.random.default_rng(0)
    assert sum(simulate(generator, 0.0) for _ in range(100)) <= 10
    assert sum(simulate(generator, 0.1) for _ in range(100)) >= 90


def test_a_loaded_or_unsteady_machine_is_told(bench):
    for process in bench["processes"]:
        process["seconds"]["step"] = [0.010, 0.0101, 0.0102]
    assert derive(bench)["warnings"] == []
    loaded = derive({**bench, "other_processor_share": 0.4})
    assert "other programs used 40%" in loaded["warnings"][0]
    for process in bench["processes"]:
        process["seconds"]["step"] = [0.01, 0.02, 0.03, 0.04, 0.05]
    assert "torch eager, step: very unsteady" in derive(bench)["warnings"][0]


def test_machines_are_not_mixed(bench):
    bench["processes"][1]["environment"]["processor"] = "Q"
    with pytest.raises(CheckFailed, match="2 machines"):
        derive(bench)


def test_verification_finds_a_changed_number(bench, tmp_path):
    bench = seal({**bench, "derived": derive(bench)})
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(bench))
    assert verify_bench(file)["derived"] == bench["derived"]
    for change in ("sample", "median"):
        changed = copy.deepcopy(bench)
        if change == "sample":
            changed["processes"][0]["seconds"]["step"] = [0.1] * 5
        else:
            changed["derived"]["sides"][0]["rows"]["step"]["median"] *= 0.99
        assert verify(changed)
        file.write_text(json.dumps(changed))
        with pytest.raises(CheckFailed, match="do not follow from its samples"):
            verify_bench(file)
    del changed["processes"][0]["seconds"]
    file.write_text(json.dumps(changed))
    with pytest.raises(CheckFailed, match="which is incomplete"):
        verify_bench(file)


def test_a_file_of_an_older_version_says_what_to_do(tmp_path):
    file = tmp_path / "bench.json"
    file.write_text('{"format": "poc bench 1"}')
    with pytest.raises(UsageError, match=r"'poc bench 1'.*'poc bench 4'.*run its command again"):
        read_bench(file)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": "poc run 1"}'])
def test_other_files_are_refused(content, tmp_path):
    file = tmp_path / "bench.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=r"poc bench --output"):
        read_bench(file)


def test_the_page_holds_every_side(bench, tmp_path):
    bench["derived"] = derive(bench)
    write_bench_report(bench, Path("bench.json"), tmp_path)
    page = (tmp_path / "report.html").read_text()
    text = (tmp_path / "report.md").read_text()
    for words in ("torch eager", "tf graph", "Where the comparison is not fair", "0.500"):
        assert words in page
        assert words in text


def test_a_page_is_written_again_and_never_over_anything_else(bench, tmp_path):
    bench["derived"] = derive(bench)
    for _ in range(2):
        write_bench_report(bench, Path("bench.json"), tmp_path)
    (tmp_path / "report.md").write_text("my remarks")
    with pytest.raises(UsageError, match=r"`poc bench` did not write .* changed them: report\.md"):
        check_page(tmp_path)
    with pytest.raises(UsageError, match="Try another folder with --report"):
        write_bench_report(bench, Path("bench.json"), tmp_path)
    assert (tmp_path / "report.md").read_text() == "my remarks"


class Recorder:
    """Stands for a training loop: a step takes a second of the fake clock, an update half a one."""

    def __init__(self, compiles_at=None, accumulation_steps=1):
        self.now, self.num_steps, self.compiles_at = 0.0, 0, compiles_at
        self.evaluations = []
        self.grouping = SimpleNamespace(accumulation_steps=accumulation_steps)
        images, labels = np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int64)
        batch = SimpleNamespace(images=images, labels=labels, learned=labels)
        run = RunSpec(input_shape=(28, 28, 1), num_classes=2)
        self.spec, self.trainer = run, self
        self.state, self.steps = SimpleNamespace(step=0), self
        self.data = SimpleNamespace(train=SimpleNamespace(epoch=lambda number: iter([batch])))

    def inputs(self, batch, step):
        return {}, {}

    def rate(self, step):
        return 0.1

    def given_images(self, batch):
        return batch.images

    def take(self, batch, state):
        self.now, self.num_steps = self.now + 0.4, self.num_steps + 1
        self.pending = 0.6

    def prepared_step(self, *arguments):
        def run():
            self.now, self.num_steps, self.pending = self.now + 0.1, self.num_steps + 1, 0.4

        return run

    def wait(self):
        self.now, self.pending = self.now + getattr(self, "pending", 0.0), 0.0

    def metrics(self):
        return {}

    def logits(self, images):
        self.evaluations.append(0.02 if len(self.evaluations) > 30 else 0.04)
        self.now += self.evaluations[-1]

    @property
    def num_compilations(self):
        return 1 if self.compiles_at is None else 1 + (self.num_steps > self.compiles_at)


def test_a_step_is_timed_with_the_device_drained_and_without_the_warm_up():
    loop = Recorder()
    samples = Stopwatch(loop.steps, loop.state, lambda: loop.now).steps(Turn(3, 6, 0.0))
    assert samples == {"step": [pytest.approx(1.0)] * 6, "bare_step": [pytest.approx(0.5)] * 6}
    assert loop.num_steps == 2 * (3 + 6)


def test_a_step_of_an_update_of_three_batches_has_a_third_of_its_cost():
    """The device is drained once for all three: (3 * 0.4 + 0.6) / 3 and (3 * 0.1 + 0.4) / 3."""
    loop = Recorder(accumulation_steps=3)
    samples = Stopwatch(loop.steps, loop.state, lambda: loop.now).steps(Turn(1, 2, 0.0))
    expected = {"step": [0.6] * 2, "bare_step": [0.7 / 3] * 2}
    assert samples == {name: pytest.approx(values) for name, values in expected.items()}
    assert loop.num_steps == 2 * 3 * (1 + 2)


@pytest.mark.parametrize(("seconds", "count"), [(0.5, 2), (2.0, 2), (6.5, 7)])
def test_short_steps_are_repeated_until_they_fill_the_time(seconds, count):
    loop = Recorder()
    samples = Stopwatch(loop.steps, loop.state, lambda: loop.now).steps(Turn(1, 2, seconds))
    assert {len(values) for values in samples.values()} == {count}


def test_evaluations_are_timed_for_a_second_after_a_second_of_warming_up():
    loop = Recorder()
    samples = Stopwatch(loop.steps, loop.state, lambda: loop.now).evaluations(loop.data.train)
    # 31 slow ones first: 26 fill a second, and those that are left stand at the beginning.
    warm = loop.evaluations[: -len(samples)]
    assert sum(warm) >= 1.0
    assert sum(samples) == pytest.approx(1.0, abs=0.05)
    assert np.median(samples) == pytest.approx(0.02)


def test_a_recompilation_among_timed_steps_fails_and_one_before_does_not():
    loop = Recorder(compiles_at=4)
    Stopwatch(loop.steps, loop.state, lambda: loop.now).steps(Turn(3, 6, 0.0))
    loop = Recorder(compiles_at=8)
    with pytest.raises(CheckFailed, match="compiled while steps were timed"):
        Stopwatch(loop.steps, loop.state, lambda: loop.now).steps(Turn(3, 6, 0.0))


class RecordedWorker:
    """Stands for a process: writes down what it is called for."""

    calls: ClassVar[list] = []
    alive: ClassVar[list] = []

    def __init__(self, backend):
        self.backend = backend

    def __enter__(self):
        self.alive.append(self.backend)
        return self

    def __exit__(self, *error):
        self.alive.remove(self.backend)

    def call(self, operation, **arguments):
        self.calls.append(
            (operation.__name__, self.backend, len(self.alive), *map(arguments.get, Turn._fields))
        )
        return {"seconds": self.backend}


@pytest.fixture
def recorded(monkeypatch):
    RecordedWorker.calls.clear()
    monkeypatch.setattr("poc.shared.engine.timing.rounds.Worker", RecordedWorker)
    return RecordedWorker


def test_the_steps_of_a_round_take_turns_among_living_processes(recorded):
    spec = BenchSpec(run=RunSpec(), sides=parse_sides([]), warmup_steps=7, timed_steps=8)
    found = time_round(spec, [1, 0])
    assert found == {1: {"seconds": "torch"}, 0: {"seconds": "tf"}}
    assert recorded.alive == []
    none = (None, None, None)
    assert recorded.calls == [
        ("start_timing", "torch", 1, *none),
        ("start_timing", "tf", 2, *none),
        ("time_steps", "torch", 2, 7, 3, 1.0),
        ("time_steps", "tf", 2, 7, 3, 1.0),
        # The first step after another process' is not counted.
        ("time_steps", "tf", 2, 1, 3, 1.0),
        ("time_steps", "torch", 2, 1, 3, 1.0),
        ("time_steps", "torch", 2, 1, 2, 1.0),
        ("time_steps", "tf", 2, 1, 2, 1.0),
        ("finish_timing", "torch", 2, *none),
        ("finish_timing", "tf", 2, *none),
    ]


@pytest.mark.parametrize("count", range(1, 10))
def test_each_side_follows_each_other_one_equally_often(count):
    places = list(range(10, 10 + count))
    rows = [in_turn(places, number) for number in range(2 * count)]
    assert rows[0][0] == places[0]
    assert all(sorted(row) == places for row in rows)
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert set(follows.values()) <= {2}
    assert len(follows) == count * (count - 1)
    # Each side has each place in a row equally often: none is always in the middle.
    assert set(Counter(pair for row in rows for pair in enumerate(row)).values()) == {2}


def test_two_sides_take_turns_as_a_b_b_a():
    assert [in_turn("AB", number) for number in range(3)] == [["A", "B"], ["B", "A"], ["A", "B"]]


def test_where_memory_is_short_one_process_lives_at_a_time(recorded):
    spec = BenchSpec(run=RunSpec(), sides=parse_sides([]), timed_steps=10, is_alone=True)
    assert time_round(spec, [0, 1]).keys() == {0, 1}
    assert {(backend, alive) for _, backend, alive, *_ in recorded.calls} == {
        ("tf", 1),
        ("torch", 1),
    }


def test_a_mode_that_the_method_refuses_starts_no_process(recorded):
    run = RunSpec.parse({"method": "l2t-ww"}, "")
    spec = BenchSpec(run=run, sides=parse_sides(["torch:compile", "torch"]), timed_steps=5)
    found = time_round(spec, [0, 1])
    assert "compiler refuses second derivatives" in found[0]
    assert found[1] == {"seconds": "torch"}
    assert {alive for _, _, alive, *_ in recorded.calls} == {1}


def test_a_process_that_fails_among_its_steps_is_left_alone(recorded, monkeypatch):
    call = recorded.call

    def fail(worker, operation, **arguments):
        call(worker, operation, **arguments)
        if operation.__name__ == "time_steps" and worker.backend == "tf":
            raise CheckFailed("compiled while steps were timed\nand more")
        return {"seconds": worker.backend}

    monkeypatch.setattr(recorded, "call", fail)
    spec = BenchSpec(run=RunSpec(), sides=parse_sides([]), timed_steps=20)
    assert time_round(spec, [0, 1]) == {
        0: "compiled while steps were timed",
        1: {"seconds": "torch"},
    }
    assert [backend for _, backend, *_ in recorded.calls].count("tf") == 2


def test_sides_are_read():
    assert [side.name for side in parse_sides([])] == ["tf graph", "torch eager"]
    names = [side.name for side in parse_sides([], "all")]
    assert names == [
        *("tf graph", "tf eager", "tf xla", "tf bfloat16"),
        *("torch eager", "torch compile", "torch channels_first", "torch bfloat16"),
    ]
    runs = {side.name: side.run(RunSpec()) for side in parse_sides([], "all")}
    assert runs["torch channels_first"].layout == "channels_first"
    assert {runs[f"{backend} bfloat16"].precision for backend in ("tf", "torch")} == {"bfloat16"}
    assert {run.precision for name, run in runs.items() if "bfloat16" not in name} == {"float32"}
    side = parse_sides(["torch:compile:2"])[0]
    assert (side.name, side.run(RunSpec()).mode) == ("torch compile, 2 threads", "compiled")


@pytest.mark.parametrize(
    ("texts", "modes", "word"),
    [
        (["jax"], None, "jax"),
        (["tf:compile"], None, "graph, eager, xla"),
        (["torch:eager:none"], None, "num_threads"),
        (["torch:eager:0"], None, "num_threads"),
        (["tf"], "all", "--modes"),
        ([], "some", "some"),
    ],
)
def test_wrong_sides_are_refused(texts, modes, word):
    with pytest.raises(UsageError, match=word):
        parse_sides(texts, modes)


def test_the_environment_names_what_decides_about_threads_and_an_unusual_layout(monkeypatch):
    kept = {"OMP_NUM_THREADS": "3", "TF_NUM_INTRAOP_THREADS": "2", "XLA_FLAGS": "--a"}
    others = {"HOME": "/home", "MY_OMP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    monkeypatch.setattr("poc.shared.engine.machine.environment.os.environ", {**kept, **others})
    assert thread_variables() == kept
    monkeypatch.setattr(
        "poc.shared.engine.timing.stopwatch.describe_machine", lambda: {"num_cpus": 2}
    )
    side = TimedSide.__new__(TimedSide)
    side.backend = SimpleNamespace(describe=lambda run: {"version": "1"})
    side.spec = SimpleNamespace(layout="channels_last")
    assert side.environment() == {"num_cpus": 2, "version": "1", **kept}
    side.spec = SimpleNamespace(layout="channels_first")
    assert side.environment()["layout"] == "channels_first"


def make_sample():
    sample = make_process(0, 0, [0.01] * 5)
    return {key: value for key, value in sample.items() if key not in ("round", "side")}


def test_a_side_that_does_not_run_is_a_line_and_the_others_go_on(monkeypatch):
    """Also one that fails in its second process: half a side is not compared."""
    calls = []

    def time_round(spec, places):
        found = {}
        for place in places:
            calls.append(spec.sides[place].name)
            found[place] = make_sample()
            if spec.sides[place].mode == "xla":
                found[place] = "the tf worker raised no such kernel"
            if spec.sides[place].mode == "compile" and calls.count("torch compile") == 2:
                found[place] = "compiled while steps were timed"
        return found

    monkeypatch.setattr("poc.shared.engine.timing.rounds.time_round", time_round)
    texts = ["tf:xla", "tf", "torch:compile", "torch"]
    spec = BenchSpec(run=RunSpec(), sides=parse_sides(texts), num_processes=3)
    said = []
    result = run_bench(spec, command="poc bench", report=said.append)
    assert result["failures"] == {
        "tf xla": "the tf worker raised no such kernel",
        "torch compile": "compiled while steps were timed",
    }
    assert "tf xla does not run: the tf worker raised no such kernel" in said
    assert calls.count("tf xla") == 1
    assert [side["mode"] for side in result["spec"]["sides"]] == ["graph", "eager"]
    assert sorted({(p["round"], p["side"]) for p in result["processes"]}) == [
        (turn, side) for turn in range(3) for side in range(2)
    ]
    result["parity"] = "holds"
    result["derived"] = derive(result)
    assert [side["name"] for side in result["derived"]["sides"]] == ["tf graph", "torch eager"]
    assert [text for text in findings(result) if "does not run" in text] == [
        "tf xla does not run here: the tf worker raised no such kernel",
        "torch compile does not run here: compiled while steps were timed",
    ]


def test_a_bench_in_which_no_side_runs_fails(monkeypatch):
    def time_round(spec, places):
        return dict.fromkeys(places, "no such device")

    monkeypatch.setattr("poc.shared.engine.timing.rounds.time_round", time_round)
    spec = BenchSpec(run=RunSpec(), sides=parse_sides(["tf", "torch"]))
    with pytest.raises(CheckFailed, match="Got no side that runs: no such device; no such device"):
        run_bench(spec, command="poc bench", report=lambda text: None)


def test_a_lower_precision_is_a_deviation_and_its_ratios_say_so(bench):
    assert "deviations" not in derive(bench)
    assert not any("is_unproved" in item for item in derive(bench)["ratios"])
    bench["spec"]["sides"][1] = {"backend": "tf", "mode": "bfloat16"}
    for process in bench["processes"]:
        if process["side"] == 1:
            process["precision"] = "bfloat16"
    bench["derived"] = derive(bench)
    assert bench["derived"]["deviations"] == [
        "tf bfloat16: computes in bfloat16; not proved equal to anything."
    ]
    assert all(item["is_unproved"] for item in bench["derived"]["ratios"])
    verdicts = [row[-1] for row in ratio_table(bench["derived"]).rows]
    assert any("in another precision: not proved equal" in verdict for verdict in verdicts)


class Rung:
    failure = "broken on the rung 'logits'"

    def __init__(self, is_passed):
        self.is_passed = is_passed


def prove(monkeypatch, texts, *, broken=(), crashing=()):
    """Which sides parity was tried with, and what came of it."""
    tried = []

    def check_parity(run, changes, *, is_brief):
        ((backend, fields),) = changes.items()
        tried.append((backend, *fields.values()))
        if tried[-1] in crashing:
            raise WorkerCrashed("no compiler here")
        return [Rung(tried[-1] not in broken)]

    monkeypatch.setattr("poc.shared.actions.bench.check_parity", check_parity)
    spec = BenchSpec(run=RunSpec(), sides=parse_sides(texts))
    return tried, lambda: prove_parity(spec, lambda text: None)


def test_parity_is_proved_once_for_each_program_in_float32(monkeypatch):
    texts = ["tf", "torch", "torch", "torch:compile", "torch:channels_first", "tf:bfloat16"]
    tried, run = prove(monkeypatch, [*texts, "tf:eager"])
    assert run() == ("holds", {})
    assert tried == [
        ("tf", "default"),
        ("torch", "compiled"),
        ("torch", "default", "channels_first"),
    ]


def test_a_mode_that_cannot_climb_does_not_run_and_one_that_breaks_stops_all(monkeypatch):
    compiled = ("torch", "compiled")
    _, run = prove(monkeypatch, ["tf", "torch:compile"], crashing=[compiled])
    assert run() == ("holds", {1: "no compiler here"})
    _, run = prove(monkeypatch, ["tf", "torch:compile"], broken=[compiled])
    with pytest.raises(CheckFailed, match=r"Got parity broken .* \(with torch compile\)"):
        run()
    _, run = prove(monkeypatch, ["tf", "torch"], crashing=[("tf", "default")])
    with pytest.raises(WorkerCrashed):
        run()


def test_parity_refuses_a_precision_in_which_other_programs_look_the_same():
    run = RunSpec(precision="bfloat16", input_shape=(8, 8, 1), num_classes=2)
    with pytest.raises(UsageError, match=r"'bfloat16'.*Expected float32 or float64 for parity"):
        Ladder(run, None, None)


def test_tensorflow_refuses_the_other_layout():
    assert RunSpec(backend="torch", layout="channels_first").layout == "channels_first"
    with pytest.raises(UsageError, match="layout='channels_first' with the backend 'tf'"):
        RunSpec.parse({"backend": "tf", "layout": "channels_first"}, "")
