"""What `poc doctor` says about a sound environment and about broken ones."""

import typing

import pytest

from poc.shared.actions import doctor
from poc.shared.analysis.parity.rungs import Rung
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError

FACTS = {"version": "1", "gpus": [], "cuda_libraries": [], "interpreter": "python"}


class FakeWorker:
    facts: typing.ClassVar = {}

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        found = self.facts[self.name]
        if isinstance(found, Exception):
            raise found
        return self

    def __exit__(self, *_):
        pass

    def call(self, operation):
        assert operation is Operations.describe
        return self.facts[self.name]


@pytest.fixture
def environment(monkeypatch):
    """Sets what each backend says; devices that parity was tried on are collected."""
    tried = []

    def try_parity(device):
        tried.append(device)
        return "holds"

    def use(tf, torch):
        monkeypatch.setattr(FakeWorker, "facts", {"tf": tf, "torch": torch})
        return tried

    monkeypatch.setattr(doctor, "Worker", FakeWorker)
    monkeypatch.setattr(doctor, "try_parity", try_parity)
    return use


def test_a_sound_environment_has_no_problem(environment):
    tried = environment(FACTS, FACTS)
    facts = doctor.examine()
    assert (facts["problems"], tried) == ([], ["cpu"])
    assert facts["backends"]["tf"]["modes"] == ["graph", "eager", "xla", "bfloat16"]
    backends = doctor.doctor_tables(facts)[1]
    assert ["gpus", "none", "none"] in [list(row) for row in backends.rows]


def test_parity_is_tried_on_a_device_that_both_see(environment):
    gpu = {**FACTS, "gpus": ["one"]}
    tried = environment(gpu, FACTS)
    doctor.examine()
    assert tried == ["cpu"]
    tried = environment(gpu, gpu)
    doctor.examine()
    assert tried == ["cpu", "cpu", "gpu"]


def test_a_missing_framework_is_a_problem_and_no_parity_is_tried(environment):
    tried = environment(UsageError("needs tensorflow"), FACTS)
    facts = doctor.examine()
    assert facts["problems"] == ["tf does not start: needs tensorflow"]
    assert tried == []
    assert doctor.doctor_tables(facts)


def hide(monkeypatch, *missing):
    """Lets the interpreter lack these backends' packages."""
    monkeypatch.delenv("POC_TF_PYTHON", raising=False)
    monkeypatch.delenv("POC_TORCH_PYTHON", raising=False)
    monkeypatch.setattr(doctor, "missing_packages", lambda name: [name] if name in missing else [])


@pytest.mark.parametrize("verdict", ["works", "a loss or a gradient is not finite"])
def test_one_framework_is_enough_and_is_tried_alone(verdict, environment, monkeypatch):
    tried = environment(FACTS, FACTS)
    hide(monkeypatch, "tf")
    monkeypatch.setattr(doctor, "try_alone", lambda name: verdict)
    facts = doctor.examine()
    assert facts["backends"]["tf"] == {"missing": "tf not installed: pip install 'poc[tf]'"}
    assert facts["tried"] == {"torch alone": verdict}
    assert facts["problems"] == ([] if verdict == "works" else [f"torch alone: {verdict}"])
    assert tried == []
    assert doctor.doctor_tables(facts)


def test_no_framework_is_a_problem(environment, monkeypatch):
    environment(FACTS, FACTS)
    hide(monkeypatch, "tf", "torch")
    facts = doctor.examine()
    assert len(facts["problems"]) == 2
    assert "pip install 'poc[torch]'" in facts["problems"][1]


@pytest.mark.torch
def test_a_backend_alone_takes_a_step():
    assert doctor.try_alone("torch") == "works"


def test_cuda_libraries_of_two_versions_are_a_problem(environment):
    both = {**FACTS, "cuda_libraries": ["nvidia-cudnn-cu12", "nvidia-cudnn-cu13"]}
    environment(FACTS, both)
    (problem,) = doctor.examine()["problems"]
    assert "interpreter of torch" in problem
    assert "make setup-gpu" in problem


def test_a_broken_rung_is_a_problem(monkeypatch):
    rung = Rung("logits", "head", 0.5, 1e-5, 1)
    monkeypatch.setattr(doctor, "check_parity", lambda run: [rung])
    assert doctor.try_parity("cpu") == (
        "broken on the rung 'logits': head differs by 5.0e-01, the bound is 1e-05"
    )
