"""A run's teacher: found, compared with the run, or refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poc.shared.data.sources.inspection import Note, ignore
from poc.shared.engine.folder.record import RunRecord, find_order, list_classes
from poc.shared.engine.teacher import digest_weights, teacher_weights
from poc.shared.errors import UsageError
from poc.shared.files.whole import read_object
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.run import RunSpec

CHECKPOINT = Path("checkpoints") / "best.safetensors"


def require_teacher(run: RunSpec) -> None:
    """Refuse to train from a teacher that nobody has trained.

    Raises:
        UsageError: The method learns from a teacher and none is named.
    """
    if find_method(run.method).distillation and (
        run.teacher is None or run.teacher.weights is None
    ):
        raise UsageError(
            f"received method {run.method!r} without a teacher; allowed is a trained network: add "
            "--teacher RUN_FOLDER or --teacher FILE.safetensors"
        )


def resolve_teacher(run: RunSpec) -> RunSpec:
    """Turn a run folder into its model, classes, normalisation and weight file.

    Raises:
        UsageError: Neither a run folder nor a file, or it contradicts the run; names both sides.
    """
    if run.teacher is None or run.teacher.weights is None:
        return run
    path = Path(run.teacher.weights)
    found: dict[str, Any] = {"weights": str(path.resolve())}
    if (path / "run.json").is_file():
        found = read_teacher_folder(path)
    elif not path.is_file():
        raise UsageError(
            f"received the teacher {str(path)!r}, which is neither a run folder nor a file; name "
            "the folder that `poc run` printed, or a canonical safetensors file"
        )
    given = run.teacher.model_dump(mode="json", exclude={"weights", "cache"})
    for key, value in given.items():
        if value is not None and found.setdefault(key, value) != value:
            raise UsageError(
                f"received teacher.{key}={value!r} for the teacher {str(path)!r}, which has "
                f"{found[key]!r}; leave teacher.{key} out"
            )
    return run.replace(teacher={**run.teacher.model_dump(mode="json"), **found})


def read_teacher_folder(path: Path) -> dict[str, Any]:
    """What a run folder says about the network that it trained."""
    trained = RunRecord.read(path).spec.model_dump(mode="json")
    return {
        "weights": str((path / CHECKPOINT).resolve()),
        "model": trained["model"],
        "num_classes": trained["num_classes"],
        "normalization": trained["data"]["normalization"],
    }


def match_teacher(run: RunSpec, class_names: Sequence[str], note: Note = ignore) -> RunSpec:
    """Compare what the teacher was trained on with what it sees here; order its logits by name.

    Args:
        run: With its teacher resolved and the images' shape filled in.
        class_names: The run's classes, in the order of its labels.
        note: Told what differs and does no harm.

    Raises:
        UsageError: Logits are compared, and the teacher knows other classes; names both lists.
    """
    distillation = find_method(run.method).distillation
    if distillation is None or run.teacher is None or run.teacher.weights is None:
        return run
    check_selection(run)
    path, record = run.teacher.weights, RunRecord.find(Path(run.teacher.weights))
    known = record.class_names if record else ()
    if record is not None and record.spec.input_shape not in (None, run.input_shape):
        note(
            f"The teacher was trained on images of shape {record.spec.input_shape} and sees "
            f"{run.input_shape} here."
        )
    if distillation.compares_logits(run.method_settings):
        return order_teacher(run, known, class_names, note)
    if known and find_order(class_names, known) is None:
        note(
            f"The teacher {path!r} was trained on other classes, "
            f"{list_classes(known, class_names)}; {run.method} does not compare logits."
        )
    return run


def check_selection(run: RunSpec) -> None:
    """Refuse channels that were selected for another teacher.

    Raises:
        UsageError: See above; a selection from before digests were kept is believed.
    """
    path = getattr(run.method_settings, "channels_file", None)
    weights = run.teacher.weights if run.teacher else None
    if path is None or weights is None:
        return
    recorded = read_object(Path(path)).get("source_digest")
    if recorded not in (None, digest_weights(weights)):
        raise UsageError(
            f"received method_options.channels_file={path!r}, which was selected for another "
            f"teacher than {weights!r}; allowed is a selection for this one: make it with "
            "`poc channels`"
        )


def order_teacher(
    run: RunSpec, known: Sequence[str], class_names: Sequence[str], note: Note
) -> RunSpec:
    """The run with its teacher's logits in the order of its own classes.

    Args:
        run: Its method compares logits.
        known: Classes of the teacher in the order of its logits; empty: nobody knows.
        class_names: The run's classes.
        note: See `match_teacher`.
    """
    teacher: Any = run.teacher
    given = teacher.class_order
    if not known:
        if given is None:
            note(
                f"The teacher {teacher.weights!r} names no classes: its logits are taken in the "
                f"order {list_classes(class_names, ())}; teacher.class_order says another."
            )
        return run
    order = find_order(class_names, known)
    if order is None:
        raise UsageError(
            f"received the teacher {teacher.weights!r} of the classes "
            f"{list_classes(known, class_names)} for {run.method}, which compares logits, on the "
            f"classes {list_classes(class_names, known)}; allowed are the same classes: use "
            "another teacher, or a method that matches maps"
        )
    if given not in (None, order):
        raise UsageError(
            f"received teacher.class_order={list(given)} for the teacher {teacher.weights!r}, "
            f"whose class names say {list(order)}; leave teacher.class_order out"
        )
    if order == tuple(range(len(order))):
        return run
    note("The teacher's classes stand in another order than the run's; they are matched by name.")
    return run.replace(teacher={**teacher.model_dump(mode="json"), "class_order": list(order)})


def tell_kept_head(run: RunSpec, class_names: Sequence[str], note: Note) -> None:
    """Say where a run starts with a head that another run has trained on other classes."""
    if run.initial_weights is None or getattr(run.method_settings, "new_head", None):
        return
    record = RunRecord.find(Path(run.initial_weights))
    known = record.class_names if record else ()
    if len(known) == len(class_names) and known != tuple(class_names):
        note(
            f"The head of {run.initial_weights!r} was trained on the classes "
            f"{list_classes(known, class_names)}; it is kept, and learns "
            f"{list_classes(class_names, known)} from there."
        )


def check_teacher(resolved: ResolvedRun) -> None:
    """Refuse a teacher that does not fit the run, before anything is built.

    Raises:
        UsageError: Normalisation, weights or caching; names both sides.
    """
    run, teacher = resolved.spec, resolved.teacher_network
    if run.teacher is None or teacher is None:
        return
    if run.teacher.normalization not in (None, run.data.normalization):
        raise UsageError(
            f"received data.normalization={run.data.normalization!r} for a teacher that was "
            f"trained with {run.teacher.normalization!r}; both see the same images: set "
            f"data.normalization={run.teacher.normalization}"
        )
    if run.teacher.cache and run.data.has_random_views:
        raise UsageError(
            "received teacher.cache=true with random views of the images; kept outputs would "
            "belong to other crops: set teacher.cache=false or remove the augmentation"
        )
    teacher_weights(run, teacher)
