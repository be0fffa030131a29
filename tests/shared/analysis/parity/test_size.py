"""The ladder of `poc compare`: on small images where the parameters stay, and heard of."""

import pytest

from poc.shared.actions import comparison
from poc.shared.analysis.parity.progress import QUIET_SECONDS, LadderProgress
from poc.shared.analysis.parity.rungs import Rung
from poc.shared.analysis.parity.size import describe_shrinking, has_same_parameters, scale, shrink
from poc.shared.analysis.parity.table import rung_notes
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec


def spec_of(name, shape, method="scratch", **fields):
    images = {"input_shape": shape, "num_classes": 5}
    return RunSpec.parse({"method": method, "model": {"name": name}, **images, **fields}, "")


@pytest.mark.parametrize(
    ("name", "shape", "small"),
    [
        ("efficientnet_lite0", [224, 224, 3], (64, 64, 3)),
        # 64 / 128 of 96 are 48.
        ("resnet18", [96, 128, 3], (48, 64, 3)),
        # Its convolutions without padding leave nothing of 64 pixels.
        ("inception_v3", [299, 299, 3], (96, 96, 3)),
        # Small as it is.
        ("resnet18", [64, 64, 3], (64, 64, 3)),
        # A head that flattens the last map has other parameters at every size.
        ("vgg16", [224, 224, 3], None),
    ],
)
def test_the_smallest_images_with_the_same_parameters(name, shape, small):
    run = spec_of(name, shape)
    found = shrink(run)
    assert found.input_shape == (small or tuple(shape))
    assert has_same_parameters(resolve_networks(run), resolve_networks(found))
    assert (found is run) == (small is None or tuple(shape) == small)


def test_phases_shrink_in_proportion():
    run = spec_of(
        "efficientnet_lite0",
        [224, 224, 3],
        "fixres",
        num_epochs=8,
        method_options={"train_size": 128, "test_size": 224},
    )
    small = shrink(run)
    # 128 * 64 / 224 = 36.6.
    assert small.method_options["train_size"] == 37
    assert small.method_options["test_size"] == 64
    assert [small.at_stage(stage.name).input_shape for stage in small.stages] == [
        (37, 37, 3),
        (64, 64, 3),
    ]


def test_other_parameters_are_seen():
    run = spec_of("vgg16", [224, 224, 3])
    small = scale(run, run.input_shape, 64)
    assert not has_same_parameters(resolve_networks(run), resolve_networks(small))


def test_a_run_without_a_shape_stays():
    run = RunSpec.parse({"method": "scratch", "model": {"name": "resnet18"}}, "")
    assert shrink(run) is run


def test_what_was_done_is_said_once():
    run = spec_of("resnet18", [96, 128, 3])
    assert describe_shrinking(run, run) == ""
    text = describe_shrinking(run, shrink(run))
    assert "used images of 48x64 instead of 96x128" in text
    assert "`poc parity`" in text
    rungs = [Rung("parameters", "", 0, 0, 3, notes=(text,))]
    assert rung_notes(rungs) == [f"{text}."]


class Neighbours:
    """Stands in for workers and the ladder: keeps the run that is climbed with."""

    def __init__(self, *arguments, **_):
        self.arguments = arguments

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def climb(self, batches):
        assert batches == ["batch"]
        shape = self.arguments[0].input_shape
        return [Rung(f"at {shape[0]}", "", 0, 0, 1), Rung("logits", "", 0, 1, 1)]


@pytest.mark.parametrize(("is_small", "side"), [(False, 224), (True, 64)])
def test_only_a_ladder_that_may_is_small(is_small, side, monkeypatch):
    run, heard = spec_of("efficientnet_lite0", [224, 224, 3]), []
    monkeypatch.setattr(comparison, "read_batches", lambda given, **_: (given, ["batch"]))
    monkeypatch.setattr(comparison, "Worker", Neighbours)
    monkeypatch.setattr(comparison, "Ladder", Neighbours)
    rungs = comparison.check_parity(run, is_small=is_small, report=heard.append)
    assert rungs[0].name == f"at {side}"
    assert ["64x64 instead of 224x224" in note for note in rungs[0].notes] == [True] * is_small
    assert rungs[1].notes == ()
    # Not a second time: the note stands below the table.
    assert [event["text"] for event in heard] == ["parity: climbing the ladder"]


def test_long_steps_are_told_pass_by_pass():
    times, heard = iter([0.0, 3.0, 5.0, 15.0, 16.0]), []
    progress = LadderProgress(lambda event: heard.append(event["text"]), lambda: next(times))
    progress.tell_rung(Rung("logits", "", 0, 1, 1))
    # 2 s are quiet; 10 s are not, and two more passes of them are left.
    progress.tell_pass("20 adam steps", 1, 4)
    progress.tell_pass("20 adam steps", 2, 4)
    progress.tell_rung(Rung("20 adam steps: losses", "", 0, 1, 1))
    assert QUIET_SECONDS == 5
    assert heard == [
        "parity: climbing the ladder",
        "parity: logits: equal, 3.0 s",
        "parity: 20 adam steps: pass 2 of 4, about 20 s left",
        "parity: 20 adam steps: losses: equal, 13.0 s",
    ]
