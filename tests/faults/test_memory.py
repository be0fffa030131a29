"""When memory ends: what is said, what is estimated, and what `--batch-size auto` finds."""

import re
import sys

import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch import batch_size
from poc.shared.engine.launch.batch_size import choose_batch_size
from poc.shared.engine.machine import memory, memory_evidence
from poc.shared.engine.machine.memory import Need, describe_memory_error, estimate_need, show_bytes
from poc.shared.engine.machine.memory_evidence import MemoryEvidence, count_kills
from poc.shared.engine.server.trial import try_steps
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec
from poc.tests.faults.test_resume import RUN, train
from poc.tests.helpers.commands.processes import Command
from poc.tests.helpers.workers import stub

# Kilobytes of address space: what the framework takes by itself, and some hundreds of MB more.
LIMITS = {"tf": 3_200_000, "torch": 4_300_000}
SHAPE = {"input_shape": [224, 224, 3], "num_classes": 1000}
# What PyTorch, CUDA and TensorFlow say.
ERRORS = [
    MemoryError("Unable to allocate 3 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("{{node conv}} OOM when allocating tensor with shape[64,64]"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:20])
def test_the_message_names_batch_model_need_and_a_batch_that_fits(error, tmp_path, monkeypatch):
    def fail(self, *arguments):
        raise error

    monkeypatch.setattr(stub.Trainer, "step", fail)
    with pytest.raises(CheckFailed) as caught:
        train(tmp_path / "run", {**RUN, "data": {**RUN["data"], "batch_size": 48}})
    message = str(caught.value)
    assert message.startswith("Got batches of 48 for the model 'lightnet_plain' when memory ended.")
    assert re.search(r"the [\d.]+ GB that are free; this one needs about [\d.]+ MB", message)
    assert int(re.search(r"--batch-size (\d+)\.$", message)[1]) == 24
    assert RunFolder(tmp_path / "run").read_run()["status"] == "failed"


def test_the_estimate_of_vgg16():
    """138,357,544 parameters: weights, gradients and two moments; maps of 224 x 224 dominate."""
    run = RunSpec.parse({"method": "scratch", "model": {"name": "vgg16"}, **SHAPE}, "")
    need = estimate_need(resolve_networks(run))
    assert need.fixed_bytes == 4 * 4 * 138_357_544
    # The thirteen convolutions alone give 13.56 million numbers, each with its activation.
    assert 2 * 4 * 13_556_224 < need.example_bytes < 6 * 4 * 13_556_224
    exact = estimate_need(resolve_networks(run.replace(precision="float64")))
    assert exact.fixed_bytes == 2 * need.fixed_bytes


@pytest.mark.parametrize(
    ("free", "batch"), [(0, 1), (5, 1), (99, 1), (100, 1), (139, 2), (180, 8), (2000, 128)]
)
def test_the_largest_batch_is_a_power_of_two_that_fits(free, batch):
    need = Need(100, 10)
    assert need.largest_batch(free) == batch
    if free >= 110:
        assert need.total_bytes(batch) <= free < need.total_bytes(2 * batch)


def test_no_batch_is_advised_where_the_weights_alone_do_not_fit(monkeypatch):
    run = RunSpec.parse({"method": "scratch", "model": {"name": "vgg16"}, **SHAPE}, "")
    monkeypatch.setattr(memory, "free_bytes", lambda: 10**9)
    assert describe_memory_error(run).endswith("Try a smaller model.")
    monkeypatch.setattr(memory, "free_bytes", lambda: 4 * 10**9)
    assert "Try --batch-size" in describe_memory_error(run)


def test_before_the_data_is_open_there_is_a_message_too():
    assert "batches of 64" in describe_memory_error(RunSpec())


@pytest.mark.parametrize(
    ("count", "text"), [(5, "5 bytes"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (3e9, "3.0 GB")]
)
def test_sizes_are_readable(count, text):
    assert show_bytes(count) == text


class FakeWorker:
    """Takes batches up to a limit, and dies of larger ones."""

    limit, tried = 40, []

    def __init__(self, backend):
        self.backend = backend

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def call(self, operation, run):
        size = run["data"]["batch_size"]
        self.tried.append((self.backend, size))
        if size > 2 * self.limit:
            raise WorkerCrashed("the worker died with exit status -9")
        if size > self.limit:
            raise CheckFailed("memory ended: batches of …")


def test_auto_halves_until_both_backends_take_it(monkeypatch):
    monkeypatch.setattr(batch_size, "Worker", FakeWorker)
    monkeypatch.setattr(batch_size, "free_bytes", lambda: None)
    notes = []
    run = choose_batch_size(RunSpec(), ["tf", "torch"], notes.append)
    assert run.data.batch_size == 32
    sizes = [("tf", 512), ("tf", 256), ("tf", 128), ("tf", 64), ("tf", 32), ("torch", 32)]
    assert FakeWorker.tried == sizes
    assert notes == [{"event": "note", "text": "--batch-size auto: 32"}]


def test_auto_starts_at_what_is_free_and_refuses_what_cannot_run(monkeypatch):
    monkeypatch.setattr(batch_size, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "tried", [])
    monkeypatch.setattr(batch_size, "free_bytes", lambda: 1)
    assert choose_batch_size(RunSpec(), ["tf"], lambda event: None).data.batch_size == 1
    monkeypatch.setattr(FakeWorker, "limit", 0.1)
    with pytest.raises(UsageError, match="not even one image"):
        choose_batch_size(RunSpec(), ["tf"], lambda event: None)


@pytest.mark.parametrize(
    ("loss", "shape", "kind"),
    [("cross_entropy", (5,), "int64"), ("binary_cross_entropy", (5, 3), "float32")],
)
def test_a_trial_has_labels_as_the_data_give_them(loss, shape, kind, monkeypatch):
    """Four images and a quarter more; of three classes, or with any of three labels."""
    seen = []
    monkeypatch.setattr(stub.Trainer, "step", lambda self, images, labels, *_: seen.append(labels))
    given = {"data": {"batch_size": 4}, "loss": {"name": loss}, "model": RUN["model"]}
    run = resolve_networks(RunSpec.parse({**given, "input_shape": [8, 8, 1], "num_classes": 3}, ""))
    try_steps(stub, run, 1)
    assert [(labels.shape, str(labels.dtype)) for labels in seen] == [(shape, kind)]


def test_another_error_of_the_trial_is_not_swallowed(monkeypatch):
    def crash(self, operation, run):
        raise WorkerCrashed("the worker raised ValueError: shapes")

    monkeypatch.setattr(batch_size, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "call", crash)
    with pytest.raises(WorkerCrashed, match="shapes"):
        choose_batch_size(RunSpec(), ["tf"], lambda event: None)


def test_what_is_free_is_the_smallest_limit(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   1000 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "address_space_bytes", lambda: None)
    assert memory.free_bytes() == 1_024_000
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.current").write_text("200000\n")
    assert memory.free_bytes() == 300_000
    # Files that were read: the kernel gives them up for a process.
    stat = "anon 90000\nfile 120000\nshmem 10000\ninactive_file 80000\nactive_file 30000\n"
    (tmp_path / "memory.stat").write_text(stat)
    assert memory.free_bytes() == 410_000
    (tmp_path / "memory.stat").write_text("inactive_file 900000\n")
    assert memory.free_bytes() == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes() == 1_024_000


KILLED = "the tf worker died with exit status -9"
RESOLVED = RunSpec.parse({"method": "scratch", "model": {"name": "vgg16"}, **SHAPE}, "")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Sets what the kernel has counted, what is free, and how large the largest child was."""

    def set_machine(*, kills, free, peak=0):
        monkeypatch.setattr(memory_evidence, "COUNTERS", (tmp_path / "events",))
        monkeypatch.setattr(memory_evidence, "free_bytes", lambda: free)
        monkeypatch.setattr(memory_evidence, "peak_bytes_of_children", lambda: peak)
        (tmp_path / "events").write_text("" if kills is None else f"oom 7\noom_kill {kills}\n")

    return set_machine


@pytest.mark.parametrize(
    ("kills", "free", "peak", "message", "words"),
    [
        # Batches of 64 of VGG16 need 14.0 GB and more.
        ((3, 4), 99e9, 0, KILLED, "While it ran the kernel ended a process for want of memory"),
        ((3, 3), 1e9, 0, KILLED, "Perhaps memory ended"),
        ((3, 3), 99e9, 90e9, KILLED, "Perhaps memory ended"),
        ((3, 3), 99e9, 0, "raised MemoryError", "Perhaps memory ended"),
        ((3, 3), 1e9, 0, "died with exit status -11", "Perhaps memory ended"),
        ((3, 3), 99e9, 88e9, KILLED, "Something ended it by signal 9"),
        ((None, None), 99e9, 0, KILLED, "Something ended it by signal 9"),
        ((3, 3), 99e9, 0, "died with exit status -11", ""),
        ((3, 3), 1e9, 99e9, "raised ValueError", ""),
        ((None, None), None, 0, KILLED, "Something ended it by signal 9"),
    ],
)
def test_memory_is_named_only_where_something_points_to_it(
    kills, free, peak, message, words, machine
):
    machine(kills=kills[0], free=free, peak=peak)
    evidence = MemoryEvidence.before()
    machine(kills=kills[1], free=free, peak=peak)
    found = evidence.explain(RESOLVED, message)
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_a_kill_without_evidence_says_what_is_known(machine):
    machine(kills=3, free=13.7e9)
    small = RESOLVED.replace(model={"name": "lightnet_plain"})
    assert re.search(
        r"the kernel counted no such end, 13\.7 GB are free, a step needs about [\d.]+ [MG]B\)\.$",
        MemoryEvidence.before().explain(small, KILLED),
    )
    machine(kills=None, free=None)
    found = MemoryEvidence.before().explain(RunSpec(), KILLED)
    assert found.endswith("Nothing points to memory (of which nothing is known here).")


def test_kills_are_counted_by_the_container_or_else_by_the_machine(tmp_path, monkeypatch):
    """The files as cgroup v2 and Linux write them."""
    container, whole = tmp_path / "memory.events", tmp_path / "vmstat"
    monkeypatch.setattr(memory_evidence, "COUNTERS", (container, whole))
    assert count_kills() is None
    whole.write_text("nr_free_pages 1234\noom_kill 5\nunevictable_pgs_scanned 0\n")
    assert count_kills() == 5
    container.write_text("low 0\nhigh 0\nmax 4\noom 3\noom_kill 2\noom_group_kill 9\n")
    assert count_kills() == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [pytest.param("tf", marks=pytest.mark.tf), pytest.param("torch", marks=pytest.mark.torch)],
)
def test_a_real_want_of_memory_ends_with_advice(backend, tmp_path):
    """A limit of 9 GB on the address space of the worker, and a step that needs 17."""
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nulimit -v 9000000\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    arguments = [
        *("--backend", backend, "--method", "scratch", "--model", "lightnet_plain"),
        *("--set", "model.widths=[64,64]", "--set", "data.image_size=[256,256]"),
        *("--set", "data.split.train_per_class=40", "--batch-size", "64", "--epochs", "1"),
        *("--output", tmp_path / "run"),
    ]
    environment = {f"POC_{backend.upper()}_PYTHON": str(interpreter)}
    with (tmp_path / "output").open("w+") as log:
        command = Command.start(tmp_path / "run", *arguments, environment=environment, log=log)
        assert command.wait() == 1
    text = (tmp_path / "output").read_text()
    # oneDNN ends the process of TensorFlow, so that no exception says it for certain.
    certain = {"torch": "lightnet_plain' when memory ended.", "tf": "Perhaps memory ended"}
    assert certain[backend] in text
    assert "Got batches of 64 for the model 'lightnet_plain'" in text
    assert "this one needs about 16.8 GB" in text
    assert re.search(r"Try --batch-size \d+", text)
    assert "Traceback" not in text
    assert RunFolder(tmp_path / "run").read_run()["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [pytest.param("tf", marks=pytest.mark.tf), pytest.param("torch", marks=pytest.mark.torch)],
)
def test_auto_finds_a_batch_under_a_real_limit_and_trains_with_it(backend, tmp_path):
    """The framework takes most of the limit, so that the first estimate is too large."""
    interpreter = tmp_path / "python"
    # Every further arena of the C library would take address space that nobody uses.
    interpreter.write_text(
        f"#!/bin/sh\nexport MALLOC_ARENA_MAX=1\nulimit -v {LIMITS[backend]}\n"
        f'exec {sys.executable} "$@"\n'
    )
    interpreter.chmod(0o755)
    arguments = [
        *("--backend", backend, "--method", "scratch", "--model", "lightnet_plain"),
        *("--set", "model.widths=[16]", "--set", "data.image_size=[96,96]"),
        *("--set", "split.kind=fractions", "--set", "split.fractions=[0.96,0.02,0.02]"),
        *("--set", "split.train_per_class=52", "--batch-size", "auto", "--epochs", "1"),
        *("--output", tmp_path / "run"),
    ]
    environment = {f"POC_{backend.upper()}_PYTHON": str(interpreter)}
    with (tmp_path / "output").open("w+") as log:
        command = Command.start(tmp_path / "run", *arguments, environment=environment, log=log)
        try:
            status = command.wait()
        finally:
            command.process.terminate()
    text = (tmp_path / "output").read_text()
    assert status == 0, text
    record = RunFolder(tmp_path / "run").read_run()
    chosen = record["run"]["data"]["batch_size"]
    assert f"--batch-size auto: {chosen}" in text
    # 520 examples would allow 512, and 256 of them take 0.5 GB more than there is.
    assert chosen in [1 << power for power in range(8)]
    assert record["status"] == "finished"
    assert RunFolder(tmp_path / "run").read_metrics()[0]["step"] == -(-520 // chosen)
    print(f"--batch-size auto, {backend}, {LIMITS[backend] / 1e6:.1f} GB: {chosen}")
