"""`poc.explain`: the arrays behind the pictures, and messages in Python's words."""

import numpy as np
import pytest
from PIL import Image

import poc
from poc.tests.shared.actions.explanations.test_explain_files import photos, run, trained

__all__ = ["photos", "run", "trained"]


def test_it_returns_the_arrays_of_every_image(run, photos):
    paths = [photos / "cat" / "0.png", photos / "dog" / "1.png"]
    found = poc.explain(run, paths)
    assert [one.name for one in found] == [str(path) for path in paths]
    table = poc.predict(run, paths)
    for one, label in zip(found, table["label"], strict=True):
        assert one.class_name == one.answers["torch"].label == label
        assert one.image.shape == (16, 16, 3)
        assert one.maps.keys() == {"tf", "torch"}
        assert one.maps["tf"].shape == (8, 8)
        assert one.largest_difference == 0


def test_pictures_arrays_and_options(run, photos):
    with Image.open(photos / "cat" / "0.png") as picture:
        array = np.asarray(picture)
        found = poc.explain(
            run, [picture, array], method="occlusion", backend="torch", patch=8, stride=8
        )
    assert [one.name for one in found] == [0, 1]
    assert found[0].maps["torch"].shape == (2, 2)
    assert np.array_equal(found[0].maps["torch"], found[1].maps["torch"])
    assert found[0].largest_difference is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"class_name": "horse"}, "Got class_name='horse'"),
        ({"patch": 3}, "Got patch=3 with method=gradcam"),
        ({"layer": "block1"}, "unknown keyword 'layer'"),
        ({"method": "lime"}, "Got method='lime'"),
    ],
)
def test_messages_name_keywords(options, words, run, photos):
    with pytest.raises(poc.UsageError) as caught:
        poc.explain(run, photos / "cat", **options)
    assert words in str(caught.value)


def test_an_unreadable_file_is_refused(run, tmp_path):
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(poc.UsageError, match=r"no\.png"):
        poc.explain(run, tmp_path / "no.png")
