"""CSV files of labels: columns, lines and labels, each by hand."""

from pathlib import Path

import pytest

from poc.shared.actions.exports.companions import write_script
from poc.shared.data.sources.label_table import LabelTable, read_table
from poc.shared.errors import UsageError
from poc.shared.shown_names import LABEL_SEPARATOR, join_labels
from poc.shared.spec.columns import ColumnsSpec


def read(folder: Path, text: str, encoding: str = "utf-8", **columns: object) -> LabelTable:
    """Write a table and read it."""
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return read_table("csv:labels.csv", path, ColumnsSpec.parse(dict(columns), "data.columns"))


def test_usual_names(tmp_path: Path) -> None:
    table = read(tmp_path, "Path,Label,Group,Split\na.png,cat,p1,train\nb.png,dog,p2,test\n")
    assert table.paths == ["a.png", "b.png"]
    assert table.labels == [("cat",), ("dog",)]
    assert (table.groups, table.parts) == (["p1", "p2"], ["train", "test"])
    assert table.is_exclusive
    assert list(table.numbers) == [2, 3]
    assert table.remarks == []


def test_named_columns(tmp_path: Path) -> None:
    text = "image_id,dx,lesion_id,note\nx,mel,l1,\ny,nv,l1,seen\n"
    table = read(tmp_path, text, path="image_id", label="dx", group="lesion_id")
    assert (table.paths, table.labels) == (["x", "y"], [("mel",), ("nv",)])
    assert (table.groups, table.parts) == (["l1", "l1"], None)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_quotes(tmp_path: Path, delimiter: str) -> None:
    lines = [["path", "label"], ['"a, b;c.png"', "cat"], ["d.png", '"big ""dog"""']]
    table = read(tmp_path, "\n".join(delimiter.join(line) for line in lines))
    assert table.paths == ["a, b;c.png", "d.png"]
    assert table.labels == [("cat",), ('big "dog"',)]


def test_text_of_excel(tmp_path: Path) -> None:
    # A byte order mark, lines that end as on Windows, a blank line, white space.
    table = read(tmp_path, "path;label\r\n a.png ; Mädchen \r\n\r\nb.png;Bube\r\n", "utf-8-sig")
    assert table.paths == ["a.png", "b.png"]
    assert table.labels == [("Mädchen",), ("Bube",)]
    assert list(table.numbers) == [2, 4]


def test_a_field_over_two_lines_counts_both(tmp_path: Path) -> None:
    table = read(tmp_path, 'path,label\n"a\n.png",cat\nb.png,dog\n')
    assert list(table.numbers) == [2, 4]


def test_names_in_one_column(tmp_path: Path) -> None:
    text = "path,labels\na,Edema|Effusion\nb,\nc, Effusion |Effusion\n"
    table = read(tmp_path, text)
    assert table.labels == [("Edema", "Effusion"), (), ("Effusion",)]
    assert (table.names, table.is_exclusive) == ((), False)
    other = read(tmp_path, text.replace("labels", "Finding Labels"), labels=["Finding Labels"])
    assert other.labels == table.labels


def test_columns_of_flags(tmp_path: Path) -> None:
    text = "path,edema,effusion\na,1,0\nb,0,0\nc,1.0,1\n"
    table = read(tmp_path, text)
    assert table.names == ["edema", "effusion"]
    assert table.labels == [("edema",), (), ("edema", "effusion")]
    assert table.remarks == ["csv:labels.csv: 'edema', 'effusion' are taken as labels, 1 for yes."]
    named = read(tmp_path, text, labels=["effusion", "edema"])
    assert (named.names, named.remarks) == (["effusion", "edema"], [])


def test_tables_of_pandas(tmp_path: Path) -> None:
    # Row numbers without a name, and flags as words.
    table = read(tmp_path, ",path,edema,effusion\n0,a,True,False\n7,b,FALSE,true\n")
    assert table.names == ["edema", "effusion"]
    assert table.labels == [("edema",), ("effusion",)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_for_excel_names_the_delimiter(tmp_path: Path, end: str) -> None:
    table = read(tmp_path, end.join(["sep=;", "path;label", "a, b;cat", "c;dog", ""]), "utf-8-sig")
    assert (table.paths, table.labels) == (["a, b", "c"], [("cat",), ("dog",)])
    assert list(table.numbers) == [3, 4]


def test_both_forms_of_an_accent_are_one_label(tmp_path: Path) -> None:
    table = read(tmp_path, "path,label\na,naevus cafe\u0301\nb,naevus caf\u00e9\n")
    assert table.labels == [("naevus caf\u00e9",), ("naevus caf\u00e9",)]
    several = read(tmp_path, "path,labels\na,cafe\u0301|caf\u00e9\nb,\n")
    assert several.labels == [("caf\u00e9",), ()]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("path,label\na\0,cat\n", {}, "has zero bytes, as text in UTF-16 does"),
        ("path,x,y\na,0,no\n", {}, r"or two or more of 0 and 1: --set 'data.columns.labels="),
        ("path,label\na,cat\nb\n", {}, "line 3 has 1 fields"),
        ("path,label\na,cat,1\n", {}, "line 2 has 3 fields"),
        ("path,label\na,cat\n\nb,\n", {}, "line 4 has nothing in the column 'label'"),
        ("path,label\n,cat\n", {}, "line 2 has nothing in the column 'path'"),
        ("path,label\n", {}, "with 1 lines"),
        ("", {}, "with 0 lines"),
        ("path,label,label\na,b,c\n", {}, "the column 'label' twice"),
        ("path,file,label\na,b,c\n", {}, "the columns 'path' and 'file'"),
        ("id,label\na,b\n", {}, "--set data.columns.path=NAME"),
        ("path,dx\na,b\n", {}, "--set data.columns.label=NAME"),
        ("path,x,y\na,0,1\nb,1,u\n", {}, "--set data.columns.label=NAME"),
        ("path,x,y\na,0,1\nb,1,-1\n", {"labels": ["x", "y"]}, "line 3 has '-1'"),
        ("path,label\na,b\n", {"label": "labl"}, "Try 'label'"),
        ("path,x,y\na,0,1\n", {"labels": ["x", "z"]}, "data.columns.labels='z'"),
        ('path,label\n"a,b\n', {}, "cannot be read"),
    ],
)
def test_refusals(tmp_path: Path, text: str, columns: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text, **columns)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CSV UTF-8"):
        read(tmp_path, "path,label\na,Mädchen\n", "latin-1")
    with pytest.raises(UsageError, match="cannot be read"):
        read_table("csv:none.csv", tmp_path / "none.csv", ColumnsSpec())
    with pytest.raises(UsageError, match="a folder"):
        read_table("csv:.", tmp_path, ColumnsSpec())


def test_joined_labels_are_read_again():
    """One text for the labels of an image: in a table, in answers and in the script."""
    joined = join_labels(["cat", "dog"])
    assert joined == "cat|dog"
    assert joined.split(LABEL_SEPARATOR) == ["cat", "dog"]
    assert f'return "{LABEL_SEPARATOR}".join(' in write_script("onnx")
