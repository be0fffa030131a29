"""Rules for methods that compute their head in one pass, in which no setting of steps acts."""

from collections.abc import Iterator
from operator import attrgetter

from poc.shared.errors import UsageError

from .methods.table import find_method
from .run_settings import RunSettings

# Groups that say how steps are taken, and single settings of the same kind. A method that fits its
# head takes none: each of these must have its default.
PLAIN_RUN = RunSettings(num_epochs=1)
STEP_GROUPS = ("optimizer", "schedule", "ema", "loss")
STEP_SETTINGS = (
    "num_epochs",
    "norm_statistics",
    "early_stopping.patience",
    "early_stopping.reduce_patience",
    "data.drop_last",
    "data.sampling",
)


def is_step(key: str) -> bool:
    """Return whether a key is a setting of training steps, which a fitted head has not."""
    group = key.partition(".")[0]
    is_view = key.startswith("data.train_view.") or key == "data.split.val_on_test"
    return key in STEP_SETTINGS or group in STEP_GROUPS or is_view


def check_fitted_head(run: RunSettings) -> None:
    """Refuse settings of training steps for a method that computes its head in one pass."""
    method = find_method(run.method)
    if not method.fits_head:
        return
    if run.loss.is_binary:
        raise UsageError(
            f"Got images with any number of labels for the method {run.method!r}, which chooses "
            "one class per image. Expected one label per image. Try --method transfer, or "
            "data.columns.label for a single column."
        )
    if run.data.has_random_views:
        raise UsageError(
            f"Got random views of the training images for the method {run.method!r}, which sees "
            "each image once, as in evaluation. Expected data.train_view without random steps. Try "
            "removing it, or --method transfer."
        )
    if (found := next(find_steps(run), None)) is not None:
        raise UsageError(
            f"Got {found} for the method {run.method!r}, which computes its head in one pass over "
            "the training images, without steps. Expected no such setting. Try removing it, or "
            "--method transfer."
        )
    if run.data.split.val_on_test:
        raise UsageError(
            f"Got data.split.val_on_test=true for the method {run.method!r}, which would choose "
            "its head on the test images. Expected a validation part of its own. Try removing "
            "val_on_test."
        )
    if (crop := run.data.eval_view.crop) in ("five", "ten"):
        raise UsageError(
            f"Got data.eval_view.crop={crop!r} for the method {run.method!r}, which keeps one "
            "vector of features per image. Expected one crop. Try data.eval_view.crop=centre."
        )


def find_steps(run: RunSettings) -> Iterator[str]:
    """Yield `key=value` for each setting of training steps that has not its default."""
    fields = (
        f"{group}.{name}"
        for group in STEP_GROUPS
        for name in type(getattr(run, group)).model_fields
    )
    for key in (*STEP_SETTINGS, *fields):
        value, plain = attrgetter(key)(run), attrgetter(key)(PLAIN_RUN)
        if value != plain:
            yield f"{key}={value}"
