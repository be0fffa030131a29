"""Progress of long work: a bar with rate and time left, or lines now and then in a file."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from poc.shared.shown_names import plain

from .heartbeat import Heartbeat, write_seconds
from .terminal import Terminal
from .verbosity import is_quiet
from .work_count import Event


class WorkProgress:
    """Bar or lines for reported events; use as a context manager, with `update` as the report.

    A quiet command draws and prints nothing.

    Args:
        title: Name of the worker, such as a backend; printed before each text.
        patience: Factor on the silence before a line, as `Heartbeat` takes it.
    """

    def __init__(self, title: str = "", patience: float = 1.0) -> None:
        console = Terminal(stderr=True)
        self._title, self._is_quiet = title, is_quiet()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=self._is_quiet or not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._text = ""
        # Several runs of one command report the same notes; each is printed once.
        self._noted: set[str] = set()
        is_drawn = console.is_terminal or self._is_quiet
        self._heartbeat = None if is_drawn else Heartbeat(self._print, patience)

    def __enter__(self) -> Self:
        self._bar.start()
        if self._heartbeat:
            self._heartbeat.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._heartbeat:
            self._heartbeat.__exit__(kind, error, trace)
        self._bar.stop()

    def update(self, event: Event) -> None:
        """Take one event: show the count of a `work` event, print the sentence of a `note` once."""
        if event["event"] == "work":
            self.show(event["text"], event.get("done", 0), event.get("total", 0))
        elif event["event"] == "note" and event["text"] not in self._noted:
            self._noted.add(event["text"])
            self.say(event["text"])

    def show(self, text: str, done: int = 0, total: int = 0, rate: str = "") -> None:
        """Show the work that is being done and its count; total 0: the total is unknown."""
        is_told = not self._title or self._title in text.split()
        text = text if is_told else f"{self._title}: {text}"
        if self._heartbeat:
            self._heartbeat.note(text, done, total)
            return
        if text != self._text or self._task is None:
            # A new task, since Rich estimates the time left from a task's own history.
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._text, self._task = text, self._bar.add_task(text, total=None, rate="")
        self._bar.update(self._task, completed=done, total=total or None, rate=rate)

    def say(self, text: str) -> None:
        """Print a text in a single line, whatever names it holds."""
        self._print(plain(text))
        if self._heartbeat:
            self._heartbeat.spoke()

    def _print(self, text: str) -> None:
        if self._is_quiet:
            return
        self._bar.console.print(text, soft_wrap=True)


class TrainingProgress(WorkProgress):
    """Bar or lines for the events of a worker that trains."""

    def update(self, event: Event) -> None:
        """Take one event: `step` moves the bar, `epoch` prints a line, others as `WorkProgress`."""
        if event["event"] == "step":
            rate = f"{event['images_per_second']:,.0f} images/s"
            self.show("steps", event["step"], event["num_steps"], rate)
        elif event["event"] == "epoch":
            self.say(describe_epoch(event))
        else:
            super().update(event)


def describe_epoch(event: Mapping[str, object]) -> str:
    """Return one line with backend, epoch, losses, accuracies, seconds and rate."""
    names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
    values = "  ".join(f"{name} {event[name]:.4f}" for name in names if name in event)
    return (
        f"{event['backend']} epoch {event['epoch']}/{event['num_epochs']}  {values}  "
        f"{event['epoch_seconds']:.2f} s  {describe_rate(event)}"
    )


def describe_rate(event: Mapping[str, object]) -> str:
    """Return the rate in images, or the kind of an epoch that does not train on images."""
    if "images_per_second" in event:
        return f"{event['images_per_second']:,.0f} images/s"
    return "on kept features" if "kept_images_per_second" in event else "computing features"


class SweepProgress(WorkProgress):
    """One line per finished cell with the time left, and the progress of the training cell."""

    def __init__(self, num_cells: int) -> None:
        # Every finished cell prints a line, so the usual silence would add too many.
        super().__init__(patience=5.0)
        self._num_cells, self._num_told = num_cells, 0
        # When the first cell of this call began, and how many rows were there before it.
        self._begun, self._num_kept = 0.0, 0
        # Error -> the first cell that it ended.
        self._errors: dict[str, str] = {}

    def watch(self, cell: str, event: Event) -> None:
        """Take an event of the cell that trains."""
        if not self._begun:
            self._begun, self._num_kept = time.monotonic(), self._num_told
        if event["event"] == "step":
            rate = f"{event['images_per_second']:,.0f} images/s"
            self.show(f"{cell}: steps", event["step"], event["num_steps"], rate)
        elif event["event"] == "work":
            text = f"{cell}: {event['text']}"
            self.show(text, event.get("done", 0), event.get("total", 0))
        elif event.get("about") != "load":
            # The load of the machine is reported once, for all cells, when they are done.
            super().update(event)

    def update(self, row: Mapping[str, object], num_cells: int = 0) -> None:
        """Take the row of one more cell; `num_cells` of its own sweep is ignored."""
        self._num_told += 1
        left, new = "", self._num_told - self._num_kept
        # Rows that an earlier call has stored took no time here: counted, they would make the
        # rest look short.
        if self._begun and new > 0 and self._num_told < self._num_cells:
            seconds = (time.monotonic() - self._begun) * (self._num_cells - self._num_told) / new
            left = f", about {write_seconds(seconds)} left"
        told = describe_cell(row)
        if row["status"] != "finished":
            first = self._errors.setdefault(str(row["error"]), str(row["cell"]))
            told = told if first == row["cell"] else f"{row['cell']}: the same error as {first}"
        self.say(f"{told} ({self._num_told} of {self._num_cells}{left})")


def describe_cell(row: Mapping[str, object]) -> str:
    """Return one line with the cell, and its accuracy or the reason for having none."""
    if row["status"] != "finished":
        return f"{row['cell']}: {row['failure']}: {str(row['error']).splitlines()[0]}"
    accuracy = row.get("test_accuracy", row.get("best_val_accuracy"))
    known = "no evaluation part" if accuracy is None else f"accuracy {accuracy:.4f}"
    return f"{row['cell']}: {known}, {row['total_seconds']:.1f} s"
