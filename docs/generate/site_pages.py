"""Pages of the site that lie at the root of the repository, and links to and from them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Files of the root that are pages of the site, and their names there.
ROOT_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(\]\()([^)\s#]+)")
# The part that an entry of the changelog changes; two in a row would be a reference in Markdown.
TAG = re.compile(r"\[(cli|shared|tf|torch)\]")


def read_root_page(name: str) -> str:
    """A page of the root, with its links as seen from docs/."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return TAG.sub(r"\\[\1\\]", LINK.sub(into_docs, text))


def into_docs(link: re.Match[str]) -> str:
    """A link of a page of the root, as seen from docs/."""
    target = link[2].removeprefix("docs/")
    return f"{link[1]}{ROOT_PAGES.get(target, target)}"


def mend_links(text: str) -> str:
    """A page of docs/, with its links to pages of the root as the site has them."""
    return LINK.sub(out_of_docs, text)


def out_of_docs(link: re.Match[str]) -> str:
    """Return a link to a page of the root, which the site puts into the folder of index.md."""
    *parents, name = link[2].split("/")
    if name in ROOT_PAGES and parents and set(parents) == {".."}:
        return f"{link[1]}{'../' * (len(parents) - 1)}{ROOT_PAGES[name]}"
    return link[0]
