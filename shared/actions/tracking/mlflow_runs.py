"""A run in MLflow: its settings as parameters, its epochs as metrics, and how it ended."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import ModuleType
from typing import TypeVar

from poc.shared.errors import UsageError

from .run_facts import RunFacts, read_time

Entry = TypeVar("Entry")
DEFAULT_PLACE = "sqlite:///mlflow.db"
EXPERIMENT = "poc"
# Tags that find a run again: the folder, and the start, since a folder can be used again.
FOLDER_TAG, STARTED_TAG, EPOCHS_TAG = "poc.folder", "poc.started", "poc.num_epochs"
ENDS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
# Limits of MLflow: entries of one request, and characters of a parameter.
MAX_ENTRIES, MAX_CHARACTERS = 100, 6000
# Characters that MLflow refuses in names of metrics and parameters.
REFUSED = re.compile(r"[^/\w.\- :]")


class MlflowTracker:
    """The run in MLflow; if it is there already, only later epochs are added.

    Args:
        facts: The run.
        place: Tracking URI; None: that of MLFLOW_TRACKING_URI, or `mlflow.db` in this folder.

    Raises:
        UsageError: The package is missing, or the server does not answer.
    """

    def __init__(self, facts: RunFacts, place: str | None) -> None:
        self._mlflow = import_mlflow()
        uri = place or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_PLACE
        try:
            self._client = self._mlflow.MlflowClient(tracking_uri=uri)
            known = self._find_run(facts)
            self._run_id, self.num_epochs, self._end = known or (self._begin_run(facts), 0, "")
        except Exception as error:  # A client of a server or a database raises anything.
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"Got the MLflow place {uri!r}, which cannot be used ({line}). Expected the "
                "address of a running server, or sqlite:///FILE. Try --output sqlite:///mlflow.db."
            ) from None
        self._began = read_time(facts.started)
        self._last = self._began

    def log_epoch(self, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Write the values of an epoch, which ended so many seconds after the start."""
        self._last = self._began + seconds
        self._log(values, epoch)
        self._client.set_tag(self._run_id, EPOCHS_TAG, str(epoch))
        self.num_epochs = epoch

    def finish(self, status: str, seconds: float, results: Mapping[str, float]) -> None:
        """Write the results, and how and when the run ended; nothing if an earlier call did."""
        if self._end == ENDS[status]:
            return
        self._last = self._began + seconds
        self._log(results, self.num_epochs)
        end = round(1000 * self._last)
        self._client.set_terminated(self._run_id, ENDS[status], end)

    def close(self) -> None:
        """Do nothing: each call is a request of its own."""

    def _find_run(self, facts: RunFacts) -> tuple[str, int, str] | None:
        """Return the run's number, its epochs and its status in MLflow; None: it is not there."""
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return None
        wanted = f"tags.`{FOLDER_TAG}` = {quote(facts.folder)}"
        found = self._client.search_runs([experiment.experiment_id], wanted)
        same = [run for run in found if run.data.tags.get(STARTED_TAG) == facts.started]
        if not same:
            return None
        info, tags = same[0].info, same[0].data.tags
        return str(info.run_id), int(tags.get(EPOCHS_TAG, 0)), str(info.status)

    def _begin_run(self, facts: RunFacts) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = (
            experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
        )
        tags = {FOLDER_TAG: facts.folder, STARTED_TAG: facts.started}
        began = round(1000 * read_time(facts.started))
        run = self._client.create_run(number, began, tags, run_name=facts.name)
        entity = self._mlflow.entities.Param
        params = [
            entity(write_name(name), text[:MAX_CHARACTERS]) for name, text in facts.settings.items()
        ]
        for some in batched(params, MAX_ENTRIES):
            self._client.log_batch(run.info.run_id, params=some)
        return str(run.info.run_id)

    def _log(self, values: Mapping[str, float], epoch: int) -> None:
        entity, when = self._mlflow.entities.Metric, round(1000 * self._last)
        metrics = [entity(write_name(name), value, when, epoch) for name, value in values.items()]
        for some in batched(metrics, MAX_ENTRIES):
            self._client.log_batch(self._run_id, metrics=some)


def import_mlflow() -> ModuleType:
    """Return the package.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import mlflow
    except ImportError:
        raise UsageError(
            "Got --to mlflow, which needs the package mlflow, not installed here. Expected it to "
            "be installed. Try pip install 'poc[mlflow]'."
        ) from None
    module: ModuleType = mlflow
    return module


def write_name(name: str) -> str:
    """Return a name in characters that MLflow takes: `a to b` for the pair `a>b`."""
    return REFUSED.sub("_", name.replace(">", " to "))


def quote(text: str) -> str:
    """Return a text as MLflow's filters take it; they know no escape for the quotes inside."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def batched(entries: Sequence[Entry], size: int) -> Iterator[list[Entry]]:
    """Yield the entries in lists of at most `size`."""
    rest = iter(entries)
    while some := list(islice(rest, size)):
        yield some
