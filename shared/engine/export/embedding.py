"""A text in an exported file itself: a property of an ONNX file, an archive behind a TFLite file.

TFLite's convention for metadata appends a zip archive; the interpreter does not read that far, and
Python's `zipfile` finds it from the end.
"""

import zipfile
from pathlib import Path

# Name of the text: of the ONNX property, and of the archive's file.
KEY = "preprocess.json"
# Larger texts are not read: a thousand classes take less than a hundredth of this.
MAX_BYTES = 1 << 24


def embed(path: Path, text: str) -> None:
    """Write a text into an exported file, whose ending is its format."""
    if path.suffix == ".onnx":
        set_property(path, text)
    else:
        attach(path, text)


def set_property(path: Path, text: str) -> None:
    """Set the property of an ONNX file."""
    # Imported here, since `poc[export]` is an optional extra.
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: text})
    onnx.save(model, path)


def attach(path: Path, text: str) -> None:
    """Append the archive to a file that has none."""
    with zipfile.ZipFile(path, "a") as archive:
        # With a fixed date, equal exports are equal files.
        archive.writestr(zipfile.ZipInfo(KEY), text)


def read_attached(path: Path) -> str:
    """Read the text of the archive behind a file; empty if there is none."""
    if not zipfile.is_zipfile(path):
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            if KEY not in archive.namelist() or archive.getinfo(KEY).file_size > MAX_BYTES:
                return ""
            return archive.read(KEY).decode()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError):
        return ""
