"""The ways in which a command can end early on purpose; `cli` turns them into exit codes."""


class UsageError(ValueError):
    """Wrong use: exit code 2.

    The message is one sentence that says what was received, what is allowed and what to do.
    """


class CheckFailed(RuntimeError):  # noqa: N818 - "check failed" is the outcome that users read
    """A check that ran to its end and did not hold (parity, verify): exit code 1."""


class Interrupted(KeyboardInterrupt):
    """Ended by Ctrl-C: exit code 130. The message says how to go on."""

    exit_code = 130


class Terminated(Interrupted):
    """Ended by SIGTERM: exit code 143."""

    exit_code = 143
