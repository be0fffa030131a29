"""The training of a run in a worker, alone or as one of several ranks."""

from typing import NamedTuple

from poc.shared.data.batches.shard import WHOLE
from poc.shared.engine.backend import Backend
from poc.shared.engine.console.work_count import Report
from poc.shared.engine.folder.session import Session
from poc.shared.engine.ranks.quiet_folder import folder_of
from poc.shared.engine.ranks.ranks import Ranks
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.summary.row import finish
from poc.shared.engine.training.loop import TrainingLoop
from poc.shared.engine.training.supervision import Supervision
from poc.shared.spec.run import RunSpec

from .first_record import describe_start
from .joined_ranks import JoinedRanks


class Job(NamedTuple):
    """A run to train, and its surroundings.

    Attributes:
        run: The run.
        folder: Its folder.
        command: The command line, for the record.
        save_every: Time between checkpoints, as in `save_schedule`.
        is_resumed: The folder has the beginning of the run.
    """

    run: RunSpec
    folder: str
    command: str
    save_every: str
    is_resumed: bool


def train(
    job: Job, backend: Backend, report: Report, joined: JoinedRanks, import_seconds: float
) -> dict[str, object]:
    """Train a run into its folder, or continue it; return its row, or {} on ranks but the first."""
    place = joined.place
    folder = folder_of(place)(job.folder)
    session = Session(folder, job.command, job.save_every, job.is_resumed, report)
    with session.guarded(job.run):
        resolved, data = resolve(
            session.spec, session.note, is_for_training=True, is_resumed=job.is_resumed
        )
        session.resolve(resolved.spec)
        backend.prepare(resolved.spec)
        ranks = joined.join(backend, resolved.spec)
        started_with = backend.describe(resolved.spec) | describe_ranks(ranks)
        record = describe_start(resolved.spec, data, job.command, session.folder, started_with)
        with data:
            data.share_out(resolved.at_stage(resolved.stages[0].name).spec, place.shard)
            # Before the loop reads the checkpoint, which belongs to the recorded data.
            if job.is_resumed:
                session.begin(record, data.split)
            watched = Supervision(
                folder=session.folder,
                report=session.report,
                saver=session.saver,
                interruption=session.interruption,
                ranks=ranks,
            )
            loop = TrainingLoop(resolved, backend, data, watched, is_resumed=job.is_resumed)
            # A loop that refuses its weights has not cost the folder a former run.
            if not job.is_resumed:
                session.begin(record, data.split)
            # Rank 0 alone writes the folder meanwhile, and a signal would end it alone.
            ranks.meet()
            # Up to here a signal ends the run at once; from here on, after its step.
            with session.interruption.listening():
                session.note_position(loop.state)
                trained = loop.run()
                if not place.is_first:
                    return {}
                # The first rank alone judges what was trained, on all examples.
                data.share_out(trained.steps.run.spec, WHOLE)
                row = finish(trained, watched, import_seconds)
                session.folder.write_summary(row)
                session.folder.mark("finished")
    return row


def describe_ranks(ranks: Ranks) -> dict[str, object]:
    """Return the number of processes for the record; nothing if there is one."""
    return {} if ranks.place.is_alone else {"processes": ranks.place.count}
