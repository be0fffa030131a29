"""A trained run, opened again: its network, data and weights, each checked against its record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from poc.shared.data.sources.inspection import KeptNotes, Note, ignore
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays_and_metadata
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.reading.config import assign, full_key
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.check import check_weights
from poc.shared.weights.lineage import lineage_of

from .folder.record import RunRecord
from .resolving.after_data import resolve
from .run_data import RunData

# Settings of the data that decide how a network sees an image when it is not trained. A change of
# others, such as the training view, cannot change a result here.
SEEN = ("class_pattern", "image_size", "channels", "interpolation", "fill", "eval_view")
# The first of these parts that the run has is judged, if the caller names none.
JUDGED = ("test", "val", "train")


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run's network with its data and its weights; the caller closes `data`.

    Attributes:
        record: Record in the run folder.
        run: The network without its method, on the data as opened now.
        data: That data, with its classes in the order of the logits.
        weights: Canonical name -> array, the network's own weights of the checkpoint.
        notes: Differences from the run, one sentence each.
    """

    record: RunRecord
    run: RunSpec
    data: RunData
    weights: Weights
    notes: Sequence[str]


def open_trained(
    folder: Path,
    *,
    data: str | None = None,
    assignments: Iterable[str] = (),
    checkpoint: str = "best",
    part: str | None = None,
    note: Note = ignore,
) -> TrainedRun:
    """Open a run folder, and compare its record with the data and the weights found now.

    Args:
        folder: Run folder.
        data: Present place of its data, as `--data` takes it; None for the recorded place.
        assignments: Changes of its data settings, as `key=value`.
        checkpoint: File in `checkpoints`, without its ending.
        part: Part that the run is judged by; None for the first of test, val and train that it has.
        note: Called with each difference from the run.

    Raises:
        UsageError: The folder is not a run folder, the classes or the weights are others, the run
            trained on images of the part that tests it, or an assignment changes something else
            than the data.
    """
    assignments, notes = list(assignments), KeptNotes(note)
    # If the caller sets a split, the recorded parts do not apply.
    record = replace(RunRecord.read(folder), is_split_anew=any(map(is_of_split, assignments)))
    run = network_alone(record, data, assignments)
    resolved, opened = resolve(run, notes, record=record)
    run = resolved.spec
    try:
        tell_views(record.spec, run, notes)
        split = opened.split
        judged = part or next(name for name in JUDGED if len(split.parts[name]))
        if judged in split.parts:
            record.refuse_trained(split, judged)
        weights = read_weights(record, resolved, checkpoint)
    except BaseException:
        opened.close()
        raise
    return TrainedRun(record=record, run=run, data=opened, weights=weights, notes=notes.texts)


def recorded_network(record: RunRecord) -> RunSpec:
    """Build the spec of the run's network alone, for images as the run tested it on.

    Unlike `open_trained`, it needs none of the run's data.

    Raises:
        UsageError: The run never opened its data, so that its network is not known.
    """
    run = record.spec
    if run.input_shape is None or run.num_classes is None or not record.class_names:
        raise UsageError(
            f"Got the run {str(record.folder)!r}, which ended before it had opened its data. "
            "Expected a run that has trained. Try naming another, or starting it again."
        )
    values = run.model_dump(mode="json")
    # The device that trained may be missing on the machine that asks.
    values.update(method="scratch", method_options={}, teacher=None, device="auto")
    keep_habits(values, run)
    return RunSpec.parse({**values, "initial_weights": None}, "")


def network_alone(record: RunRecord, data: str | None, assignments: Sequence[str]) -> RunSpec:
    """Build the spec of the run's network alone, without its method, on the data's present place.

    Raises:
        UsageError: An assignment does not set the data, or contradicts the training.
    """
    values = record.spec.model_dump(mode="json")
    trained, recorded = values["data"]["normalization"], values["data"]["columns"]
    others = {key: value for key, value in values.items() if key != "data"}
    if data is not None or not any(full_key_of(text) == "data.source" for text in assignments):
        values["data"]["source"] = record.locate(data)
    for assignment in assignments:
        assign(values, assignment)
        # Compared after the assignment: a short key such as `k` only shows here what it sets.
        if {key: value for key, value in values.items() if key != "data"} != others:
            raise UsageError(
                f"Got --set {assignment}, which does not set the data. Expected a setting of the "
                "data. Try for example image_size=[224,224] or eval_view.crop=ten."
            )
    if not values["data"]["source"].startswith("csv:") and values["data"]["columns"] == recorded:
        # Other data than the CSV file of the training has no columns.
        values["data"]["columns"] = {}
    # A method with a size of its own would refuse another; its teacher's file may be gone by now.
    values.update(method="scratch", method_options={}, teacher=None, input_shape=None)
    keep_habits(values, record.spec)
    run = RunSpec.parse(values, "")
    if run.data.normalization != trained:
        raise UsageError(
            f"Got data.normalization={run.data.normalization!r} for the run "
            f"{str(record.folder)!r}. Expected {trained!r}, with which it was trained. "
            "Try leaving it out."
        )
    return run


def keep_habits(values: dict[str, object], trained: RunSpec) -> None:
    """Name the framework whose habits the trained network has, in place; another may compute it.

    The settings of the data say already how its images are resized, and may be changed.
    """
    if trained.habits.native:
        habits = {**trained.habits.model_dump(mode="json"), "input_pipeline": "common"}
        framework = trained.habits.framework or trained.backend
        values["habits"] = {**habits, "framework": framework}


def full_key_of(assignment: str) -> str:
    """Return the dotted key that an assignment sets."""
    return ".".join(full_key(assignment.partition("=")[0].strip(), {}))


def is_of_split(assignment: str) -> bool:
    """Tell if an assignment decides how parts are made."""
    return full_key_of(assignment).startswith("data.split")


def tell_views(trained: RunSpec, run: RunSpec, note: Note) -> None:
    """Report how the network sees the images, if this differs from its training."""
    before, now = seen_settings(trained), seen_settings(run)
    differing = [
        f"{key} is {now[key]}, was {before[key]}" for key in now if now[key] != before[key]
    ]
    if differing:
        note(f"Settings that differ from the run's: {'; '.join(differing)}.")
    # The shape also follows from the data, so that settings alone may not show the difference.
    if trained.input_shape not in (None, run.input_shape):
        note(
            f"The network sees images of shape {run.input_shape}; it was trained on "
            f"{trained.input_shape}."
        )


def seen_settings(run: RunSpec) -> dict[str, object]:
    """Return key -> value of each setting that decides how evaluation shows an image."""
    values = run.data.model_dump(mode="json")
    view = {f"eval_view.{key}": value for key, value in values["eval_view"].items()}
    return {key: values[key] for key in SEEN if key != "eval_view"} | view


def read_weights(record: RunRecord, run: ResolvedRun, checkpoint: str) -> Weights:
    """Read the network's own weights from a checkpoint of its run.

    Returns:
        Canonical `Weights` of the declared shapes.

    Raises:
        UsageError: The file is missing, or has tensors of another network or lineage.
    """
    path = record.folder / "checkpoints" / f"{checkpoint}.safetensors"
    read, metadata = read_arrays_and_metadata(path)
    own = {parameter.name for parameter in run.network.parameters}
    beside: set[str] = set()
    if read.keys() > own:
        # Parameters that the method trained outside the network do not change its logits.
        beside = {p.name for p in resolve_networks(record.spec).trained_network.parameters} - own
    weights = {name: value for name, value in read.items() if name not in beside}
    lineage = lineage_of(run.spec.model_spec)
    found = metadata.get("lineage", lineage)
    if found != lineage:
        raise UsageError(
            f"Got {str(path)!r}, whose weights are of the lineage {found!r}. Expected the lineage "
            f"{lineage!r} of the run's network. Try naming the run's own checkpoint."
        )
    try:
        check_weights(run.network, weights)
    except UsageError as error:
        what = str(error).removeprefix("Got ")
        raise UsageError(f"Got {str(path)!r} with {what}") from None
    return weights
