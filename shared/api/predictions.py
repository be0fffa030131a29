"""`poc.predict` and `poc.prepare_images`: new images through a trained run."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from poc.shared.actions.new_images.given_images import Given
from poc.shared.actions.new_images.predict import BATCH_SIZE, predict_images
from poc.shared.actions.new_images.predict import prepare_images as prepare_batches
from poc.shared.engine.console.progress import WorkProgress
from poc.shared.engine.console.work_count import Report

from .arguments import read_path
from .python_call import Notes, python_call
from .results import probability_frame


def predict(
    folder: str | os.PathLike[str],
    images: Given,
    *,
    checkpoint: str = "best",
    batch_size: int = BATCH_SIZE,
    decision: bool = True,
    verbose: bool = False,
) -> pd.DataFrame:
    """Classify new images with a trained run, in a process of its framework, or an exported file.

    They are decoded, turned upright by their EXIF data, laid on white where they are transparent,
    resized, cropped and normalised as the run's own test images. The run's data need not be there.

    Args:
        folder: Run folder, or a `RunResult`'s `folder`; or a file of `poc export`, which needs no
            framework.
        images: The path of an image file, or of a folder, for all image files below it that are not
            hidden; a Pillow picture; an array of uint8, (H, W), (H, W, C) or (N, H, W, C), with 1
            (grey), 3 (RGB) or 4 (RGB with transparency) channels; or a list or another iterable of
            these, such as `Path.glob`.
        checkpoint: Weights of the run: `best`, `last`, or another file in its `checkpoints`; an
            exported file has one network.
        batch_size: Images that are decoded and computed at a time, which bounds the memory.
        decision: Answer by the decision of `poc calibrate`, if the run has one: its temperature,
            its threshold between two classes, and its least confidence. False: as trained.
        verbose: Print progress on standard error.

    Returns:
        One row per image, in the given order: `file` (the path as given; for pictures and arrays,
        the position), `label` (the most probable class, or that of the decision's threshold; of
        images with any number of labels, those above 1/2, separated by `|`; None if the image is
        below the decision's least confidence), and for each class a
        column of its name with the probability, 0 to 1. A class named `file` or
        `label` has the column `class NAME`. `attrs["decision"]` has the temperature, the threshold
        and the images that they were fitted on; it is None without a decision.

    Raises:
        UsageError: The folder is no trained run, its decision was made for other weights, an image
            is of another kind, or a file cannot be read; then nothing was computed.

    Warns:
        UserWarning: A folder has files that are no images.
    """
    with python_call(verbose=verbose), heard(verbose=verbose) as report:
        found = predict_images(
            read_path(folder, "folder"),
            images,
            checkpoint=checkpoint,
            batch_size=batch_size,
            use_decision=decision,
            report=report,
        )
    lead = {"file": found.names}
    table = probability_frame(found.scaled, found.class_names, lead, found.answers)
    # Texts of pandas 3 know no None.
    table["label"] = table["label"].astype(object)
    table.loc[found.is_rejected, "label"] = None
    table.attrs["decision"] = found.decision.summary() if found.decision else None
    return table


def prepare_images(folder: str | os.PathLike[str], images: Given) -> NDArray[np.float32]:
    """Make the arrays that a run's network sees of images, for a model of `poc.load_model`.

    Args:
        folder: Run folder, or that of a study.
        images: As of `predict`: paths, Pillow pictures, uint8 arrays (H, W, C) or (N, H, W, C).

    Returns:
        (N, H, W, C) float32, resized, cropped and normalised as in the run's test; with five or ten
        crops (N * crops, H, W, C), the crops of an image next to each other. A PyTorch model takes
        (N, C, H, W): `torch.from_numpy(images).permute(0, 3, 1, 2)`.

    Raises:
        UsageError: As `predict`.
    """
    with python_call(), heard(verbose=False) as report:
        path = read_path(folder, "folder")
        return np.concatenate(list(prepare_batches(path, images, report=report)))


@contextmanager
def heard(*, verbose: bool) -> Iterator[Report]:
    """Yield a report; afterwards, warn with the notes that were not printed."""
    with WorkProgress("predict") as progress:
        notes = Notes(progress.update)
        yield notes
    for text in () if verbose else notes.texts:
        # The line of the caller: above are the context manager, its library, and the call itself.
        warnings.warn(text, stacklevel=4)
