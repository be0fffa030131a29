"""The channel statistic against slow loops; labels without images; shards; the stored selection."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poc.shared.actions import channels as module
from poc.shared.actions.channels import (
    describe_selection,
    draw_scores,
    fingerprint,
    select_channels,
)
from poc.shared.engine.numerics.channel_statistics import ChannelStatistic, add_all, top_channels
from poc.shared.errors import UsageError
from poc.shared.spec.methods.channel_selection import read_selection
from poc.shared.spec.reading.config import load_run

SHAPE, NUM_LABELS = (3, 2, 5), 4


def slow_scores(maps: Any, labels: Any) -> Any:
    """The published definition, pixel by pixel."""
    height, width, channels = maps.shape[1:]
    scores = np.zeros(channels)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                means = [maps[labels == label, i, j, c].mean() for label in sorted(set(labels))]
                centre = sum(means) / len(means)
                variance = sum((mean - centre) ** 2 for mean in means) / len(means)
                scores[c] += variance**0.5 / (height * width)
    return scores


@pytest.fixture
def images() -> tuple[Any, Any]:
    """Label 2 has no image, label 3 has one."""
    generator = np.random.default_rng(0)
    labels = np.array([0, 1, 0, 1, 1, 3, 0, 1])
    return generator.normal(3, 2, (len(labels), *SHAPE)).astype(np.float32), labels


def stream(maps: Any, labels: Any, size: int) -> ChannelStatistic:
    statistic = ChannelStatistic(NUM_LABELS, SHAPE)
    for start in range(0, len(labels), size):
        statistic.add(maps[start : start + size], labels[start : start + size])
    return statistic


@pytest.mark.parametrize("size", [1, 3, 8])
def test_statistic_equals_the_definition(images: tuple[Any, Any], size: int) -> None:
    maps, labels = images
    expected = slow_scores(maps.astype(np.float64), labels)
    assert np.allclose(stream(maps, labels, size).scores(), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("cuts", [[3], [1, 2, 7], [5, 6]])
def test_shards_merge_to_the_same_statistic(images: tuple[Any, Any], cuts: list[int]) -> None:
    maps, labels = images
    whole = stream(maps, labels, 8)
    bounds = [0, *cuts, len(labels)]
    first, *others = [stream(maps[a:b], labels[a:b], 2) for a, b in pairwise(bounds)]
    for other in others:
        first.merge(other)
    assert np.array_equal(first.counts, whole.counts)
    # Sums of eight float32 values are exact in float64, in any order.
    assert np.array_equal(first.sums, whole.sums)
    assert np.array_equal(first.scores(), whole.scores())


def test_memory_does_not_grow_with_images(images: tuple[Any, Any]) -> None:
    maps, labels = images
    statistics: dict[str, ChannelStatistic] = {}
    for _ in range(5):
        add_all(statistics, {"a": maps}, labels, NUM_LABELS)
    assert statistics["a"].sums.shape == (NUM_LABELS, *SHAPE)
    assert statistics["a"].counts.sum() == 5 * len(labels)


def test_one_label_is_refused(images: tuple[Any, Any]) -> None:
    maps, _ = images
    with pytest.raises(UsageError, match="Expected two or more labels"):
        stream(maps, np.zeros(len(maps), dtype=np.int64), 4).scores()


def test_top_channels() -> None:
    scores = np.array([1.0, 3.0, 3.0, 0.5, 2.0])
    assert top_channels(scores, 2) == [1, 2]
    assert top_channels(scores, 3) == [1, 2, 4]
    assert top_channels(np.array([2.0, 2.0, 2.0]), 2) == [0, 1]
    assert top_channels(scores, 9) == [0, 1, 2, 3, 4]


def test_stored_selection_is_read_back(tmp_path: Path) -> None:
    run = load_run(method="l2t-ww", input_shape=(32, 32, 3), num_classes=10)
    found = {
        "scores": {"reduction1": np.array([0.1, 0.4, 0.2])},
        "data": {"source_fingerprint": "a", "split_fingerprint": "b"},
        "labels_without_images": [2],
        "num_images": 8,
    }
    content = describe_selection(run, found, 2)
    path = tmp_path / "channels.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_selection(str(path)) == {"reduction1": (1, 2)}
    assert content["fingerprint"] != describe_selection(run, found, 1)["fingerprint"]
    draw_scores(tmp_path / "channels.png", found["scores"], 2)
    assert (tmp_path / "channels.png").stat().st_size > 1000
    with pytest.raises(UsageError, match="poc channels"):
        read_selection(str(tmp_path / "channels.png"))


class StubWorker:
    """Scores of two channels, and nothing else."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def __enter__(self) -> "StubWorker":
        return self

    def __exit__(self, *arguments: Any) -> None:
        pass

    def call(self, name: str, **options: Any) -> dict[str, Any]:
        return {
            "scores": {"reduction1": np.array([0.1, 0.4, 0.2])},
            "data": {"source_fingerprint": "a", "split_fingerprint": "b"},
            "labels_without_images": [],
            "num_images": 8,
        }


@pytest.fixture
def select(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "Worker", StubWorker)
    monkeypatch.setattr(module, "resolve_teacher", lambda run: run)
    run = load_run(method="l2t-ww", input_shape=(32, 32, 3), num_classes=10)
    return lambda output, keep: select_channels(run, output, keep=keep)


def test_a_selection_of_its_own_is_made_anew(select: Any, tmp_path: Path) -> None:
    select(tmp_path / "own", 2)
    select(tmp_path / "own", 2)
    content = select(tmp_path / "own", 1)
    assert json.loads((tmp_path / "own" / "channels.json").read_text()) == content


def test_a_selection_of_before_is_its_own_too(select: Any, tmp_path: Path) -> None:
    """Then it said `source` where it says `teacher` today."""
    today = select(tmp_path, 2)
    what = {"source": today["teacher"], **{key: today[key] for key in ("data", "keep", "taps")}}
    former = {key: value for key, value in today.items() if key != "teacher"}
    former |= {"source": today["teacher"], "fingerprint": fingerprint(what)}
    assert former["fingerprint"] != today["fingerprint"]
    (tmp_path / "channels.json").write_text(json.dumps(former))
    assert select(tmp_path, 2) == today


@pytest.mark.parametrize("name", ["channels.json", "scores.safetensors", "channels.png"])
@pytest.mark.parametrize("is_changed", [True, False])
def test_a_file_of_another_origin_is_not_lost(
    name: str, is_changed: bool, select: Any, tmp_path: Path
) -> None:
    """Changed by hand, or there before."""
    if is_changed:
        select(tmp_path, 2)
    text = '{"format": "poc channels 1", "taps": {}, "keep": 3}'
    (tmp_path / name).write_text(text)
    with pytest.raises(
        UsageError, match=rf"{name}', which exists\..* Try naming another folder, or remove it"
    ):
        select(tmp_path, 2)
    assert (tmp_path / name).read_text() == text
