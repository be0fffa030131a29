"""Disks that refuse: an OSError at every call that writes, each once; nothing saved is lost."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from poc.shared.engine.folder.checkpoints import read_checkpoint
from poc.shared.engine.folder.disk_reserve import RESERVE_BYTES
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.errors import CheckFailed
from poc.shared.files import whole
from poc.tests.faults.test_resume import FROZEN, RUN, facts, train

SMALL = {**RUN, "num_epochs": 2}
SMALL_FROZEN = {**FROZEN, "num_epochs": 2}
REFUSED = re.compile("^Got an error of the file system.*No space left")
# Everything by which a run changes its folder.
CALLS = [
    (whole, "open_new"),
    (whole.os, "fdopen"),
    (os, "fsync"),
    (os, "link"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "open"),
]


class Disk:
    """Counts calls that write, and refuses one of them."""

    def __init__(self, monkeypatch, refused=None, *, for_ever=False, number=errno.ENOSPC):
        self.count, self.refused, self.for_ever, self.number = 0, refused, for_ever, number
        for owner, name in CALLS:
            # Waiting for a real disk would only cost time.
            original = (lambda descriptor: None) if name == "fsync" else getattr(owner, name)
            monkeypatch.setattr(owner, name, self.wrap(original, name))

    def wrap(self, original, name):
        def call(*arguments, **options):
            is_write = name != "open" or any(
                set(str(a)) & set("wax+") for a in [*arguments[1:2], *options.values()]
            )
            if not is_write:
                return original(*arguments, **options)
            self.count += 1
            is_over = self.refused is not None and self.count >= self.refused
            if self.count == self.refused or (is_over and self.for_ever):
                raise OSError(self.number, os.strerror(self.number))
            result = original(*arguments, **options)
            return Stream(result, self) if name == "fdopen" else result

        return call


class Stream:
    """A file whose `write` counts as well."""

    def __init__(self, stream, disk):
        self._stream = stream
        self.write = disk.wrap(stream.write, "write")

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stream.close()


def count_calls(folder, run):
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        train(folder, run, save_every="4")
    return disk.count


def refusal(folder, run):
    """What the run says; none: it ended well, since what failed was no more than tidying."""
    try:
        train(folder, run, save_every="4")
    except CheckFailed as error:
        return str(error)
    return None


EVERY = pytest.param(1, marks=pytest.mark.slow)


@pytest.mark.parametrize("stride", [16, EVERY])
@pytest.mark.parametrize("for_ever", [False, True], ids=["one call", "full from then on"])
@pytest.mark.parametrize("run", [SMALL, SMALL_FROZEN], ids=["all moves", "frozen body"])
def test_every_refused_write_is_one_sentence_and_loses_nothing(run, for_ever, stride, tmp_path):
    # Each in a folder of its own, so that none finds the frozen part of another.
    train(tmp_path / "whole" / "run", run)
    num_calls, stopped = count_calls(tmp_path / "counted" / "run", run), 0
    tried = range(1, num_calls + 1, stride)
    for refused in tried:
        folder = tmp_path / f"{refused}" / "run"
        RunFolder.create(folder)
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, refused, for_ever=for_ever)
            message = refusal(folder, run)
        assert message is None or REFUSED.search(message), message
        stopped += message is not None
        # Whatever stands there can be read, and goes on to the same end.
        saved = read_checkpoint(RunFolder(folder).checkpoints)
        has_begun = (folder / "run.json").exists()
        assert has_begun or saved is None
        train(folder, run, is_resumed=has_begun)
        assert facts(folder) == facts(tmp_path / "whole" / "run")
    print(
        f"refused writes ({'for ever' if for_ever else 'once'}): {len(tried)} of {num_calls}, "
        f"{stopped} of them stopped the run, lost: nothing that was saved"
    )
    assert stopped > len(tried) / 2


def test_a_folder_that_vanishes_is_one_sentence(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def vanish(self, step, now):
        if step == 3:
            folder.rename(tmp_path / "elsewhere")
        return step == 3

    monkeypatch.setattr(Saver, "is_due", vanish)
    with pytest.raises(CheckFailed, match=r"error of the file system.*nothing was saved"):
        train(folder, SMALL)
    assert not folder.exists()


def test_a_folder_without_write_permission_keeps_its_checkpoint(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def protect(self, step, now):
        if step == 7:
            real = whole.open_new

            def refuse(path):
                if path.is_relative_to(folder):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
                return real(path)

            monkeypatch.setattr(whole, "open_new", refuse)
        return False

    monkeypatch.setattr(Saver, "is_due", protect)
    with pytest.raises(CheckFailed, match=r"Permission denied.*step 5, which is saved"):
        train(folder, SMALL)
    monkeypatch.undo()
    train(folder, SMALL, is_resumed=True)
    train(tmp_path / "whole", SMALL)
    assert facts(folder) == facts(tmp_path / "whole")


def test_leftovers_of_killed_writes_are_removed(tmp_path):
    folder = RunFolder.create(tmp_path / "run").path
    for name in ("resume", "best"):
        (folder / "checkpoints" / f".part-{name}.safetensors-abc").write_bytes(b"half")
    train(folder, SMALL, is_resumed=False)
    names = [path.name for path in (folder / "checkpoints").iterdir()]
    assert sorted(names) == [
        "best.safetensors",
        "last.safetensors",
        "resume.safetensors",
        "resume_previous.safetensors",
    ]


class FullDisk:
    """Refuses what no longer fits, as a disk does whose last room the run itself has kept."""

    def __init__(self, monkeypatch, room):
        self.room, real = room, whole.os.fdopen
        monkeypatch.setattr(whole.os, "fdopen", lambda *a, **o: Fitting(real(*a, **o), self))


class Fitting(Stream):
    def __init__(self, stream, disk):
        self._stream, self._disk = stream, disk

    def write(self, content):
        if self._disk.room.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert len(content) < RESERVE_BYTES
        return self._stream.write(content)


def test_on_a_full_disk_the_end_is_marked_in_the_room_kept_for_it(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def fill(self, step, now):
        if step == 7:
            assert RunFolder(folder).room.stat().st_size == RESERVE_BYTES
            FullDisk(monkeypatch, RunFolder(folder).room)
        return step == 7

    monkeypatch.setattr(Saver, "is_due", fill)
    with pytest.raises(CheckFailed, match=r"No space left.*step 5, which is saved"):
        train(folder, SMALL)
    record = RunFolder(folder).read_run()
    assert record["status"] == "failed"
    assert "No space left" in record["error"]
    assert not RunFolder(folder).room.exists()
    monkeypatch.undo()
    train(folder, SMALL, is_resumed=True)
    train(tmp_path / "whole", SMALL)
    assert facts(folder) == facts(tmp_path / "whole")


def test_another_refusal_keeps_the_room_and_a_finished_run_has_none(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_run({"status": "running"})
    folder.keep_room()

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(whole, "open_new", refuse)
    with pytest.raises(OSError, match="Read-only"):
        folder.mark("failed")
    assert folder.room.exists()
    monkeypatch.undo()
    folder.mark("running")
    assert folder.room.exists()
    folder.mark("finished")
    assert not folder.room.exists()


FILL = """
import os, sys
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import Saver
from poc.tests.faults.test_resume import RUN, train

def fill(self, step, now):
    if step == 7:
        for size in (1 << 16, 1):
            with open("filler", "ab", buffering=0) as file:
                try:
                    while file.write(os.urandom(size)):
                        pass
                except OSError:
                    pass
    return step == 7

Saver.is_due = fill
try:
    train(RunFolder.create("run").path, RUN)
except Exception as error:
    print(error)
print(RunFolder("run").read_run()["status"])
"""


def can_mount():
    return (
        shutil.which("unshare")
        and not subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="a disk of its own needs the right to mount one")
def test_a_disk_that_is_really_full_keeps_the_word_of_how_the_run_ended(tmp_path):
    """Three megabytes of memory as a disk, in a mount namespace that ends with the process."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "fill.py").write_text(FILL)
    script = (
        f"mount -t tmpfs -o size=3M tmpfs {tmp_path}/disk && cd {tmp_path}/disk && "
        f"exec {sys.executable} {tmp_path}/fill.py"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=100
    )
    assert REFUSED.search(done.stdout), done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "failed"
