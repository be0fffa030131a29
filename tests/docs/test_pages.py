"""Every page can be found, every link leads somewhere, and no list of pages has a gap."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from poc.docs.generate.notebook_pages import NOTEBOOK_PAGES
from poc.docs.generate.site_pages import ROOT_PAGES
from poc.shared.data.sources.table import SCHEMES
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.architectures.table import MODELS
from poc.tests.helpers.docs.pages import (
    ROOT,
    all_pages,
    links_of,
    menu_pages,
    missing_paths,
    reached_from,
)

# Where a reader comes in: the repository's page, and the site's.
STARTS = ("README.md", "docs/index.md")
PAGES = sorted(all_pages())
# Pages whose paths are those of their day, and why they stay so.
HISTORIC = {
    "docs/results/2026-11-28-mutants.md": "its line numbers fit the modules of that day alone",
}
# Paths that stand for any name.
EXAMPLES = {"CONTRIBUTING.md": ["configs/<method>/", "shared/a/b.py", "tests/shared/a/test_b.py"]}
NUMBER = re.compile(r"(\d{4})-[a-z0-9-]+\.md")


def test_every_page_is_reached_by_links():
    assert set(PAGES) - reached_from(STARTS) == set()


def test_the_menu_names_every_page_once():
    named = menu_pages()
    generated = {*ROOT_PAGES.values(), *NOTEBOOK_PAGES.values()}
    expected = {page.removeprefix("docs/") for page in PAGES} | generated
    assert sorted(named) == sorted(expected)


@pytest.mark.parametrize("page", ["README.md", *ROOT_PAGES, *PAGES])
def test_every_link_leads_to_a_file(page):
    assert [link for link, target in links_of(page) if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("page", sorted({"README.md", "CONTRIBUTING.md", *PAGES} - HISTORIC.keys()))
def test_every_path_of_the_repository_exists(page):
    assert missing_paths(page) == EXAMPLES.get(page, [])


@pytest.mark.parametrize("page", HISTORIC)
def test_a_historic_page_names_what_is_gone(page):
    assert missing_paths(page), f"{page} need not be an exception"


@pytest.mark.parametrize("folder", ["methods", "architectures", "decisions", "results"])
def test_an_index_links_to_all_pages_beside_it(folder):
    index = f"docs/{folder}/index.md"
    linked = {target for _, target in links_of(index)}
    beside = {page for page in PAGES if page.startswith(f"docs/{folder}/")} - {index}
    assert beside - linked == set()


def decision_numbers(root: Path) -> list[tuple[int, int]]:
    """(number of the file, number of its heading)."""
    found = []
    for path in sorted((root / "docs" / "decisions").glob("[0-9]*.md")):
        heading = re.match(r"# 0*(\d+)[.:] ", path.read_text(encoding="utf-8"))
        name = NUMBER.fullmatch(path.name)
        assert heading, f"{path.name} has no number in its heading"
        assert name, f"{path.name} does not begin with four digits"
        found.append((int(name[1]), int(heading[1])))
    return found


def test_decisions_are_numbered_without_gaps():
    numbers = decision_numbers(ROOT)
    assert numbers == [(number, number) for number in range(1, len(numbers) + 1)]


def test_the_index_of_decisions_is_in_their_order():
    listed = [Path(target).name for _, target in links_of("docs/decisions/index.md")]
    assert listed == sorted(listed)
    assert len(listed) == len(decision_numbers(ROOT))


def results_by_topic(root: Path = ROOT) -> dict[str, list[tuple[str, str]]]:
    """Topic -> (date as written, link) of each line, in the order of the page."""
    text = (root / "docs" / "results" / "index.md").read_text(encoding="utf-8")
    topics = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    line = re.compile(r"^- (\d{4}-\d\d-\d\d) \[[^\]]*\]\(([^)]+)\)", re.MULTILINE)
    return {topic.partition("\n")[0]: line.findall(topic) for topic in topics}


def test_results_stand_by_topic_the_newest_first():
    topics = results_by_topic()
    assert len(topics) > 1
    for topic, lines in topics.items():
        dates = [date for date, _ in lines]
        assert dates, f"{topic} is empty"
        assert dates == sorted(dates, reverse=True), f"{topic} is out of order"
        assert [link for date, link in lines if not link.startswith(date)] == []
    links = [link for lines in topics.values() for _, link in lines]
    assert len(links) == len(set(links))


def test_every_method_and_model_has_its_page():
    methods = (ROOT / "docs" / "methods" / "index.md").read_text(encoding="utf-8")
    models = (ROOT / "docs" / "architectures" / "index.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"[`{name}`](" not in methods] == []
    assert [name for name in MODELS if f"`{name}`" not in models] == []


def test_every_source_of_images_has_its_line():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [row.form for row in SCHEMES.values() if f"\n| `{row.form}` |" not in page] == []


def test_the_version_is_cited_as_it_is():
    with (ROOT / "pyproject.toml").open("rb") as stream:
        version = tomllib.load(stream)["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    """README and docs/ of their own, to plant faults in."""
    for name in ("README.md", "CONTRIBUTING.md", "mkdocs.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def test_a_page_without_a_link_is_seen(copy):
    (copy / "docs" / "lost.md").write_text("# Lost\n")
    assert all_pages(copy) - reached_from(STARTS, copy) == {"docs/lost.md"}
    assert "lost.md" not in menu_pages(copy)


def test_a_dead_link_is_seen(copy):
    (copy / "docs" / "lost.md").write_text("[gone](gone.md#place), `[code](x)`, [web](https://x)\n")
    assert list(links_of("docs/lost.md", copy)) == [("gone.md#place", "docs/gone.md")]


def test_a_path_of_a_module_that_moved_is_seen(copy):
    (copy / "docs" / "lost.md").write_text(
        "`tests/gone.py`, tests/gone/. `tests/kept.py`, tests/*.py, `tests/kept`, x/tests/gone.py\n"
        "\n    python tests/lost.py --key tests/kept.py\n\nhttps://x/tests/gone.py\n"
    )
    (copy / "tests").mkdir()
    (copy / "tests" / "kept.py").touch()
    assert missing_paths("docs/lost.md", copy) == ["tests/gone.py", "tests/gone/", "tests/lost.py"]


def test_a_gap_between_decisions_is_seen(copy):
    (copy / "docs" / "decisions" / "0002-one-process-per-backend.md").unlink()
    numbers = decision_numbers(copy)
    assert numbers != [(number, number) for number in range(1, len(numbers) + 1)]


def test_a_result_out_of_order_is_seen(copy):
    index = copy / "docs" / "results" / "index.md"
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace("2026-11-28 [Do the defaults", "2020-01-01 [Do the defaults"))
    dates = [date for lines in results_by_topic(copy).values() for date, _ in lines]
    assert "2020-01-01" in dates
