"""A worker's process: it imports nothing from the folder that its user works in."""

import pytest

from poc.shared.engine.worker.handle import Worker

# Modules that the server or its framework imports.
SHADOWED = ("http", "random", "copy", "json", "numpy", "torch", "tensorflow", "keras", "poc")


@pytest.mark.parametrize(
    "backend",
    [pytest.param("torch", marks=pytest.mark.torch), pytest.param("tf", marks=pytest.mark.tf)],
)
def test_files_of_the_working_directory_are_not_imported(backend, tmp_path, monkeypatch):
    for name in SHADOWED:
        note = f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')"
        (tmp_path / f"{name}.py").write_text(f"{note}\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.delenv(f"POC_{backend.upper()}_PYTHON", raising=False)
    with Worker(backend, log=tmp_path / "log"):
        pass
    assert not (tmp_path / "executed").exists()
