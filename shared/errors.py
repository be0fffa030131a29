"""Errors that end a command on purpose; `cli` turns them into exit codes."""


class UsageError(ValueError):
    """Wrong use of a command, a setting or a file: exit code 2.

    The message is short sentences: "Got X. Expected Y. Try Z." The first starts with `Got ` and
    gives the received value with its name, the second says what is allowed, the third says what to
    type or do:

        Got split.fold=5 with split.num_folds=5. Expected a fold from 0 to 4. Try split.fold=4.

    Code that puts a message into a longer one removes the prefix `Got `, so that the longer one
    starts with it too.
    """


class CheckFailed(RuntimeError):  # noqa: N818 - "check failed" is the outcome that users read
    """A check that ran to its end and failed (parity, verify): exit code 1."""


class Interrupted(KeyboardInterrupt):
    """An end by Ctrl-C: exit code 130. The message says how to go on."""

    exit_code = 130


class Terminated(Interrupted):
    """An end by the signal SIGTERM: exit code 143."""

    exit_code = 143
