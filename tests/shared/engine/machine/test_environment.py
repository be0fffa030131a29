"""The commit of a record is that of the code that ran, or none."""

import subprocess

from poc.shared.engine.machine.environment import describe_machine, git_commit


def make_checkout(folder):
    """A repository with one commit."""
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_of_a_checkout(tmp_path):
    commit = make_checkout(tmp_path)
    found = git_commit(tmp_path)
    assert found is not None
    assert commit.startswith(found)


def test_a_package_inside_of_another_project_has_no_commit(tmp_path):
    make_checkout(tmp_path)
    package = tmp_path / ".venv" / "site-packages" / "poc"
    package.mkdir(parents=True)
    assert git_commit(package) is None


def test_a_folder_without_repository_has_no_commit(tmp_path):
    assert git_commit(tmp_path) is None


def test_a_repository_without_a_commit_has_none(tmp_path):
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    assert git_commit(tmp_path) is None


def test_the_version_is_recorded():
    assert describe_machine()["poc_version"]
