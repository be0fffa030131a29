"""The prose is plain English: the clean places of `dialect.toml` have none of its habits.

Of a page, code, printed blocks and link targets are not read. Of a module, only comments and texts
are.
"""

import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIALECT = tomllib.loads((Path(__file__).parent / "dialect.toml").read_text(encoding="utf-8"))
PATTERNS = {entry["name"]: entry for entry in DIALECT["pattern"]}
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# A line that starts a unit of its own: a heading, a row of a table, an item of a list.
STARTS = re.compile(r"\s*(?:#|\||[-*] |\d+\. )")
# Code, link targets, paths, and what an f-string fills in. They say nothing in English.
CODE = re.compile(r"`[^`]*`|(?<=\])\([^)]*\)|[\w.-]*/\S*\.\w+|\{[^{}]*\}")
QUOTES = re.compile(r"""^[A-Za-z]*(?:\"{3}|'{3}|["'])|(?:\"{3}|'{3}|["'])$""")
TEXTS = {"COMMENT", "STRING", "FSTRING_MIDDLE"}
BETWEEN = {"NL", "NEWLINE", "INDENT", "DEDENT"}

# A unit is a paragraph, a heading, an item, a row, a comment or a text: its first line, its words.
Unit = tuple[int, str]


def units(path: Path) -> Iterator[Unit]:
    """Yield the prose of a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        pieces = texts_of_module(text)
    elif path.suffix == ".toml":
        pieces = texts_of_settings(text)
    else:
        pieces = paragraphs(FENCED.sub(lambda found: "\n" * found[0].count("\n"), text), 1)
    for line, words in pieces:
        yield line, " ".join(CODE.sub("¤", words).split())


def paragraphs(text: str, first_line: int) -> Iterator[Unit]:
    """Split at empty lines and at starts of units; leave out blocks of code, four spaces deep."""
    start, lines = first_line, []
    for number, line in enumerate(text.splitlines(), first_line):
        is_code = not lines and line.startswith("    ")
        if not line.strip() or is_code or STARTS.match(line):
            yield start, "\n".join(lines)
            start, lines = number, []
        if line.strip() and not is_code:
            start = start if lines else number
            lines.append(line)
    yield start, "\n".join(lines)


def texts_of_module(source: str) -> Iterator[Unit]:
    """Yield each block of comments and each text, joined where Python joins them."""
    kind, start, words = "", 1, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        if name in TEXTS:
            if name != kind:
                yield from paragraphs(dedent(words), start)
                kind, start, words = name, token.start[0], ""
            words += "\n" + plain(token.string)
        elif name not in BETWEEN:
            yield from paragraphs(dedent(words), start)
            kind, words = "", ""
    yield from paragraphs(dedent(words), start)


def texts_of_settings(text: str) -> Iterator[Unit]:
    """Yield the comments of a TOML file, a block at a time, and each of its other lines."""
    marked = (line if line.startswith("#") else f"\n{line}\n" for line in text.splitlines())
    return paragraphs("\n".join(line.removeprefix("#").strip() for line in marked), 1)


def plain(token: str) -> str:
    """Take a comment's mark, or a text's quotes and escapes, away."""
    if token.startswith("#"):
        return token.removeprefix("#")
    return QUOTES.sub("", token).replace("\\n", " ")


def dedent(text: str) -> str:
    """Take the indentation away: in a module it marks no code."""
    return "\n".join(line.strip() for line in text.splitlines())


def habits(path: Path, names: list[str] | None = None) -> list[str]:
    """Name each habit in a file, with its line and its words."""
    allowed = [q["text"] for q in DIALECT.get("quoted", []) if path == ROOT / q["file"]]
    found = []
    for line, words in units(path):
        for quoted in allowed:
            words = words.replace(quoted, "¤")
        for name in names or PATTERNS:
            for match in re.finditer(PATTERNS[name]["regex"], words):
                around = words[max(0, match.start() - 30) : match.end() + 30]
                found.append(f"{path.name}:{line}: {name}: …{around}…")
    return found


def files(place: str) -> list[Path]:
    """All pages, modules and configs of a place, which is a folder or a file."""
    root = ROOT / place
    every = [root] if root.is_file() else sorted(root.rglob("*"))
    skipped = {ROOT / name for name in DIALECT["skipped"]}
    read = (path for path in every if path.suffix in (".md", ".py", ".toml"))
    return [path for path in read if skipped.isdisjoint((path, *path.parents))]


@pytest.mark.parametrize("place", DIALECT["clean"])
def test_a_clean_place_has_no_habit(place: str) -> None:
    found = files(place)
    assert found, f"{place} has no pages, modules or configs"
    assert [habit for path in found for habit in habits(path)] == []


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_finds_its_habit_and_leaves_good_english(name: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PATTERNS[name]["bad"], encoding="utf-8")
    assert habits(page, [name])
    page.write_text(PATTERNS[name]["good"], encoding="utf-8")
    assert habits(page, [name]) == []


PLANTED = "Beside the weights, what is kept\nstands in the header."


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("page.md", f"# Title\n\nGood.\n\n{PLANTED}\n"),
        ("page.md", f"| a | {PLANTED} |\n".replace("\n", " ")),
        ("module.py", f'def save():\n    """Save.\n\n    {PLANTED}\n    """\n'),
        ("module.py", "x = 1  # " + PLANTED.replace("\n", "\n# ")),
        ("module.py", 'raise ValueError(f"{x}. Beside it, what is " "kept\\n" "stands.")'),
        ("config.toml", "# " + PLANTED.replace("\n", "\n# ") + "\nname = 'a'\n"),
    ],
)
def test_a_planted_sentence_is_found(file: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text(text, encoding="utf-8")
    names = [habit.split(": ")[1] for habit in habits(path)]
    assert names == ["beside", "stands"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("page.md", "See `beside` and [it](beside.md):\n\n    beside stands\n\n```\nbeside\n```\n"),
        ("module.py", "beside = stands = 1\n"),
    ],
)
def test_code_is_not_read(file: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text(text, encoding="utf-8")
    assert habits(path) == []


def test_quoted_texts_are_still_needed() -> None:
    for quoted in DIALECT.get("quoted", []):
        text = (ROOT / quoted["file"]).read_text(encoding="utf-8")
        assert quoted["text"] in " ".join(text.split())
