"""Rebuild `fashion_mnist.npz` byte for byte from the four original IDX files.

Run: python -m poc.shared.data.sources.embedded.build FOLDER [OUTPUT]
"""

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.idx import read_pair

COUNTS = {"train": 200, "test": 100}
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def build(folder: Path) -> bytes:
    """Build the npz file's bytes from the IDX files in `folder`.

    Raises:
        UsageError: An IDX file is missing or damaged.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    for part, count in COUNTS.items():
        images, labels = read_pair(folder, part)
        chosen = first_of_each_class(labels, count)
        arrays[f"{part}_images"] = images[chosen]
        arrays[f"{part}_labels"] = labels[chosen].astype(np.uint8)
    arrays["class_names"] = np.array(CLASS_NAMES)
    return pack(arrays)


def first_of_each_class(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the positions of the first `count` examples of every class, in file order.

    Args:
        labels: (n,) int64.
        count: Examples per class.

    Returns:
        (k,) int64, ascending.
    """
    chosen = [np.flatnonzero(labels == label)[:count] for label in range(len(CLASS_NAMES))]
    return np.sort(np.concatenate(chosen))


def pack(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    """Pack arrays (…), of any shape, into an npz file whose bytes depend on its content alone."""
    content = io.BytesIO()
    # np.savez would store the time and the platform. 1980 is the earliest date of a zip file, and
    # 3 stands for Unix.
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
            archive.writestr(member, stream.getvalue(), compresslevel=9)
    return content.getvalue()


def main(arguments: list[str]) -> None:
    """Write the file and print its sha256."""
    folder, *output = map(Path, arguments)
    path = output[0] if output else Path(__file__).with_name("fashion_mnist.npz")
    content = build(folder)
    path.write_bytes(content)
    print(f"{hashlib.sha256(content).hexdigest()}  {path.name}  {len(content)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
