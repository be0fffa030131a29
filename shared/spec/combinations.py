"""Rules for settings that exclude each other with any data: each rule is one function."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from poc.shared.errors import UsageError

from .fitted_heads import check_fitted_head
from .habits.rules import check_habits
from .methods.l2t_ww import L2TWWOptions
from .methods.table import METHODS, find_method, tell_default
from .run_settings import RunSettings
from .suggestions import likeliest
from .training.precision import EXACT

# First word of what has no meaning with any number of labels -> what to do instead.
BINARY_ADVICE = {
    "the": "--method scratch, lightlayers, transfer or fixres",
    "loss.class_weights": "removing loss.class_weights",
    "loss.label_smoothing": "removing loss.label_smoothing",
    "data.sampling": "removing data.sampling",
    "data.eval_view.crop": "data.eval_view.average=logits",
}
# Methods whose networks can have the terms of LoRA, the usual one first.
LORA_METHODS = ("transfer", "scratch")


def check_combination(run: RunSettings) -> None:
    """Refuse a run in which two settings exclude each other.

    Raises:
        UsageError: The first broken rule; the message names both settings and one way out.
    """
    for rule in RULES:
        rule(run)


def check_options(run: RunSettings) -> None:
    """Refuse wrong options of the method."""
    find_method(run.method).options.parse(dict(run.method_options), "method_options")


def check_model_options(run: RunSettings) -> None:
    """Refuse wrong options of the model; the message says if the model is the default."""
    try:
        run.model_spec.resolved()
    except UsageError as error:
        raise UsageError(f"{error}{tell_default(run.method, run.model_spec.name)}") from None


def check_size(run: RunSettings) -> None:
    """Refuse an image size if the method sets the size itself."""
    size = run.data.image_size
    side = find_method(run.method).image_side(run.method_settings)
    # A stage sees the images at a size of its own, which the method has set.
    if side is not None and not run.stage and size not in (None, (side, side)):
        raise UsageError(
            f"Got data.image_size={list(size)} and test_size={side} of the method "
            f"{run.method!r}. Expected only one of them. Try leaving data.image_size out."
        )


def check_lora(run: RunSettings) -> None:
    """Refuse LoRA for a method without frozen layers, and settings of terms that nothing has."""
    plain = type(run.lora)()
    unused = [key for key in ("alpha", "targets") if getattr(run.lora, key) != getattr(plain, key)]
    if run.lora.rank is None and unused:
        name = unused[0]
        raise UsageError(
            f"Got lora.{name}={getattr(run.lora, name)!r} without lora.rank, so that no layer has "
            f"a term. Expected a rank, too. Try lora.rank=8, or removing lora.{name}."
        )
    if run.lora.rank is not None and run.method not in LORA_METHODS:
        raise UsageError(
            f"Got lora.rank={run.lora.rank} with the method {run.method!r}, which trains its "
            "network from the start or computes its head alone. Expected one of "
            f"{', '.join(LORA_METHODS)}. Try --method {LORA_METHODS[0]}."
        )


def check_sampling(run: RunSettings) -> None:
    """Refuse balanced draws in a fixed order."""
    if run.data.sampling == "balanced" and not run.data.shuffle:
        raise UsageError(
            "Got data.sampling=balanced with data.shuffle=false. Expected random draws with "
            "balanced sampling. Try removing one of them."
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
            f"Got a teacher for the method {run.method!r}, which learns from labels alone. "
            f"Expected a teacher only with {', '.join(learners)}. Try --method {learners[0]}, or "
            "remove the teacher."
        )


def check_optimizer(run: RunSettings) -> None:
    """Refuse an optimizer that the method cannot differentiate through."""
    allowed = find_method(run.method).optimizers
    if allowed and (run.optimizer.name not in allowed or run.optimizer.nesterov):
        raise UsageError(
            f"Got optimizer.name={run.optimizer.name!r}"
            f"{' with nesterov' if run.optimizer.nesterov else ''} for the method "
            f"{run.method!r}, whose gradient passes through its own update. Expected "
            f"{', '.join(allowed)} without nesterov. Try optimizer.name={allowed[0]}"
            f"{' and optimizer.nesterov=false' if run.optimizer.nesterov else ''}."
        )


# Setting of a plain update -> its value without effect, and what to type instead of it.
PLAIN_UPDATE: Mapping[str, tuple[object, str]] = MappingProxyType(
    {
        "clip_norm": (None, "method_options.clip_norm={value}"),
        "accumulation_steps": (1, "accumulation_steps=1 with a smaller data.batch_size"),
        "frobenius_decay": (None, "optimizer.weight_decay={value}"),
    }
)


def check_update(run: RunSettings) -> None:
    """Refuse settings of a plain update for a method that takes its own steps."""
    if not find_method(run.method).owns_update:
        return
    for name, (without, instead) in PLAIN_UPDATE.items():
        value = getattr(run.optimizer, name)
        if value != without:
            raise UsageError(
                f"Got optimizer.{name}={value} for the method {run.method!r}, which takes several "
                "steps of its own on each batch. Expected a method with one gradient per batch, "
                f"or no {name}. Try {instead.format(value=value)} instead."
            )


def check_schedule(run: RunSettings) -> None:
    """Refuse a warm-up before a schedule that begins with a rise of its own."""
    if run.schedule.name == "one_cycle" and run.schedule.warmup_steps:
        raise UsageError(
            f"Got schedule.warmup_steps={run.schedule.warmup_steps} with schedule.name=one_cycle, "
            "which begins with a rise of its own. Expected no warm-up. Try removing warmup_steps; "
            "schedule.rise_fraction sets the length of the rise."
        )


def check_layout(run: RunSettings) -> None:
    """Refuse a layout that the backend's kernels do not support."""
    if run.backend == "tf" and run.layout != "channels_last":
        raise UsageError(
            f"Got layout={run.layout!r} with the backend 'tf', whose CPU kernels only support "
            "channels_last. Expected layout='channels_last', or backend='torch'. Try removing "
            "layout."
        )


def check_focal(run: RunSettings) -> None:
    """Refuse the focal loss with labels that are not one class: it has no published form there."""
    view, loss = run.data.train_view, run.loss
    softeners = {
        "loss.label_smoothing": loss.label_smoothing,
        "data.train_view.mixup": view.mixup,
        "data.train_view.cutmix": view.cutmix,
    }
    found = [f"{key}={value:g}" for key, value in softeners.items() if value]
    if loss.name == "focal" and found:
        raise UsageError(
            f"Got loss.name='focal' with {found[0]}, which makes labels soft. Expected one class "
            "per image, for which alone the focal loss is defined. Try loss.name=cross_entropy, or "
            f"{found[0].partition('=')[0]}=0."
        )


def check_balance(run: RunSettings) -> None:
    """Refuse two corrections of uneven classes, which would correct twice."""
    if run.loss.class_weights == "balanced" and run.data.sampling == "balanced":
        raise UsageError(
            "Got loss.class_weights='balanced' with data.sampling='balanced', which together give "
            "the smallest classes the most weight. Expected one of them. Try removing "
            "loss.class_weights."
        )


def check_binary(run: RunSettings) -> None:
    """Refuse settings that have no meaning for images with any number of labels."""
    if not run.loss.is_binary:
        return
    view = run.data.eval_view
    found = {
        f"the method {run.method!r}": find_method(run.method).distillation is not None,
        "loss.class_weights": run.loss.class_weights is not None,
        "loss.label_smoothing": bool(run.loss.label_smoothing),
        "data.sampling='balanced'": run.data.sampling == "balanced",
        f"data.eval_view.crop={view.crop!r} and average='softmax'": view.crop in ("five", "ten")
        and view.average == "softmax",
    }
    for what, is_set in found.items():
        if is_set:
            raise UsageError(
                f"Got loss.name='binary_cross_entropy' with {what}, which is defined for one class "
                "per image alone. Expected another setting. Try "
                f"{BINARY_ADVICE[what.partition('=')[0].partition(' ')[0]]}."
            )


def check_second_order(run: RunSettings) -> None:
    """Refuse a precision or a mode in which second derivatives are wrong or unavailable."""
    if not find_method(run.method).is_second_order:
        return
    if run.precision not in EXACT:
        raise UsageError(
            f"Got precision={run.precision!r} for the method {run.method!r}, whose "
            f"hyper-gradients would vanish in its rounding. Expected one of {', '.join(EXACT)}. "
            f"Try precision={EXACT[0]}."
        )
    if (run.backend, run.mode) == ("torch", "compiled"):
        raise UsageError(
            f"Got mode='compiled' for the method {run.method!r} in torch, whose compiler "
            "refuses second derivatives. Expected mode='default' or 'eager'. Try removing mode."
        )


def check_halves(run: RunSettings) -> None:
    """Refuse batches of one example if l2t-ww learns from one half and judges on the other."""
    options, size = run.method_settings, run.data.batch_size
    if isinstance(options, L2TWWOptions) and options.meta_batch == "held_out" and size == 1:
        raise UsageError(
            "Got meta_batch=held_out with data.batch_size=1, which has no second half. Expected at "
            "least 2 examples. Try data.batch_size=2, or meta_batch=same."
        )


def check_range(run: RunSettings) -> None:
    """Refuse float16 for a method whose sums of squares it cannot hold."""
    if run.precision == "float16" and find_method(run.method).squares_maps:
        raise UsageError(
            f"Got precision='float16' for the method {run.method!r}, which sums products over the "
            "values of a map: they exceed 65,504, the largest number of this type. Expected "
            "another precision. Try precision=bfloat16."
        )


def check_model(run: RunSettings) -> None:
    """Refuse a model that the method cannot train."""
    allowed, name = find_method(run.method).models, run.model_spec.name
    if allowed and name not in allowed:
        default = "" if "method" in run.model_fields_set else ", the default"
        raise UsageError(
            f"Got the model {name!r} for the method {run.method!r}{default}. Expected one of "
            f"{', '.join(allowed)}. Try {suggest_method(run, allowed)}."
        )


def suggest_method(run: RunSettings, models: Sequence[str]) -> str:
    """Say what to type if the method cannot train the model."""
    if run.initial_weights is None:
        return f"--model {likeliest(run.model_spec.name, models)}, or --method scratch"
    return "--method transfer for a new head on these weights, or --method scratch"


RULES: tuple[Callable[[RunSettings], None], ...] = (
    check_options,
    check_model_options,
    check_size,
    check_lora,
    check_sampling,
    check_teacher_options,
    check_learns_from_teacher,
    check_optimizer,
    check_fitted_head,
    check_update,
    check_schedule,
    check_layout,
    check_focal,
    check_balance,
    check_binary,
    check_second_order,
    check_halves,
    check_range,
    check_model,
    check_habits,
)
