"""`poc weights verify`: one weight file, both backends, the same logits."""

from pathlib import Path
from typing import Any

from poc.shared.engine.lineage import read_weights_of
from poc.shared.engine.run_folder import RunFolder
from poc.shared.engine.weight_check import check_weights
from poc.shared.engine.worker import Worker
from poc.shared.errors import UsageError
from poc.shared.spec.run import BACKENDS, RunSpec

from .rungs import Rung, compare

TOLERANCE = 1e-5
NUM_IMAGES = 64


def verify_weights(folder: Path, checkpoint: str = "best") -> Rung:
    """Compare both backends' logits from a run's checkpoint on its own evaluation images.

    Raises:
        UsageError: No run folder, no such checkpoint, or a tensor is missing, extra or misshapen.
    """
    run = RunSpec.parse(read_record(folder)["run"], "run")
    weights = read_weights_of(run.model_spec, folder / "checkpoints" / f"{checkpoint}.safetensors")
    # What was trained beside the network is stored with `last`, and takes no part in its logits.
    beside = {p.name for p in run.trained_network.parameters}
    beside -= {p.name for p in run.network.parameters}
    check_weights(run.network, {k: v for k, v in weights.items() if k not in beside})
    logits = []
    for backend in BACKENDS:
        with Worker(backend) as worker:
            logits.append(
                worker.call(
                    "verify",
                    folder=str(folder.resolve()),
                    checkpoint=checkpoint,
                    num_images=NUM_IMAGES,
                )
            )
    return compare("logits", logits, TOLERANCE)


def read_record(folder: Path) -> dict[str, Any]:
    """`run.json` of a folder.

    Raises:
        UsageError: It is no run folder.
    """
    if not (folder / "run.json").is_file():
        raise UsageError(
            f"received {str(folder)!r}, which holds no run.json; name the folder "
            "that `poc run` printed"
        )
    return RunFolder(folder).read_run()
