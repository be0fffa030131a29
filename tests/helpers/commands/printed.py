"""The commands that README, docs and config headers print."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
# A line of its own, or a span of code in a sentence.
LINE, SPAN = re.compile(r"\s*(?:\$ )?(poc [a-z].*)"), re.compile(r"`(poc [a-z][^`]*)`")
# Named in a sentence, not printed to be typed.
FORM = re.compile(r"[\[…|]|\$\w|\bNAME\b|\bKEY\b|--set …")


def printed_commands() -> dict[str, str]:
    """Command as printed -> the first file that prints it."""
    found: dict[str, str] = {}
    for path in pages():
        for command in commands_of(path):
            found.setdefault(command, str(path.relative_to(ROOT)))
    return found


def pages() -> list[Path]:
    """Everything that prints commands."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *docs, *config_files()]


def config_files() -> list[Path]:
    """Every shipped config."""
    return sorted((ROOT / "configs").rglob("*.toml"))


def commands_of(path: Path) -> Iterator[str]:
    """Commands of one file, without their comments; of a config, those of its header."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        lines = (line for line in text.splitlines() if line.startswith("#"))
        text = "\n".join(line.removeprefix("#").strip() for line in lines)
    for line in text.replace("\\\n", " ").splitlines():
        whole = LINE.match(line)
        for command in [whole[1]] if whole else SPAN.findall(line):
            words = split_words(command)
            # A sentence names commands and formats too, in two or three words.
            is_typed = whole or (len(words) > 3 and not words[-1].startswith("--"))
            if is_typed and not FORM.search(" ".join(words)):
                yield shlex.join(words)


def split_words(command: str) -> list[str]:
    """Words up to a comment or to what the shell does next."""
    words = []
    for word in shlex.split(command, comments=True):
        if word in (";", "|", "&&", ">"):
            break
        words.append(word)
    return words
