"""Weight files that somebody made in order to harm: refused in one sentence, nothing is run."""

import io
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from poc.shared.actions.weights.convert import convert_for
from poc.shared.engine.machine.limits import Budget
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.weights.check import check_tensors
from poc.tests.conftest import write_interpreter

FOLDER = Path(__file__).parents[1] / "helpers" / "damage"
SOUND_TORCH = ("sound", "sound_half", "sound_old")
GIVEN = {"model": "mobilenet_v2", "classes": "3", "shape": "65x64x3"}


def keras_bytes(fill, **options):
    """An HDF5 file whose group `dense` `fill` may fill."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        fill(file, file.create_group("dense"))
    return buffer.getvalue()


def sound(file, group):
    group.create_dataset("kernel:0", data=np.ones((2, 3), np.float32), compression="gzip")
    group.create_dataset("bias:0", data=np.zeros(3, np.float32))


def link_outside(name, link):
    """A link to a sound file that lies beside the hostile one."""

    def fill(file, group):
        sound(file, group)
        place = file if name == "model_weights" else group
        place[name] = link

    return fill


def raw_outside(file, group):
    group.create_dataset("kernel:0", (64,), np.uint8, external=[("secret", 0, 64)])


def virtual(file, group):
    layout = h5py.VirtualLayout((2, 3), np.float32)
    layout[:] = h5py.VirtualSource("outside.h5", "dense/kernel:0", (2, 3))
    group.create_virtual_dataset("kernel:0", layout)


def bomb(file, group):
    """80 GB of zeros in 1 MB: packed as tightly as gzip can, and named again and again."""
    zeros = np.zeros(1 << 23, np.uint8)
    packed = group.create_dataset("packed", data=zeros, chunks=zeros.shape, compression="gzip")
    for number in range(10_000):
        group[f"again{number}"] = packed


def ladder(file, group):
    """Each group stands twice in the one above it: 2^60 ways lead to the bottom."""
    for _ in range(60):
        inner = group.create_group("a")
        group["b"] = inner
        group = inner
    sound(file, group)


def nested(file, group):
    for _ in range(200):
        group = group.create_group("g")
    sound(file, group)


def object_array(file, group):
    data = group.create_dataset("kernel:0", (2,), h5py.vlen_dtype(np.float32))
    data[0] = np.ones(3)


def array_of(values):
    return lambda file, group: group.create_dataset("kernel:0", data=values)


def shaped(shape, dtype="f4", **options):
    return lambda file, group: group.create_dataset("kernel:0", shape, dtype, **options)


def scalar_space(file, group):
    group.create_dataset("kernel:0", data=h5py.Empty("f4"))


def named_type(file, group):
    group["kernel:0"] = np.dtype("f4")


HOSTILE = {
    "external link": link_outside("again", h5py.ExternalLink("outside.h5", "dense/kernel:0")),
    "external link at the root": link_outside(
        "model_weights", h5py.ExternalLink("outside.h5", "/")
    ),
    "soft link": link_outside("again", h5py.SoftLink("/dense")),
    "soft link to itself": link_outside("again", h5py.SoftLink("/dense/again")),
    "raw bytes of another file": raw_outside,
    "virtual": virtual,
    "bomb": bomb,
    "groups in themselves": lambda file, group: group.__setitem__("again", group),
    "ladder": ladder,
    "nested": nested,
    "objects": object_array,
    "texts": array_of(np.array([b"one", b"two"])),
    "complex": array_of(np.ones(2, np.complex64)),
    "records": array_of(np.ones(2, [("a", "f4"), ("b", "i4")])),
    "huge": shaped((1 << 40, 1 << 20), chunks=(1, 1 << 10)),
    "huge, contiguous": shaped((1 << 50,)),
    "huge, packed twice": shaped((1 << 40,), chunks=(1 << 20,), compression="gzip", shuffle=True),
    "overflow": shaped((1 << 33, 1 << 31), chunks=(1, 1 << 10)),
    "nothing": scalar_space,
    "a type": named_type,
    "empty": lambda file, group: None,
}


def archive_bytes(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def lying_archive():
    """A directory that promises 4 GB over a few bytes."""
    content = bytearray(archive_bytes({"model.weights.h5": b"x" * 100}))
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
    return bytes(content)


LAMBDA = (
    '{"class_name": "Functional", "config": {"layers": [{"class_name": "Lambda", "config": '
    '{"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAAAAAAAAEAAAAB"}}}}]}}'
)
ARCHIVES = {
    "bomb": lambda: archive_bytes({"model.weights.h5": bytes(1 << 27)}, zipfile.ZIP_LZMA),
    "lying": lying_archive,
    "no weights": lambda: archive_bytes({"config.json": LAMBDA}),
    "weights elsewhere": lambda: archive_bytes({"../model.weights.h5": keras_bytes(sound)}),
    "weights are no weights": lambda: archive_bytes({"model.weights.h5": b"print(1)"}),
    "hostile weights": lambda: archive_bytes(
        {"model.weights.h5": keras_bytes(HOSTILE["external link at the root"])}
    ),
}


def refuse(worker, path):
    """The sentence with which a worker refuses a file."""
    with pytest.raises(UsageError) as caught:
        worker.call(Operations.read_published, path=str(path))
    message = str(caught.value)
    assert message.startswith("Got ")
    assert str(path) in message
    assert "\n" not in message
    assert message.isprintable()
    return message


@pytest.mark.tf
def test_hostile_keras_files_are_refused(tf_worker, tmp_path):
    (tmp_path / "outside.h5").write_bytes(keras_bytes(sound))
    (tmp_path / "secret").write_bytes(b"s" * 64)
    found = tf_worker.call(Operations.read_published, path=str(tmp_path / "outside.h5"))
    assert found.keys() == {"dense/kernel", "dense/bias"}
    for name, fill in HOSTILE.items():
        path = tmp_path / f"{name}.h5"
        path.write_bytes(keras_bytes(fill))
        refuse(tf_worker, path)
        assert path.stat().st_size < 10**8, name
    print(f"hostile .h5 files: {len(HOSTILE)}, all refused")


@pytest.mark.tf
def test_hostile_keras_archives_are_refused_and_their_layers_left_alone(tf_worker, tmp_path):
    (tmp_path / "outside.h5").write_bytes(keras_bytes(sound))
    inner = tmp_path / "inner"
    inner.mkdir()
    for name, make in ARCHIVES.items():
        path = inner / f"{name}.keras"
        path.write_bytes(make())
        refuse(tf_worker, path)
    # A Lambda and members that lead elsewhere do not matter: only the weights are read.
    path = inner / "sound.keras"
    members = {"config.json": LAMBDA, "../../escaped": b"x", "/tmp/escaped-poc": b"x"}
    path.write_bytes(archive_bytes({**members, "model.weights.h5": keras_bytes(sound)}))
    found = tf_worker.call(Operations.read_published, path=str(path))
    assert found.keys() == {"dense/kernel", "dense/bias"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["inner", "outside.h5"]
    assert not Path("/tmp/escaped-poc").exists()
    print(f"hostile .keras files: {len(ARCHIVES) + 1}, none was obeyed")


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    script = FOLDER / "hostile_torch.py"
    subprocess.run([sys.executable, "-W", "ignore", str(script), str(folder)], check=True)
    return folder


@pytest.mark.torch
def test_hostile_torch_files_are_refused_and_not_run(torch_worker, torch_files):
    marker = torch_files / "ran"
    pickle.loads((torch_files / "code_plain.pth").read_bytes())
    assert marker.exists(), "the files are harmless, and this test proves nothing"
    marker.unlink()
    paths = sorted(torch_files.glob("*.pth"))
    for path in paths:
        if path.stem in SOUND_TORCH:
            assert torch_worker.call(Operations.read_published, path=str(path))
        elif path.stem != "hash_bomb":
            refuse(torch_worker, path)
        assert not marker.exists(), path.stem
    print(f"hostile .pth files: {len(paths) - len(SOUND_TORCH) - 1}, all refused, none was run")


@pytest.mark.torch
@pytest.mark.slow
def test_the_command_refuses_code_with_one_sentence(torch_files, tmp_path):
    command = [sys.executable, "-m", "poc.cli", "weights", "convert"]
    files = [str(torch_files / "code.pth"), str(tmp_path / "out.safetensors")]
    options = ["--model", "mobilenet_v2", "--classes", "3"]
    done = subprocess.run([*command, *files, *options], capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "weights_only" in done.stderr
    assert not (torch_files / "ran").exists()
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import runpy, sys
from poc.shared.engine.machine import limits
limits.SECONDS_AT_LEAST = 4
sys.argv = ["server", sys.argv[-1]]
runpy.run_module("poc.shared.engine.server", run_name="__main__")
"""


@pytest.mark.torch
@pytest.mark.slow
def test_a_file_that_keeps_its_reader_busy_for_ever_is_refused(torch_files, tmp_path, monkeypatch):
    """Compiled code that no exception reaches; the process is ended, the command goes on."""
    (tmp_path / "script.py").write_text(SCRIPT)
    interpreter = write_interpreter(tmp_path / "python", tmp_path / "script.py")
    monkeypatch.setenv("POC_TORCH_PYTHON", str(interpreter))
    with pytest.raises(UsageError, match=r"the reader failed .*exit status -14"):
        convert_for(torch_files / "hash_bomb.pth", tmp_path / "out.safetensors", **GIVEN)


def test_names_out_of_a_file_do_not_command_the_terminal():
    name = "\x1b[2Jkernel\nsecond line"
    with pytest.raises(UsageError) as caught:
        check_tensors("net", {}, {name: np.zeros(1)})
    assert str(caught.value).isprintable()
    assert "second line" in str(caught.value)


def test_a_budget_is_used_up():
    budget = Budget(10)
    budget.take("a", 6000)
    budget.take("b", 5000)
    with pytest.raises(ValueError, match="'c' unpacks to 1 bytes"):
        budget.take("c", 1)


@pytest.mark.parametrize("num_cases", [150, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "backend",
    [pytest.param("tf", marks=pytest.mark.tf), pytest.param("torch", marks=pytest.mark.torch)],
)
def test_damaged_weight_files(backend, num_cases, tmp_path):
    """In processes of their own: a compiled reader may die, which the command then says."""
    if backend == "tf":
        (tmp_path / "a.h5").write_bytes(keras_bytes(sound))
        (tmp_path / "b.h5").write_bytes(keras_bytes(sound, libver="latest"))
        content = {"config.json": LAMBDA, "model.weights.h5": keras_bytes(sound)}
        (tmp_path / "c.keras").write_bytes(archive_bytes(content))
    else:
        script = FOLDER / "hostile_torch.py"
        subprocess.run([sys.executable, "-W", "ignore", str(script), str(tmp_path)], check=True)
    names = [f"{name}.pth" for name in SOUND_TORCH] if backend == "torch" else []
    names = names or ["a.h5", "b.h5", "c.keras"]
    done = deaths = read = 0
    while done < num_cases:
        seed = str(done)
        command = [sys.executable, str(FOLDER / "fuzz_weights.py"), backend, str(tmp_path)]
        ended = subprocess.run(
            [*command, str(num_cases - done), seed, *names], capture_output=True, text=True
        )
        lines = ended.stdout.splitlines()
        if ended.returncode > 0:
            raise AssertionError(ended.stderr)
        done += len(lines) + (ended.returncode < 0)
        read += lines.count("read")
        deaths += ended.returncode < 0
    print(f"{backend} weight files: {done} damaged, {read} of them still read, {deaths} deaths")
    assert deaths <= num_cases // 50
