"""The notebooks: executed as they stand, in order, without errors, small; and they still run.

`python tests/docs/test_notebooks.py` executes them again, and keeps the new outputs.
"""

import json
import re
import tempfile
from pathlib import Path

import nbclient
import nbformat
import pytest

from poc.docs.generate.notebook_pages import (
    NOTEBOOK_PAGES,
    mend_notebook_links,
    write_cell,
    write_page,
)
from poc.tests.helpers.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
MAX_BYTES = 100_000
# Folders of one machine or user, and what Jupyter says of its kernel's files.
OWN_PATHS = re.compile(r"/(?:home|root|tmp|work|Users|var|opt|usr|mnt)/|ipykernel_\d")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def execute(path, folder):
    """The notebook, with the outputs of an execution in an empty folder."""
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        book,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute()
    return book


def faults(book):
    """What is wrong with a notebook as it is stored."""
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        yield f"its cells were not executed in order: {counts}"
    for output in (output for cell in cells for output in cell["outputs"]):
        if output["output_type"] == "error":
            yield f"a cell ended with {output['ename']}"
        if output.get("name") == "stderr":
            yield f"a cell wrote to standard error: {''.join(output['text'])[:100]}"
    text = json.dumps(book)
    if len(text) > MAX_BYTES:
        yield f"it has {len(text):,} characters"
    if found := OWN_PATHS.search(text):
        yield f"it names a place of one machine: {text[found.start() - 20 : found.end() + 20]}"


def test_there_are_three():
    assert len(NOTEBOOKS) == len(NOTEBOOK_PAGES) == 3


@each_notebook
def test_it_is_executed_in_order_without_errors_and_small(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert list(faults(book)) == []
    assert any(cell.get("outputs") for cell in book["cells"])


@each_notebook
def test_its_page_has_all_of_it(path):
    page = write_page(path)
    book = nbformat.read(path, as_version=4)
    for cell in book["cells"]:
        last = cell["source"].splitlines()[-1]
        assert last in page
    assert page.startswith("# ")
    assert f'<a href="{path.name}" download>' in page


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.torch
@each_notebook
def test_it_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert list(faults(execute(path, tmp_path))) == []


def cell(number, *outputs):
    shown = {"execution_count": number, "metadata": {}, "outputs": list(outputs)}
    return {"cell_type": "code", "source": "1", **shown}


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        ([cell(2)], "not executed in order"),
        ([cell(None)], "not executed in order"),
        ([cell(1, {"output_type": "error", "ename": "KeyError"})], "ended with KeyError"),
        ([cell(1, {"output_type": "stream", "name": "stderr", "text": "E0000"})], "E0000"),
        ([cell(1, {"output_type": "stream", "name": "stdout", "text": "/home/me/x"})], "/home/me"),
        ([cell(1, {"output_type": "stream", "name": "stdout", "text": "x" * 100_000})], "100,"),
    ],
)
def test_faults_are_seen(cells, word):
    assert any(word in fault for fault in faults({"cells": cells}))


def test_outputs_become_text_tables_and_pictures():
    table = "<style scoped>\n a {}\n</style>\n<table><tr><td>1</td></tr></table>"
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]},
        {"output_type": "execute_result", "data": {"text/html": table, "text/plain": "1"}},
        {"output_type": "display_data", "data": {"image/png": "QUJD\n", "text/plain": "x"}},
        {"output_type": "execute_result", "data": {"text/plain": "{'a': 1}"}},
    ]
    assert list(write_cell(cell(1, *outputs))) == [
        "```python\n1\n```",
        "```text\na\nb\n```",
        "<table><tr><td>1</td></tr></table>",
        '<img alt="Picture that the cell above draws" src="data:image/png;base64,QUJD">',
        "```text\n{'a': 1}\n```",
    ]
    with pytest.raises(ValueError, match="'error'"):
        list(write_cell(cell(1, {"output_type": "error", "ename": "KeyError"})))


def test_links_lead_to_the_pages():
    text = "[a](notebooks/x.ipynb), `x.ipynb`, [b](data.md)"
    assert mend_notebook_links(text) == "[a](notebooks/x.md), `x.ipynb`, [b](data.md)"


if __name__ == "__main__":
    for notebook in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as place:
            nbformat.write(execute(notebook, Path(place)), notebook)
