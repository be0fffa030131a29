"""Albums of a report: the images of a row that are most wrong, and those that frameworks dispute.

An album holds words and numbers alone; `pictures` adds the thumbnails.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.runs.groups import Group, match_backends, seed_of
from poc.shared.analysis.runs.predictions import Predictions, same_images
from poc.shared.analysis.verdicts.findings import mean_accuracy

from .answers import Answers
from .neighbours import Neighbour
from .thumbnails import Thumbnail

LARGEST_LOSS, MOST_CONFIDENT = "largest loss", "most confident errors"
FRAMEWORKS = "frameworks differ"
NUM_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The answer of one network, or of several ones on average.

    Attributes:
        by: Framework that answered; empty if the album has one row.
        answer: Answered class, or labels.
        probability: See `Answers.confidences`.
        loss: See `Answers.losses`.
        about: Label that the probability is about; empty with one class per image.
    """

    by: str
    answer: str
    probability: float
    loss: float
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A test image: its id, its true class or labels, and what was answered."""

    id: str
    truth: str
    judgements: Sequence[Judgement]
    seeds: Sequence[int] = ()
    thumbnail: Thumbnail | None = None
    neighbour: Neighbour | None = None


@dataclass(frozen=True, kw_only=True)
class Album:
    """Test images of one row, or of two rows that differ in the framework alone.

    Attributes:
        row: Label of the row.
        kind: `LARGEST_LOSS`, `MOST_CONFIDENT` or `FRAMEWORKS`.
        folder: Folder of a run of the row, whose data has the images.
        examples: The images, the worst first.
        note: How many there were, and how they were chosen.
    """

    row: str
    kind: str
    folder: Path
    examples: Sequence[Example]
    note: str

    @property
    def title(self) -> str:
        """Return the heading of the album."""
        return f"{self.row}: {self.kind}"


def make_albums(groups: Sequence[Group]) -> list[Album]:
    """Return the albums: those of the best row, of disputes between frameworks, of other rows."""
    tested = [(group, answers) for group in groups if (answers := answers_of(group))]
    tested.sort(key=lambda pair: -mean_accuracy(pair[0]))
    of_rows = [list(albums_of_row(*pair)) for pair in tested]
    disputes = [album for pair in match_backends(groups) if (album := dispute_of(*pair))]
    albums = [*(of_rows[0] if of_rows else []), *disputes]
    return [*albums, *(album for own in of_rows[1:] for album in own)]


def answers_of(group: Group) -> Answers | None:
    """Return the answers of a row; None if it was not tested."""
    tested = [run.predictions for run in group.runs if run.predictions is not None]
    return Answers.of(tested, group.data.class_names) if tested else None


def folder_of(group: Group) -> Path:
    """Return the folder of the first run of a row that was tested."""
    return Path(next(run.name for run in group.runs if run.predictions is not None))


def albums_of_row(group: Group, answers: Answers) -> Iterator[Album]:
    """Yield the albums of a row; those without images are left out."""
    of_runs = f"mean of {answers.num_runs} runs" if answers.num_runs > 1 else "1 run"
    num_wrong, num_images = int(answers.is_wrong.sum()), len(answers.ids)
    wrong = f"{num_wrong:,} of {num_images:,} test images are answered wrongly ({of_runs})"
    by_loss = np.argsort(-answers.losses, kind="stable")
    by_confidence = np.argsort(-answers.confidences, kind="stable")
    by_confidence = by_confidence[answers.is_wrong[by_confidence]]
    for kind, order in ((LARGEST_LOSS, by_loss), (MOST_CONFIDENT, by_confidence)):
        examples = [example_at(answers, int(place)) for place in order[:NUM_SHOWN]]
        if examples:
            yield Album(
                row=group.label,
                kind=kind,
                folder=folder_of(group),
                examples=examples,
                note=f"{wrong}; {len(examples)} shown.",
            )


def example_at(answers: Answers, place: int) -> Example:
    """Return one image of a row with its answer."""
    return Example(
        id=str(answers.ids[place]),
        truth=answers.truth(place),
        judgements=[judgement_at(answers, place)],
    )


def judgement_at(answers: Answers, place: int, by: str = "") -> Judgement:
    """Return the answer for one image."""
    return Judgement(
        by=by,
        answer=answers.answer(place),
        probability=float(answers.confidences[place]),
        loss=float(answers.losses[place]),
        about=answers.worst(place),
    )


def dispute_of(tf: Group, torch: Group) -> Album | None:
    """Return the images that two frameworks answer differently with equal seeds.

    Returns None if no seed was tested on the same images in both.
    """
    first, second = (predictions_by_seed(group) for group in (tf, torch))
    common = sorted(first.keys() & second.keys())
    alike = [seed for seed in common if same_images(first[seed], second[seed])]
    seeds = [seed for seed in alike if same_images(first[alike[0]], first[seed])]
    if not seeds:
        return None
    names = tf.data.class_names
    pairs = {
        seed: (Answers.of([first[seed]], names), Answers.of([second[seed]], names))
        for seed in seeds
    }
    examples, num_disputed = list_disputed(pairs)
    num_images = len(first[seeds[0]].ids)
    listed = f"seed{'s' if seeds[1:] else ''} {', '.join(map(str, seeds))}"
    return Album(
        row=f"{tf.label} and {torch.label}",
        kind=FRAMEWORKS,
        folder=folder_of(tf),
        examples=examples,
        note=f"{num_disputed:,} of {num_images:,} test images have different answers in the two "
        f"frameworks with an equal seed ({listed}); {len(examples)} shown, those "
        "with the most such seeds first, then by the distance of the probabilities.",
    )


def predictions_by_seed(group: Group) -> Mapping[int, Predictions]:
    """Return the answers of a row by seed; of several runs of a seed, those of the first."""
    found: dict[int, Predictions] = {}
    for run in group.runs:
        if run.predictions is not None:
            found.setdefault(seed_of(run), run.predictions)
    return found


def list_disputed(pairs: Mapping[int, tuple[Answers, Answers]]) -> tuple[list[Example], int]:
    """Return the images that are disputed most, and how many are disputed at all.

    Args:
        pairs: Seed -> the answers of tf and of torch, for the same images.
    """
    differs = np.stack([differing(*pair) for pair in pairs.values()])
    apart = np.stack([np.abs(tf.shares - torch.shares).sum(axis=1) for tf, torch in pairs.values()])
    counts, distances = differs.sum(axis=0), (apart * differs).max(axis=0)
    # The last key of lexsort is the first to decide; ids are ascending, and the sort is stable.
    order = np.lexsort((-distances, -counts))
    disputed = order[counts[order] > 0]
    seeds = list(pairs)
    examples = []
    for place in disputed[:NUM_SHOWN].tolist():
        own = [seed for row, seed in enumerate(seeds) if differs[row, place]]
        # The judgements are those of the seed in which the two are farthest apart.
        seed = seeds[int((apart * differs)[:, place].argmax())]
        tf, torch = pairs[seed]
        examples.append(
            Example(
                id=str(tf.ids[place]),
                truth=tf.truth(place),
                judgements=[judgement_at(tf, place, "tf"), judgement_at(torch, place, "torch")],
                seeds=[seed, *(other for other in own if other != seed)],
            )
        )
    return examples, len(disputed)


def differing(first: Answers, second: Answers) -> NDArray[np.bool_]:
    """Return (N,) bool, True for images with different answers."""
    different = np.asarray(first.answered != second.answered)
    return np.asarray(different.any(axis=1) if different.ndim == 2 else different)
