"""Settings that exclude each other, whatever the data are: each rule is one function."""

from collections.abc import Callable

from poc.shared.errors import UsageError

from .methods.table import METHODS, find_method, tell_default
from .run_settings import RunSettings
from .training.precision import EXACT


def check_combination(run: RunSettings) -> None:
    """Refuse a run of which two settings exclude each other.

    Raises:
        UsageError: Names both sides and one way out; the first rule that is broken.
    """
    for rule in RULES:
        rule(run)


def check_options(run: RunSettings) -> None:
    """Refuse wrong options of the method."""
    find_method(run.method).options.parse(dict(run.method_options), "method_options")


def check_model_options(run: RunSettings) -> None:
    """Refuse wrong options of the model; says where nobody has named that model."""
    try:
        run.model_spec.resolved()
    except UsageError as error:
        raise UsageError(f"{error}{tell_default(run.method, run.model_spec.name)}") from None


def check_size(run: RunSettings) -> None:
    """Refuse an image size next to a method that names the size itself."""
    size = run.data.image_size
    side = find_method(run.method).image_side(run.method_settings)
    # A stage sees the images at a size of its own, which the method has set.
    if side is not None and not run.stage and size not in (None, (side, side)):
        raise UsageError(
            f"received data.image_size={list(size)} with test_size={side} of method "
            f"{run.method!r}; allowed is one of them: leave data.image_size out"
        )


def check_teacher_options(run: RunSettings) -> None:
    """Refuse wrong options of the teacher's model."""
    if run.teacher is not None and run.teacher.model is not None:
        run.teacher.model.resolved()


def check_learns_from_teacher(run: RunSettings) -> None:
    """Refuse a teacher for a method that learns from labels alone."""
    if run.teacher is not None and find_method(run.method).distillation is None:
        learners = [name for name, row in METHODS.items() if row.distillation is not None]
        raise UsageError(
            f"received a teacher for method {run.method!r}, which learns from labels alone; "
            f"allowed is one with {', '.join(learners)}: choose one of them or remove it"
        )


def check_optimizer(run: RunSettings) -> None:
    """Refuse an optimizer that the method cannot differentiate through."""
    allowed = find_method(run.method).optimizers
    if allowed and (run.optimizer.name not in allowed or run.optimizer.nesterov):
        raise UsageError(
            f"received the optimizer {run.optimizer.name!r} for method {run.method!r}, whose "
            f"gradient passes through its own update; allowed is {', '.join(allowed)} without "
            "nesterov: set optimizer.name"
        )


def check_layout(run: RunSettings) -> None:
    """Refuse a layout that the backend's kernels do not know."""
    if run.backend == "tf" and run.layout != "channels_last":
        raise UsageError(
            f"received the layout {run.layout!r} for the backend 'tf', whose kernels on the CPU "
            "know channels_last alone; allowed is it for torch: remove layout"
        )


def check_second_order(run: RunSettings) -> None:
    """Refuse a precision or a mode in which second derivatives are wrong or not to be had."""
    if not find_method(run.method).is_second_order:
        return
    if run.precision not in EXACT:
        raise UsageError(
            f"received the precision {run.precision!r} for method {run.method!r}, whose "
            f"hyper-gradients it would drown; allowed are {', '.join(EXACT)}: set precision"
        )
    if (run.backend, run.mode) == ("torch", "compiled"):
        raise UsageError(
            f"received the mode 'compiled' for method {run.method!r} in torch, whose compiler "
            "refuses second derivatives; allowed are default and eager: remove mode"
        )


def check_model(run: RunSettings) -> None:
    """Refuse a model that the method cannot train."""
    allowed, name = find_method(run.method).models, run.model_spec.name
    if allowed and name not in allowed:
        default = "" if "method" in run.model_fields_set else ", the default"
        raise UsageError(
            f"received model {name!r} for method {run.method!r}{default}; allowed are "
            f"{', '.join(allowed)}: {suggest_method(run)}"
        )


def suggest_method(run: RunSettings) -> str:
    """Say what to type where the method cannot train the model."""
    if run.initial_weights is None:
        return "choose one of them or --method scratch"
    return "add --method transfer for a new head on these weights, or --method scratch"


RULES: tuple[Callable[[RunSettings], None], ...] = (
    check_options,
    check_model_options,
    check_size,
    check_teacher_options,
    check_learns_from_teacher,
    check_optimizer,
    check_layout,
    check_second_order,
    check_model,
)
