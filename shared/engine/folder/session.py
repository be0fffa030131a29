"""One process's share of a run: it begins or resumes, and records how it ends in every case."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.split import Split
from poc.shared.engine.console.work_count import Event, Report
from poc.shared.engine.machine.memory import describe_memory_error, is_memory_error
from poc.shared.engine.worker.interruption import (
    AFTER_STEP,
    SIGTERM,
    Interruption,
    StopRequested,
    interruption_error,
)
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.whole import finite
from poc.shared.spec.run import RunSpec

from .checkpoints import read_checkpoint
from .loop_state import LoopState
from .run_folder import RunFolder, Status, now
from .save_schedule import Saver

# Fingerprints that must be equal in all processes of one run.
DATA_KEYS = ("source_fingerprint", "split_fingerprint")


class Session:
    """The work of one process on a run, from the check of its folder to the mark of its end.

    Args:
        folder: Folder of the run.
        command: The command line.
        save_every: Steps or minutes between checkpoints, as `--save-every` takes them.
        is_resumed: True if the folder has the beginning of the run.
        report: Called with progress events.
    """

    def __init__(
        self, folder: RunFolder, command: str, save_every: str, is_resumed: bool, report: Report
    ) -> None:
        self.folder, self.command, self.is_resumed = folder, command, is_resumed
        self.saver, self.interruption = Saver.parse(save_every), Interruption()
        self.has_begun = False
        self._report = report

    @contextmanager
    def guarded(self, spec: RunSpec) -> Iterator[None]:
        """Mark the run and raise the error that the command shows, however the block ends.

        Raises:
            UsageError, CheckFailed, Interrupted, Terminated: Each with a message for the user.
        """
        self.spec = spec
        try:
            yield
        except StopRequested:
            self._mark("interrupted")
            raise interruption_error(self.interruption.number or SIGTERM, self._stopped()) from None
        except KeyboardInterrupt:
            # A second Ctrl-C ends a step in the middle: nothing is saved, but the mark is true.
            self._mark("interrupted")
            raise
        except (UsageError, CheckFailed) as error:
            self._mark("failed", error=str(error))
            raise
        except Exception as error:
            # A full disk or missing memory is no fault of the program: the user gets no traceback.
            message = self._explain(error)
            self._mark("failed", error=message or f"{type(error).__name__}: {error}")
            if message is None:
                raise
            raise CheckFailed(message) from error

    def resolve(self, spec: RunSpec) -> None:
        """Take the spec that the data completed, and report it for the explanation of a crash."""
        self.spec = spec
        self.report({"event": "resolved", "run": spec.model_dump(mode="json")})

    def begin(self, record: dict[str, object], split: Split) -> None:
        """Write `run.json` of a run that starts or resumes, and the list of its images.

        Args:
            record: Content of `run.json`.
            split: Parts of the run.

        Raises:
            UsageError: The data has changed since the run began.
        """
        # Compared with a record that was read from JSON: tuples must be lists, as they are there.
        stored = json.loads(json.dumps(finite(record)))
        self.folder.keep_room()
        if not self.is_resumed:
            # A former run is complete up to this line. Its `run.json` stays until the next one is
            # written, so that a kill in between leaves a folder that is still known as a run's.
            self.folder.remove_results()
            self.folder.make(self.folder.checkpoints)
            self.folder.write_run(stored)
            # From here on an error is marked in this run's own record, not in the former one's.
            self.has_begun = True
            self.folder.keep_split(RecordedParts.of(split).to_bytes())
            return
        former = self.folder.read_run()
        for key in DATA_KEYS:
            if former["data"][key] != stored["data"][key]:
                raise UsageError(
                    f"Got the run {str(self.folder.path)!r}, whose data has changed since it began "
                    f"({key} was {former['data'][key]}, is {stored['data'][key]}). Expected the "
                    "same data. Try restoring it or starting a new run."
                )
        kept = {key: former[key] for key in ("started", "command", "environment")}
        changed = kept["environment"] != stored["environment"]
        self.resumes = [*former.get("resumes", []), {"time": now(), "command": self.command}]
        if changed:
            self.resumes[-1]["environment"] = stored["environment"]
            # Other versions or threads add in another order, so a resume is no longer exact.
            self.note("The environment has changed since the run began; bits may differ.")
        self.folder.write_run({**stored, **kept, "resumes": self.resumes})
        self.has_begun = True
        self.folder.keep_split(RecordedParts.of(split).to_bytes())

    def note_position(self, state: LoopState) -> None:
        """Report and record the step at which a resumed run continues."""
        if self.is_resumed:
            self.note(f"Resumed after step {state.step} (epoch {state.epoch}).")
            self.resumes[-1]["step"] = state.step
            self.folder.mark("running", resumes=self.resumes)

    def note(self, text: str) -> None:
        """Report a sentence to the user."""
        self.report({"event": "note", "text": text})

    def report(self, event: Event) -> None:
        """Report an event; if the other side is gone, ask the run to stop."""
        try:
            self._report(event)
        except BrokenPipeError:
            # Not raised here: the loop stops after its step, and saves.
            self.interruption.request(SIGTERM)

    def _mark(self, status: Status, **more: object) -> None:
        """Mark the run, if it has begun and the folder can still be written."""
        if self.has_begun:
            # An error about the mark must not hide the error that is about to be raised.
            with suppress(OSError, UsageError):
                self.folder.mark(status, **more)
        self.folder.give_room()

    def _stopped(self) -> str:
        return f"{AFTER_STEP}{self._saved()}: go on with `poc run --resume {self.folder.path}`"

    def _saved(self) -> str:
        """Name the point from which the run can be resumed."""
        try:
            checkpoint = read_checkpoint(self.folder.checkpoints)
        except UsageError:
            checkpoint = None
        if checkpoint is None:
            return "nothing was saved"
        return f"step {checkpoint.loop.step}, which is saved"

    def _explain(self, error: Exception) -> str | None:
        """Explain an error that comes from the machine; None for a fault of the program."""
        if is_memory_error(error):
            return describe_memory_error(self.spec)
        if not isinstance(error, OSError):
            return None
        place = f" at {error.filename!r}" if error.filename else ""
        return (
            f"Got an error of the file system{place} ({error.strerror or error}). Expected a "
            f"folder that can be written (last checkpoint: {self._saved()}). Try making room or "
            f"restoring the folder, then go on with `poc run --resume {self.folder.path}`."
        )
