"""Checks of a run's opened data, before a framework builds anything."""

from poc.shared.data.sources.inspection import Note
from poc.shared.engine.run_data import RunData, check_validation
from poc.shared.spec.run import RunSpec

from .shared_memory import require_shared_memory
from .single_values import check_single_values


def check_opened_data(run: RunSpec, data: RunData, note: Note) -> None:
    """Refuse data that the run cannot train on, and tell what is odd about it.

    Args:
        run: Resolved spec.
        data: Its data; what is told is added to its notes.
        note: Told each sentence.

    Raises:
        UsageError: Patience on too few validation images, one value a channel in every batch, or
            too little shared memory.
    """
    told = check_validation(run, len(data.split.val))
    require_shared_memory(run, data)
    for text in (told, check_single_values(run, data.train)):
        if text is not None:
            note(text)
            data.notes = [*data.notes, text]
