"""What is told of the stages of FixRes before a run starts."""

import pytest

from poc.shared.engine.resolving.after_data import check_training, resolve
from poc.shared.engine.resolving.stages import describe_missing_crop
from poc.shared.spec.run import RunSpec

CROPPED = {"resize": "shorter_side", "crop": "centre"}


def make_run(method="fixres", view=None, **options):
    sizes = {"train_size": 14, "test_size": 18, "finetune_bn_mode": "frozen"}
    fields = {
        "method": method,
        "num_epochs": 6,
        "model": {"name": "lightnet_plain"},
        "method_options": {**(sizes if method == "fixres" else {}), **options},
        "data": {"eval_view": view or {}, "split": {"train_per_class": 2}},
    }
    return RunSpec.parse(fields, "")


def test_a_test_without_a_crop_is_told():
    told = describe_missing_crop(make_run())
    assert told.startswith("The test crops nothing, so finetune_view=shifted shifts nothing")
    assert "--set eval_view.resize=shorter_side --set eval_view.crop=centre" in told


@pytest.mark.parametrize(
    "run",
    [
        make_run(view=CROPPED),
        make_run(finetune_view="test"),
        make_run(method="transfer"),
        make_run(method="scratch"),
    ],
    ids=["cropped", "test view", "transfer", "scratch"],
)
def test_others_are_told_nothing(run):
    assert describe_missing_crop(run) is None


def test_it_is_told_at_the_start_of_a_run():
    told = []
    resolved, data = resolve(make_run())
    with data:
        check_training(resolved, data, told.append)
    assert [text for text in told if "crops nothing" in text] == [describe_missing_crop(make_run())]
