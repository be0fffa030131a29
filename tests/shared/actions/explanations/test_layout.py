"""The page of explanations as a browser lays it out, at the width of a phone and of a desk."""

import html
import json
import re
import shutil
import subprocess

import pytest

from poc.tests.shared.actions.explanations.test_explain_files import explain, photos, run, trained

__all__ = ["photos", "run", "trained"]
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
# The page may run no script; the one around it measures it.
FRAME = """<!doctype html><body style="margin: 0">
<iframe style="width: {width}px; height: 900px; border: 0; color-scheme: {scheme}"
 srcdoc="{page}"></iframe><pre></pre><script>
window.onload = () => {{
  const page = document.querySelector("iframe").contentDocument;
  const view = page.defaultView;
  const boxes = [...page.querySelectorAll(".scroll")];
  document.querySelector("pre").textContent = JSON.stringify({{
    width: page.documentElement.scrollWidth,
    boxes: Math.max(...boxes.map(box => box.getBoundingClientRect().right)),
    picture: page.querySelector("img").getBoundingClientRect().width,
    ink: view.getComputedStyle(page.body).color,
  }});
}};
</script>"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page(width, scheme, run, photos, tmp_path):
    long = tmp_path / f"{'long' * 40}.png"
    shutil.copy(photos / "cat" / "0.png", long)
    explain(run, [long, photos / "dog"], tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, scheme=scheme, page=html.escape(page)))
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-sync", "--window-size=1400,1000",
            f"--user-data-dir={tmp_path / 'home'}", "--dump-dom", frame.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = json.loads(html.unescape(re.search(r"<pre>(\{.*\})</pre>", done.stdout)[1]))
    assert found["width"] <= width
    assert found["boxes"] <= width
    # Its letters can be read on a phone, where the picture scrolls in a box of its own.
    assert found["picture"] >= 600
    assert found["ink"] == {"light": "rgb(28, 36, 48)", "dark": "rgb(228, 232, 237)"}[scheme]
