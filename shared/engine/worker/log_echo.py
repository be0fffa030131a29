"""An echo of a worker's output on standard error, for `--verbose`.

The worker writes into its log file as usual, and this side reads the file. A pipe instead would end
a worker that prints after its command is gone, before it has written its checkpoint.
"""

import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from poc.shared.engine.console.output import OutputFailed
from poc.shared.shown_names import plain

SECONDS_BETWEEN_LOOKS = 0.2


class LogEcho:
    """A thread that follows a log file from its present end.

    Args:
        title: Printed before each line, such as the backend.
        log: The file; None for a temporary one, which `close` removes.
    """

    def __init__(self, title: str, log: Path | None) -> None:
        self._is_temporary = log is None
        self.path = log or make_log()
        self._title, self._ended = title, threading.Event()
        # The log of a resumed run begins with the lines of earlier processes.
        self._position = self.path.stat().st_size if self.path.exists() else 0
        self._rest, self._begun = b"", time.monotonic()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self, interpreter: str, process_id: int) -> None:
        """Print the process and its interpreter, and begin to follow its log."""
        self.say(f"process {process_id} of {interpreter} starts")
        self._thread.start()

    def say(self, text: str) -> None:
        """Print one line on standard error; the main thread reports an output that fails."""
        with suppress(OutputFailed):
            print(f"{self._title}| {plain(text)}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Print the remaining lines and the lifetime of the process, and remove a temporary log."""
        self._ended.set()
        # A process that could not be started has no thread to wait for.
        if self._thread.ident is not None:
            self._thread.join()
            self._show_new(is_last=True)
            self.say(f"process ends after {time.monotonic() - self._begun:.1f} s")
        if self._is_temporary:
            self.path.unlink(missing_ok=True)

    def _follow(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
            self._show_new()

    def _show_new(self, is_last: bool = False) -> None:
        """Print new lines; half a line waits for its end."""
        with suppress(FileNotFoundError), self.path.open("rb") as stream:
            stream.seek(self._position)
            new = stream.read()
            self._position += len(new)
            self._rest += new
        *lines, self._rest = self._rest.split(b"\n")
        if is_last and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self.say(line.decode(errors="replace"))


def make_log() -> Path:
    """Make a new, empty file that only this user can read."""
    with tempfile.NamedTemporaryFile(prefix="poc-", suffix=".log", delete=False) as stream:
        return Path(stream.name)
