"""Proof that test images are read once, at the end: by the records of a study's runs.

A run of the search has a split with `hold_test_back`: its test part is empty, so that it has no
pipeline of test images. Its record (`split.npz`) shows this afterwards. A run of a finalist reads
the test part once, after its training.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from poc.shared.data.sources.base import Source
from poc.shared.data.splits.files import positions_of
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.split import make_split
from poc.shared.errors import CheckFailed
from poc.shared.spec.splits import SplitSpec

NUM_NAMED = 3


class Reading(NamedTuple):
    """The parts that a run read: `row` names its settings without split and seed.

    `teacher` has the parts of the run whose network it learned from, if any.
    """

    run: str
    row: str
    split: SplitSpec
    seed: int
    parts: RecordedParts
    teacher: RecordedParts | None = None


def check_readings(source: Source, searches: Sequence[Reading], finals: Sequence[Reading]) -> None:
    """Check that no run of the search read a test image, and that each finalist read each once.

    A network that a teacher taught knows what the teacher has seen, so that this counts too.

    Raises:
        CheckFailed: The message names the first breaches.
    """
    breaches = [
        *find_early(source, [*searches, *list_teachers(searches)]),
        *find_taught(finals),
        *find_repeated(finals),
    ]
    if breaches:
        more = f" (and {len(breaches) - NUM_NAMED} more)" if breaches[NUM_NAMED:] else ""
        raise CheckFailed(
            f"Got a study that reads test images too early or twice: "
            f"{'; '.join(breaches[:NUM_NAMED])}{more}. Expected the search without test images, "
            "and one test of each finalist per split and seed. Try the study again in a new folder."
        )


def find_early(source: Source, searches: Sequence[Reading]) -> Iterator[str]:
    """Yield the runs of the search that had a test part, or trained or validated on one."""
    tests: dict[str, set[str]] = {}
    names = list(positions_of(source))
    for reading in searches:
        if reading.parts.count("test"):
            yield f"{reading.run} has {reading.parts.count('test'):,} test images"
            continue
        spec = reading.split.model_copy(update={"hold_test_back": False})
        key = spec.model_dump_json(exclude={"train_sample", "train_per_class"})
        if key not in tests:
            tests[key] = {names[index] for index in make_split(source, spec).test}
        used = reading.parts.is_in("train") | reading.parts.is_in("val")
        if early := tests[key].intersection(reading.parts.ids[used].tolist()):
            yield f"{reading.run} trains or validates on {len(early):,} test images"


def list_teachers(searches: Sequence[Reading]) -> Iterator[Reading]:
    """Yield what the teachers of the search's runs have read, as if their students had."""
    for reading in searches:
        if reading.teacher is not None:
            yield reading._replace(
                run=f"the teacher of {reading.run}", parts=reading.teacher, teacher=None
            )


def find_taught(finals: Sequence[Reading]) -> Iterator[str]:
    """Yield the finalists that are tested on images with which their teacher was trained."""
    for reading in finals:
        if reading.teacher is None:
            continue
        used = reading.teacher.is_in("train") | reading.teacher.is_in("val")
        tested = reading.parts.ids[reading.parts.is_in("test")].tolist()
        if seen := set(reading.teacher.ids[used].tolist()).intersection(tested):
            yield f"{reading.run} is tested on {len(seen):,} images of its teacher's training"


def find_repeated(finals: Sequence[Reading]) -> Iterator[str]:
    """Yield finalists that were tested more than once with one split and seed."""
    counts = Counter((item.row, item.split.model_dump_json(), item.seed) for item in finals)
    for (row, _, seed), count in counts.items():
        if count > 1:
            yield f"{row} with seed {seed} was tested {count} times"
