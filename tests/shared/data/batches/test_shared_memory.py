"""Too little shared memory is refused before the start; the measure that this rests on."""

import time
from contextlib import suppress

import numpy as np
import pytest

from poc.shared.data.batches import shared_memory
from poc.shared.data.batches.plan import open_stream
from poc.shared.data.batches.shared_memory import BATCHES_A_WORKER, BATCHES_HERE, free_shared_bytes
from poc.shared.engine.resolving.after_data import check_training, resolve
from poc.shared.engine.resolving.shared_memory import (
    images_of_batches,
    require_shared_memory,
    shared_bytes,
)
from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run

MIB = 1 << 20


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """20 images of 10x10 at 256x256, whose random views several processes draw."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = np.zeros((20, 10, 10, 3), np.uint8)
    parts = {f"{part}_images": images for part in ("train", "val", "test")}
    parts |= {f"{part}_labels": np.arange(20) % 2 for part in ("train", "val", "test")}
    np.savez(tmp_path / "d.npz", **parts)

    def open_with(*settings):
        run = load_run(
            None,
            [
                f"data.source=npz:{tmp_path / 'd.npz'}",
                "data.image_size=256x256",
                "data.cache=off",
                "data.batch_size=16",
                "min_validation_images=0",
                *settings,
            ],
            method="scratch",
        )
        return resolve(run)

    return open_with


def test_what_is_needed_by_hand(opened):
    """Three parts, 16 images of 256 * 256 * 3 bytes: 3 MiB a batch; 4 * 6 + 1 batches of each."""
    run, data = opened("data.num_workers=4", "data.train_view.horizontal_flip=0.5")
    with data:
        assert images_of_batches(run, data) == 3 * 16
        assert shared_bytes(run, 48, 4) == 3 * 3 * MIB * 25
    run, data = opened("data.num_workers=0", "data.train_view.horizontal_flip=0.5")
    with data:
        assert images_of_batches(run, data) == 0


@pytest.mark.parametrize(
    ("free", "advice"), [(64, "data.num_workers=1 or 0,"), (62, "data.num_workers=0,")]
)
def test_a_small_shared_memory_is_refused_with_what_fits(free, advice, opened, monkeypatch):
    """One process a part: 3 * 3 * 7 MiB = 63."""
    monkeypatch.setattr(shared_memory, "free_shared_bytes", lambda: free * MIB)
    run, data = opened("data.num_workers=4", "data.train_view.horizontal_flip=0.5")
    with data, pytest.raises(UsageError) as caught:
        check_training(run, data, print)
    text = str(caught.value)
    assert "Got data.num_workers=4 with batches of 16 images" in text
    assert (
        f"need up to 225 MiB of shared memory. Expected at most the {free} MiB that /dev/shm has"
        in text
    )
    assert advice in text
    assert "--shm-size=225m" in text


def test_one_part_is_refused_when_its_processes_would_start(opened, monkeypatch):
    """As `poc evaluate` reads it: 16 images of 192 KiB, 25 times."""
    monkeypatch.setattr(shared_memory, "free_shared_bytes", lambda: 74 * MIB)
    _, data = opened("data.num_workers=4", "data.train_view.horizontal_flip=0.5")
    with data, pytest.raises(UsageError, match=r"up to 75 MiB .* 74 MiB .* free. Try .*=3 or 0,"):
        next(data.test.epoch(0))


@pytest.mark.parametrize("free", [None, 225 * MIB])
def test_enough_or_unknown_is_allowed(free, opened, monkeypatch):
    monkeypatch.setattr(shared_memory, "free_shared_bytes", lambda: free)
    run, data = opened("data.num_workers=4", "data.train_view.horizontal_flip=0.5")
    with data:
        require_shared_memory(run, data)


def test_where_there_is_no_such_folder_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "none")
    assert free_shared_bytes() is None


ODD_BYTES = 2_000_003


class Blocks:
    """Records of a size that nobody else has."""

    def __len__(self):
        return 1 << 20

    def __getitem__(self, index):
        return np.full(ODD_BYTES, index % 256, np.uint8)


def num_alive():
    """Arrays of that size in the shared memory, whoever else writes there."""
    count = 0
    for path in shared_memory.FOLDER.iterdir():
        with suppress(OSError):
            count += path.stat().st_size == ODD_BYTES
    return count


@pytest.mark.skipif(not shared_memory.FOLDER.is_dir(), reason="needs /dev/shm, not there")
def test_no_more_batches_are_alive_at_once_than_are_counted():
    stream, most = open_stream(Blocks(), 2, 1), 0
    for _ in range(20):
        batch = next(stream)
        time.sleep(0.05)
        most = max(most, num_alive())
    assert batch.shape == (ODD_BYTES,)
    stream.close()
    del batch
    print(f"batches alive at once with one process: {most}")
    assert 4 <= most <= BATCHES_A_WORKER + BATCHES_HERE


def test_accumulation_beyond_an_epoch_is_told(opened):
    run, data = opened("optimizer.accumulation_steps=1000")
    told = []
    with data:
        check_training(run, data, told.append)
    assert any("accumulation_steps=1,000 is more than an epoch has" in text for text in told)


@pytest.mark.parametrize(("epochs", "is_refused"), [(1, True), (2, False)])
def test_one_cycle_of_one_update_is_refused(epochs, is_refused, opened):
    """Its only rate would be the last one of the cycle, 0."""
    run, data = opened(
        "schedule.name=one_cycle", f"num_epochs={epochs}", "optimizer.accumulation_steps=1000"
    )
    with data:
        if not is_refused:
            check_training(run, data, print)
            return
        with pytest.raises(UsageError, match="for 1 update, whose rate would be the last of the"):
            check_training(run, data, print)
