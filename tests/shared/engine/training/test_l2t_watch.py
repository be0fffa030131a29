"""What an l2t-ww run shows: means, what breaks by phase and pair, pictures of the weights."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from poc.shared.analysis.figures.l2t_weights import draw_learned_weights
from poc.shared.analysis.runs.groups import Group
from poc.shared.engine.folder.checkpoints import Checkpoint, write_checkpoint
from poc.shared.engine.folder.loop_state import LoopState, Sums
from poc.shared.engine.training.l2t_watch import (
    check_finite,
    describe_totals,
    split_channels,
    total_shapes,
)
from poc.shared.errors import CheckFailed
from poc.shared.spec.methods.l2t_ww import ChannelPair, L2TWWOptions

PAIRS = tuple(
    ChannelPair(source=m, target="t", source_shape=(4, 4, channels), target_shape=(2, 2, 3))
    for m, channels in (("a", 2), ("b", 3))
)


def totals() -> dict[str, Any]:
    shapes = total_shapes(L2TWWOptions(), PAIRS)
    values = {name: np.ones(shape) for name, shape in shapes.items()}
    return {**values, "count": np.asarray(4.0), "judged": np.array([1.0, 3.0, 5.0, 2.0])}


def test_sums_become_means() -> None:
    sums = {**totals(), "pair_weight": np.array([8.0, 2.0])}
    assert describe_totals(sums, PAIRS) == {
        "pair_weight/a>t": 2.0,
        "pair_weight/b>t": 0.5,
        "matching/a>t": 0.25,
        "matching/b>t": 0.25,
        "outer_loss": 1.5,
        "hyper_gradient_norm": 2.5,
    }
    assert "outer_loss" not in describe_totals({**sums, "judged": np.zeros(4)}, PAIRS)


def test_channels_are_split_by_pair() -> None:
    found = split_channels(np.arange(5.0), PAIRS)
    assert {name: value.tolist() for name, value in found.items()} == {
        "a>t": [0, 1],
        "b>t": [2, 3, 4],
    }


@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("matching", (0, 1), "phase 1 that is not finite for the pair b>t"),
        ("look_ahead", (1, 0), "phase 2, step 2, that is not finite for the pair a>t"),
        ("judged", 0, "cross-entropy of phase 3 that is not finite"),
        ("judged", 1, "outer loss of phase 4"),
        ("judged", 2, "hyper-gradient of phase 4"),
    ],
)
def test_what_breaks_is_named(name: str, place: Any, message: str) -> None:
    """The first phase that broke, its pair, what is kept and what to change."""
    sums = totals()
    sums[name][place] = np.inf
    with pytest.raises(CheckFailed, match=message) as caught:
        check_finite(sums, PAIRS)
    assert "checkpoint is kept" in str(caught.value)
    assert "optimizer.learning_rate" in str(caught.value)
    sums["judged"][:] = np.nan
    with pytest.raises(CheckFailed, match=message if name != "judged" else "phase 3"):
        check_finite(sums, PAIRS)


def test_pictures_of_the_weights(tmp_path: Path) -> None:
    """A matrix over epochs and a histogram; none for a run without such weights."""
    epochs = [
        {"epoch": e, "train/pair_weight/a>t": 0.5 * e, "train/pair_weight/b>t": 1.0}
        for e in range(1, 4)
    ]
    (tmp_path / "checkpoints").mkdir()
    state = {"channel_weight/a>t": np.array([0.25, 0.75]), "channel_weight/b>t": np.ones(3) / 3}
    checkpoint = Checkpoint(loop=LoopState(), sums=Sums(), trainer_state=state)
    write_checkpoint(tmp_path / "checkpoints", checkpoint)
    learned: Any = SimpleNamespace(name=str(tmp_path), epochs=tuple(epochs))
    plain: Any = SimpleNamespace(name=str(tmp_path), epochs=({"epoch": 1},))
    groups = [Group(label="learned", runs=(learned,)), Group(label="plain", runs=(plain,))]
    pairs, channels = draw_learned_weights(groups)
    assert [row[0] for row in pairs.table.rows] == ["a>t", "b>t"]
    assert pairs.table.rows[0][1:] == ["0.5000", "1.0000", "1.5000"]
    assert channels.table.rows[0][1:] == ["2", "0.5000", "1.0000", "1.5000"]
    for picture in (pairs, channels):
        assert picture.svg.startswith("<svg")
        assert "learned" in picture.title
