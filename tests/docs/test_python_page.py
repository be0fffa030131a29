"""Every snippet of docs/python.md runs, section by section, each in an interpreter of its own."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import poc
from poc.tests.helpers.docs.pages import ROOT

TEXT = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Heading -> the snippets below it, as one script.
SECTIONS = {
    section.partition("\n")[0]: "\n".join(FENCE.findall(section))
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
}
SCRIPTS = {heading: code for heading, code in SECTIONS.items() if code}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the page asks for: photos of three classes, and two images to classify."""
    root = tmp_path_factory.mktemp("page")
    draw = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog", "horse")):
        (root / "photos" / name).mkdir(parents=True)
        for number in range(16):
            pixels = draw.integers(80 * label, 80 * label + 96, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "photos" / name / f"{number}.png")
    Image.fromarray(pixels).save(root / "a.jpg")
    Image.fromarray(pixels).save(root / "b.png")
    return root


def test_the_page_has_snippets():
    assert len(SCRIPTS) >= 6
    assert sum(len(FENCE.findall(section)) for section in TEXT.split("\n## ")) >= 8


@pytest.mark.parametrize("heading", SCRIPTS)
def test_a_snippet_is_python(heading):
    compile(SCRIPTS[heading], heading, "exec")


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.torch
def test_every_snippet_runs(folder):
    """In the page's order, in the folder that the sections before it left."""
    for heading, code in SCRIPTS.items():
        done = subprocess.run(
            [sys.executable, "-W", "error::FutureWarning", "-c", code],
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
            cwd=folder,
        )
        assert done.returncode == 0, f"{heading}: {done.stderr[-3000:]}"
        if heading == "Errors":
            assert done.stdout.strip() in TEXT
    assert {path.name for path in folder.glob("*.*")} >= {"photos.keras", "resnet18.pth"}


def test_it_has_five_lines_and_a_reference_of_every_name():
    assert len(SCRIPTS["Five lines"].strip().splitlines()) == 5
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert FENCE.findall(readme) == [SCRIPTS["Five lines"]]
    documented = set(re.findall(r"^::: poc\.(\w+)$", TEXT, re.MULTILINE))
    # The errors are explained in a section of their own.
    assert documented == {name for name in poc.__all__ if name not in errors()}
    assert [name for name in errors() if f"`poc.{name}`" not in TEXT] == []


def errors():
    return {"CheckFailed", "Interrupted", "UsageError"}


def test_its_notebooks_are_there():
    named = set(re.findall(r"\((notebooks/\w+\.ipynb)\)", TEXT))
    found = (ROOT / "docs" / "notebooks").glob("*.ipynb")
    assert named == {f"notebooks/{path.name}" for path in found}
