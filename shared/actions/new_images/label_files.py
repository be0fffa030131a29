"""`poc predict`: label the images that a command line names; each row is written once known."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from poc.shared.data.sources.inspection import Note
from poc.shared.engine.console.work_count import Report
from poc.shared.engine.folder.decision import CHECKPOINT
from poc.shared.errors import UsageError

from .exported_file import read_network
from .given_images import Item
from .labels import Row, write_rows
from .listed_paths import list_paths
from .predict import BATCH_SIZE, answer_images, check_batch_size
from .trained_network import Network, Startable
from .written_rows import CsvRows, JsonRows, RowWriter, TableRows, Write, count_rows


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How images are labelled.

    Attributes:
        backend: Framework to compute in; None: that of the run, or the file's runtime.
        checkpoint: File in `checkpoints`, without its ending.
        use_decision: Answer by the run's `decision.json`, if it has one.
        batch_size: Images of a batch.
        num_threads: Threads that decode and resize; None: one per processor, at most 8.
    """

    backend: str | None = None
    checkpoint: str = CHECKPOINT
    use_decision: bool = True
    batch_size: int = BATCH_SIZE
    num_threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where rows go.

    Attributes:
        write: Called with each line for the standard output.
        csv_file: New file for the rows; with it, no table is written.
        as_json: Write one JSON object instead of a table.
    """

    write: Write
    csv_file: Path | None = None
    as_json: bool = False


def label_files(
    folder: Path,
    paths: Sequence[str],
    wish: Wish,
    destination: Destination,
    *,
    note: Note,
    report: Report,
) -> Counter[str]:
    """Label images, and return how many are `labelled`, `unsure` and `unreadable`.

    Args:
        folder: Run folder, or an exported file.
        paths: As `list_paths` takes them.
        wish: How.
        destination: Where the rows go.
        note: Called with each sentence for the user.
        report: Called with progress events.

    Raises:
        UsageError: It is no trained run or exported file, there is no image, or an option is wrong;
            then nothing was computed or written.
    """
    check_batch_size(wish.batch_size)
    check_threads(wish.num_threads)
    trained = read_network(
        folder,
        wish.checkpoint,
        backend=wish.backend,
        use_decision=wish.use_decision,
        note=note,
    )
    items = list_paths(paths, note)
    check_new(destination.csv_file)
    with ExitStack() as stack:
        network = stack.enter_context(trained.start(report))
        # Only now, so that a network that does not start leaves no file in the way of the next try.
        file = stack.enter_context(open_new(destination.csv_file, note))
        writers = choose_writers(folder, trained, items, destination, file)
        return count_rows(answer_rows(network, trained, items, wish, report), writers)


def answer_rows(
    network: Network,
    trained: Startable,
    items: Sequence[Item],
    wish: Wish,
    report: Report,
) -> Iterator[Row]:
    """Yield a row for each image."""
    batches = answer_images(
        network,
        trained.answering,
        items,
        wish.batch_size,
        num_threads=wish.num_threads,
        report=report,
    )
    for batch in batches:
        yield from write_rows(batch, trained.answering)


def check_threads(num_threads: int | None) -> None:
    """Refuse a number of threads below 1.

    Raises:
        UsageError: See above.
    """
    if num_threads is not None and num_threads < 1:
        raise UsageError(
            f"Got --workers {num_threads}. Expected at least 1 thread. Try leaving it out."
        )


def check_new(path: Path | None) -> None:
    """Refuse a path where no file can be made, before any work.

    Raises:
        UsageError: See above.
    """
    if path is not None:
        make_new(path).close()
        path.unlink()


@contextmanager
def open_new(path: Path | None, note: Note) -> Iterator[IO[str] | None]:
    """Yield a new text file, or None without a path; a block that fails leaves no empty one.

    Args:
        path: The file.
        note: Called with a sentence if the block fails after some rows.

    Raises:
        UsageError: The file exists, or cannot be made.
    """
    if path is None:
        yield None
        return
    file = make_new(path)
    try:
        yield file
        file.close()
    except BaseException:
        # A full disk refuses the rest of the buffer again.
        with suppress(OSError):
            file.close()
        leave_part(path, note)
        raise


def leave_part(path: Path, note: Note) -> None:
    """Remove a file that has no row besides its head; say that another one is incomplete."""
    with suppress(OSError):
        with path.open("rb") as file:
            file.readline()
            has_rows = bool(file.readline())
        if not has_rows:
            path.unlink()
            return
    note(
        f"{path} is incomplete: it has the rows of the first images alone. Remove it before you "
        "try again."
    )


def make_new(path: Path) -> IO[str]:
    """Open a new text file.

    Raises:
        UsageError: The file exists, or cannot be made.
    """
    try:
        # Names that are not UTF-8 are written byte for byte.
        return path.open("x", encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise UsageError(
            f"Got --csv {str(path)!r}, which cannot be made ({error.strerror}). Expected the path "
            "of a new file. Try another name, or remove it."
        ) from None


def choose_writers(
    folder: Path,
    trained: Startable,
    items: Sequence[Item],
    destination: Destination,
    file: IO[str] | None,
) -> list[RowWriter]:
    """Return what writes the rows: CSV into a file, and JSON or, without a file, a table."""
    answering = trained.answering
    writers: list[RowWriter] = []
    if file is not None:
        writers.append(CsvRows(file, answering.class_names))
    if destination.as_json:
        decision = answering.decision
        facts: dict[str, object] = {
            "run": str(folder),
            "backend": trained.computed_by,
            "class_names": list(answering.class_names),
            "decision": decision.summary() if decision else None,
        }
        writers.append(JsonRows(destination.write, facts))
    elif file is None:
        writers.append(TableRows(destination.write, items, answering))
    return writers
