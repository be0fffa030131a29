"""The pages of README and docs/, and the links between them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
LINK = re.compile(r"\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"[a-z]+:")
# A file or folder of the repository, in code or in a sentence: not the end of a longer path.
PATH = re.compile(
    r"(?<![\w/.:-])(?:benchmarks|configs|shared|tests|tf_impl|torch_impl)/[\w./*<>-]*"
)


def all_pages(root: Path = ROOT) -> set[str]:
    """Every page of docs/, as seen from the root."""
    return {path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md")}


def links_of(page: str, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """(link as written, file that it means, as seen from the root); links to other places apart.

    Lines of code, which may hold brackets of their own, are no links.
    """
    text = (root / page).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    for link in LINK.findall(re.sub(r"`[^`]*`", "", "\n".join(lines))):
        if not ELSEWHERE.match(link) and not link.startswith("#"):
            target = (root / page).parent / link.partition("#")[0]
            yield link, target.resolve().relative_to(root.resolve()).as_posix()


def missing_paths(page: str, root: Path = ROOT) -> list[str]:
    """Return the paths of the repository that a page names and that do not exist, as written.

    A module may be named without its ending, and a star stands for any file.
    """
    found = (path.rstrip(".") for path in PATH.findall((root / page).read_text(encoding="utf-8")))
    return [
        path
        for path in found
        if not any(root.glob(path.rstrip("/"))) and not (root / f"{path}.py").is_file()
    ]


def reached_from(starts: Iterable[str], root: Path = ROOT) -> set[str]:
    """Every Markdown file that links lead to."""
    found, waiting = set(), list(starts)
    while waiting:
        page = waiting.pop()
        if page in found or not page.endswith(".md") or not (root / page).is_file():
            continue
        found.add(page)
        waiting += [target for _, target in links_of(page, root)]
    return found


def menu_pages(root: Path = ROOT) -> list[str]:
    """The pages of the menu in mkdocs.yml, as seen from docs/, in their order."""
    config = yaml.safe_load((root / "mkdocs.yml").read_text(encoding="utf-8"))
    return list(walk(config["nav"]))


def walk(entry: object) -> Iterator[str]:
    """The pages of an entry of the menu."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for inner in entry.values():
            yield from walk(inner)
    elif isinstance(entry, list):
        for inner in entry:
            yield from walk(inner)
