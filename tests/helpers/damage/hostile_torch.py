"""Writes hostile `.pth` files into a folder: run as a script, since it imports torch."""

import collections
import io
import os
import pickle
import sys
import zipfile
from pathlib import Path

import torch  # noqa: TID253 - a script of its own


class Marker:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def rewritten(content, change, method=zipfile.ZIP_STORED):
    """A saved file with its members changed: name, bytes -> bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for member in old.infolist():
            new.writestr(member.filename, change(member.filename, old.read(member)))
    return buffer.getvalue()


def hash_bomb():
    """A tuple of tuples, 2^60 of them, as the key of a dictionary: hashing it never ends."""
    pairs = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
    return b"\x80\x02}K\x01" + pairs + b"K\x01s."


def make(folder):
    marker = folder / "ran"
    tensor = torch.arange(6.0).reshape(2, 3)
    sound = saved({"a.weight": tensor, "b": torch.ones(4, dtype=torch.int64)})
    shared = torch.zeros(1 << 20)
    files = {
        "sound": sound,
        "sound_half": saved({"model": {"a": tensor.half(), "b": tensor.bfloat16()}}),
        "sound_old": None,
        "code": saved({"state_dict": Marker(marker)}),
        "code_in_list": saved({"a": tensor, "extra": [Marker(marker)]}),
        "code_plain": pickle.dumps(Marker(marker), protocol=2),
        "code_key": saved(collections.OrderedDict([("a", tensor), ("hook", Marker(marker))])),
        "stretched": saved({"a": torch.zeros(1).expand(1 << 40)}),
        "one_storage_many_names": saved({f"t{n}": shared for n in range(5000)}),
        "meta": saved({"a": torch.empty(1 << 40, device="meta")}),
        "sparse": saved({"a": torch.eye(3).to_sparse()}),
        "complex": saved({"a": torch.ones(2, dtype=torch.complex64)}),
        "number_keys": saved({3: tensor}),
        "list": saved([tensor]),
        "nothing": saved({}),
        "short_record": rewritten(sound, lambda n, c: c[:4] if n.endswith("data/0") else c),
        "packed": rewritten(
            saved({"a": torch.zeros(1 << 24)}), lambda n, c: c, zipfile.ZIP_DEFLATED
        ),
        "hash_bomb": rewritten(sound, lambda n, c: hash_bomb() if n.endswith("data.pkl") else c),
        "escape": rewritten(sound, lambda n, c: c).replace(b"archive/data/0", b"../../../pwned"),
        "cut": sound[:-40],
        "text": b"not a weight file",
    }
    buffer = io.BytesIO()
    torch.save({"a.weight": tensor}, buffer, _use_new_zipfile_serialization=False)
    files["sound_old"] = buffer.getvalue()
    for name, content in files.items():
        (folder / f"{name}.pth").write_bytes(content)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
