"""The three-class X-ray config on a synthetic folder whose files are named as the real ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.splits.relabelling import open_classes
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run

CONFIG = Path(__file__).parents[4] / "configs" / "lightlayers" / "chest_xray_3_classes.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two class folders in three parts; persons with both kinds and in several parts."""
    root = tmp_path_factory.mktemp("xray")
    generator = np.random.default_rng(0)
    names = [f"NORMAL/IM-{i // 3:04d}-{i:04d}.jpeg" for i in range(90)]
    for i in range(180):
        kind = "bacteria" if generator.random() < 0.6 else "virus"
        names.append(f"PNEUMONIA/person{i // 4}_{kind}_{i}.jpeg")
    for i, name in enumerate(names):
        path = root / ("train", "train", "test", "val")[i % 4] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return root


def test_patients_stay_together_and_three_classes_keep_their_shares(folder: Path) -> None:
    settings = [f"data.source=folder:{folder}", "image_size=[8,8]"]
    resolved, data = resolve(load_run(CONFIG, settings))
    assert resolved.network.num_classes == 3
    assert data.source.class_names == ("NORMAL", "bacteria", "virus")
    for text, label in zip(data.source.ids, data.source.labels, strict=True):
        kind = data.source.class_names[label]
        assert ("/NORMAL/" in text) == (kind == "NORMAL")
        assert kind == "NORMAL" or f"_{kind}_" in text
    patients = {
        part: {data.source.ids[i].rpartition("/")[2].split("_")[0][:8] for i in indices}
        for part, indices in data.split.parts.items()
    }
    assert set(patients) == {"train", "val", "test"}
    persons = {
        part: {name for name in names if name.startswith("person")}
        for part, names in patients.items()
    }
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not patients[first] & patients[second]
        assert persons[first]
    shares = np.bincount(data.source.labels) / len(data.source)
    for part in ("train", "test"):
        own = np.bincount(data.source.labels[data.split.parts[part]]) / len(data.split.parts[part])
        assert np.abs(own - shares).max() < 0.06


def test_the_same_folder_without_the_pattern_has_its_two_classes(folder: Path) -> None:
    run = load_run(None, [f"data.source=folder:{folder}"])
    source = open_classes(run.data)
    assert source.class_names == ("NORMAL", "PNEUMONIA")
    relabelled = open_classes(load_run(CONFIG, [f"data.source=folder:{folder}"]).data)
    assert relabelled.fingerprint != source.fingerprint
    assert np.array_equal(relabelled.image(3), source.image(3))


@pytest.mark.parametrize(
    "pattern",
    [
        r"person\d+_(bacteria|virus)",
        r"(bacteria)|(virus)",
        r"bacteria|virus",
        r"(person\d+)_(?P<group>bacteria|virus)",
        r"(?P<group>bacteria|virus)_(\d+)",
    ],
)
def test_a_pattern_is_read_as_that_of_groups_is(pattern: str, folder: Path) -> None:
    """What the bracket named `group` matched, else the first bracket that took part, else all."""
    expected = open_classes(load_run(CONFIG, [f"data.source=folder:{folder}"]).data)
    run = load_run(None, [f"data.source=folder:{folder}", f"data.class_pattern='{pattern}'"])
    source = open_classes(run.data)
    assert source.class_names == ("NORMAL", "bacteria", "virus")
    np.testing.assert_array_equal(source.labels, expected.labels)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("nowhere", "which no example's id holds"), (".*()", "every example into ''")],
)
def test_a_pattern_that_does_not_fit_is_refused(folder: Path, pattern: str, message: str) -> None:
    run = load_run(None, [f"data.source=folder:{folder}", f"data.class_pattern={pattern}"])
    with pytest.raises(UsageError, match=message):
        open_classes(run.data)


def test_a_broken_pattern_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="which is not a regular expression"):
        load_run(None, ["data.class_pattern=("])
