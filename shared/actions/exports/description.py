"""Description of an exported file: how to show it a picture, and where it is from."""

from collections.abc import Mapping
from pathlib import Path

import PIL

from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.data.views.geometry import Size, scaled
from poc.shared.engine.export.preprocess import InputKind, Preprocess, Rule, RunFacts
from poc.shared.engine.folder.decision import CHECKPOINT, AnswerRule
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.trained_run import TrainedRun
from poc.shared.spec.data import DataSpec
from poc.shared.spec.run import RunSpec
from poc.shared.weights.header import read_texts

# Names under which a weight file's header may give its licence.
LICENCE_KEYS = ("licence", "license")
# The images that come with poc; their own notice is next to them.
EMBEDDED = "embedded"
EMBEDDED_LICENCE = (
    " They were trained on a cut of Fashion-MNIST, whose images have the MIT licence (Copyright "
    "2017 Zalando SE)."
)


def describe_file(
    trained: TrainedRun, decision: AnswerRule | None, kind: InputKind, precision: str
) -> Preprocess:
    """Describe an exported file.

    Args:
        trained: The run.
        decision: Its decision, if it has one.
        kind: Kind of its input.
        precision: Its number type.
    """
    data, record = trained.run.data, trained.record
    shape = trained.data.train.image_shape
    return Preprocess(
        kind=kind,
        size=shape[:2],
        target=find_target(data, shape[:2]),
        channels=3 if shape[2] == 3 else 1,
        mode="RGB" if shape[2] == 3 else "L",
        interpolation=data.interpolation,
        fill=data.fill,
        eval_view=data.eval_view,
        num_views=EvaluationView(data, shape).num_views,
        normalization=data.normalization,
        class_names=list(record.class_names),
        is_multi_label=trained.run.loss.is_binary,
        decision=narrow(decision),
        run=describe_run(record),
        precision=precision,
        weights_licence=describe_licence(record.folder, record.spec),
        pillow=PIL.__version__,
    )


def find_target(data: DataSpec, size: Size) -> Size:
    """Return the (height, width) that the evaluation view's resize rule aims at."""
    view = data.eval_view
    return size if view.crop == "none" else scaled(size, view.crop_share)


def narrow(decision: AnswerRule | None) -> Rule | None:
    """Return the part of a decision that answers images."""
    if decision is None:
        return None
    return Rule(
        temperature=decision.temperature,
        threshold=decision.threshold,
        rejection=decision.rejection,
    )


def describe_run(record: RunRecord) -> RunFacts:
    """Return the facts about the run that trained the weights."""
    spec = record.spec
    return RunFacts(
        method=spec.method,
        model=spec.model_spec.name,
        backend=spec.backend,
        seed=spec.seed,
        date=str(record.content.get("started", "unknown")),
    )


def describe_licence(folder: Path, spec: RunSpec) -> str:
    """Return a sentence about the licence of the weights, as far as the run knows it."""
    images = describe_images(spec)
    sources = [folder / "checkpoints" / f"{CHECKPOINT}.safetensors"]
    start = spec.initial_weights
    if start:
        sources.append(Path(start).expanduser())
    for texts in map(read_texts, sources):
        if named := find_licence(texts):
            return f"The header of the weights names the licence {named!r}.{images}"
    if start:
        return (
            f"The weights started from {Path(start).name!r}, whose licence is not known to the "
            f"run: ask their publisher.{images}"
        )
    unknown = " The licence of the images that they were trained on is not known to the run."
    return f"The weights started from random numbers.{images or unknown}"


def describe_images(spec: RunSpec) -> str:
    """Return a sentence about the licence of the images, after a space; empty if unknown."""
    return EMBEDDED_LICENCE if spec.data.source == EMBEDDED else ""


def find_licence(texts: Mapping[str, str]) -> str:
    """Return the licence that the texts of a header name, or an empty text."""
    return next((texts[key] for key in texts if key.lower() in LICENCE_KEYS), "")
