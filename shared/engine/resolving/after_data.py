"""The second half of a run's checks: those that need its opened data."""

from poc.shared.data.sources.inspection import KeptNotes, Note, ignore
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.run_data import RunData, open_data
from poc.shared.spec.reading.recipe import (
    describe_long_warmup,
    describe_recipe,
    refuse_single_update,
)
from poc.shared.spec.resolved import ResolvedRun, declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.accumulation import describe_short_epoch
from poc.shared.weights.start import check_initial_weights

from .decay import check_decay
from .fitted_head import check_fitted_head
from .shared_memory import require_shared_memory
from .single_values import check_single_values
from .stages import check_logits, check_stages, describe_missing_crop
from .teacher import check_teacher, match_teacher, require_teacher, resolve_teacher, tell_kept_head
from .validation import check_validation


def resolve(
    run: RunSpec,
    note: Note = ignore,
    *,
    record: RunRecord | None = None,
    is_for_training: bool = False,
    is_resumed: bool = False,
    is_train_alone: bool = False,
) -> tuple[ResolvedRun, RunData]:
    """Open a run's data, and declare its networks for it.

    Args:
        run: Settings of the run.
        note: Called with each note about the data.
        record: Record of the finished run whose data this must be; None for a new run.
        is_for_training: True if the run is to be trained, which needs more checks.
        is_resumed: True if it goes on.
        is_train_alone: Open the train part alone, and read no image of another part.

    Returns:
        The run with its networks, and its opened data, which the caller closes.

    Raises:
        UsageError: The run would fail later; the message names both sides and a way out.
    """
    notes = KeptNotes(note)
    found = resolve_teacher(run)
    opened, data = open_data(
        found, notes, record, is_resumed=is_resumed, is_train_alone=is_train_alone
    )
    try:
        resolved = resolve_opened(opened, data, notes, is_new=record is None)
        # After the checks: the settings that the data filled in matter to a run that can start.
        num_images = len(data.split.train)
        tell_all(
            notes,
            describe_recipe(run, opened, num_images),
            describe_long_warmup(opened, num_images),
        )
        if is_for_training:
            check_training(resolved, data, notes)
    except BaseException:
        # Its worker processes would outlive the refusal.
        data.close()
        raise
    return resolved, data


def resolve_opened(run: RunSpec, data: RunData, note: Note, *, is_new: bool) -> ResolvedRun:
    """Declare the networks for opened data; refuse those that do not fit it or each other."""
    class_names = data.source.class_names
    check_logits(declare_network(run))
    # Before the networks: the teacher's classes decide the order of its last layer's weights.
    run = match_teacher(run, class_names, note)
    if is_new:
        tell_kept_head(run, class_names, note)
    resolved = resolve_networks(run)
    check_stages(resolved)
    check_decay(resolved)
    check_teacher(resolved)
    return resolved


def check_training(run: ResolvedRun, data: RunData, note: Note) -> None:
    """Refuse data, weights or a teacher that the run cannot train with; note oddities of the data.

    Raises:
        UsageError: There is no teacher, patience has too few validation images, one cycle has a
            single update, a head cannot be fitted, every batch has one value per channel, shared
            memory is too small, or the weights are of another network.
    """
    require_teacher(run.spec)
    refuse_single_update(run.spec, len(data.split.train))
    num_validation = len(data.split.val)
    told = (
        check_validation(run.spec, num_validation),
        describe_short_epoch(run.spec.optimizer.accumulation_steps, data.train.num_batches),
        check_fitted_head(run, data.source.labels[data.split.train], num_validation),
        describe_missing_crop(run.spec),
    )
    require_shared_memory(run, data)
    tell_all(note, *told, check_single_values(run, data.train))
    check_initial_weights(run)


def tell_all(note: Note, *texts: str | None) -> None:
    """Pass on those sentences that there are."""
    for text in texts:
        if text is not None:
            note(text)
