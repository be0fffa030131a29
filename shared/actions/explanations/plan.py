"""A wish for explanations, checked against its run before anything is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from poc.shared.actions.new_images.given_images import Item
from poc.shared.actions.new_images.trained_network import TrainedNetwork, read_trained
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.console.work_count import Report
from poc.shared.spec.resolved import resolve_networks

from .explain import Explanation, Unreadable, Wish, explain_items, find_class
from .methods import Method, choose_method
from .networks import choose_backends, open_networks


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked wish: `explain` takes the images.

    Attributes:
        trained: The run's network.
        method: How it is explained.
        backends: Frameworks; the first one's answers are explained.
        class_name: Class to explain; None: the answered one.
    """

    trained: TrainedNetwork
    method: Method
    backends: tuple[str, ...]
    class_name: str | None

    def explain(self, items: Sequence[Item], report: Report) -> Iterator[Explanation | Unreadable]:
        """Yield an explanation of each image; the workers end with the last one.

        Raises:
            CheckFailed: A map is not finite.
        """
        with open_networks(self.trained, self.backends, report) as networks:
            yield from explain_items(
                networks,
                self.trained.answering,
                items,
                self.method,
                class_name=self.class_name,
                report=report,
            )


def plan_explanations(folder: Path, wish: Wish, note: Note) -> Plan:
    """Read the run that a wish is about.

    Args:
        folder: Run folder.
        wish: The wish of the user.
        note: Called with each sentence for the user.

    Raises:
        UsageError: The folder is no trained run, or an option does not fit it.
    """
    trained = read_trained(folder, wish.checkpoint, backend=wish.backend, note=note)
    find_class(wish.class_name, trained.answering.class_names)
    method = choose_method(
        wish.method,
        resolve_networks(trained.run).network,
        tap=wish.tap,
        patch=wish.patch,
        stride=wish.stride,
    )
    backends = choose_backends(wish.backend, trained.run.backend, note)
    return Plan(trained=trained, method=method, backends=backends, class_name=wish.class_name)
