"""What is left when the last epoch is over."""

from dataclasses import dataclass

from poc.shared.engine.backend import Backend, Trainer
from poc.shared.engine.folder.loop_state import LoopState
from poc.shared.engine.run_data import RunData
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun

from .run_clock import RunClock
from .stage import StageSteps


@dataclass(frozen=True, kw_only=True)
class FinishedTraining:
    """All that a summary is made of.

    Attributes:
        run: What was trained.
        backend: That of the run.
        data: Its opened data, shown as the last stage sees them.
        steps: Those of the last stage, with its trainer.
        state: Where the loop stands: at the end.
        weights: Of the best epoch; what is trained next to the network is the latest.
        epoch_choice: Metric by which the best epoch was chosen, or `last`.
        clock: Runs on, so that the summary counts what it takes itself.
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
        """That of the last stage."""
        return self.steps.trainer
