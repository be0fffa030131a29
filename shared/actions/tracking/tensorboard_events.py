"""A run as TensorBoard's event file: a scalar per metric, and its settings for the HParams page."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace

from poc.shared.errors import UsageError
from poc.shared.files.whole import read_object, write_json

from .run_facts import RunFacts, read_time

DEFAULT_PLACE = "tensorboard"
MARKER, FORMAT = "poc.json", "poc tensorboard 1"
# Module by whose presence TensorBoard goes on without TensorFlow.
NO_TENSORFLOW = "tensorboard.compat.notf"
# Beginnings of the settings that a table of runs shows; the others are in the run folder.
SHOWN = (
    "backend",
    "method",
    "model",
    "seed",
    "num_epochs",
    "optimizer",
    "schedule",
    "loss",
    "data.batch_size",
)


class TensorboardTracker:
    """The folder of one run below the place; an earlier one of the same run is replaced.

    The folder has the name of the run, or a longer one if another run has that name there.

    Args:
        facts: The run.
        place: Folder that `tensorboard --logdir` takes.

    Raises:
        UsageError: The package is missing, or the folder is not one that poc wrote.
    """

    def __init__(self, facts: RunFacts, place: str | None) -> None:
        self._modules = import_tensorboard()
        root = Path(place or DEFAULT_PLACE)
        name = choose_name(root, facts)
        folder = root / name
        make_room(folder)
        write_json(folder / MARKER, {"format": FORMAT, "run": facts.folder})
        self._began = read_time(facts.started)
        self._last = self._began
        self.num_epochs = 0
        self._writer = self._modules.writer.EventFileWriter(str(folder))
        settings = {key: text for key, text in facts.settings.items() if key.startswith(SHOWN)}
        self._add(self._modules.hparams.hparams_pb(settings, trial_id=name), 0)

    def log_epoch(self, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Write the values of an epoch, which ended so many seconds after the start."""
        self._last = self._began + seconds
        shown = {name: value for name, value in values.items() if name not in ("epoch", "step")}
        self._add(self._scalars(shown), epoch)
        self.num_epochs = epoch

    def finish(self, status: str, seconds: float, results: Mapping[str, float]) -> None:
        """Write the results at the last epoch; TensorBoard has no page for how a run ended."""
        self._last = self._began + seconds
        named = {f"results/{name}": value for name, value in results.items()}
        ended = {"results/is_finished": float(status == "finished")}
        self._add(self._scalars({**named, **ended}), self.num_epochs)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _scalars(self, values: Mapping[str, float]) -> object:
        value = self._modules.summary.Summary.Value
        rows = [value(tag=name, simple_value=number) for name, number in values.items()]
        return self._modules.summary.Summary(value=rows)

    def _add(self, summary: object, step: int) -> None:
        event = self._modules.event.Event(wall_time=self._last, step=step, summary=summary)
        self._writer.add_event(event)
        self._writer.flush()


def import_tensorboard() -> SimpleNamespace:
    """Return the modules of TensorBoard that write events; none of them imports TensorFlow.

    Raises:
        UsageError: The package is not installed.
    """
    # TensorBoard then uses its own stand-in for TensorFlow, which would take seconds to import and
    # print lines about the machine.
    sys.modules.setdefault(NO_TENSORFLOW, ModuleType(NO_TENSORFLOW))
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams import summary_v2
        from tensorboard.summary.writer import event_file_writer
    except ImportError:
        raise UsageError(
            "Got --to tensorboard, which needs the package tensorboard, not installed here. "
            "Expected it to be installed. Try pip install 'poc[tensorboard]'."
        ) from None
    return SimpleNamespace(
        event=event_pb2, summary=summary_pb2, hparams=summary_v2, writer=event_file_writer
    )


def choose_name(root: Path, facts: RunFacts) -> str:
    """Return the name of a run, with as many folders before it as no other run has at the place."""
    name, own = facts.name, Path(facts.folder)
    parts = own.parts[1:]
    for depth in range(facts.name.count("/") + 1, len(parts) + 1):
        name = "/".join(parts[-depth:])
        owner = read_owner(root / name)
        if owner is None or owner.resolve() == own.resolve():
            break
    return name


def read_owner(folder: Path) -> Path | None:
    """Return the run folder that a folder of events is of; None if no earlier call wrote it."""
    marker = folder / MARKER
    owner = read_object(marker).get("run") if marker.is_file() else None
    return Path(owner) if isinstance(owner, str) else None


def make_room(folder: Path) -> None:
    """Make the folder of a run, or empty it if poc wrote it.

    Raises:
        UsageError: It has other files, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"Got the folder {str(folder)!r}, which cannot be made ({error.strerror}). Expected a "
            "folder that you may write to. Try another --output."
        ) from None
    # Folders below are those of runs with longer names.
    found = sorted(path for path in folder.iterdir() if not path.is_dir())
    own = [path for path in found if path.name == MARKER or ".tfevents." in path.name]
    is_own = (folder / MARKER).is_file() and read_object(folder / MARKER).get("format") == FORMAT
    if found and (len(own) < len(found) or not is_own):
        raise UsageError(
            f"Got the folder {str(folder)!r}, which has files that `poc track` did not write. "
            "Expected a new folder, or one of an earlier `poc track`. Try another --output."
        )
    for path in own:
        path.unlink()
