"""One process's share of a run: how it begins, and what it says however it ends."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.split import Split
from poc.shared.engine.console.work_count import Event, Report
from poc.shared.engine.machine.memory import describe_memory_error, is_memory_error
from poc.shared.engine.worker.interruption import (
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

# What must not change between two processes of one run, and what says so.
DATA_KEYS = ("source_fingerprint", "split_fingerprint")


class Session:
    """From the first look at the folder to the mark of how it ended.

    Args:
        folder: Of the run.
        command: The command line.
        save_every: As `--save-every` takes it.
        is_resumed: Whether the folder holds the run's beginning.
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
        """Mark the run and raise what the command shows, whatever happens inside.

        Raises:
            UsageError, CheckFailed, Interrupted, Terminated: One sentence each.
        """
        self.spec = spec
        try:
            yield
        except StopRequested:
            self._mark("interrupted")
            raise interruption_error(self.interruption.number or SIGTERM, self._stopped()) from None
        except KeyboardInterrupt:
            self._mark("interrupted")
            raise
        except (UsageError, CheckFailed) as error:
            self._mark("failed", error=str(error))
            raise
        except Exception as error:
            message = self._explain(error)
            self._mark("failed", error=message or f"{type(error).__name__}: {error}")
            if message is None:
                raise
            raise CheckFailed(message) from error

    def resolve(self, spec: RunSpec) -> None:
        """Take the spec that the data filled in, and tell it to who must explain a crash."""
        self.spec = spec
        self.report({"event": "resolved", "run": spec.model_dump(mode="json")})

    def begin(self, record: dict[str, object], split: Split) -> None:
        """Write `run.json` of a run that starts or goes on, and which images it trains on.

        Args:
            record: What `run.json` will hold.
            split: Parts of the run.

        Raises:
            UsageError: The data is no longer that of the run's beginning.
        """
        stored = json.loads(json.dumps(finite(record)))
        self.folder.keep_room()
        if not self.is_resumed:
            # Until here a former run stands here whole, and its `run.json` a moment longer.
            self.folder.remove_results()
            self.folder.make(self.folder.checkpoints)
            self.folder.write_run(stored)
            self.has_begun = True
            self.folder.keep_split(RecordedParts.of(split).to_bytes())
            return
        former = self.folder.read_run()
        for key in DATA_KEYS:
            if former["data"][key] != stored["data"][key]:
                raise UsageError(
                    f"received the run {str(self.folder.path)!r}, whose data has changed since it "
                    f"began ({key} was {former['data'][key]}, is {stored['data'][key]}); allowed "
                    "is the same data: restore it or start a new run"
                )
        kept = {key: former[key] for key in ("started", "command", "environment")}
        changed = kept["environment"] != stored["environment"]
        self.resumes = [*former.get("resumes", []), {"time": now(), "command": self.command}]
        if changed:
            self.resumes[-1]["environment"] = stored["environment"]
            self.note("The environment is not that of the run's beginning; bits may differ.")
        self.folder.write_run({**stored, **kept, "resumes": self.resumes})
        self.has_begun = True
        self.folder.keep_split(RecordedParts.of(split).to_bytes())

    def note_position(self, state: LoopState) -> None:
        """Say where a resumed run goes on."""
        if self.is_resumed:
            self.note(f"Resumed after step {state.step} (epoch {state.epoch}).")
            self.resumes[-1]["step"] = state.step
            self.folder.mark("running", resumes=self.resumes)

    def note(self, text: str) -> None:
        """Report a sentence."""
        self.report({"event": "note", "text": text})

    def report(self, event: Event) -> None:
        """Report an event; where the other side is gone, the run is asked to stop."""
        try:
            self._report(event)
        except BrokenPipeError:
            self.interruption.request(SIGTERM)

    def _mark(self, status: Status, **more: object) -> None:
        """Mark the run, where it has begun and the folder still takes files."""
        if self.has_begun:
            with suppress(OSError, UsageError):
                self.folder.mark(status, **more)
        self.folder.give_room()

    def _stopped(self) -> str:
        return f"stopped after {self._saved()}: go on with `poc run --resume {self.folder.path}`"

    def _saved(self) -> str:
        """What can be resumed."""
        try:
            checkpoint = read_checkpoint(self.folder.checkpoints)
        except UsageError:
            checkpoint = None
        if checkpoint is None:
            return "nothing was saved"
        return f"step {checkpoint.loop.step}, which is saved"

    def _explain(self, error: Exception) -> str | None:
        """One sentence for what a machine does to a run; none: a fault of the program."""
        if is_memory_error(error):
            return describe_memory_error(self.spec)
        if not isinstance(error, OSError):
            return None
        place = f" {error.filename!r}" if error.filename else ""
        return (
            f"the file system refused{place} ({error.strerror or error}); to resume there is "
            f"{self._saved()}: make room or restore the folder, then go on with `poc run "
            f"--resume {self.folder.path}`"
        )
