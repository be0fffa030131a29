"""A trained run opened again: its network, its data and its weights, each checked by its record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from poc.shared.data.sources.inspection import Note, ignore
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

# Settings of the data that say what an image looks like to a network that is not trained.
SEEN = ("class_pattern", "image_size", "channels", "interpolation", "fill", "eval_view")
JUDGED = ("test", "val", "train")


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """What a reader of a run folder works with; a context manager through its `data`.

    Attributes:
        record: What the folder says.
        run: The network alone, on the data as it is opened now.
        data: That data, its classes in the order of the logits.
        weights: Of the checkpoint, the network's own.
        notes: What differs from the run, one sentence each.
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
    """Open a run folder, and compare all that it says with what is there now.

    Args:
        folder: Run folder.
        data: Where its data lies, as `--data` takes it; none: where it lay.
        assignments: Changes of its data settings, as `key=value`.
        checkpoint: File below `checkpoints`, without its ending.
        part: That the run is judged by; none: the first of test, val and train that it has.
        note: Told what differs from the run.

    Raises:
        UsageError: No run folder, other classes, images that it trained on in a part that tests
            it, other weights, or a change of something else than its data.
    """
    assignments, notes = list(assignments), []

    def tell(text: str) -> None:
        notes.append(text)
        note(text)

    record = replace(RunRecord.read(folder), is_split_anew=any(map(is_of_split, assignments)))
    run = network_alone(record, data, assignments)
    resolved, opened = resolve(run, tell, record=record)
    run = resolved.spec
    try:
        tell_views(record.spec, run, tell)
        split = opened.split
        judged = part or next(name for name in JUDGED if len(split.parts[name]))
        if judged in split.parts:
            record.refuse_trained(split, judged)
        weights = read_weights(record, resolved, checkpoint)
    except BaseException:
        opened.close()
        raise
    return TrainedRun(record=record, run=run, data=opened, weights=weights, notes=notes)


def network_alone(record: RunRecord, data: str | None, assignments: Sequence[str]) -> RunSpec:
    """The run's network, whatever trained it, with its data where it lies now.

    Raises:
        UsageError: An assignment is no setting of the data, or contradicts the training.
    """
    values = record.spec.model_dump(mode="json")
    trained = values["data"]["normalization"]
    others = {key: value for key, value in values.items() if key != "data"}
    if data is not None or not any(full_key_of(text) == "data.source" for text in assignments):
        values["data"]["source"] = record.locate(data)
    for assignment in assignments:
        assign(values, assignment)
        if {key: value for key, value in values.items() if key != "data"} != others:
            raise UsageError(
                f"received --set {assignment}, which is no setting of the data; allowed are those, "
                "such as image_size=[224,224] or eval_view.crop=ten: choose one"
            )
    # A plan with a size of its own would refuse another; a source may be gone by now.
    values.update(method="scratch", method_options={}, teacher=None, input_shape=None)
    run = RunSpec.parse(values, "")
    if run.data.normalization != trained:
        raise UsageError(
            f"received data.normalization={run.data.normalization!r} for the run "
            f"{str(record.folder)!r}, which was trained with {trained!r}; leave it out"
        )
    return run


def full_key_of(assignment: str) -> str:
    """The dotted key that an assignment sets."""
    return ".".join(full_key(assignment.partition("=")[0].strip(), {}))


def is_of_split(assignment: str) -> bool:
    """Whether an assignment says how parts are made."""
    return full_key_of(assignment).startswith("data.split")


def tell_views(trained: RunSpec, run: RunSpec, note: Note) -> None:
    """Say which views of the images differ from those that the run was trained with."""
    before, now = seen_settings(trained), seen_settings(run)
    differing = [
        f"{key} is {now[key]}, was {before[key]}" for key in now if now[key] != before[key]
    ]
    if differing:
        note(f"Not as in the run: {'; '.join(differing)}.")
    if trained.input_shape not in (None, run.input_shape):
        note(
            f"The network sees images of shape {run.input_shape}; it was trained on "
            f"{trained.input_shape}."
        )


def seen_settings(run: RunSpec) -> dict[str, object]:
    """Key -> value of all that decides how evaluation shows an image."""
    values = run.data.model_dump(mode="json")
    view = {f"eval_view.{key}": value for key, value in values["eval_view"].items()}
    return {key: values[key] for key in SEEN if key != "eval_view"} | view


def read_weights(record: RunRecord, run: ResolvedRun, checkpoint: str) -> Weights:
    """The network's own weights from a checkpoint of its run.

    Raises:
        UsageError: No such file, or tensors of another network or lineage.
    """
    path = record.folder / "checkpoints" / f"{checkpoint}.safetensors"
    read, metadata = read_arrays_and_metadata(path)
    own = {parameter.name for parameter in run.network.parameters}
    beside: set[str] = set()
    if read.keys() > own:
        # What was trained beside the network takes no part in its logits.
        beside = {p.name for p in resolve_networks(record.spec).trained_network.parameters} - own
    weights = {name: value for name, value in read.items() if name not in beside}
    lineage = lineage_of(run.spec.model_spec)
    found = metadata.get("lineage", lineage)
    if found != lineage:
        raise UsageError(
            f"received {str(path)!r}, whose weights are of the lineage {found!r}; the run's "
            f"network is of {lineage!r}: name the run's own checkpoint"
        )
    try:
        check_weights(run.network, weights)
    except UsageError as error:
        what = str(error).removeprefix("received ")
        raise UsageError(f"received {str(path)!r}: {what}") from None
    return weights
