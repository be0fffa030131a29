"""`poc weights convert RUN_FOLDER FILE`: write a run's best weights to one complete file.

Terms of LoRA are merged: the file is that of the plain model.
"""

from pathlib import Path

from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.resolving.teacher import CHECKPOINT
from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec
from poc.shared.weights.conversion import CANONICAL
from poc.shared.weights.header import view_of_run

from .convert import Conversion, convert_file


def convert_run(folder: Path, target: Path, *, to: str = CANONICAL, **given: object) -> Conversion:
    """Write the best weights with the model, the classes and the view of the run.

    Args:
        folder: Run folder.
        target: As for `convert_file`.
        to: Format of the output.
        given: Options that describe the tensors of a file; a run folder needs none of them.

    Returns:
        As `convert_file`.

    Raises:
        UsageError: `folder` is not a run folder, one of `given` has a value, or as `convert_file`.
    """
    if named := [f"--{name}" for name, value in given.items() if value]:
        raise UsageError(
            f"Got {', '.join(named)} with the run folder {str(folder)!r}, which already names its "
            "model and classes. Expected only --to with a run folder. Try removing the others."
        )
    record = RunRecord.read(folder)
    file = folder / CHECKPOINT
    values = record.spec.model_dump(mode="json")
    values.update(method="scratch", method_options={}, teacher=None, initial_weights=None)
    run = RunSpec.parse({**values, "data": view_of_run(file)}, "")
    return convert_file(file, target, run, source_format=CANONICAL, target_format=to)
