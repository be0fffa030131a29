"""The parts of `benchmarks/gpu.py` that need no device: the plan, the limits, the page."""

import json
import sys
import time

import pytest

from poc.benchmarks import gpu
from poc.benchmarks.gpu_ladder import Here, first_line, write_error
from poc.benchmarks.gpu_machine import Machine
from poc.benchmarks.gpu_page import table, write_page
from poc.benchmarks.gpu_processes import processes_command, read_losses
from poc.benchmarks.gpu_steps import compare_sides, declare, summarize, time_in_turn

CPU = Machine(backend="torch", device="cpu", is_small=True)
RECORD = {
    "command": "gpu.py --output here",
    "device": "gpu",
    "machine": {"processor": "p", "num_cpus": 2, "platform": "Linux", "git_commit": "abc"},
    "parts": [
        {
            "part": "float64",
            "backend": "torch",
            "title": "Ladder",
            "status": "done",
            "seconds": 3.0,
            "rows": [{"rung": "logits", "error": "1e-12", "notes": ""}],
        },
        {
            "part": "facts",
            "backend": "tf",
            "title": "Facts",
            "status": "ended after 60 s, its limit",
            "seconds": 60.0,
            "rows": [],
        },
    ],
}


def test_the_limits_fit_into_eight_minutes():
    """The total ends the parts; one framework alone has time for the first seven at full length."""
    assert gpu.TOTAL_SECONDS < 480
    limits = [part.limit_seconds for part in gpu.PARTS.values()]
    assert sum(limits[:6]) <= gpu.TOTAL_SECONDS
    assert max(limits) < gpu.TOTAL_SECONDS


def test_two_frameworks_are_compared_after_the_facts():
    names = ["facts", "float64"]
    assert gpu.plan(names, ["torch"]) == [("facts", "torch"), ("float64", "torch")]
    assert gpu.plan(names, ["tf", "torch"])[:3] == [
        ("facts", "tf"),
        ("facts", "torch"),
        (gpu.BETWEEN, gpu.BOTH),
    ]


def test_a_part_that_fails_or_takes_too_long_is_ended():
    assert gpu.call([sys.executable, "-c", "print(1)"], 60) == ("done", "1\n")
    status, _ = gpu.call([sys.executable, "-c", "raise SystemExit('no room')"], 60)
    assert status == "failed: no room"
    began = time.monotonic()
    status, _ = gpu.call(["sleep", "60"], 0.3)
    assert status == "ended after 0 s, its limit"
    assert time.monotonic() - began < 50


def test_a_part_without_time_left_is_named(monkeypatch):
    monkeypatch.setattr(gpu, "call", None)
    found = gpu.run_part("float32", CPU, time.monotonic() + 3)
    assert found["status"] == "not started: no time left"
    assert found["rows"] == []


@pytest.mark.parametrize(
    ("status", "printed", "expected"),
    [
        ("done", '[{"rung": "logits"}]\n', "done"),
        ("done", "nothing\n", "failed: the part printed no rows"),
        ("failed: broken", "", "failed: broken"),
    ],
)
def test_a_part_gives_its_rows_or_the_reason(monkeypatch, status, printed, expected):
    monkeypatch.setattr(gpu, "call", lambda command, limit: (status, printed))
    found = gpu.run_part("float32", CPU, time.monotonic() + 100)
    assert found["status"] == expected
    assert found["rows"] == ([{"rung": "logits"}] if printed.startswith("[") else [])


def test_a_part_is_started_with_the_options_of_the_command():
    words = gpu.part_command("float32", CPU)
    assert words[words.index("--device") + 1] == "cpu"
    assert words[words.index("--one") + 1] == "float32"
    assert "--small" in words
    assert "device=cpu" in gpu.between_command(CPU)


def test_rungs_of_the_command_are_rows():
    rung = {"name": "logits", "worst": "head", "error": 1e-3, "tolerance": 1e-5, "verdict": "equal"}
    rows = gpu.read_rows(json.dumps([rung], indent=1))
    assert rows[0]["error"] == "1.0e-03"
    assert rows[0]["bound on a CPU"] == "1e-05"


def test_the_page_names_every_part_and_how_it_ended():
    page = write_page(RECORD)
    assert page.startswith("# Checks and timings on a GPU\n")
    assert "| Facts | tf | 60.0 | ended after 60 s, its limit |" in page
    assert "## Ladder, torch\n\n| rung | error |\n" in page
    assert "## Facts, tf" not in page
    assert write_page({**RECORD, "device": "cpu"}).startswith("# A trial on a CPU\n")


def test_a_table_has_the_columns_of_all_rows():
    text = table([{"a": 1, "b": ""}, {"a": 2, "c": "x|y"}])
    assert text == "| a | c |\n| --- | --- |\n| 1 |  |\n| 2 | x/y |"


def test_sides_take_turns():
    calls = []
    seconds = time_in_turn(
        {"own": lambda: calls.append("own"), "stock": lambda: calls.append("stock")}, 2
    )
    assert calls == ["own", "stock", "stock", "own"]
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_times_are_medians_of_rounds():
    assert summarize([0.1, 0.2, 0.4], 8) == {
        "step, ms": "200.00",
        "quartiles, ms": "150.00 to 300.00",
        "images/s": "40",
    }
    ratio = compare_sides({"own": [1.0, 3.0, 4.0], "stock": [2.0, 3.0, 2.0]})
    assert ratio == {"side": "ratio of seconds, own over stock", "step, ms": "1.000"}


def test_errors_are_short():
    assert write_error(float("inf")) == "infinite"
    assert write_error(1.23e-7) == "1.2e-07"
    assert first_line(ValueError("no\nmore")) == "ValueError: no"
    assert first_line(ValueError()) == "ValueError"


def test_both_sides_have_the_network_of_the_library():
    """Counts of torchvision's and of Keras' ResNet-50, with their running statistics."""
    counts = {
        backend: sum(
            parameter.size
            for parameter in declare(
                Machine(backend=backend, device="cpu", is_small=True), 32, 2, {}
            ).network.parameters
        )
        for backend in ("tf", "torch")
    }
    assert counts == {"tf": 25_636_712, "torch": 25_557_032 + 53_120}


def test_two_processes_are_asked_for(tmp_path):
    words = processes_command(CPU, 2, tmp_path)
    assert words[words.index("--processes") + 1] == "2"
    lines = [{"train/loss": 2.0, "val/loss": 1.0, "epoch": 1}, {"event": "end"}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_losses(tmp_path) == {
        "training loss": "2.000000000000",
        "validation loss": "1.000000000000",
    }


def test_operations_are_answered_here():
    class Backend:
        def describe(self, run):
            return {"framework": "none"}

    def describe():
        """Stands for the declared operation of this name."""

    assert Here(Backend()).call(describe)["framework"] == "none"
