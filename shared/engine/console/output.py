"""Standard output and error in a form that the user's terminal, file or pipe can take.

If a code page lacks a sign, the nearest ASCII form is printed. An output that is full or closed
ends the command with one message.
"""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

from poc.shared.shown_names import plain as plain  # The layers above know it from here.

HANDLER = "poc.ascii"
# Signs that poc itself prints, and their replacements; any other sign becomes a question mark.
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
# 128 + SIGPIPE: the exit code in a shell of a command whose reader has gone.
CLOSED_EXIT_CODE = 141


class OutputFailed(Exception):  # noqa: N818 - no error of the program's
    """Failure of standard output or error, which is full or has lost its reader.

    It is no `OSError`, since click and Rich would each end the process in a way of their own.
    """

    def __init__(self, name: str, error: OSError) -> None:
        is_closed = error.errno == errno.EPIPE
        reason = "its reader has gone" if is_closed else error.strerror
        super().__init__(
            f"Got a failed write: {name} takes nothing more ({reason}). "
            "Everything done before stays."
        )
        self.exit_code = CLOSED_EXIT_CODE if is_closed else 1


class Output(io.TextIOWrapper):
    """A standard stream that replaces signs its encoding lacks, and reports its own failure."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors=HANDLER,
            line_buffering=stream.line_buffering,
        )
        self.title = {"<stdout>": "standard output"}.get(stream.name, "standard error")

    def write(self, text: str) -> int:
        """Write a text, and return the number of characters written.

        Raises:
            OutputFailed: Nothing more can be written.
        """
        try:
            return super().write(text)
        except OSError as error:
            self.end(error)
            return 0

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            OutputFailed: Nothing more can be written.
        """
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
    """Escape the signs that would command a terminal, in each line of a text."""
    return "\n".join(plain(line) for line in text.split("\n"))


def prepare_streams() -> None:
    """Replace the interpreter's standard output and error by `Output`."""
    codecs.register_error(HANDLER, replace_by_ascii)
    for name in ("stdout", "stderr"):
        stream: object = getattr(sys, name)
        # A test or a notebook that has put a stream of its own there keeps it.
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, Output(stream))


def replace_by_ascii(error: UnicodeError) -> tuple[str, int]:
    """Handle an encoding error of the streams: return the nearest ASCII form of each sign."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(ASCII_FORMS.get(sign, "?") for sign in signs), error.end
