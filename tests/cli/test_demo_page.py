"""The page of `poc demo` in Chromium: a photo, the answers of both frameworks, no error."""

import re

import numpy as np
import pytest
from PIL import Image

from poc.shared.engine.folder.run_folder import RunFolder
from poc.tests.helpers.browser.chromedriver import CHROMEDRIVER, CHROMIUM, browsing
from poc.tests.helpers.browser.visit import serving

pytest.importorskip("gradio", reason="needs the extra demo")
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or CHROMEDRIVER is None, reason="chromium is not installed"
    ),
]
RUN = [
    *("--backend", "torch", "--method", "scratch", "--model", "lightnet_plain"),
    *("--set", "model.widths=[8,8]", "--set", "data.split.train_per_class=20", "--epochs", "1"),
]
INPUT = "#photo input[type=file]"
PICTURE = "const one = document.querySelector('.poc-answers img'); return one && one.naturalWidth"


def test_a_photo_is_dropped_and_both_frameworks_answer(poc, tmp_path):
    """Nothing is asked of another machine, and the console has no error."""
    folder = tmp_path / "run"
    code, _, errors = poc("run", *RUN, "--output", folder)
    assert code == 0, errors
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    # A name that markup, templates and file systems read in their own way.
    photo = tmp_path / "{{7*7}} ${8*8} <b>&.png"
    Image.fromarray(pixels).save(photo)
    (tmp_path / "no.png").write_text("<svg onload='alert(1)'/>")
    with serving(folder, folder=tmp_path) as demo, browsing(tmp_path / "home") as browser:
        for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
            browser.show_as(width, 900, scheme, is_phone=width < 500)
            browser.open(demo.address)
            browser.wait("return document.querySelector(arguments[0]) !== null", INPUT)
            browser.upload(INPUT, photo)
            assert browser.wait(PICTURE) > 600
            check_answers(browser, RunFolder(folder))
            assert browser.run("return document.documentElement.scrollWidth") <= width
            dark = browser.run("return getComputedStyle(document.body).backgroundColor")
            assert (max(map(int, re.findall(r"\d+", dark)[:3])) < 60) is (scheme == "dark")
        browser.upload(INPUT, tmp_path / "no.png")
        sentence = browser.wait("return document.querySelector('.poc-problem')?.textContent")
        assert sentence.startswith("no.png is no image that Pillow knows: drop a JPEG")
        urls = [url for url in browser.requested() if url.startswith(("http", "ws"))]
        assert len(urls) > 20
        assert [url for url in urls if not url.startswith(demo.address)] == []
        entries = browser.log("browser")
        assert [entry for entry in entries if entry["level"] == "SEVERE"] == []
        assert demo.uploads() == []
    assert demo.process.returncode == 0


def check_answers(browser, run):
    """Both frameworks give the same classes and, as they are shown, the same probabilities."""
    text = browser.run("return document.querySelector('.poc-answers').innerText")
    labels = re.findall(r"^(tf|torch) (.+)$", text, re.MULTILINE)
    assert [backend for backend, _ in labels] == ["tf", "torch"]
    assert labels[0][1] == labels[1][1]
    assert labels[0][1] in run.read_run()["data"]["class_names"]
    cells = browser.run(
        "return [...document.querySelectorAll('.poc-answers td')].map(cell => cell.innerText)"
    )
    shares = [float(cell) for cell in cells]
    assert len(shares) == 10
    assert np.abs(np.subtract(shares[::2], shares[1::2])).max() < 2e-4
    alternative = browser.run("return document.querySelector('.poc-answers img').alt")
    assert "next to the Grad-CAM map of tf and torch" in alternative
