"""`poc card` and `poc package` on the command line."""

from poc.tests.shared.actions.new_images.test_label_files import photos, run, trained

__all__ = ["photos", "run", "trained"]


def test_a_card_is_printed_or_written(run, poc, tmp_path):
    code, output, errors = poc("card", run)
    assert (code, errors) == (0, "")
    assert output.startswith("# Model card: ")
    code, nothing, errors = poc("card", run, "--output", tmp_path / "card.md")
    assert (code, nothing) == (0, "")
    assert f"Written: {tmp_path / 'card.md'}" in errors
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == output


def test_a_package_needs_a_place(run, poc):
    code, output, errors = poc("package", run)
    assert (code, output) == (2, "")
    assert "Got no --output" in errors


def test_a_folder_without_a_run_is_refused(poc, tmp_path):
    for command in ("card", "package"):
        code, _, errors = poc(command, tmp_path, "--output", tmp_path / "a.zip")
        assert code == 2
        assert "has no run.json" in errors
    assert list(tmp_path.iterdir()) == []
