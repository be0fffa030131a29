"""Files and tables of `study_rivals.py`: the judged part, the answers, the accuracies."""

import ast
import csv
import io
import math
import shutil
import tokenize
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from poc.shared.engine.numerics.metrics import Interval, wilson_interval

OPEN, JUDGED = "open", "judged"
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}
NOT_LABELLED = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One program on one split.

    Attributes:
        seed: Seed of the split.
        program: Name of the program.
        seconds: Time from its start to its end, without the judged photos.
        file_bytes: Size of the network's file; 0 if there is none.
        answers: Judged photo, as `class/name` -> label; empty if the program failed.
        note: The choice of the program, or the reason why it failed.
    """

    seed: int
    program: str
    seconds: float
    file_bytes: int = 0
    answers: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def hits(self) -> dict[str, bool]:
        """Return for each judged photo if the label is right."""
        return {photo: photo.partition("/")[0] == label for photo, label in self.answers.items()}


def list_photos(folder: Path) -> dict[str, list[str]]:
    """Return class -> names of its photos; a class is a folder."""
    return {
        path.name: sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        for path in sorted(folder.iterdir())
        if path.is_dir()
    }


def draw_split(photos: Mapping[str, Sequence[str]], share: float, seed: int) -> dict[str, str]:
    """Return photo, as `class/name` -> its part; each class gives its share to the judge."""
    random = np.random.default_rng([seed, 27])
    parts = {}
    for label, names in photos.items():
        order = random.permutation(len(names))
        count = min(max(1, round(share * len(names))), len(names) - 1)
        for place, index in enumerate(order):
            parts[f"{label}/{names[index]}"] = JUDGED if place < count else OPEN
    return parts


def copy_parts(folder: Path, parts: Mapping[str, str], output: Path) -> None:
    """Copy each photo into the folder of its part; a folder that is there is kept."""
    if output.exists():
        return
    partial = output.with_name(f".{output.name}")
    shutil.rmtree(partial, ignore_errors=True)
    for photo, part in parts.items():
        target = partial / part / photo
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / photo, target)
    partial.rename(output)


def read_answers(text: str, judged: Sequence[str]) -> dict[str, str]:
    """Return judged photo -> label from a CSV with the columns `file` and `label`.

    A photo without a row counts as wrong; a row of another photo is an error.
    """
    found = {}
    for row in csv.DictReader(io.StringIO(text)):
        photo = "/".join(Path(row["file"]).parts[-2:])
        if photo not in judged:
            raise ValueError(f"Got a row of {photo!r}. Expected judged photos alone.")
        found[photo] = row["label"]
    return {photo: found.get(photo, NOT_LABELLED) for photo in judged}


def count_code_lines(source: str) -> int:
    """Count the lines of a script that are neither empty, nor a comment, nor a docstring."""
    words = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in SILENT
        for line in range(token.start[0], token.end[0] + 1)
    }
    texts = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    return len(words - texts)


SILENT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def pool_accuracy(results: Sequence[Result]) -> tuple[float, Interval]:
    """Return the share of right answers over all splits, with a 95 % interval.

    The interval is Wilson's for as many photos as there are different ones: a photo that several
    splits judge counts once.
    """
    hits = [is_right for result in results for is_right in result.hits.values()]
    photos = {photo for result in results for photo in result.answers}
    share = sum(hits) / len(hits)
    return share, wilson_interval(share * len(photos), len(photos))


def pool_difference(
    results: Sequence[Result], others: Sequence[Result]
) -> tuple[float, Interval] | None:
    """Return accuracy minus that of others on the same splits and photos, with a 95 % interval.

    None without a split that both have judged. Answers on one photo in several splits are taken
    together, so that they do not count as independent.
    """
    theirs = {(result.seed, photo): hit for result in others for photo, hit in result.hits.items()}
    sums: dict[str, list[float]] = defaultdict(list)
    for result in results:
        for photo, hit in result.hits.items():
            if (result.seed, photo) in theirs:
                sums[photo].append(float(hit) - float(theirs[result.seed, photo]))
    total, count = sum(map(len, sums.values())), len(sums)
    if count < 2:
        return None
    mean = sum(map(sum, sums.values())) / total
    scatter = sum(sum(value - mean for value in values) ** 2 for values in sums.values())
    error = math.sqrt(count / (count - 1) * scatter) / total
    spread = float(stdtrit(count - 1, 0.975)) * error
    return mean, Interval(mean - spread, mean + spread)


def write_csv(results: Sequence[Result], judged: Mapping[int, int]) -> str:
    """Return a line per program and split; `judged` gives the number of photos of each split."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        count, right = len(result.answers), sum(result.hits.values())
        low, high = wilson_interval(right, count)
        shares = [f"{value:.4f}" for value in (right / count, low, high)] if count else [""] * 3
        ends = (f"{result.seconds:.1f}", result.file_bytes, result.note)
        writer.writerow((result.seed, result.program, right, judged[result.seed], *shares, *ends))
    return file.getvalue()


COLUMNS = (
    *("split_seed", "program", "right", "judged", "accuracy", "low", "high"),
    *("seconds", "file_bytes", "note"),
)
HEADER = (
    "| program | accuracy on judged photos [95 %] | less the study [95 %], points | by split | "
    "seconds, at most | file, MB | commands | lines of code |"
)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Text that a user types: commands, and lines of a script."""

    commands: int
    lines: int


def write_table(
    results: Sequence[Result], efforts: Mapping[str, Effort], missing: Mapping[str, str]
) -> str:
    """Return the Markdown table; the first program is the one that others are compared with."""
    reference = next(iter(efforts))
    theirs = [result for result in results if result.program == reference and result.answers]
    lines = [HEADER, "|---|" + "--:|" * 7]
    for name, effort in efforts.items():
        own = [result for result in results if result.program == name]
        if own:
            lines.append(write_row(name, own, [] if name == reference else theirs, effort))
    dashes = "| - " * 6
    lines += [f"| {name} | not run: {reason} {dashes}|" for name, reason in missing.items()]
    return "\n".join(lines) + "\n"


def write_row(
    name: str, results: Sequence[Result], others: Sequence[Result], effort: Effort
) -> str:
    """Return the row of a program; splits on which it failed have no accuracy."""
    done = [result for result in results if result.answers]
    ends = f"{effort.commands} | {effort.lines}"
    if not done:
        return f"| {name} | failed: {shorten(results[-1].note)} | - | - | - | - | {ends} |"
    share, interval = pool_accuracy(done)
    found = pool_difference(done, others)
    difference = write_points(*found) if found else "-"
    by_split = ", ".join(
        f"{np.mean(list(result.hits.values())):.2f}" if result.answers else "failed"
        for result in results
    )
    return (
        f"| {name} | {share:.3f} [{interval.low:.3f}, {interval.high:.3f}] | {difference} | "
        f"{by_split} | {max(result.seconds for result in done):.0f} | "
        f"{max(result.file_bytes for result in done) / 1e6:.1f} | {ends} |"
    )


def write_points(difference: float, interval: Interval) -> str:
    """Return a difference of accuracies in points."""
    return f"{100 * difference:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def shorten(text: str, length: int = 120) -> str:
    """Return the last line of a text, fit for a cell of a table."""
    last = (text.strip().splitlines() or [""])[-1].replace("|", "/")
    return last if len(last) <= length else f"{last[: length - 1]}…"
