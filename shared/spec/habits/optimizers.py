"""The numbers of an update under native habits: Adam's epsilon, and what weight decay means."""

from collections.abc import Collection, Sequence

from poc.shared.spec.run_settings import RunSettings
from poc.shared.spec.training.decay import are_decayed
from poc.shared.spec.training.optimizers import OptimizerSpec

DEFAULT_EPSILON: float = OptimizerSpec.model_fields["epsilon"].default
KERAS_EPSILON = 1e-7


def update_rule(run: RunSettings) -> OptimizerSpec:
    """Return the run's optimiser with the numbers that its framework would take for it.

    The default of `epsilon` stands for the framework's own; another number stays. Keras' L2
    regulariser adds w * sum(p^2) to the loss, whose gradient is 2 w p.
    """
    rule = run.optimizer
    if run.backend != "tf":
        return rule
    if run.habits.optimizer == "native" and rule.epsilon == DEFAULT_EPSILON:
        rule = rule.model_copy(update={"epsilon": KERAS_EPSILON})
    if has_regularizers(run):
        rule = rule.model_copy(update={"weight_decay": 2 * rule.weight_decay})
    return rule


def decayed_by_run(
    run: RunSettings, names: Sequence[str], factors: Collection[str] = ()
) -> list[bool]:
    """Say for each parameter if the run's own decay reaches it; as `are_decayed`, with habits.

    Args:
        run: The run.
        names: Canonical names of the trained parameters.
        factors: Names of the kernels whose product has a decay of its own, if the run has one.
    """
    reached = are_decayed(run.optimizer, names, factors)
    if not has_regularizers(run):
        return reached
    are_kernels = [name.rpartition("/")[2] == "kernel" for name in names]
    return list(map(all, zip(reached, are_kernels, strict=True)))


def has_regularizers(run: RunSettings) -> bool:
    """Return whether weight decay is a regulariser of each kernel: Keras', but for its AdamW."""
    is_native = run.habits.regularization == "native" and run.backend == "tf"
    return is_native and run.optimizer.name != "adamw"
