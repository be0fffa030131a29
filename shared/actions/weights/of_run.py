"""`poc weights convert RUN_FOLDER FILE`: a run's best weights as one whole file."""

from pathlib import Path

from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.resolving.teacher import CHECKPOINT
from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec
from poc.shared.weights.conversion import CANONICAL
from poc.shared.weights.header import view_of_run

from .convert import Conversion, convert_file


def convert_run(folder: Path, target: Path, *, to: str = CANONICAL, **given: object) -> Conversion:
    """Write the best weights with all that the run knows of them: model, classes, view.

    Args:
        folder: Run folder.
        target: As `convert_file` takes it.
        to: Format of the output.
        given: Options that say what a file's tensors are; a run folder says that itself.

    Returns:
        As `convert_file`.

    Raises:
        UsageError: No run folder, an option that it does not need, or as `convert_file`.
    """
    if named := [f"--{name}" for name, value in given.items() if value]:
        raise UsageError(
            f"received {', '.join(named)} with the run folder {str(folder)!r}, which says itself "
            "what it holds; allowed beside it is --to: remove the others"
        )
    record = RunRecord.read(folder)
    file = folder / CHECKPOINT
    values = record.spec.model_dump(mode="json")
    values.update(method="scratch", method_options={}, teacher=None, initial_weights=None)
    run = RunSpec.parse({**values, "data": view_of_run(file)}, "")
    return convert_file(file, target, run, source_format=CANONICAL, target_format=to)
