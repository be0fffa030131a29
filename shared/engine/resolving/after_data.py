"""The second half of what is refused: all that only a run's opened data can show."""

from poc.shared.data.sources.inspection import Note, ignore
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.run_data import RunData, open_data
from poc.shared.spec.resolved import ResolvedRun, declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import check_initial_weights

from .shared_memory import require_shared_memory
from .single_values import check_single_values
from .stages import check_logits, check_stages
from .teacher import check_teacher, match_teacher, require_teacher, resolve_teacher, tell_kept_head
from .validation import check_validation


def resolve(
    run: RunSpec,
    note: Note = ignore,
    *,
    record: RunRecord | None = None,
    is_trained: bool = False,
) -> tuple[ResolvedRun, RunData]:
    """Open a run's data, and declare its networks for them.

    Args:
        run: Its settings.
        note: Told each sentence about the data that a user would want to know.
        record: Of the finished run whose data this must be; none: a new run begins.
        is_trained: Whether the run is about to be trained, which refuses more than a look at it.

    Returns:
        The run with its networks, and its opened data; the caller closes it.

    Raises:
        UsageError: Anything that could only fail later; names both sides and a way out.
    """
    run, data = open_data(resolve_teacher(run), note, record)
    try:
        resolved = resolve_opened(run, data, note, is_new=record is None)
        if is_trained:
            check_training(resolved, data, note)
    except BaseException:
        data.close()
        raise
    return resolved, data


def resolve_opened(run: RunSpec, data: RunData, note: Note, *, is_new: bool) -> ResolvedRun:
    """Declare the networks for opened data, and refuse those that do not fit it or each other."""

    def tell(text: str) -> None:
        data.notes.append(text)
        note(text)

    class_names = data.source.class_names
    check_logits(declare_network(run))
    run = match_teacher(run, class_names, tell)
    if is_new:
        tell_kept_head(run, class_names, tell)
    resolved = resolve_networks(run)
    check_stages(resolved)
    check_teacher(resolved)
    for text in data.filled_in:
        tell(text)
    return resolved


def check_training(run: ResolvedRun, data: RunData, note: Note) -> None:
    """Refuse data, weights or a teacher that the run cannot train with; tell what is odd about it.

    Raises:
        UsageError: No teacher, patience on too few validation images, one value a channel in every
            batch, too little shared memory, or weights of another network.
    """
    require_teacher(run.spec)
    told = check_validation(run.spec, len(data.split.val))
    require_shared_memory(run, data)
    for text in (told, check_single_values(run, data.train)):
        if text is not None:
            note(text)
            data.notes.append(text)
    check_initial_weights(run)
