"""`poc explain` on the command line: files, exit codes, and what goes to which stream."""

import json

import pytest

from poc.tests.shared.actions.explanations.test_explain_files import photos, run, trained

__all__ = ["photos", "run", "trained"]


def test_it_writes_a_page_and_exits_with_0(run, photos, poc, tmp_path):
    output = tmp_path / "why"
    code, out, errors = poc("explain", run, photos / "cat" / "0.png", "--output", output)
    assert code == 0, errors
    assert out == f"Written: {output / 'index.html'}\n"
    assert "1 image explained; the frameworks' maps differ by at most 0.0e+00." in errors
    found = json.loads((output / "explanations.json").read_text(encoding="utf-8"))
    assert found["command"].startswith("poc explain ")


def test_a_file_that_cannot_be_read_makes_the_exit_code_1(run, photos, poc, tmp_path):
    paths = (photos / "cat" / "0.png", "gone.jpg")
    code, _, errors = poc("explain", run, *paths, "--output", tmp_path / "why")
    assert code == 1
    assert "1 of 2 files cannot be read; their rows say why" in errors
    assert (tmp_path / "why" / "index.html").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["x.png"], "Missing option '--output'"),
        (["--output", "why"], "Missing argument 'IMAGE...'"),
        (["*.gif", "--output", "why"], "which matches no file"),
        (["x.png", "--output", "why", "--method", "lime"], "Got --method 'lime'"),
        (["x.png", "--output", "why", "--patch", "3"], "Got --patch 3 with --method gradcam"),
        (["x.png", "--output", "why", "--backend", "jax"], "Got backend='jax'"),
        (["x.png", "--output", "."], "which has files"),
    ],
)
def test_wrong_use_exits_with_2(options, words, run, poc):
    code, output, errors = poc("explain", run, *options)
    assert (code, output) == (2, "")
    assert words in errors
