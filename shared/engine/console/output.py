"""Standard output and error as the user's terminal, file or pipe can take them.

A code page without a sign gets its nearest ASCII form; an output that is full or closed ends the
command with one sentence.
"""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

from poc.shared.shown_names import plain as plain  # The layers above know it from here.

HANDLER = "poc.ascii"
# Signs that poc itself prints, and what stands for them; any other sign becomes a question mark.
ASCII_FORMS = {
    "█": "#",
    "±": "+-",
    "…": "...",
    "→": "->",
    "“": '"',
    "”": '"',
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{EN DASH}": "-",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}
# 128 + SIGPIPE, what a shell says of a command whose reader has gone.
CLOSED_EXIT_CODE = 141


class OutputFailed(Exception):  # noqa: N818 - no error of the program's
    """Standard output or error takes nothing more: it is full, or its reader has gone.

    No `OSError`: click and Rich would each end the process in a way of their own.
    """

    def __init__(self, name: str, error: OSError) -> None:
        is_closed = error.errno == errno.EPIPE
        reason = "its reader has gone" if is_closed else error.strerror
        super().__init__(f"{name} takes nothing more ({reason}); what was done before stands")
        self.exit_code = CLOSED_EXIT_CODE if is_closed else 1


class Output(io.TextIOWrapper):
    """A standard stream that replaces what its encoding has not, and says so where it ends."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors=HANDLER,
            line_buffering=stream.line_buffering,
        )
        self.title = {"<stdout>": "standard output"}.get(stream.name, "standard error")

    def write(self, text: str) -> int:
        """Raises OutputFailed where nothing more can be written."""
        try:
            return super().write(text)
        except OSError as error:
            self.end(error)
            return 0

    def flush(self) -> None:
        """The same."""
        try:
            super().flush()
        except OSError as error:
            self.end(error)

    def end(self, error: OSError) -> None:
        """Send the rest to nowhere, so that the interpreter's last flush succeeds.

        Raises:
            OutputFailed: Always.
        """
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        raise OutputFailed(self.title, error) from None


def plain_lines(text: str) -> str:
    """A text of several lines, what commands a terminal escaped in each."""
    return "\n".join(plain(line) for line in text.split("\n"))


def prepare_streams() -> None:
    """Put `Output` in the place of the interpreter's standard output and error."""
    codecs.register_error(HANDLER, replace_by_ascii)
    for name in ("stdout", "stderr"):
        stream: object = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, Output(stream))


def replace_by_ascii(error: UnicodeError) -> tuple[str, int]:
    """Error handler of the streams: the nearest ASCII form of each sign."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(ASCII_FORMS.get(sign, "?") for sign in signs), error.end
