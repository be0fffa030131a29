"""Archives: equal contents give equal bytes, and a failure leaves nothing."""

import zipfile

import pytest

from poc.shared.files.archives import write_zip


def test_equal_contents_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"weights" * 1000)
        write_zip(tmp_path / f"{name}.zip", {"w.bin": tmp_path / name, "README.md": b"text"})
    first = (tmp_path / "one.zip").read_bytes()
    assert first == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["w.bin", "README.md"]
        assert archive.read("w.bin") == b"weights" * 1000
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        write_zip(tmp_path / "a.zip", {"README.md": b"text", "w.bin": tmp_path / "gone"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == b"old"
