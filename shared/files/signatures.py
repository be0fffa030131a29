"""Kinds of weight files, recognised by their first bytes and not by the name."""

from pathlib import Path

# PyTorch since 1.6 and Keras 3 both write zip files, so ZIP alone does not tell them apart.
ZIP, HDF5, BRACE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"{"
KINDS = {
    "a safetensors file": (".safetensors",),
    "a file of PyTorch or Keras": (".pth", ".pt", ".tar", ".keras"),
    "an HDF5 file of Keras": (".h5", ".keras"),
}
SAFETENSORS, ZIPPED, KERAS = KINDS


def find_kind(path: Path) -> str | None:
    """Return a key of `KINDS`; None if no kind starts like this, or the file cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
        size = path.stat().st_size
    except OSError:
        return None
    if start.startswith(ZIP):
        return ZIPPED
    if start.startswith(HDF5):
        return KERAS
    # A safetensors file starts with 8 bytes for the header's length, then JSON.
    is_safetensors = start[8:] == BRACE and int.from_bytes(start[:8], "little") <= size
    return SAFETENSORS if is_safetensors else None


def describe_wrong_suffix(path: Path) -> str | None:
    """Describe a file whose suffix does not fit its content; None if it fits or is unknown."""
    kind = find_kind(path)
    if kind is None or path.suffix in KINDS[kind]:
        return None
    endings = (".pth", ".keras") if kind == ZIPPED else KINDS[kind][:1]
    renamed = " or ".join(repr(path.with_suffix(ending).name) for ending in endings)
    return (
        f"Got {str(path)!r}, which is {kind} by its content. Expected a name with the suffix of "
        f"its content. Try renaming it to {renamed}."
    )
