"""The check of an exported file: from image files to labels, together with the trained network.

The trained network sees the images as the run's pipeline reads them. The file sees the same images
as its user will: decoded again, and prepared by what the file says about itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.actions.new_images.exported_file import answering_of
from poc.shared.actions.new_images.given_images import Item, read_picture
from poc.shared.actions.new_images.predict import Predictions
from poc.shared.actions.new_images.trained_network import TrainedNetwork, show_plainly
from poc.shared.analysis.parity.rungs import relative_error
from poc.shared.data.sources.base import Indices, Pixels, Source, to_array
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.engine.console.work_count import Report, WorkCount
from poc.shared.engine.export.preprocess import Preprocess
from poc.shared.engine.export.runtimes import TOLERANCE, ExportedModel, measure_latency
from poc.shared.engine.numerics.answers import Labels, right_answers
from poc.shared.engine.numerics.metrics import average_views, probabilities
from poc.shared.engine.trained_run import TrainedRun
from poc.shared.errors import CheckFailed

# For a float32 file, which must also give each image the same label.
PROBABILITY_TOLERANCE = 1e-4
BATCH_SIZES = (1, 64)


class BothAnswers(NamedTuple):
    """Answers of the trained network and of the file to the same images.

    Attributes:
        labels: (N,), or (N, num_classes) with any number of labels.
        trained: Answers of the network.
        exported: Answers of the file.
        shown: (n, H, W, C) uint8, what the network sees of the first images.
        is_from_files: True if each image was read from a file of its own.
    """

    labels: Labels
    trained: Predictions
    exported: Predictions
    shown: Pixels
    is_from_files: bool


def answer_both(
    trained: TrainedRun,
    model: ExportedModel,
    known: Preprocess,
    num_images: int | None,
    report: Report,
) -> BothAnswers:
    """Answer evaluation images with the trained network, in its own backend, and with the file.

    Args:
        trained: The run.
        model: The file, opened.
        known: Description in the file.
        num_images: Largest number of images; None: all of the part.
        report: Called with progress events.
    """
    pipeline = trained.data.test or trained.data.val or trained.data.train
    answering = answering_of(known)
    network = TrainedNetwork(
        run=show_plainly(trained.run, None), weights=trained.weights, answering=answering
    )
    total = pipeline.examples if num_images is None else min(num_images, pipeline.examples)
    labels: list[Labels] = []
    logits: tuple[list[NDArray[np.floating]], ...] = ([], [])
    items: list[Item] = []
    with network.start(report) as started:
        count = WorkCount(report, "running the file on images", total)
        for batch in pipeline.epoch(0):
            taken = min(total - len(items), len(batch.labels))
            items += list_items(pipeline.source, batch.indices[:taken])
            labels.append(batch.labels[:taken])
            seen = started.logits(batch.images[: taken * known.num_views])
            logits[0].append(average_views(seen, known.num_views, known.eval_view.average))
            logits[1].append(compute_logits(model, known, answering.view, items[-taken:]))
            count(len(items))
            if len(items) == total:
                break
    names = [item.name for item in items]
    by_network, by_file = (
        Predictions(names=names, logits=np.concatenate(own), answering=answering) for own in logits
    )
    first = [show(item, answering.view) for item in items[: BATCH_SIZES[-1]]]
    is_from_files = pipeline.source.file(int(pipeline.indices[0])) is not None
    return BothAnswers(
        labels=np.concatenate(labels),
        trained=by_network,
        exported=by_file,
        shown=np.concatenate(first),
        is_from_files=is_from_files,
    )


def list_items(source: Source, indices: Indices) -> list[Item]:
    """Return the images at positions (k,) of a source: their files, or else their pixels."""
    places = [int(index) for index in indices]
    return [Item(source.ids[at], source.file(at) or source.image(at)) for at in places]


def compute_logits(
    model: ExportedModel, known: Preprocess, view: EvaluationView, items: Sequence[Item]
) -> NDArray[np.floating]:
    """Compute the logits (N, num_classes) of images with the file, averaged over their crops."""
    if known.kind == "picture":
        pictures = [to_array(read_picture(item, known.channels))[np.newaxis] for item in items]
        return np.concatenate([model.logits(picture) for picture in pictures])
    views = np.concatenate([show(item, view) for item in items])
    parts = np.split(views, range(BATCH_SIZES[-1], len(views), BATCH_SIZES[-1]))
    logits = np.concatenate([model.logits(np.ascontiguousarray(part)) for part in parts])
    return average_views(logits, known.num_views, known.eval_view.average)


def show(item: Item, view: EvaluationView) -> Pixels:
    """Return what the network sees of an image: (num_views, H, W, C) uint8."""
    return view.pixels(read_picture(item, view.shape[2]))


def describe_answers(both: BothAnswers, precision: str) -> dict[str, object]:
    """Compare the answers of the file with those of the trained network.

    Raises:
        CheckFailed: A float32 file gives other logits, probabilities or labels.
    """
    trained, exported = both.trained, both.exported
    is_multi_label = trained.answering.is_multi_label
    shares = [
        probabilities(own.scaled, is_multi_label=is_multi_label) for own in (trained, exported)
    ]
    logit_error = relative_error(exported.logits, trained.logits)
    probability_error = float(np.abs(shares[1] - shares[0]).max())
    num_changed = int(find_changed(trained, exported).sum())
    if precision == "float32":
        refuse(logit_error, probability_error, num_changed, len(both.labels))
    right, found = (right_answers(own.logits, both.labels) for own in (trained, exported))
    return {
        "logit_error": logit_error,
        "probability_error": probability_error,
        "num_images": len(both.labels),
        "num_changed": num_changed,
        "is_from_files": both.is_from_files,
        "trained_accuracy": float(right.mean()),
        "exported_accuracy": float(found.mean()),
        "num_lost": int((right & ~found).sum()),
        "num_gained": int((found & ~right).sum()),
    }


def find_changed(trained: Predictions, exported: Predictions) -> NDArray[np.bool_]:
    """Return (N,) True where the labels differ, or only one of the two answers at all."""
    differing = np.asarray(trained.answers != exported.answers)
    is_other = differing.reshape(len(differing), -1).any(axis=1)
    is_answered = ~(trained.is_rejected & exported.is_rejected)
    return np.asarray(is_other & is_answered | (trained.is_rejected != exported.is_rejected))


def refuse(logit_error: float, probability_error: float, num_changed: int, num_images: int) -> None:
    """Refuse a float32 file that answers otherwise.

    Raises:
        CheckFailed: See above.
    """
    is_close = logit_error <= TOLERANCE and probability_error <= PROBABILITY_TOLERANCE
    if is_close and not num_changed:
        return
    raise CheckFailed(
        f"Got an exported file whose logits differ by {logit_error:.1e} from the trained network's "
        f"and whose probabilities by {probability_error:.1e}, with another label for "
        f"{num_changed:,} of {num_images:,} images, so it was not kept. Expected at most "
        f"{TOLERANCE:.0e}, {PROBABILITY_TOLERANCE:.0e} and none. Try the other format, and report "
        "the model."
    )


def measure_latencies(model: ExportedModel, shown: Pixels) -> dict[str, object]:
    """Measure the file on images (n, H, W, C) uint8 of the network's size, on one thread."""
    measured = {size: measure_latency(model, shown, size) for size in BATCH_SIZES}
    return {
        "runtime": model.runtime,
        "num_threads": 1,
        **{f"latency_{size}_seconds": value["seconds"] for size, value in measured.items()},
        **{f"latency_{size}_calls": int(value["calls"]) for size, value in measured.items()},
    }
