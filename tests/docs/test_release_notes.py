"""Notes of a release: the version's own section, or the reason why there is none."""

import subprocess

import pytest

from poc.docs.generate.release_notes import NoRelease, find_section, main, read_notes
from poc.tests.helpers.docs.pages import ROOT

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- coming

## [0.2.0] - 2026-12-01

### Fixed

- mended, see [0.1.0]

## [0.1.0] - 2026-11-01

- first
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("title: poc\nversion: 0.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def test_the_section_of_the_version_alone(root, capsys):
    assert read_notes(root) == "### Fixed\n\n- mended, see [0.1.0]"
    assert main(root) == 0
    assert capsys.readouterr().out == "### Fixed\n\n- mended, see [0.1.0]\n"
    assert find_section(CHANGELOG, "0.1.0") == "- first"


def test_the_last_section_ends_with_the_file():
    assert find_section("## [1.0.0] - 2027-01-01\n\n- all\n", "1.0.0") == "- all"


@pytest.mark.parametrize(
    ("file", "text", "word"),
    [
        ("CHANGELOG.md", "## [Unreleased]\n\n- coming\n", "says nothing of 0.2.0"),
        ("CHANGELOG.md", "## [0.2.0]\n\n- without a date\n", "says nothing of 0.2.0"),
        ("CHANGELOG.md", "## [0.2.0] - 2026-12-01\n\n", "says nothing of 0.2.0"),
        ("CHANGELOG.md", "## [0x2.0] - 2026-12-01\n\n- x\n", "says nothing of 0.2.0"),
        ("CITATION.cff", "version: 0.1.0\n", "CITATION.cff 0.1.0"),
        ("CITATION.cff", "title: poc\n", "CITATION.cff None"),
    ],
)
def test_what_is_missing_is_named_and_there_is_no_release(file, text, word, root, capsys):
    (root / file).write_text(text)
    with pytest.raises(NoRelease, match=word):
        read_notes(root)
    assert main(root) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert word in output.err


def test_a_release_is_of_a_commit_that_no_other_version_has(root, capsys):
    def git(*arguments):
        names = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(root), *names, *arguments], check=True, timeout=60)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "all")
    assert main(root) == 0
    (root / "new.py").touch()
    assert main(root) == 2
    assert "not clean (?? new.py)" in capsys.readouterr().err
    (root / "new.py").unlink()
    git("tag", "v0.2.0")
    assert main(root) == 0
    git("commit", "-q", "--allow-empty", "-m", "more")
    assert main(root) == 2
    assert "v0.2.0 is the tag of another commit" in capsys.readouterr().err


def test_the_checkout_is_a_release_or_says_why_not(capsys):
    code = main(ROOT)
    output = capsys.readouterr()
    assert (code, bool(output.out), bool(output.err)) in ((0, True, False), (2, False, True))
