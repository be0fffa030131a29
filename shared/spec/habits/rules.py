"""Runs that cannot follow their framework's habits, and checks that need the rules in common."""

from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.run_settings import RunSettings

from .images import NATIVE

# Habits that weights of a file, which were trained under other rules, do not fit.
OF_NEW_NETWORKS = ("batch_norm", "padding", "initializers")


def check_habits(run: RunSettings) -> None:
    """Refuse native habits where the framework has none, or where they would have no effect.

    Raises:
        UsageError: It names the habit and the setting that excludes it.
    """
    for habit, (setting, reason) in find_conflicts(run).items():
        if getattr(run.habits, habit) == "native":
            raise UsageError(
                f"Got habits.{habit}=native with {setting}, {reason}. Expected "
                f"habits.{habit}=common. Try --set habits.{habit}=common."
            )


def find_conflicts(run: RunSettings) -> dict[str, tuple[str, str]]:
    """Map each habit that a run cannot have to the setting that excludes it, and the reason."""
    method = find_method(run.method)
    found: dict[str, tuple[str, str]] = {}
    named, optimizer = f"the method {run.method!r}", run.optimizer
    if run.initial_weights is not None:
        reason = "weights that were trained with the architecture's own rule, which they keep"
        found |= dict.fromkeys(OF_NEW_NETWORKS, (f"initial_weights={run.initial_weights}", reason))
    if method.fine_tuning is not None:
        found["initializers"] = (named, "whose head starts as method_options say")
    if run.model is not None and run.model.factor_initializer == "spectral":
        found["initializers"] = (
            "model.factor_initializer=spectral",
            "whose factors start from a decomposition",
        )
    if run.norm_statistics == "exact":
        reason = "which replaces the framework's statistics by exact ones"
        found["batch_norm"] = ("norm_statistics=exact", reason)
    if run.data.interpolation not in NATIVE.values():
        reason = "which the frameworks compute by other formulas than Pillow"
        found["input_pipeline"] = (f"data.interpolation={run.data.interpolation}", reason)
    if run.loss.name == "focal":
        found["loss"] = ("loss.name=focal", "which each framework defines in another way")
    if run.precision == "float16":
        found["optimizer"] = ("precision=float16", "whose scale of the loss is the common one")
    if optimizer.accumulation_steps > 1:
        reason = "for which the frameworks have no rule that counts the images"
        found["optimizer"] = (
            f"optimizer.accumulation_steps={optimizer.accumulation_steps}",
            reason,
        )
    if optimizer.clip_norm is not None:
        reason = "which a regulariser would pass through as a part of the loss"
        found["regularization"] = (f"optimizer.clip_norm={optimizer.clip_norm:g}", reason)
    if method.owns_update:
        reason = "which takes its own steps, and repeats a pass with the same masks"
        found |= dict.fromkeys(("optimizer", "regularization", "dropout"), (named, reason))
    return found


def describe_resume(run: RunSettings) -> str | None:
    """Say what a resumed run does not repeat; nothing if it repeats every bit."""
    if run.habits.dropout != "native":
        return None
    return (
        "The masks of dropout are the framework's own (habits.dropout=native): from the checkpoint "
        "on they are others than without the interruption."
    )


def require_common(run: RunSettings) -> None:
    """Refuse to compare the backends of a run that follows its framework's habits.

    Raises:
        UsageError: A habit is native.
    """
    if run.habits.native:
        listed = ", ".join(f"habits.{name}" for name in run.habits.native)
        raise UsageError(
            f"Got native habits ({listed}), with which the two backends are meant to differ. "
            "Expected habits=common for a parity check. Try --set habits=common, or `poc compare "
            "--no-parity` to train both."
        )
