"""A run's teacher: its files, and checks that it fits the run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poc.shared.data.sources.inspection import Note, ignore
from poc.shared.engine.folder.record import RunRecord, find_order, list_classes
from poc.shared.engine.teacher import digest_weights, teacher_weights
from poc.shared.errors import UsageError
from poc.shared.files.whole import read_object
from poc.shared.spec.methods.channel_selection import DIGEST, FORMER_DIGEST
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.run import RunSpec

CHECKPOINT = Path("checkpoints") / "best.safetensors"


def require_teacher(run: RunSpec) -> None:
    """Refuse a method that learns from a teacher if no trained teacher is named.

    Raises:
        UsageError: The method learns from a teacher, and the run names none.
    """
    if find_method(run.method).distillation and (
        run.teacher is None or run.teacher.weights is None
    ):
        raise UsageError(
            f"Got method {run.method!r} without a teacher. Expected a trained network. Try adding "
            "--teacher RUN_FOLDER or --teacher FILE.safetensors."
        )


def resolve_teacher(run: RunSpec) -> RunSpec:
    """Replace a teacher's run folder by its model, classes, normalisation and weight file.

    Raises:
        UsageError: There is neither a file nor a run folder, or the teacher contradicts the run;
            the message names both sides.
    """
    if run.teacher is None or run.teacher.weights is None:
        return run
    path = Path(run.teacher.weights)
    found: dict[str, Any] = {"weights": str(path.resolve())}
    if (path / "run.json").is_file():
        found = read_teacher_folder(path)
    elif not path.is_file():
        raise UsageError(
            f"Got the teacher {str(path)!r}, which is neither a file nor a run folder. Expected a "
            "run folder or a canonical safetensors file. Try the folder that `poc run` printed."
        )
    given = run.teacher.model_dump(mode="json", exclude={"weights", "cache"})
    # A setting of the user is never replaced silently by that of the folder.
    for key, value in given.items():
        if value is not None and found.setdefault(key, value) != value:
            raise UsageError(
                f"Got teacher.{key}={value!r} for the teacher {str(path)!r}. Expected "
                f"{found[key]!r}, as in its run folder. Try leaving teacher.{key} out."
            )
    return run.replace(teacher={**run.teacher.model_dump(mode="json"), **found})


def read_teacher_folder(path: Path) -> dict[str, Any]:
    """Read the settings of a teacher from the folder of the run that trained it."""
    trained = RunRecord.read(path).spec.model_dump(mode="json")
    return {
        "weights": str((path / CHECKPOINT).resolve()),
        "model": trained["model"],
        "num_classes": trained["num_classes"],
        "normalization": trained["data"]["normalization"],
    }


def match_teacher(run: RunSpec, class_names: Sequence[str], note: Note = ignore) -> RunSpec:
    """Compare the teacher's training with its use here, and order its logits by class name.

    Args:
        run: Run with its teacher resolved and the images' shape filled in.
        class_names: The run's classes, in the order of its labels.
        note: Called with each difference that does no harm.

    Raises:
        UsageError: The method compares logits, and the teacher has other classes; the message names
            both lists.
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
    # Maps can be matched whatever the classes are, so this is only a note.
    if known and find_order(class_names, known) is None:
        note(
            f"The teacher {path!r} was trained on other classes, "
            f"{list_classes(known, class_names)}; {run.method} does not compare logits."
        )
    return run


def check_selection(run: RunSpec) -> None:
    """Refuse channels that were selected for another teacher.

    Raises:
        UsageError: The selection is for another teacher. A selection from before digests were
            recorded is accepted.
    """
    path = getattr(run.method_settings, "channels_file", None)
    weights = run.teacher.weights if run.teacher else None
    if path is None or weights is None:
        return
    # A digest, since a path may name other weights by now.
    stored = read_object(Path(path))
    recorded = stored.get(DIGEST, stored.get(FORMER_DIGEST))
    if recorded not in (None, digest_weights(weights)):
        raise UsageError(
            f"Got method_options.channels_file={path!r}, which was selected for another teacher "
            f"than {weights!r}. Expected a selection for this one. Try making it with "
            "`poc channels`."
        )


def order_teacher(
    run: RunSpec, known: Sequence[str], class_names: Sequence[str], note: Note
) -> RunSpec:
    """Put the teacher's logits into the order of the run's classes.

    Args:
        run: Run whose method compares logits.
        known: Classes of the teacher in the order of its logits; empty if they are not known.
        class_names: The run's classes, in the order of its labels.
        note: As for `match_teacher`.

    Raises:
        UsageError: The classes or the given order contradict the teacher's.
    """
    teacher: Any = run.teacher
    given = teacher.class_order
    if not known:
        if given is None:
            note(
                f"The teacher {teacher.weights!r} names no classes: its logits are taken in the "
                f"order {list_classes(class_names, ())}; teacher.class_order sets another."
            )
        return run
    order = find_order(class_names, known)
    if order is None:
        raise UsageError(
            f"Got the teacher {teacher.weights!r} with the classes "
            f"{list_classes(known, class_names)} for {run.method}, which compares logits. Expected "
            f"the run's classes {list_classes(class_names, known)}. Try another teacher, or a "
            "method that matches maps."
        )
    if given not in (None, order):
        raise UsageError(
            f"Got teacher.class_order={list(given)} for the teacher {teacher.weights!r}. Expected "
            f"{list(order)}, which follows from its class names. Try leaving teacher.class_order "
            "out."
        )
    # Without an order the last layer's weights are used unchanged.
    if order == tuple(range(len(order))):
        return run
    note("The teacher's classes are in another order than the run's; they are matched by name.")
    return run.replace(teacher={**teacher.model_dump(mode="json"), "class_order": list(order)})


def tell_kept_head(run: RunSpec, class_names: Sequence[str], note: Note) -> None:
    """Report that a run starts with a head that another run has trained on other classes."""
    # Another number of classes changes shapes, which `check_initial_weights` refuses.
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
        UsageError: Normalisation, weights or caching do not fit; the message names both sides.
    """
    run, teacher = resolved.spec, resolved.teacher_network
    if run.teacher is None or teacher is None:
        return
    if run.teacher.normalization not in (None, run.data.normalization):
        raise UsageError(
            f"Got data.normalization={run.data.normalization!r} for a teacher that was trained "
            f"with {run.teacher.normalization!r}. Expected the teacher's, since both see the same "
            f"images. Try data.normalization={run.teacher.normalization}."
        )
    if run.teacher.cache and run.data.has_random_views:
        raise UsageError(
            "Got teacher.cache=true with random views of the images. Expected fixed views, since "
            "cached outputs would belong to other crops. Try teacher.cache=false or removing the "
            "augmentation."
        )
    teacher_weights(run, teacher)
