"""DICOM files as pictures: each rule by hand, and against pydicom's own window."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from poc.shared.data.sources import dicom
from poc.shared.data.sources.decoding import decode, inspect_file
from poc.shared.data.sources.dicom import apply_window, is_dicom, read_dicom
from poc.shared.data.sources.folder import open_folder

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
MAX_PIXELS = 10_000
VALUES = np.array([[0, 1000, 2000], [3000, 4000, 4095]], dtype=np.uint16)


def write(values: NDArray[Any], **header: Any) -> bytes:
    """Write an uncompressed file of these stored values, with further entries of its header."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = Dataset()
    data.file_meta = meta
    data.Rows, data.Columns = values.shape[:2]
    data.SamplesPerPixel = 3 if values.ndim == 3 else 1
    data.BitsAllocated = values.dtype.itemsize * 8
    data.BitsStored, data.HighBit = header.get("BitsStored", data.BitsAllocated), 0
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    if values.ndim == 3:
        data.PlanarConfiguration = 0
    data.PixelData = values.tobytes()
    for name, value in header.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


def shown(content: bytes) -> list[list[int]]:
    """Return the picture of a file as rows of grey levels."""
    return np.asarray(read_dicom(content, MAX_PIXELS)).tolist()


def test_twelve_bits_use_their_own_range() -> None:
    # 255 * 1000 / 4095 = 62.27 and so on.
    content = write(VALUES, BitsStored=12)
    assert shown(content) == [[0, 62, 125], [187, 249, 255]]
    assert is_dicom(content)


def test_signed_values_and_a_rescale() -> None:
    values = np.array([[-2048, 0, 2047]], dtype=np.int16)
    assert shown(write(values, BitsStored=12)) == [[0, 128, 255]]
    # The slope and the intercept move both the values and the range of the bits.
    rescaled = write(values, BitsStored=12, RescaleSlope=2, RescaleIntercept=-100)
    assert shown(rescaled) == [[0, 128, 255]]
    turned = write(values, BitsStored=12, RescaleSlope=-1, RescaleIntercept=0)
    assert shown(turned) == [[255, 127, 0]]


def test_monochrome1_is_inverted_after_the_window() -> None:
    window = {"BitsStored": 12, "WindowCenter": 2000.5, "WindowWidth": 2001}
    plain = shown(write(VALUES, **window))
    # From 1000 to 3000: 0 and 1000 are black, 2000 the middle, 3000 and above white.
    assert plain == [[0, 0, 128], [255, 255, 255]]
    inverted = shown(write(VALUES, PhotometricInterpretation="MONOCHROME1", **window))
    assert inverted == [[255, 255, 127], [0, 0, 0]]


def test_the_first_of_several_windows_counts() -> None:
    several = write(VALUES, BitsStored=12, WindowCenter=[2000.5, 40], WindowWidth=[2001, 400])
    one = write(VALUES, BitsStored=12, WindowCenter=2000.5, WindowWidth=2001)
    assert shown(several) == shown(one)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_equal_those_of_pydicom(function: str) -> None:
    from pydicom.pixels import apply_windowing

    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    header = {"WindowCenter": 1500, "WindowWidth": 700, "VOILUTFunction": function}
    content = write(values, BitsStored=12, **header)
    data = pydicom.dcmread(io.BytesIO(content))
    theirs = apply_windowing(values, data) * (255 / 4095)
    ours = np.asarray(read_dicom(content, MAX_PIXELS))
    assert np.abs(ours - theirs).max() <= 0.5 + 1e-9


def test_width_one_is_a_threshold() -> None:
    values = np.array([4, 5, 6])
    assert apply_window(values, 5.5, 1, "LINEAR").tolist() == [0, 0, 255]
    for width, function in ((0.5, "LINEAR"), (0, "SIGMOID"), (-3, "LINEAR_EXACT")):
        with pytest.raises(ValueError, match="width"):
            apply_window(values, 5, width, function)
    with pytest.raises(ValueError, match="unknown function CUBIC"):
        apply_window(values, 5, 2, "CUBIC")


def test_a_table_of_values_of_interest() -> None:
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4, 0, 8]
    table.LUTData = np.array([0, 200, 100, 255], dtype="<u2").tobytes()
    values = np.array([[0, 1, 2, 3, 9]], dtype=np.uint16)
    content = write(values, BitsStored=12, VOILUTSequence=[table])
    assert shown(content) == [[0, 200, 100, 255, 255]]


def test_colours() -> None:
    colours = np.array([[[255, 0, 10], [1, 2, 3]]], dtype=np.uint8)
    assert shown(write(colours)) == colours.tolist()
    wide = np.array([[[65535, 0, 32768]]], dtype=np.uint16)
    assert shown(write(wide)) == [[[255, 0, 128]]]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"PhotometricInterpretation": "HSV"}, "is HSV"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "the width 0"),
    ],
)
def test_refusals(header: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_dicom(write(VALUES, BitsStored=12, **header), MAX_PIXELS)


def test_too_many_pixels_and_no_picture() -> None:
    with pytest.raises(ValueError, match="3 x 2 pixels"):
        read_dicom(write(VALUES), 5)
    data = pydicom.dcmread(io.BytesIO(write(VALUES)))
    del data.PixelData
    buffer = io.BytesIO()
    data.save_as(buffer)
    with pytest.raises(ValueError, match="no picture"):
        read_dicom(buffer.getvalue(), MAX_PIXELS)


def test_a_compression_without_a_decoder_is_named() -> None:
    data = pydicom.dcmread(io.BytesIO(write(VALUES)))
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    data.PixelData = pydicom.encaps.encapsulate([b"\0" * 8])
    data["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    with pytest.raises(ValueError, match="JPEG-LS Lossless"):
        read_dicom(buffer.getvalue(), MAX_PIXELS)


def test_a_file_that_is_deflated_as_a_whole_is_not_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes would become any number of them before the first header is read."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

    plain = write(VALUES)
    data = pydicom.dcmread(io.BytesIO(plain))
    assert data.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path / "a.dcm"
    data.save_as(path, enforce_file_format=True)

    def refuse(*values: object) -> None:
        raise AssertionError("it is inflated")

    monkeypatch.setattr("pydicom.filereader.zlib.decompress", refuse)
    assert inspect_file(path).error == (
        "cannot be decoded (it is deflated as a whole, to a size that it does not state: "
        "save it with another transfer syntax)"
    )
    read_dicom(plain, MAX_PIXELS)


def test_files_in_class_folders(tmp_path: Path) -> None:
    for label, top in (("clear", 900), ("ill", 4000)):
        (tmp_path / label).mkdir()
        for number in range(2):
            values = np.linspace(0, top, 12).astype(np.uint16).reshape(3, 4)
            (tmp_path / label / f"{number}.dcm").write_bytes(write(values, BitsStored=12))
    source = open_folder("folder:x", tmp_path)
    assert (source.class_names, source.image_shape) == (("clear", "ill"), (3, 4, 1))
    assert source.image(3).max() == 249
    # 900 of 4095 are 57 levels, in two of four files.
    assert any("2 " in remark and "levels" in remark for remark in source.remarks)
    assert decode((tmp_path / "ill" / "0.dcm").read_bytes(), 3).picture.mode == "RGB"


def test_without_pydicom_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom, "find_spec", lambda name: None)
    (tmp_path / "x.dcm").write_bytes(write(VALUES))
    assert "pip install 'poc[dicom]'" in inspect_file(tmp_path / "x.dcm").error


def test_other_files_are_not_dicom() -> None:
    buffer = io.BytesIO()
    Image.new("L", (200, 200)).save(buffer, "BMP")
    assert not is_dicom(buffer.getvalue())
    assert not is_dicom(b"DICM")
