"""Near copies: pairs against a slow count of bits, groups by hand, and real photos stored again."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.likeness import near_copies
from poc.shared.data.likeness.hashing import NUM_BITS, Hashes, hash_images, hash_picture
from poc.shared.data.likeness.near_copies import Pairs, join, near_pairs
from poc.shared.data.sources.table import open_source

PHOTOS = Path(__file__).parents[5] / "shared" / "data" / "photos"


def hashes_of(bits, sides=100, is_blank=False):
    bits = np.asarray(bits, dtype=bool)
    count = len(bits)
    return Hashes(
        np.packbits(bits, axis=1),
        np.broadcast_to(np.asarray(is_blank), (count,)),
        np.broadcast_to(np.asarray(sides, dtype=np.int64), (count,)),
    )


def listed(hashes):
    """(first, second, distance) of all pairs, in their order."""
    rows = [row for block in near_pairs(hashes) for row in zip(*block, strict=True)]
    return sorted((int(first), int(second), int(bits)) for first, second, bits in rows)


@pytest.mark.parametrize(("rows", "columns"), [(512, 8192), (7, 10), (1, 1)])
def test_blocks_give_the_pairs_of_a_slow_count(rows, columns, monkeypatch):
    """40 hashes around five centres; the bound is 40 bits, and 24 for the small half."""
    monkeypatch.setattr(near_copies, "BLOCK_ROWS", rows)
    monkeypatch.setattr(near_copies, "BLOCK_COLUMNS", columns)
    random = np.random.default_rng(0)
    centres = random.random((5, NUM_BITS)) < 0.5
    bits = centres[np.arange(40) % 5] ^ (random.random((40, NUM_BITS)) < 0.07)
    sides = np.where(np.arange(40) < 20, 63, 64)
    wanted = []
    for first in range(40):
        for second in range(first + 1, 40):
            distance = int((bits[first] != bits[second]).sum())
            if distance <= (24 if sides[first] == 63 or sides[second] == 63 else 40):
                wanted.append((first, second, distance))
    assert 10 < len(wanted) < 200
    assert listed(hashes_of(bits, sides)) == wanted


def test_the_bound_itself_is_near():
    bits = np.zeros((3, NUM_BITS), dtype=bool)
    bits[1, :40] = True
    bits[2, :81] = True
    assert listed(hashes_of(bits)) == [(0, 1, 40)]


def test_blank_pictures_are_in_no_pair():
    bits = np.zeros((3, NUM_BITS), dtype=bool)
    assert listed(hashes_of(bits, is_blank=[True, False, True])) == []
    assert hash_picture(Image.new("RGB", (80, 80), (7, 99, 3))) is None
    assert hash_picture(Image.radial_gradient("L")) is not None


def test_pairs_are_joined_across_blocks():
    """0-4 and 4-2 come in two blocks; 1-3 is a group of its own, and nearer."""
    blocks = [
        Pairs(np.array([0, 1]), np.array([4, 3]), np.array([9.0, 2.0])),
        Pairs(np.array([], dtype=int), np.array([], dtype=int), np.array([])),
        Pairs(np.array([2]), np.array([4]), np.array([5.0])),
    ]
    groups = join(blocks, 6)
    assert groups.members == [[1, 3], [0, 2, 4]]
    assert groups.distances == [2.0, 5.0]
    assert join([], 3).members == []


def test_a_picture_stored_again_is_near_and_another_is_not():
    random = np.random.default_rng(0)
    first, other = (
        Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((240, 180))
        for _ in range(2)
    )
    buffer = io.BytesIO()
    first.resize((160, 120)).save(buffer, "JPEG", quality=40)
    again = Image.open(buffer)
    bits = [hash_picture(picture) for picture in (first, again, other)]
    assert [(row[0], row[1]) for row in listed(hashes_of(bits))] == [(0, 1)]


def test_hashes_keep_the_order_of_the_images(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for index in range(90):
        path = tmp_path / "data" / "ab"[index % 2] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (10 + index, 40)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(path)
    source, told = open_source(f"folder:{tmp_path / 'data'}"), []
    hashes = hash_images(source, range(len(source)), told.append)
    assert told == list(range(1, 91))
    for index in (0, 44, 89):
        own = hash_picture(source.picture(index))
        assert own is not None
        np.testing.assert_array_equal(np.unpackbits(hashes.bits[index], count=NUM_BITS), own)
        assert hashes.shorter_sides[index] == min(source.picture(index).size)


@pytest.mark.needs_data
@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is missing")
def test_photos_have_no_near_copies_and_stored_again_all_are_found(tmp_path, monkeypatch):
    """As docs/suspects.md says: no pair among the photos; each is found again as a poor JPEG."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = open_source(f"folder:{PHOTOS}")
    own = hash_images(source, range(len(source)), lambda done: None)
    assert listed(own) == []
    again = []
    for index in range(len(source)):
        buffer = io.BytesIO()
        source.picture(index).save(buffer, "JPEG", quality=30)
        again.append(hash_picture(Image.open(buffer)))
    bits = np.packbits(np.array(again), axis=1)
    both = Hashes(*(np.concatenate([mine, mine]) for mine in own))
    both.bits[len(own.bits) :] = bits
    assert [row[:2] for row in listed(both)] == [(index, index + 162) for index in range(162)]
