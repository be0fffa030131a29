"""Explanations of a run's answers: a map per image and framework, from the same weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.actions.new_images.given_images import Item
from poc.shared.actions.new_images.labels import write_answers
from poc.shared.actions.new_images.predict import Predictions
from poc.shared.actions.new_images.preparation import read_view
from poc.shared.actions.new_images.trained_network import Answering
from poc.shared.data.sources.base import Pixels
from poc.shared.engine.console.work_count import Report, WorkCount
from poc.shared.engine.folder.decision import CHECKPOINT
from poc.shared.engine.numerics.metrics import average_views
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.suggestions import likeliest

from .methods import Method
from .networks import OpenNetwork

# Images that are computed at a time.
BATCH_SIZE = 16


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The wish of a user.

    Attributes:
        method: `gradcam` or `occlusion`.
        class_name: Class to explain; None: the answered one.
        tap: Map for Grad-CAM; None: the last one.
        patch: Side of the patch for occlusion, in pixels; None: a seventh of the image's.
        stride: Pixels between its places; None: half of the patch.
        backend: Framework to compute in; None: all that are installed.
        checkpoint: File in `checkpoints`, without its ending.
    """

    method: str = "gradcam"
    class_name: str | None = None
    tap: str | None = None
    patch: int | None = None
    stride: int | None = None
    backend: str | None = None
    checkpoint: str = CHECKPOINT


class Answer(NamedTuple):
    """The answer of one framework for an image.

    Attributes:
        label: Its answer; None if it is too unsure for one.
        probability: Of the explained class, 0 to 1.
    """

    label: str | None
    probability: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Why a network gives an image a class.

    Attributes:
        name: Path of the image as given, or its position.
        image: (H, W, C) uint8, as the network sees it.
        class_name: The explained class.
        answers: Framework -> its answer.
        maps: Framework -> (h, w). Of Grad-CAM: 0 to 1, at the size of the tap. Of occlusion: the
            drop of the probability at each place of the patch.
        shares: Framework -> probabilities (num_classes,).
    """

    name: str | int
    image: Pixels
    class_name: str
    answers: Mapping[str, Answer]
    maps: Mapping[str, NDArray[np.float64]]
    shares: Mapping[str, NDArray[np.float64]]

    @property
    def largest_difference(self) -> float | None:
        """Return the largest difference between the frameworks' maps; None for one framework."""
        maps = list(self.maps.values())
        if len(maps) < 2:
            return None
        return float(np.abs(maps[0] - maps[1]).max())


class Unreadable(NamedTuple):
    """An image that cannot be read, and why."""

    name: str | int
    problem: str


def explain_items(
    networks: Mapping[str, OpenNetwork],
    answering: Answering,
    items: Sequence[Item],
    method: Method,
    *,
    class_name: str | None = None,
    report: Report,
) -> Iterator[Explanation | Unreadable]:
    """Yield an explanation of each image, in their order.

    Args:
        networks: The same network in each framework; the first one's answer is explained.
        answering: Gives the view and the classes.
        items: The images.
        method: How.
        class_name: Class to explain; None: the answered one.
        report: Called with progress events.

    Raises:
        UsageError: The run has no such class.
        CheckFailed: A map is not finite.
    """
    chosen = find_class(class_name, answering.class_names)
    count = WorkCount(report, "explaining images", len(items))
    for start in range(0, len(items), BATCH_SIZE):
        batch = items[start : start + BATCH_SIZE]
        views = [read_view(item, answering.view) for item in batch]
        names = [i.name for i, view in zip(batch, views, strict=True) if not isinstance(view, str)]
        seen = [view for view in views if not isinstance(view, str)]
        done = iter(explain_views(networks, answering, names, seen, (method, chosen)))
        for item, view in zip(batch, views, strict=True):
            yield Unreadable(item.name, view) if isinstance(view, str) else next(done)
        count(start + len(batch))


def explain_views(
    networks: Mapping[str, OpenNetwork],
    answering: Answering,
    names: Sequence[str | int],
    views: Sequence[Pixels],
    how: tuple[Method, int | None],
) -> list[Explanation]:
    """Explain images by their views, (num_views, H, W, C) each; of several, the centre crop."""
    if not views:
        return []
    method, chosen = how
    view = answering.view
    images = view.normalize(np.concatenate(views))
    found = {
        name: Predictions(
            names=names,
            logits=average_views(network.logits(images), view.num_views, view.average),
            answering=answering,
        )
        for name, network in networks.items()
    }
    shares = {name: networks[name].shares(each.logits) for name, each in found.items()}
    first = next(iter(networks))
    classes = name_classes(found[first], shares[first], chosen)
    centres = images[centre_of(view.num_views) :: view.num_views]
    maps = {name: method.explain(each, centres, classes) for name, each in networks.items()}
    for name, values in maps.items():
        refuse_not_finite(values, name)
    labels = {name: [row.label for row in write_answers(each)] for name, each in found.items()}
    return [
        Explanation(
            name=name,
            image=views[place][centre_of(view.num_views)],
            class_name=answering.class_names[classes[place]],
            answers={
                backend: Answer(
                    labels[backend][place], float(shares[backend][place, classes[place]])
                )
                for backend in sorted(networks)
            },
            maps={backend: maps[backend][place] for backend in sorted(networks)},
            shares={backend: shares[backend][place] for backend in sorted(networks)},
        )
        for place, name in enumerate(names)
    ]


def centre_of(num_views: int) -> int:
    """Return the position of the centre crop: five are four corners and the centre."""
    return 4 if num_views > 1 else 0


def name_classes(
    found: Predictions, shares: NDArray[np.float64], chosen: int | None
) -> NDArray[np.int64]:
    """Return the class (N,) of each image: the chosen one, or the answered one.

    With any number of labels it is the most probable one. `shares` are (N, num_classes).
    """
    if chosen is not None:
        return np.full(len(shares), chosen, dtype=np.int64)
    answers = found.answers
    return answers if answers.ndim == 1 else shares.argmax(axis=1)


def find_class(name: str | None, class_names: Sequence[str]) -> int | None:
    """Return the position of a class; None without a name.

    Raises:
        UsageError: There is no such class.
    """
    if name is None:
        return None
    if name not in class_names:
        shown = ", ".join(class_names[:10]) + (", …" if len(class_names) > 10 else "")
        raise UsageError(
            f"Got --class {name!r}. Expected a class of the run: {shown}. Try --class "
            f"{likeliest(name, class_names)!r}."
        )
    return list(class_names).index(name)


def refuse_not_finite(values: NDArray[np.float64], backend: str) -> None:
    """Refuse maps (N, h, w) with NaN or infinity.

    Raises:
        CheckFailed: See above.
    """
    if not np.isfinite(values).all():
        raise CheckFailed(
            f"Got a map of {backend} that is not finite. Expected numbers. Try another checkpoint: "
            "the weights of this one may have diverged."
        )
