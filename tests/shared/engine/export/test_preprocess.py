"""What an exported file says about itself: written and read again; damaged texts are refused."""

import json
from pathlib import Path

import pytest

from poc.shared.engine.export.preprocess import Preprocess, Rule
from poc.shared.errors import UsageError
from poc.tests.helpers.export.small_onnx import default_spec, describe

PATH = Path("model.onnx")


def make():
    return describe(
        default_spec(eval_view={"resize": "shorter_side", "crop": "ten"}),
        (12, 10, 3),
        ["cat", "dog"],
        decision=Rule(temperature=2.0),
    )


def test_it_is_read_as_it_was_written():
    known = make()
    assert Preprocess.read(known.write(), PATH) == known
    assert known.rule().class_names == ["cat", "dog"]
    assert known.rule().temperature == 2.0
    spec = known.data_spec()
    assert (spec.image_size, spec.channels, spec.normalization) == ((12, 10), 3, "none")
    # 12 / 0.875 and 10 / 0.875, truncated.
    assert (known.target, known.num_views) == ((13, 11), 10)


DAMAGE = {
    "empty": ("", "does not say what it takes"),
    "no JSON": ("{", "malformed metadata"),
    "no object": ("[]", "malformed metadata"),
    "another format": ({"format": "poc preprocess 9"}, "format: "),
    "no size": ({"size": None}, "size"),
    "a wild size": ({"size": [4, 99999], "fill": 0}, "size.1: "),
    "a wild temperature": ({"decision": {"temperature": 0}}, "decision.temperature"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_texts_are_one_sentence(case):
    text, words = DAMAGE[case]
    if isinstance(text, dict):
        text = json.dumps({**json.loads(make().write()), **text})
    with pytest.raises(UsageError, match=words):
        Preprocess.read(text, PATH).data_spec()
