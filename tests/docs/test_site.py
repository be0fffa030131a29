"""The site is built as `make docs` builds it, strictly, and asks no other host for anything."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from poc.tests.helpers.docs.pages import ROOT, menu_pages

# What a browser would load by itself; links that a reader follows may lead anywhere.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|icon|preload|dns-prefetch))"""
    r"""[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
)
STYLE = re.compile(r"""(?:@import\s+|url\(\s*)["']?(?:https?:)?//""")


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        [*command, "--config-file", str(root / "mkdocs.yml"), "--site-dir", str(site)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_it_holds_every_page_of_the_menu_and_no_program(site):
    built = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    expected = {page.removesuffix(".md") + ".html" for page in menu_pages()}
    assert expected - built == set()
    assert not list(site.rglob("*.py"))


def test_nothing_is_loaded_from_another_host(site):
    for page in site.rglob("*.html"):
        assert LOADED.findall(page.read_text(encoding="utf-8")) == [], page.name
    for sheet in site.rglob("*.css"):
        assert STYLE.findall(sheet.read_text(encoding="utf-8")) == [], sheet.name


def test_foreign_things_are_seen():
    for text in (
        '<script src="https://x.org/a.js">',
        "<img alt=a src=//x.org/a.png>",
        '<link href="https://x.org/a.css" rel="stylesheet">',
        "<link rel=preconnect href=https://x.org crossorigin>",
    ):
        assert LOADED.search(text), text
    assert not LOADED.search('<a href="https://arxiv.org/abs/1">')
    assert STYLE.search("@import url(https://x.org/font.css)")


def test_generated_parts_are_in_the_pages(site):
    settings = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    assert 'id="optimizer.learning_rate"' in settings
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "<code>--save-every STEPS|MINUTES</code>" in commands
    python = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in ("engine.backend.Trainer.step", "spec.run.RunSpec", "methods.objective.Objective"):
        assert f"{name}" in python, name
    api = (site / "python.html").read_text(encoding="utf-8")
    for name in ("run", "RunResult.history", "Comparison", "predict", "load_model"):
        assert f'id="poc.{name}"' in api, name
    assert 'href="notebooks/own_photos.html"' in api
    assert "data:image/png;base64," in (site / "notebooks" / "own_photos.html").read_text("utf-8")
    assert "<!-- settings" not in settings
    index = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="contributing.html"' in index


@pytest.mark.slow
def test_a_dead_link_and_a_page_outside_of_the_menu_fail(tmp_path):
    """In a copy; its package is the checkout's."""
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "mkdocs.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / ".alias").symlink_to(ROOT / ".alias")
    limits = tmp_path / "docs" / "limits.md"
    text = limits.read_text(encoding="utf-8")
    for planted, word in (("[x](gone.md)", "gone.md"), ("[x](data.md#gone)", "data.md#gone")):
        limits.write_text(f"{text}\n{planted}\n", encoding="utf-8")
        done = build(tmp_path, tmp_path / "site")
        assert done.returncode == 1
        assert word in done.stderr
    limits.write_text(text, encoding="utf-8")
    (tmp_path / "docs" / "lost.md").write_text("# Lost\n", encoding="utf-8")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert "lost.md" in done.stderr
