"""What a weight file is by its first bytes, whatever its name ends in."""

from pathlib import Path

# Of PyTorch since 1.6 and of Keras 3 alike.
ZIP, HDF5, BRACE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"{"
KINDS = {
    "a safetensors file": (".safetensors",),
    "a file of PyTorch or Keras": (".pth", ".pt", ".tar", ".keras"),
    "an HDF5 file of Keras": (".h5", ".keras"),
}
SAFETENSORS, ZIPPED, KERAS = KINDS


def find_kind(path: Path) -> str | None:
    """A key of `KINDS`; none: the first bytes say nothing, or the file cannot be read."""
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
    # 8 bytes of the header's length, then JSON.
    is_safetensors = start[8:] == BRACE and int.from_bytes(start[:8], "little") <= size
    return SAFETENSORS if is_safetensors else None


def describe_wrong_suffix(path: Path) -> str | None:
    """A sentence where a file's content is not what its name ends in; none: it is, or who knows."""
    kind = find_kind(path)
    if kind is None or path.suffix in KINDS[kind]:
        return None
    endings = (".pth", ".keras") if kind == ZIPPED else KINDS[kind][:1]
    renamed = " or ".join(repr(path.with_suffix(ending).name) for ending in endings)
    return (
        f"received {str(path)!r}, which is {kind} by its content; allowed is a name that says so: "
        f"rename it to {renamed}"
    )
