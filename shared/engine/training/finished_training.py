"""The result of a training loop after its last epoch."""

from dataclasses import dataclass

from poc.shared.engine.backend import Backend, Trainer
from poc.shared.engine.folder.loop_state import LoopState
from poc.shared.engine.run_data import RunData
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun

from .clocks import RunClock
from .stage import StageSteps


@dataclass(frozen=True, kw_only=True)
class FinishedTraining:
    """Everything that a summary is made of.

    Attributes:
        run: The resolved run that was trained.
        backend: The backend of the run.
        data: The run's opened data, shown as the last stage sees them.
        steps: The steps of the last stage, with its trainer.
        state: The loop's state at the end.
        weights: Weights of the best epoch; parameters outside the network are the latest.
        epoch_choice: Metric by which the best epoch was chosen, or `last`.
        clock: Still running, so that the total includes the time of the summary itself.
    """

    run: ResolvedRun
    backend: Backend
    data: RunData
    steps: StageSteps
    state: LoopState
    weights: Weights
    epoch_choice: str
    clock: RunClock

    @property
    def trainer(self) -> Trainer:
        """Return the trainer of the last stage."""
        return self.steps.trainer
