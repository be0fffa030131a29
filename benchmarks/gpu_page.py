"""The page of `gpu.py`, from its record."""

from collections.abc import Mapping, Sequence
from typing import Any

NOTES = (
    "Errors are relative to the largest value of a tensor. Bounds are those of two frameworks on a "
    "CPU, and were not made for a GPU: with TF32 on, float32 keeps ten bits, so that the ladder is "
    "expected to leave them. Times are medians of rounds in turn, in one process; a ratio below 1 "
    "means that this project is faster. Memory is the peak of the framework's own count."
)


def write_page(record: Mapping[str, Any]) -> str:
    """Return the page in Markdown: the machine, how each part ended, and a table for each."""
    machine, parts = record["machine"], record["parts"]
    heading = "# Checks and timings on a GPU" if record["device"] == "gpu" else "# A trial on a CPU"
    facts = f"{machine['processor']}, {machine['num_cpus']} processors, {machine['platform']}"
    pieces = [
        heading,
        f"Command: `{record['command']}`. {facts}. Commit {machine['git_commit']}.",
        NOTES,
        "## How the parts ended",
        table(
            [
                {
                    "part": part["title"],
                    "framework": part["backend"],
                    "seconds": part["seconds"],
                    "status": part["status"],
                }
                for part in parts
            ]
        ),
    ]
    for part in parts:
        if part["rows"]:
            pieces += [f"## {part['title']}, {part['backend']}", table(part["rows"])]
    return "\n\n".join(pieces) + "\n"


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return a Markdown table with a column for each key of the rows that has a value."""
    columns = [
        name
        for name in dict.fromkeys(key for row in rows for key in row)
        if any(row.get(name) not in ("", None) for row in rows)
    ]
    lines = [columns, ["---"] * len(columns)]
    lines += [[clean(row.get(name, "")) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def clean(value: object) -> str:
    """Return the text of a cell."""
    return str(value).replace("|", "/").replace("\n", " ")
