"""Pictures of DICOM files: stored values, the modality's units, the window, 8 bits.

The order is that of the standard (PS3.3 C.11.1 and C.11.2): rescale slope and intercept, or the
modality's table; then the first window of the header, or the first table of values of interest;
MONOCHROME1 is inverted last. Without a window, the full range of the stored bits is shown: 12 bits
are 0 to 4,095. `pydicom` (the extra `dicom`) reads the file.
"""

import io
import warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poc.shared.files.regular_files import UnfitFile

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

Values = NDArray[np.integer] | NDArray[np.floating]

# Part 10 of the standard: 128 bytes for any use, then these four letters.
PREAMBLE_BYTES, MARK = 128, b"DICM"
GREY = {"MONOCHROME1", "MONOCHROME2"}
PALETTE = "PALETTE COLOR"
# The transfer syntax of files that are compressed as a whole, to a size that nothing states: 32 MB
# may become 32 GB of memory before the first header is read.
DEFLATED = b"1.2.840.10008.1.2.1.99"
COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}


def is_dicom(content: bytes) -> bool:
    """Tell if a file's bytes begin as those of a DICOM file."""
    return content[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MARK)] == MARK


def describe_reader() -> str:
    """Return the reader and its version, for the key of caches of decoded pixels."""
    try:
        return f"pydicom {version('pydicom')}"
    except PackageNotFoundError:
        return "no pydicom"


def read_dicom(content: bytes, max_pixels: int) -> Image.Image:
    """Read the picture of a DICOM file.

    Args:
        content: The file's bytes.
        max_pixels: Most pixels that are read.

    Returns:
        A picture in mode `L` or `RGB`.

    Raises:
        UnfitFile: `pydicom` is not installed, or the file has no picture, several frames, or
            pixels that cannot be reduced to 8 bits without a guess.
        Exception: `pydicom` raises many kinds on a damaged file.
    """
    header = read_header(content)
    check_header(header, max_pixels)
    stored, kind = read_stored(header), str(header.PhotometricInterpretation)
    if kind in GREY:
        shown = show_grey(header, stored)
        return Image.fromarray(255 - shown if kind == "MONOCHROME1" else shown)
    if kind == PALETTE:
        from pydicom.pixels.processing import apply_color_lut

        # The entries' own depth, 8 or 16 bits, is the third number of each table's descriptor.
        top = (1 << int(header.RedPaletteColorLookupTableDescriptor[2])) - 1
        return Image.fromarray(to_bytes(apply_color_lut(stored, header)[..., :3], 0, top))
    # Since pydicom 3, the array of a YBR picture is RGB.
    return Image.fromarray(to_bytes(stored, 0, (1 << int(header.BitsStored)) - 1))


def read_header(content: bytes) -> "FileDataset":
    """Read a file's header as pydicom's `Dataset`; the pixels are not decoded yet.

    Raises:
        UnfitFile: `pydicom` is not installed, or the file is deflated as a whole.
        Exception: `pydicom` raises many kinds on a damaged file.
    """
    if DEFLATED in content:
        raise UnfitFile(
            "it is deflated as a whole, to a size that it does not state: save it with another "
            "transfer syntax"
        )
    if find_spec("pydicom") is None:
        raise UnfitFile("DICOM needs pydicom: pip install 'poc[dicom]'")
    import pydicom

    # Many valid pictures have a malformed name or date, of which pydicom would warn file by file.
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    return pydicom.dcmread(io.BytesIO(content))


def read_stored(header: "FileDataset") -> Values:
    """Return the stored values, (H, W) or (H, W, 3).

    Raises:
        UnfitFile: No installed decoder can read the file's compression.
    """
    try:
        return np.asarray(header.pixel_array)
    except RuntimeError:
        raise UnfitFile(
            f"its compression, {header.file_meta.TransferSyntaxUID.name}, needs a decoder of "
            "pydicom that is not installed, such as python-gdcm, or is damaged"
        ) from None


def check_header(header: "FileDataset", max_pixels: int) -> None:
    """Refuse a file without one picture of a known kind.

    Raises:
        UnfitFile: It has no picture, several, or one of another kind or size.
    """
    if "PixelData" not in header:
        raise UnfitFile("holds no picture" if "FloatPixelData" not in header else "holds floats")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnfitFile(f"holds {frames} frames: save one frame per file")
    kind = str(header.get("PhotometricInterpretation", "nothing"))
    if kind not in {*GREY, *COLOURS, PALETTE}:
        raise UnfitFile(f"its photometric interpretation is {kind}")
    height, width = int(header.Rows), int(header.Columns)
    if not 0 < height * width <= max_pixels:
        raise UnfitFile(f"has {width} x {height} pixels, and 1 to {max_pixels:,} can be read")


def show_grey(header: "FileDataset", stored: Values) -> NDArray[np.uint8]:
    """Return stored values (H, W) as they are meant to be seen, (H, W) uint8."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    values = apply_modality_lut(stored, header)
    if "VOILUTSequence" in header and "WindowCenter" not in header:
        table = header.VOILUTSequence[0]
        bits = int(table.LUTDescriptor[2])
        return to_bytes(apply_voi(values, header), 0, (1 << bits) - 1)
    if first(header, "WindowCenter") is None:
        return to_bytes(values, *stored_range(header))
    return apply_window(
        values,
        float(first(header, "WindowCenter")),
        float(first(header, "WindowWidth")),
        str(header.get("VOILUTFunction", "LINEAR")),
    )


def stored_range(header: "FileDataset") -> tuple[float, float]:
    """Return the smallest and the largest value that the stored bits can mean."""
    from pydicom.pixels.processing import apply_modality_lut

    if "ModalityLUTSequence" in header:
        return 0, (1 << int(header.ModalityLUTSequence[0].LUTDescriptor[2])) - 1
    num_values = 1 << int(header.BitsStored)
    lowest = -num_values // 2 if header.PixelRepresentation else 0
    ends = np.array([lowest, lowest + num_values - 1])
    # A negative slope turns the two around.
    low, high = sorted(apply_modality_lut(ends, header).astype(float).tolist())
    return low, high


def first(header: "FileDataset", name: str) -> Any:
    """Return the first of a header's values; None if it has none."""
    value = header.get(name)
    if value is None or value == "":
        return None
    is_several = hasattr(value, "__len__") and not isinstance(value, str)
    return value[0] if is_several else value


def apply_window(values: Values, centre: float, width: float, function: str) -> NDArray[np.uint8]:
    """Map values (H, W) to 0 to 255 by a window, PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Args:
        values: In the units of the modality.
        centre: Middle of the window, in these units.
        width: Width of the window; at least 1 for `LINEAR`, above 0 for the others.
        function: `LINEAR`, `LINEAR_EXACT` or `SIGMOID`.

    Raises:
        UnfitFile: The width is too small, or the function unknown.
    """
    if width < 1 if function == "LINEAR" else width <= 0:
        raise UnfitFile(f"its window has the width {width:g}")
    x = values.astype(np.float64)
    if function == "LINEAR":
        # Width 1 is a threshold: the division by width - 1 never takes place there.
        share = (x - (centre - 0.5)) / max(width - 1, np.finfo(np.float64).tiny) + 0.5
        share = np.where(x <= centre - 0.5 - (width - 1) / 2, 0.0, share)
        share = np.where(x > centre - 0.5 + (width - 1) / 2, 1.0, share)
    elif function == "LINEAR_EXACT":
        share = (x - centre) / width + 0.5
    elif function == "SIGMOID":
        share = 1 / (1 + np.exp(-4 * (x - centre) / width))
    else:
        raise UnfitFile(f"its window has the unknown function {function}")
    return to_bytes(share, 0, 1)


def to_bytes(values: Values, low: float, high: float) -> NDArray[np.uint8]:
    """Map values (…) linearly, `low` to 0 and `high` to 255; those outside are at the ends."""
    share = (values.astype(np.float64) - low) / (high - low)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
