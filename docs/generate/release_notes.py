"""Notes of the version that `pyproject.toml` names, from `CHANGELOG.md`; `make release` calls it.

Usage: python docs/generate/release_notes.py [ROOT]

It prints the notes, or says in one sentence why there can be no release yet, and exits with 2.
"""

import re
import sys
import tomllib
from pathlib import Path


class NoRelease(Exception):  # noqa: N818 - said as a person would say it
    """Something does not name the version, or there is nothing to tell of it."""


def read_notes(root: Path) -> str:
    """The version's section of the changelog, less its heading.

    Raises:
        NoRelease: The changelog or the citation does not name the version, or the section is empty.
    """
    with (root / "pyproject.toml").open("rb") as stream:
        version = tomllib.load(stream)["project"]["version"]
    cited = re.search(r"^version: (.+)$", (root / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    if cited is None or cited[1].strip("\"'") != version:
        raise NoRelease(
            f"pyproject.toml has the version {version}, CITATION.cff {cited and cited[1]}; write "
            "the same into both"
        )
    notes = find_section((root / "CHANGELOG.md").read_text("utf-8"), version)
    if not notes:
        raise NoRelease(
            f"CHANGELOG.md says nothing of {version}; rename its section [Unreleased] to "
            f"[{version}] - DATE, or choose another version in pyproject.toml and CITATION.cff"
        )
    return notes


def find_section(changelog: str, version: str) -> str:
    """Return the text below `## [VERSION] - DATE`, up to the next version, or an empty one."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    heading = re.compile(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n")
    found = [section for section in sections if heading.match(section)]
    return found[0].partition("\n")[2].strip() if found else ""


def main(root: Path) -> int:
    """Print the notes; returns the exit status."""
    try:
        print(read_notes(root))
    except NoRelease as error:
        print(f"no release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]))
