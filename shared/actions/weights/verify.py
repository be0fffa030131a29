"""`poc weights verify`: check that both backends give the same logits from one weight file."""

from pathlib import Path

from poc.shared.analysis.parity.rungs import Rung, compare
from poc.shared.data.sources.inspection import Note, ignore
from poc.shared.engine.trained_run import open_trained
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.run import BACKENDS

# Relative, for float32: both backends sum the same products in another order.
TOLERANCE = 1e-5
NUM_IMAGES = 64


def verify_weights(
    folder: Path, checkpoint: str = "best", *, data: str | None = None, note: Note = ignore
) -> Rung:
    """Compare both backends' logits from a run's checkpoint on its own evaluation images.

    Args:
        folder: Run folder.
        checkpoint: File in `checkpoints`, without its ending.
        data: New place of the run's data; none: the recorded place.
        note: Called with each difference from the run.

    Returns:
        A rung of the parity ladder: the largest relative error and the tolerance.

    Raises:
        UsageError: As `open_trained`.
    """
    trained = open_trained(folder, data=data, checkpoint=checkpoint, note=note)
    with trained.data as opened:
        pipeline = opened.test or opened.val or opened.train
        images = next(pipeline.epoch(0)).images[:NUM_IMAGES]
    spec, logits = trained.run.model_dump(mode="json"), []
    for backend in BACKENDS:
        with Worker(backend) as worker:
            logits.append(
                {
                    "logits": worker.call(
                        Operations.logits, run=spec, weights=trained.weights, images=images
                    )
                }
            )
    return compare("logits", logits, TOLERANCE)
