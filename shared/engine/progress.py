"""A progress bar over training events: rate and time left, silent without a terminal."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .terminal import Terminal


class TrainingProgress:
    """Draws what a worker reports; use as a context manager and pass `update` as its report."""

    def __init__(self, title: str) -> None:
        console = Terminal(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=None, rate="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, event: Mapping[str, Any]) -> None:
        """Take one event: `step` moves the bar, `epoch` and `note` print a line."""
        if event["event"] == "step":
            rate = f"{event['images_per_second']:,.0f} images/s"
            self._bar.update(
                self._task, completed=event["step"], total=event["num_steps"], rate=rate
            )
        elif event["event"] == "epoch":
            self._bar.console.print(describe_epoch(event), soft_wrap=True)
        elif event["event"] == "note":
            self._bar.console.print(event["text"], soft_wrap=True)


def describe_epoch(event: Mapping[str, Any]) -> str:
    """One line: backend, epoch, losses, accuracies, seconds."""
    names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
    values = "  ".join(f"{name} {event[name]:.4f}" for name in names if name in event)
    return (
        f"{event['backend']} epoch {event['epoch']}/{event['num_epochs']}  {values}  "
        f"{event['epoch_seconds']:.2f} s  {describe_rate(event)}"
    )


def describe_rate(event: Mapping[str, Any]) -> str:
    """How fast, or on what: an epoch on kept features is no rate of training on images."""
    if "images_per_second" in event:
        return f"{event['images_per_second']:,.0f} images/s"
    return "on kept features" if "kept_images_per_second" in event else "computing features"


class SweepProgress:
    """One line a finished cell and, on a terminal, a bar over all cells with the time left."""

    def __init__(self, num_cells: int) -> None:
        console = Terminal(stderr=True)
        self._bar = Progress(
            TextColumn("cells"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=num_cells)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, row: Mapping[str, Any], num_cells: int) -> None:
        """Take the row of one more cell."""
        self._bar.advance(self._task)
        self._bar.console.print(describe_cell(row), soft_wrap=True)


def describe_cell(row: Mapping[str, Any]) -> str:
    """One line: the cell, and its accuracy or why there is none."""
    if row["status"] != "finished":
        return f"{row['cell']}: {row['failure']}: {row['error'].splitlines()[0]}"
    accuracy = row.get("test_accuracy", row.get("best_val_accuracy"))
    known = "no evaluation part" if accuracy is None else f"accuracy {accuracy:.4f}"
    return f"{row['cell']}: {known}, {row['total_seconds']:.1f} s"
