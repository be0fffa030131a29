"""The run that a study recommends, for commands that take the study's folder in place of a run."""

from pathlib import Path

from pydantic import ValidationError

from poc.shared.analysis.study.decision import DECISION, DEFINITION, Decision
from poc.shared.errors import UsageError
from poc.shared.files.whole import read_regular

RUN = "run.json"


def find_recommended(folder: Path) -> Path:
    """Return the first run that the study in a folder recommends; any other path unchanged.

    With folds, this network has learned from the train part of the first one, less than all images.

    Raises:
        UsageError: The study has no decision yet, or recommends no network.
    """
    if (folder / RUN).is_file() or not (folder / DEFINITION).is_file():
        return folder
    try:
        decision = Decision.from_json(read_regular(folder / DECISION).decode())
    except (OSError, ValueError, ValidationError) as error:
        raise UsageError(
            f"Got the study {str(folder)!r}, whose decision cannot be read "
            f"({type(error).__name__}). Expected a finished study. Try the `poc study` command of "
            "the study again, which continues it."
        ) from None
    run = next(iter(decision.recommended.runs), "")
    if not run:
        raise UsageError(
            f"Got the study {str(folder)!r}, which recommends no network. Expected one that does. "
            "Try a longer budget, or naming one of its runs."
        )
    return folder / run
