"""Test images are read once, at the end: a search cannot read them."""

import numpy as np
import pytest

from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.data.protocol.readings import Reading, check_readings
from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.sources.inspection import KeptNotes
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.split import make_split
from poc.shared.engine import run_data
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.run import RunSpec
from poc.shared.spec.splits import SplitSpec


class Trap(ArraySource):
    """A source that cannot give some of its images, and notes the others."""

    closed = frozenset()

    def image(self, index):
        if index in self.closed:
            raise AssertionError(f"test image {index} was read")
        return super().image(index)

    def images(self, indices):
        for index in indices:
            self.image(int(index))
        return super().images(indices)

    @property
    def digests(self):
        return [f"{index:064x}" for index in range(len(self))]


@pytest.fixture
def trap():
    pixels = np.arange(80 * 64, dtype=np.uint32).astype(np.uint8).reshape(80, 8, 8)
    return Trap("made", {"all": (pixels, np.arange(80) % 2)}, is_partitioned=False)


def read_all(source, split, monkeypatch):
    """Open a run's data as a worker does, and read every batch of every part that it has."""
    monkeypatch.setattr(run_data, "open_classes", lambda *_: source)
    run = RunSpec.parse({"data": {"split": split.model_dump(mode="json")}}, "")
    _, data = run_data.open_data(run, KeptNotes(lambda _: None))
    with data:
        parts = [part for part in (data.train, data.val, data.test) if part is not None]
        return sum(len(batch.labels) for part in parts for batch in part.epoch(0))


def test_a_run_of_the_search_cannot_read_a_test_image(trap, monkeypatch):
    cell = choose_protocol(trap, Question()).cells[2]
    trap.closed = frozenset(make_split(trap, cell.split).test.tolist())
    assert len(trap.closed) == 16
    assert read_all(trap, cell.search_split, monkeypatch) == 64


def test_the_trap_catches_a_run_that_has_the_test_part(trap, monkeypatch):
    cell = choose_protocol(trap, Question()).cells[2]
    trap.closed = frozenset(make_split(trap, cell.split).test.tolist())
    with pytest.raises(AssertionError, match="was read"):
        read_all(trap, cell.split, monkeypatch)


def test_validation_on_the_test_part_cannot_hold_it_back():
    with pytest.raises(UsageError, match="Expected only one of them"):
        SplitSpec.parse({"val_on_test": True, "hold_test_back": True}, "split")


def readings(source, is_held_back):
    found = []
    for index, cell in enumerate(choose_protocol(source, Question()).cells):
        split = cell.search_split if is_held_back else cell.split
        parts = RecordedParts.of(make_split(source, split))
        found.append(Reading(f"run {index}", "scratch", split, cell.seed, parts))
    return found


def test_a_proper_study_passes(trap):
    check_readings(trap, readings(trap, True), readings(trap, False))


def test_a_search_with_a_test_part_is_found(trap):
    searches = readings(trap, True)
    searches[3] = readings(trap, False)[3]
    with pytest.raises(CheckFailed, match="run 3 has 16 test images"):
        check_readings(trap, searches, [])


def test_a_search_that_validates_on_the_test_part_is_found(trap):
    """Its record has no test part, but the images of another fold's."""
    searches = readings(trap, True)
    searches[3] = searches[3]._replace(parts=searches[4].parts)
    with pytest.raises(CheckFailed, match="run 3 trains or validates on 16 test images"):
        check_readings(trap, searches, [])


def test_teachers_of_the_same_split_pass(trap):
    finals = [item._replace(teacher=item.parts) for item in readings(trap, False)]
    searches = [item._replace(teacher=item.parts) for item in readings(trap, True)]
    check_readings(trap, searches, finals)


def test_a_teacher_that_trained_on_the_test_part_of_its_student_is_found(trap):
    """The teacher of another fold."""
    finals = readings(trap, False)
    finals[3] = finals[3]._replace(teacher=finals[4].parts)
    with pytest.raises(CheckFailed, match="run 3 is tested on 16 images of its teacher's training"):
        check_readings(trap, [], finals)


def test_a_teacher_of_the_search_that_has_a_test_part_is_found(trap):
    searches = readings(trap, True)
    searches[3] = searches[3]._replace(teacher=readings(trap, False)[3].parts)
    with pytest.raises(CheckFailed, match="the teacher of run 3 has 16 test images"):
        check_readings(trap, searches, [])


def test_a_second_test_is_found(trap):
    finals = readings(trap, False)
    with pytest.raises(CheckFailed, match="scratch with seed 3 was tested 2 times"):
        check_readings(trap, [], [*finals, finals[0]])


def test_a_sample_of_the_train_part_is_compared_with_the_same_test(trap):
    """A point of a learning curve, as a run of the search."""
    cell = choose_protocol(trap, Question()).cells[0]
    split = cell.search_split.model_copy(update={"train_sample": 0.5})
    parts = RecordedParts.of(make_split(trap, split))
    check_readings(trap, [Reading("half", "scratch", split, 0, parts)], [])
