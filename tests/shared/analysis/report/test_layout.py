"""The page as a browser lays it out: at the width of a phone and of a desk, light and dark."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from poc.shared.analysis.report.page import write_report
from poc.tests.shared.actions.test_calibrate import calibrate, make_trained
from poc.tests.shared.analysis.report.test_page import make_run, make_study

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
# The page may run no script; the one around it measures it. Chromium's own window is never as
# narrow as a phone, a frame is.
FRAME = """<!doctype html><body style="margin: 0">
<iframe style="width: {width}px; height: 900px; border: 0; color-scheme: {scheme}"
 srcdoc="{page}"></iframe><pre></pre><script>
window.onload = () => {{
  const page = document.querySelector("iframe").contentDocument;
  const view = page.defaultView;
  page.querySelectorAll("details").forEach(item => item.open = true);
  const letters = [...page.querySelectorAll("svg")].flatMap(svg => {{
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [...svg.querySelectorAll("text")].map(
      text => scale * parseFloat(view.getComputedStyle(text).fontSize));
  }});
  const cells = [...page.querySelectorAll("td, th")].filter(cell => cell.offsetParent);
  const isCut = box => box.scrollWidth > box.clientWidth + 1
    && !["auto", "scroll"].includes(view.getComputedStyle(box).overflowX);
  const style = view.getComputedStyle(page.body);
  document.querySelector("pre").textContent = JSON.stringify({{
    width: page.documentElement.scrollWidth,
    boxes: Math.max(...[...page.querySelectorAll(".scroll")].map(
      box => box.getBoundingClientRect().right)),
    smallest: Math.min(...letters), largest: Math.max(...letters),
    cells: cells.length, homeless: cells.filter(cell => !cell.closest(".scroll")).length,
    cut: [...page.querySelectorAll(".scroll")].filter(isCut).length,
    isStacked: getComputedStyle(page.querySelector(".stacked td")).display == "block",
    page: style.backgroundColor, ink: style.color,
    rates: [...page.querySelectorAll("p.rates")].map(
      line => [line.getBoundingClientRect().bottom, line.textContent]),
  }});
}};
</script>"""


def measure(page: Path, folder: Path, width: int, scheme: str) -> dict[str, Any]:
    """Sizes and colours of a page in a frame of so many pixels."""
    frame = folder / "frame.html"
    text = page.read_text(encoding="utf-8")
    frame.write_text(FRAME.format(width=width, scheme=scheme, page=html.escape(text)))
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-sync", "--window-size=1400,1000",
            f"--user-data-dir={folder / 'home'}", "--dump-dom", frame.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"<pre>(\{.*\})</pre>", done.stdout)
    assert found, done.stderr
    measured: dict[str, Any] = json.loads(html.unescape(found[1]))
    return measured


@pytest.mark.parametrize("num_runs", [1, 30])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_and_letters_can_be_read(num_runs: int, width: int, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    if num_runs == 1:
        # The widest picture: a matrix of many classes.
        make_run(runs / "one", class_names=[f"a long name, {index}" for index in range(40)])
    else:
        make_study(runs)
    write_report([runs], tmp_path / "report", title="A study", command="poc report runs")
    found = measure(tmp_path / "report" / "report.html", tmp_path, width, "light")
    print(found)
    # The page itself never moves sideways: what is wider scrolls in a box of its own.
    assert found["width"] <= width
    assert found["boxes"] <= width
    assert found["cut"] == found["homeless"] == 0
    assert found["cells"] > 30
    assert found["smallest"] >= 7.5
    assert found["largest"] <= 15
    assert found["isStacked"] == (width == 390)


def test_rates_of_two_classes_are_on_the_first_screen(tmp_path: Path) -> None:
    """Of 30 runs too, with a long headline: a desk shows 800 pixels at once."""
    names = ["healthy", "ill"]
    make_study(tmp_path / "runs", class_names=names)
    make_trained(tmp_path / "one")
    calibrate(tmp_path / "one", sensitivity=0.9)
    for name, count in (("runs", 1), ("one", 2)):
        output = tmp_path / f"{name} report"
        write_report([tmp_path / name], output, title="A study", command="poc report runs")
        found = measure(output / "report.html", tmp_path, 1280, "light")
        assert len(found["rates"]) == count
        assert max(bottom for bottom, _ in found["rates"]) < 400
        text = found["rates"][0][1]
        assert len(re.findall(r"0\.\d{3} \(0\.\d{3} to \d\.\d{3}\)", text)) == 2, text
    # Curves of two classes have letters of the same size.
    assert found["smallest"] >= 7.5
    assert found["largest"] <= 15
    assert found["width"] <= 1280


def test_a_dark_desk_gets_a_dark_page(tmp_path: Path) -> None:
    write_report([make_run(tmp_path / "run")], tmp_path / "report", title="", command="")
    page = tmp_path / "report" / "report.html"
    light, dark = (measure(page, tmp_path, 1280, scheme) for scheme in ("light", "dark"))
    assert (light["page"], light["ink"]) == ("rgb(255, 255, 255)", "rgb(28, 36, 48)")
    assert (dark["page"], dark["ink"]) == ("rgb(20, 24, 29)", "rgb(228, 232, 237)")
