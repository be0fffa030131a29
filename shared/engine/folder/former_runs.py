"""Runs that an older version began: never ended by other rules."""

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers import LightConv2D
from poc.shared.spec.run import RunSpec

# Written by this version into `run.json` and `sweep.json`; those of 1 began by some other rules.
RUN_FORMAT, SWEEP_FORMAT = "poc run 2", "poc sweep 2"
FORMER_FORMATS = ("poc run 1", "poc sweep 1")
# Of light layers in nets that do not ask.
KERNEL_L2 = LightConv2D.kernel_l2


def check_continuation(run: RunSpec, name: str, stored_format: object) -> None:
    """Refuse to end by today's rules what began by former ones.

    Args:
        run: What is to go on.
        name: Of the run or the sweep, as the message names it.
        stored_format: As its file says it.

    Raises:
        UsageError: A rule that this run follows has changed since.
    """
    rule = changed_rule(run) if stored_format in FORMER_FORMATS else None
    if rule:
        raise UsageError(
            f"received {name}, begun by a version before 2026-11-28, since which {rule}; its "
            "numbers would be of two kinds: start it again with a new --output"
        )


def changed_rule(run: RunSpec) -> str | None:
    """What this version does otherwise in a run than the one that wrote the first format."""
    options = run.model_spec.resolved()
    is_light = str(getattr(options, "layer", "")).startswith("light")
    views = {run.data.train_view.crop, run.data.eval_view.crop}
    is_tuned_shifted = getattr(run.method_settings, "finetune_view", None) == "shifted"
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
