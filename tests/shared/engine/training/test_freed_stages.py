"""The trainer of a stage is gone before that of the next one is built."""

import gc
import weakref
from types import SimpleNamespace

import pytest

from poc.shared.engine.folder.loop_state import LoopState
from poc.shared.engine.training import loop as loops
from poc.shared.engine.training.stage import StageSteps
from poc.shared.spec.training.stages import Stage


class Cyclic:
    """Like trainers whose compiled step is one of their own methods."""

    def __init__(self):
        self.update = self.step

    def step(self):
        pass


@pytest.fixture
def no_collection():
    gc.disable()
    yield
    gc.enable()


def begin_a_stage(former):
    steps = object.__new__(StageSteps)
    steps.stage, steps.trainer = former, Cyclic()
    steps.kept = steps.kept_val = None
    loop = object.__new__(loops.TrainingLoop)
    loop.steps, loop.state, loop.texts = steps, LoopState(), {}
    loop.frozen = SimpleNamespace(write=lambda *given: None)
    loop.folder = SimpleNamespace(stage_end=lambda name: name)
    loop.resolved = loop.backend = loop.data = None
    return loop


@pytest.mark.usefixtures("no_collection")
def test_a_new_stage_finds_the_memory_of_the_former_free(monkeypatch):
    first, second = (
        Stage(name, first_epoch=epoch, num_epochs=1)
        for name, epoch in (("train", 1), ("finetune", 2))
    )
    loop = begin_a_stage(first)
    trainer, built = weakref.ref(loop.trainer), []

    def build(run, stage, *given):
        built.append((stage, trainer()))

    monkeypatch.setattr(loops, "StageSteps", build)
    monkeypatch.setattr(loops, "handed_on", lambda steps: {})
    loop.enter(second)
    assert built == [(second, None)]
