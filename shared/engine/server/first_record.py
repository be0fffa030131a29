"""The record of a run at its start, which its folder keeps."""

from collections.abc import Mapping

from poc.shared.engine.folder.former_runs import RUN_FORMAT
from poc.shared.engine.folder.record import relative_path
from poc.shared.engine.folder.run_folder import RunFolder, now
from poc.shared.engine.machine.environment import describe_machine, thread_variables
from poc.shared.engine.run_data import RunData
from poc.shared.spec.run import RunSpec


def describe_start(
    spec: RunSpec,
    data: RunData,
    command: str,
    folder: RunFolder,
    framework: Mapping[str, object],
) -> dict[str, object]:
    """Make the content of `run.json` for a run that starts now.

    Args:
        spec: The run, completed by its data.
        data: That data, opened.
        command: The command line.
        folder: The run's folder.
        framework: The backend's description of itself.
    """
    return {
        "format": RUN_FORMAT,
        "status": "running",
        "started": now(),
        "command": command,
        "run": spec.model_dump(mode="json"),
        "data": {**data.describe(), "relative_path": relative_path(spec, folder.path)},
        "environment": {**describe_machine(), **framework, **thread_variables()},
    }
