"""`poc predict` on the command line: rows, exit codes, and what goes to which stream."""

import json

import pytest

from poc.tests.shared.actions.new_images.test_label_files import photos, run, trained

__all__ = ["photos", "run", "trained"]


def test_it_prints_a_row_per_image_and_exits_with_0(run, photos, poc):
    code, output, errors = poc("predict", run, photos / "cat")
    assert code == 0, errors
    assert len(output.splitlines()) == 13
    assert "12 images with an answer." in errors


def test_a_file_that_cannot_be_read_makes_the_exit_code_1(run, photos, poc):
    code, output, errors = poc("predict", run, photos / "cat" / "0.png", "gone.jpg", "--json")
    assert code == 1
    rows = json.loads(output)["rows"]
    assert [bool(row["problem"]) for row in rows] == [False, True]
    assert "1 of 2 files cannot be read; their rows say why" in errors


def test_a_csv_file_leaves_the_standard_output_empty(run, photos, poc, tmp_path):
    code, output, errors = poc("predict", run, photos / "cat", "--csv", tmp_path / "rows.csv")
    assert (code, output) == (0, "")
    assert f"Written: {tmp_path / 'rows.csv'}" in errors
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 13


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing argument 'PATH...'"),
        (["*.gif"], "which matches no file"),
        (["x.png", "--backend", "jax"], "Got backend='jax'"),
        (["x.png", "--workers", "0"], "Got --workers 0"),
    ],
)
def test_wrong_use_exits_with_2(options, words, run, poc):
    code, output, errors = poc("predict", run, *options)
    assert (code, output) == (2, "")
    assert words in errors
