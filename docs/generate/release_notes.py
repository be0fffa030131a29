"""Notes of the version that `pyproject.toml` names, from `CHANGELOG.md`; `make release` calls it.

Usage: python docs/generate/release_notes.py [ROOT]

It prints the notes, or says in one sentence why there can be no release yet, and exits with 2.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path


class NoRelease(Exception):  # noqa: N818 - said as a person would say it
    """Something does not name the version, there is nothing to tell of it, or no one commit."""


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


def check_commit(root: Path) -> None:
    """Refuse a release that no commit holds, or whose version another commit has.

    Nothing is checked without git: an unpacked archive has no commits.

    Raises:
        NoRelease: A file is changed or new, or the version's tag is on another commit.
    """
    changed = ask_git(root, "status", "--porcelain")
    if changed:
        first = changed.splitlines()[0].strip()
        raise NoRelease(
            f"the checkout is not clean ({first}), and the files in dist/ would be of no commit; "
            "commit, or put the changes aside with git stash --include-untracked"
        )
    with (root / "pyproject.toml").open("rb") as stream:
        tag = f"v{tomllib.load(stream)['project']['version']}"
    tagged = ask_git(root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
    if tagged and tagged != ask_git(root, "rev-parse", "HEAD"):
        raise NoRelease(
            f"{tag} is the tag of another commit, {tagged[:9]}; choose the next version in "
            "pyproject.toml, CITATION.cff and CHANGELOG.md"
        )


def ask_git(root: Path, *arguments: str) -> str:
    """Return what git prints; an empty text if it fails or `root` is no checkout of its own."""
    if not (root / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find_section(changelog: str, version: str) -> str:
    """Return the text below `## [VERSION] - DATE`, up to the next version, or an empty one."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    heading = re.compile(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n")
    found = [section for section in sections if heading.match(section)]
    return found[0].partition("\n")[2].strip() if found else ""


def main(root: Path) -> int:
    """Print the notes; returns the exit status."""
    try:
        notes = read_notes(root)
        check_commit(root)
        print(notes)
    except NoRelease as error:
        print(f"no release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]))
