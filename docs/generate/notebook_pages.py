"""Pages of the site from the executed notebooks in `docs/notebooks`: text, code and its outputs.

nbconvert would do this too, and bring about ten packages more. The notebooks here hold text, tables
and pictures, for which Markdown is enough.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "notebooks"
# Notebook -> its page of the site, both as seen from docs/.
NOTEBOOK_PAGES = {
    f"notebooks/{path.name}": f"notebooks/{path.stem}.md" for path in sorted(FOLDER.glob("*.ipynb"))
}
STYLE = re.compile(r"<style.*?</style>\n?", re.DOTALL)
LINK = re.compile(r"(\]\([^)\s]*?)\.ipynb\)")


def write_page(path: Path) -> str:
    """Return the page of a notebook.

    Raises:
        ValueError: A cell ended with an error, or has an output that a page cannot show.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [part for cell in cells for part in write_cell(cell)]
    head, *rest = parts
    title, _, text = head.partition("\n")
    link = f'<a href="{path.name}" download>Download this notebook</a>'
    return "\n\n".join([f"{title}\n\n{link}\n{text}", *rest]) + "\n"


def write_cell(cell: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of a cell, or its code and then each of its outputs."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield fence(source, "python")
    for output in cell["outputs"]:
        yield write_output(output)


def write_output(output: Mapping[str, Any]) -> str:
    """Return one output: a picture, a table, or text.

    Raises:
        ValueError: It is an error, or of another kind.
    """
    if output["output_type"] == "stream":
        return fence("".join(output["text"]), "text")
    data = output.get("data", {})
    if "image/png" in data:
        content = "".join(data["image/png"]).replace("\n", "")
        source = f"data:image/png;base64,{content}"
        return f'<img alt="Picture that the cell above draws" src="{source}">'
    if "text/html" in data:
        return STYLE.sub("", "".join(data["text/html"]))
    if "text/plain" in data:
        return fence("".join(data["text/plain"]), "text")
    kind = output["output_type"]
    raise ValueError(f"Got an output of type {kind!r}. Expected text, a table or a picture.")


def fence(text: str, language: str) -> str:
    """Return a block of code."""
    body = text.rstrip("\n")
    return f"```{language}\n{body}\n```"


def mend_notebook_links(text: str) -> str:
    """Return a page of docs/ whose links to notebooks lead to their pages."""
    return LINK.sub(r"\1.md)", text)
