"""`csv:FILE`: images, labels, groups and parts."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.sources.csv_source import CsvSource, open_csv
from poc.shared.data.sources.description import describe_source
from poc.shared.data.sources.table import open_source, suggest_source
from poc.shared.data.splits.leaks import find_leaks
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.relabelling import relabel, reorder_classes
from poc.shared.data.splits.split import Split, make_split
from poc.shared.errors import UsageError
from poc.shared.spec.columns import ColumnsSpec
from poc.shared.spec.splits import SplitSpec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of thirty grey pictures, each of one value."""
    (tmp_path / "scans").mkdir()
    for number in range(30):
        Image.new("L", (6, 4), number).save(tmp_path / "scans" / f"{number:02d}.png")
    return tmp_path


def open_text(folder: Path, text: str, **columns: object) -> CsvSource:
    """Write a table and open its images."""
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return open_csv(f"csv:{path}", path, ColumnsSpec.parse(dict(columns), "data.columns"))


def rows(*columns: object, header: str) -> str:
    """Write a table of thirty pictures; a column is a function of the number, or a text."""
    lines = [
        ",".join([f"scans/{n:02d}.png", *(str(f(n)) if callable(f) else str(f) for f in columns)])
        for n in range(30)
    ]
    return "\n".join([header, *lines]) + "\n"


def test_one_class_per_image(folder: Path) -> None:
    source = open_text(folder, rows(lambda n: "ab"[n % 2], header="path,label"))
    assert source.class_names == ("a", "b")
    assert source.labels.tolist() == [n % 2 for n in range(30)]
    assert (source.ids[3], source.image_shape) == ("scans/03.png", (4, 6, 1))
    assert [int(source.image(n)[0, 0, 0]) for n in (0, 7, 29)] == [0, 7, 29]
    assert not source.is_multi_label
    assert source.partitions == {}


def test_any_number_of_labels(folder: Path) -> None:
    text = rows(lambda n: int(n % 2 == 0), lambda n: int(n % 3 == 0), header="path,two,three")
    source = open_text(folder, text)
    assert source.class_names == ("two", "three")
    assert source.labels[:4].tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]]
    assert source.is_multi_label
    assert source.count_classes().tolist() == [15, 10]
    # Sets of labels in the order of np.unique: none, three, two, both.
    assert source.strata[:4].tolist() == [3, 0, 2, 1]


def test_order_of_labels_is_that_of_the_columns(folder: Path) -> None:
    text = rows(lambda n: int(n % 2 == 0), lambda n: int(n % 3 == 0), header="path,z,a")
    assert open_text(folder, text).class_names == ("z", "a")
    named = rows(lambda n: ["", "z", "a", "z|a"][n % 4], header="path,labels")
    assert open_text(folder, named).class_names == ("a", "z")


def test_exclusive_flags_are_classes(folder: Path) -> None:
    text = rows(lambda n: n % 2, lambda n: 1 - n % 2, header="path,odd,even")
    source = open_text(folder, text)
    assert (source.class_names, source.labels[:3].tolist()) == (("odd", "even"), [1, 0, 1])
    assert any("exactly one label" in remark for remark in source.remarks)


def test_paths_without_suffix_with_backslashes_and_absolute(folder: Path) -> None:
    absolute = (folder / "scans" / "02.png").as_posix()
    text = f"path,label\nscans/00,a\nscans\\01.png,b\n{absolute},a\n./scans/../scans/03.png,b\n"
    ids = open_text(folder, text).ids
    assert ids == ("scans/00.png", "scans/01.png", "scans/02.png", "scans/03.png")


def test_a_path_without_suffix_may_lead_to_one_file_by_two_names(folder: Path) -> None:
    """As on a file system that takes .png and .PNG for the same; two files remain a question."""
    os.link(folder / "scans" / "00.png", folder / "scans" / "00.PNG")
    text = "path,label\nscans/00,a\nscans/01,b\n"
    assert open_text(folder, text).ids == ("scans/00.png", "scans/01.png")
    Image.new("L", (6, 4), 99).save(folder / "scans" / "01.jpg")
    with pytest.raises(UsageError, match=r"scans/01 cannot be opened"):
        open_text(folder, text)


def write_outside(folder: Path) -> str:
    """Write two images outside of the CSV file's folder; return a table with absolute paths."""
    for name, shade in (("a", 50), ("b", 60)):
        (folder / "images").mkdir(exist_ok=True)
        Image.new("L", (6, 4), shade).save(folder / "images" / f"{name}.png")
    images = (folder / "images").as_posix()
    return f"path,label\n{images}/a.png,a\n{images}/b.png,b\n"


def test_absolute_paths_of_a_csv_file_behind_a_link(tmp_path: Path) -> None:
    """A step upwards from the link is another one than from the folder that it leads to."""
    text, real = write_outside(tmp_path), tmp_path / "real" / "deep" / "proj"
    (real / "scans").mkdir(parents=True)
    (tmp_path / "proj").symlink_to(real)
    Image.new("L", (6, 4), 70).save(real / "scans" / "c.png")
    # Where the text of the path leads from the real folder lies another file.
    (real.parent / "images").mkdir()
    Image.new("L", (6, 4), 255).save(real.parent / "images" / "a.png")
    linked = (tmp_path / "proj" / "scans" / "c.png").as_posix()
    source = open_text(tmp_path / "proj", f"{text}{linked},a\nscans/../../images/a.png,b\n")
    assert [int(source.image(n)[0, 0, 0]) for n in range(4)] == [50, 60, 70, 255]
    assert source.ids[:2] == ("../../../images/a.png", "../../../images/b.png")
    assert source.ids[2:] == ("scans/c.png", "../images/a.png")


def test_files_outside_of_the_folder_are_no_links(tmp_path: Path) -> None:
    text = write_outside(tmp_path)
    (tmp_path / "proj").mkdir()
    source = open_text(tmp_path / "proj", text)
    assert source.ids == ("../images/a.png", "../images/b.png")
    assert source.remarks == []
    # One within the folder that leads out is told, as in a folder of classes.
    (tmp_path / "proj" / "a.png").symlink_to(tmp_path / "images" / "a.png")
    (told,) = open_text(tmp_path / "proj", text.replace(f"{tmp_path}/images/a", "a")).remarks
    assert "1 file is a link" in told


def test_groups_by_the_name_of_a_column_are_remarked(folder: Path) -> None:
    text = rows(lambda n: "ab"[n % 2], lambda n: f"p{n // 5}", header="path,label,group")
    (told,) = open_text(folder, text).remarks
    assert "the column group, with 6 values, is taken as the images' groups" in told
    assert open_text(folder, text, group="group").remarks == []


def test_an_image_that_was_edited_after_training_is_known_by_its_path(folder: Path) -> None:
    text = rows(lambda n: "ab"[n % 2], header="path,label")
    parts = RecordedParts.of(make_split(open_text(folder, text), SplitSpec()))
    trained = str(parts.ids[parts.is_in("train")][0])
    Image.new("L", (6, 4), 200).save(folder / trained)
    source = open_text(folder, text)
    assert parts.find_trained(source, np.arange(30), "test").count(trained) == 1


def test_paths_that_lead_nowhere(folder: Path) -> None:
    text = "path,label\nC:\\x\\00.png,a\nC:\\x\\01.png,b\n"
    with pytest.raises(UsageError, match=r"none of whose paths leads to a file \(line 2: 'C:"):
        open_text(folder, text)
    # A name that is too long for any file is missing too; it once ended in a traceback.
    long = rows(lambda n: "ab"[n % 2], header="path,label") + f"{'x' * 300},a\n"
    with pytest.raises(UsageError, match=r"xxx.* too long"):
        open_text(folder, long)


def test_labels_that_look_alike_are_remarked(folder: Path) -> None:
    text = rows(lambda n: ["Cat", "dog", "cat"][n % 3], header="path,label")
    source = open_text(folder, text)
    assert source.class_names == ("Cat", "cat", "dog")
    assert any("'Cat' and 'cat' are taken as different labels" in each for each in source.remarks)


def test_a_comma_within_a_label_is_remarked(folder: Path) -> None:
    text = rows(lambda n: ["edema; effusion", "edema"][n % 2], header="path,labels")
    remarks = open_text(folder, text).remarks
    assert any("'edema; effusion' is taken as one label; only | sep" in each for each in remarks)
    # A column of one class per image has nothing to separate.
    plain = rows(lambda n: ["edema; effusion", "edema"][n % 2], header="path,label")
    assert not any("is taken as one label" in each for each in open_text(folder, plain).remarks)


def test_groups_are_never_divided(folder: Path) -> None:
    text = rows(lambda n: "ab"[n % 2], lambda n: f"p{n // 5}", header="path,label,group")
    source = open_text(folder, text)
    split = make_split(source, SplitSpec(fractions=(0.5, 0.2, 0.3), is_stratified=False))
    groups = [{source.groups[index] for index in part} for part in split.parts.values()]
    assert all(groups)
    assert len(set.union(*groups)) == sum(map(len, groups))
    assert find_leaks(split) == []


def test_published_parts_and_their_leaks(folder: Path) -> None:
    parts = ["train", "Training", "valid", "test"]
    text = rows(
        lambda n: "ab"[n // 4 % 2],
        lambda n: f"p{n // 2}",
        lambda n: parts[n % 4],
        header="path,label,group,split",
    )
    source = open_text(folder, text)
    assert source.partitions["val"].tolist() == list(range(2, 30, 4))
    split = make_split(source, SplitSpec())
    assert {leak.kind for leak in find_leaks(split)} == {"group"}


def test_multi_label_split_keeps_every_set_of_labels(folder: Path) -> None:
    text = rows(lambda n: int(n % 2 == 0), lambda n: int(n % 3 == 0), header="path,two,three")
    source = open_text(folder, text)
    split = make_split(source, SplitSpec(fractions=(0.6, 0.2, 0.2)))
    for part, share in zip(split.parts.values(), (0.6, 0.2, 0.2), strict=True):
        counts = np.bincount(source.strata[part], minlength=4)
        assert (abs(counts - np.bincount(source.strata) * share) <= 1).all()
    again = Split.from_json(split.to_json(), source)
    assert again.fingerprint == split.fingerprint
    with pytest.raises(UsageError, match="train_per_class"):
        make_split(source, SplitSpec(train_per_class=2))


def test_a_part_without_a_label_is_refused(folder: Path) -> None:
    text = rows(lambda n: int(n % 2 == 0), lambda n: int(n == 0), header="path,two,rare")
    with pytest.raises(UsageError, match="'rare'"):
        make_split(open_text(folder, text), SplitSpec())


def test_labels_enter_the_fingerprint(folder: Path) -> None:
    both = [lambda n: int(n % 2 == 0), lambda n: int(n % 3 == 0)]
    one = open_text(folder, rows(*both, header="path,two,three")).fingerprint
    other = [both[0], lambda n: int(n % 3 == 1)]
    assert open_text(folder, rows(*other, header="path,two,three")).fingerprint != one


def test_relabelled_sources(folder: Path) -> None:
    text = rows(lambda n: int(n % 2 == 0), lambda n: int(n % 3 == 0), "g", header="path,x,y,group")
    source = open_text(folder, text)
    turned = reorder_classes(source, (1, 0))
    assert turned.class_names == ("y", "x")
    assert turned.labels.tolist() == source.labels[:, ::-1].tolist()
    assert turned.groups == source.groups
    with pytest.raises(UsageError, match="any number of labels"):
        relabel(source, "(0|1)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\nscans/00.png,a\nscans/99.png,b\n", "scans/99.png"),
        ("path,label\nscans/00.png,a\n./scans/00.png,b\n", "2 times, first in line 2"),
        ("path,label\nscans/00.png,a\nscans/01.png,a\n", r"readable images have 1 class \('a'\)"),
        ("path,labels\nscans/00.png,\nscans/01.png,\n", r"have 0 classes\. Expected"),
        ("path,x,y,z\nscans/00.png,1,0,0\nscans/01.png,1,1,0\n", "'z'"),
        ("path,label,split\nscans/00.png,a,train\nscans/01.png,b,trian\n", "line 3 has the part"),
    ],
)
def test_refusals(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_text(folder, text)


def test_left_out_images_keep_groups_and_labels_in_step(folder: Path) -> None:
    (folder / "scans" / "01.png").write_bytes(b"no picture")
    text = rows(lambda n: "ab"[n % 2], lambda n: f"p{n}", header="path,label,group")
    (folder / "labels.csv").write_text(text)
    source = open_source(f"csv:{folder / 'labels.csv'}", on_error="skip")
    assert source.ids[:2] == ("scans/00.png", "scans/02.png")
    assert source.labels[:2].tolist() == [0, 0]
    assert list(source.groups or ())[:2] == ["p0", "p2"]
    assert list(source.unreadable) == ["scans/01.png"]


def test_columns_need_a_csv_file(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.columns"):
        open_source("embedded", columns=ColumnsSpec(label="x"))
    assert suggest_source(str(folder / "labels.csv")).startswith("writing csv:")
    with pytest.raises(UsageError, match="named twice"):
        ColumnsSpec.parse({"path": "a", "label": "a"}, "data.columns")
    with pytest.raises(UsageError, match="only one of them"):
        ColumnsSpec.parse({"label": "a", "labels": ["b"]}, "data.columns")


def test_a_description_names_the_commonest_set_of_labels(folder: Path) -> None:
    text = rows(lambda n: int(n % 2 == 0), lambda n: int(n % 3 == 0), header="path,two,three")
    facts = describe_source(open_text(folder, text))
    assert facts["counts"] == {"two": 15, "three": 10}
    # Ten numbers of thirty are even and no multiple of 3; ten have neither label.
    assert facts["balance"]["majority_accuracy"] == pytest.approx(1 / 3)
    assert facts["balance"]["largest_class"] == "no label"
    one = describe_source(open_text(folder, rows(lambda n: "ab"[n > 9], header="path,label")))
    assert (one["balance"]["largest_class"], one["balance"]["majority_accuracy"]) == ("b", 2 / 3)
