"""Runs that an older version began: they are not continued under rules that changed since."""

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers.light import LightConv2D
from poc.shared.spec.run import RunSpec

# This version writes the second format into `run.json` and `sweep.json`. The first one marks runs
# that began before the rules below changed; the files themselves have the same form.
RUN_FORMAT, SWEEP_FORMAT = "poc run 2", "poc sweep 2"
FORMER_FORMATS = ("poc run 1", "poc sweep 1")
# The penalty of light layers in networks whose options do not set one.
KERNEL_L2 = LightConv2D.kernel_l2


def check_continuation(run: RunSpec, name: str, stored_format: object) -> None:
    """Refuse to continue a run under other rules than those that it began with.

    Args:
        run: Run to continue.
        name: Name of the run or the sweep in the message.
        stored_format: Format that its file records.

    Raises:
        UsageError: A rule that this run follows has changed since it began.
    """
    rule = changed_rule(run) if stored_format in FORMER_FORMATS else None
    if rule:
        raise UsageError(
            f"Got {name}, begun by a version before 2026-11-28, since which {rule}. Expected a "
            "run that follows one set of rules, since its numbers would be of two kinds. "
            "Try starting it again with a new --output."
        )


def changed_rule(run: RunSpec) -> str | None:
    """Name a rule of this run that changed after the first format; None if no rule did."""
    options = run.model_spec.resolved()
    is_light = str(getattr(options, "layer", "")).startswith("light")
    views = {run.data.train_view.crop, run.data.eval_view.crop}
    is_tuned_shifted = getattr(run.method_settings, "finetune_view", None) == "shifted"
    # Each rule counts only for runs that it changes: all others may go on.
    rules = {
        "the cosine begins where the warm-up ends": run.schedule.name == "cosine"
        and run.schedule.warmup_steps > 0,
        "AdamW no longer decouples kernel_l2": run.optimizer.name == "adamw"
        and is_light
        and getattr(options, "kernel_l2", KERNEL_L2) > 0,
        "flips and colours come before the shifted crop": is_tuned_shifted or "shifted" in views,
        "ten crops are cut as torchvision cuts them": "ten" in views,
    }
    return next((rule for rule, applies in rules.items() if applies), None)
