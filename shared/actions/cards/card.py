"""`poc card`: the model card of a run, one Markdown text about its network.

It has no time and no place of its own: equal run folders give equal cards.
"""

import shlex
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from poc.shared.actions.count import BYTES_PER_WEIGHT
from poc.shared.actions.exports.companions import name_script
from poc.shared.actions.exports.description import describe_licence
from poc.shared.analysis.runs.row_labels import flatten
from poc.shared.analysis.tables.markdown import escape
from poc.shared.data.sources.inspection import Note, ignore
from poc.shared.engine.export.runtimes import FORMATS
from poc.shared.engine.machine.environment import count_threads
from poc.shared.errors import UsageError
from poc.shared.files.collisions import write_once
from poc.shared.shown_names import plain, say

from .figures import write_figures
from .limits import list_limits
from .paragraphs import bullets, commands, facts, heading, paragraphs
from .recipe import write_recipe
from .rules import describe_split, describe_view
from .subject import Subject

# Of more classes, only so many are named.
MAX_NAMED = 100


def write_card(folder: Path, *, note: Note = ignore) -> str:
    """Return the card of a run.

    Args:
        folder: Run folder.
        note: Called with a sentence if its decision does not apply.

    Raises:
        UsageError: As `read_trained`: the folder is no trained run.
    """
    return compose(Subject.read(folder, note), [])


def save_card(folder: Path, output: Path, *, note: Note = ignore) -> None:
    """Write the card of a run into a new file; a file with the same text stays untouched.

    Raises:
        UsageError: As `write_card`; the file exists with another text, or cannot be written.
    """
    text = write_card(folder, note=note)
    try:
        write_once(output, text.encode(), "--output")
    except OSError as error:
        raise UsageError(
            f"Got --output {str(output)!r}, which cannot be written ({error.strerror}). Expected "
            f"a file in a folder that exists, with room for it. Try {advise(output)}."
        ) from None


def advise(output: Path) -> str:
    """Return what helps against a card that cannot be written."""
    if output.parent.is_dir():
        return "a folder that you may write to and that has room"
    return f"--output {output.name}, or make the folder first"


def compose(subject: Subject, packed: Sequence[str]) -> str:
    """Return the card of a run.

    Args:
        subject: The run.
        packed: Formats of the exported files next to the card; empty for a card by itself.
    """
    spec = subject.spec
    lines = [f"# Model card: {escape(spec.model_spec.name)}, trained by {escape(spec.method)}", ""]
    lines += paragraphs(introduce(subject))
    lines += facts("Network", describe_network(subject))
    lines += facts("Data", describe_data(subject))
    lines += paragraphs([f"Classes: {list_classes(subject.class_names)}."])
    lines += write_figures(subject)
    lines += [*heading("Limits"), *bullets(list_limits(subject))]
    lines += write_use(subject, packed)
    lines += [*heading("Licence"), *paragraphs(describe_licences(subject))]
    lines += write_recipe(subject)
    lines += facts("Versions and machine", describe_machine(subject))
    return "\n".join(lines).rstrip() + "\n"


def introduce(subject: Subject) -> Iterator[str]:
    """Yield what the network does, and how far its training came."""
    names = subject.class_names
    answer = "any number of" if subject.is_multi_label else "one of"
    what = "label" if subject.is_multi_label else "class"
    yield f"A network that gives an image {answer} {say(len(names), what)}."
    now = "The card describes the network as it is now, and has no figures on the test part."
    if subject.is_training:
        yield f"This run is still training. {now}"
    elif subject.status != "finished":
        yield f"This run has not finished (status {subject.status!r}). {now}"
    elif subject.is_damaged:
        yield (
            "This run has finished, but a file of its folder is damaged, so that the card has no "
            "figures on the test part."
        )


def describe_network(subject: Subject) -> dict[str, str]:
    """Return the facts about the network."""
    spec, network = subject.spec, subject.network
    total = sum(parameter.size for parameter in network.parameters)
    height, width, channels = spec.input_shape or (0, 0, 0)
    row = subject.finished.row if subject.finished else {}
    options = flatten(spec.model_spec.resolved().model_dump(mode="json"))
    averaged = ", averaged over the training" if spec.ema.decay is not None else ""
    return {
        "method": spec.method,
        "network": spec.model_spec.name,
        "options": ", ".join(f"{key}={value.strip('[]')}" for key, value in options.items()),
        "backend": f"{spec.backend} (the weights load into tf and torch)",
        "parameters": f"{total:,}",
        "trainable parameters": (
            f"{row['trainable_parameters']:,}" if "trainable_parameters" in row else ""
        ),
        "size of the weights": f"{BYTES_PER_WEIGHT * total:,} bytes",
        "multiply-adds of an image": f"{network.macs:,}",
        "input": f"{height} x {width} pixels, {'RGB' if channels == 3 else 'grey'}",
        "evaluation view": describe_view(spec.data),
        "weights": f"{subject.kept_epoch}{averaged}",
        "started from": Path(spec.initial_weights).name if spec.initial_weights else "random",
    }


def describe_data(subject: Subject) -> dict[str, str]:
    """Return the facts about the images and their parts."""
    data, split = subject.record.data, subject.spec.data.split
    counts = data.get("counts")
    parts = counts if isinstance(counts, dict) else {}
    columns = subject.spec.data.columns
    rows = {"source": subject.write_source()}
    rows |= {f"{part} images": f"{count:,}" for part, count in parts.items()}
    rows["split"] = describe_split(subject)
    rows["groups"] = columns.group or split.group_pattern or "none named"
    if data.get("num_skipped"):
        rows["unreadable images, left out"] = f"{data['num_skipped']:,}"
    rows["digest of the images and labels"] = str(data.get("source_fingerprint", ""))
    rows["digest of the split"] = str(data.get("split_fingerprint", ""))
    return rows


def list_classes(names: Sequence[str]) -> str:
    """Return the names of the classes in the order of the outputs."""
    listed = ", ".join(f"“{name}”" for name in names[:MAX_NAMED])
    more = len(names) - MAX_NAMED
    return f"{listed} and {more:,} more" if more > 0 else listed


def write_use(subject: Subject, packed: Sequence[str]) -> Iterator[str]:
    """Yield how images are labelled: with poc, and with exported files alone."""
    yield from heading("How to use it")
    if not packed:
        name = shlex.quote(plain(subject.record.folder.resolve().name))
        yield from paragraphs(["With poc, from the folder that holds the run:"])
        yield from commands([f"poc predict {name} photo.jpg", f"poc export {name} --format onnx"])
        yield from paragraphs(
            [
                "The exported file answers without a framework, by the script that poc writes next "
                "to it; it takes plain uint8 pictures and has the normalisation inside."
            ]
        )
        return
    yield from paragraphs(
        [
            "Each exported file needs no framework and not poc: it takes plain uint8 pictures, has "
            "the normalisation inside, and its script does the rest."
        ]
    )
    for name in packed:
        package = FORMATS[name].runs_with.replace("_", "-")
        yield from commands(
            [f"pip install numpy pillow {package}", f"python {name_script(name)} photo.jpg"]
        )
    yield from paragraphs(["With poc, which also reads folders, DICOM and lists:"])
    yield from commands([f"poc predict float32.{packed[0]} photo.jpg"])
    yield from paragraphs(
        [
            "weights.safetensors has the weights for both frameworks: poc run --weights "
            "weights.safetensors starts from them. SHA256SUMS has the digest of each file "
            "(sha256sum --check)."
        ]
    )


def describe_licences(subject: Subject) -> Iterator[str]:
    """Yield what is known of the licence of the weights."""
    yield describe_licence(subject.record.folder, subject.spec)


def describe_machine(subject: Subject) -> dict[str, str]:
    """Return the versions and the machine of the training."""
    content = subject.record.content
    found = content.get("environment")
    environment = found if isinstance(found, dict) else {}
    row = subject.finished.row if subject.finished else {}
    gpus = environment.get("gpus") or []
    framework = f"{environment.get('framework', '')} {environment.get('version', '')}".strip()
    return {
        "framework": framework,
        "Python": str(environment.get("python", "")),
        "system": str(environment.get("platform", "")),
        "processor": f"{environment.get('processor', '')}, {environment.get('num_cpus', '?')} used",
        "GPU": ", ".join(map(str, gpus)) or "none",
        "device": str(environment.get("device", "")),
        "threads of one operation": str(count_threads(content) or "") if environment else "",
        "version of poc": str(environment.get("poc_version") or ""),
        "commit of poc": str(environment.get("git_commit") or ""),
        "version of poc that wrote this card": version("poc"),
        "training started": str(content.get("started", "")),
        "training ended": str(content.get("status_changed", "")),
        "training took": f"{row['total_seconds']:,.0f} s" if "total_seconds" in row else "",
        "epochs": str(row.get("num_epochs", "")),
    }
