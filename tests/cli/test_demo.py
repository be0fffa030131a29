"""`poc demo` as a process: its answers over HTTP, hostile visits, and its end."""

import io
import random
import shutil
import socket
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.demonstration.uploads import MAX_FILE_BYTES
from poc.tests.helpers.browser.visit import Visit, serving
from poc.tests.helpers.commands.processes import stub_environment
from poc.tests.helpers.damage.fuzzing import mutate
from poc.tests.shared.actions.new_images.test_label_files import photos, trained

__all__ = ["photos", "trained"]
pytest.importorskip("gradio", reason="needs the extra demo")

NUM_FUZZED = 240
# An import of Gradio takes 250 MB, and the largest photo of these takes a few.
MOST_BYTES = 700_000_000


@pytest.fixture(scope="module")
def demo(trained, tmp_path_factory):
    """A page whose two frameworks are the stub."""
    folder = tmp_path_factory.mktemp("demo")
    (interpreter,) = [
        value for name, value in stub_environment(folder, 0).items() if name == "POC_TORCH_PYTHON"
    ]
    environment = {"POC_TF_PYTHON": interpreter, "POC_TORCH_PYTHON": interpreter}
    run = shutil.copytree(trained, folder / "run")
    with serving(run, folder=folder, environment=environment) as demo:
        yield demo
        workers = demo.workers()
        assert len(workers) == 2
    assert demo.process.returncode == 0, "".join(demo.lines)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert not list(folder.glob("poc-demo-*"))
    assert "Traceback" not in "".join(demo.lines)


@pytest.fixture
def visit(demo):
    with Visit(demo.address) as visit:
        yield visit


def picture(size=(20, 30), form="PNG", **options):
    stream = io.BytesIO()
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)).save(stream, form, **options)
    return stream.getvalue()


def bomb():
    """A PNG of 2 GB of zeros in 2 MB."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", 26_000, 26_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(30_000_000)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def archive():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("../../photo.png", picture())
    return stream.getvalue()


def test_a_photo_is_answered_by_both_frameworks_and_deleted(demo, visit):
    html = visit.answer("photo.png", picture())
    assert html.count("<strong>") == 2
    assert 'poc-soft">tf</span>' in html
    assert 'poc-soft">torch</span>' in html
    assert "data:image/png;base64," in html
    assert demo.uploads() == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("no.jpg", b"no image", "no.jpg is no image that Pillow knows"),
        ("cut.png", picture()[:300], "cut.png cannot be decoded"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "is no image"),
        ("a.html", b"<script>alert(1)</script>", "is no image"),
        ("a.png", archive(), "is no image"),
        ("a.png", bomb(), "a.png announces more than 50,000,000 pixels"),
        ("a.png", b"", "is empty"),
        ("../../../../etc/cron.d/a.png", b"x", "a.png is no image"),
        ("<img src=x onerror=alert(1)>.png", b"x", "is no image"),
        ("é\u202e\0\n.png", b"x", "is no image"),
        ("a" * 300 + ".png", b"x", "is no image"),
    ],
)  # fmt: skip
def test_what_is_no_photo_is_answered_in_one_sentence(name, content, words, demo, visit):
    html = visit.answer(name, content)
    assert words in html
    assert "<img" not in html
    assert html.count("</p>") == 1
    assert demo.uploads() == []


def test_a_name_that_leads_up_is_refused(visit):
    found = visit.upload("..", b"x")
    assert (found.status_code, found.json()) == (400, {"detail": "Invalid file name: .."})


def test_a_wrong_ending_does_not_matter(visit):
    assert "<table>" in visit.answer("photo.txt", picture(form="JPEG"))


def test_a_file_above_the_limit_is_refused_while_it_comes(demo, visit):
    found = visit.upload("large.png", bytes(MAX_FILE_BYTES + 1))
    assert found.status_code == 413
    assert "maximum allowed size" in found.text
    assert visit.upload("huge.png", bytes(2 * MAX_FILE_BYTES)).status_code == 413
    assert demo.uploads() == []


def test_no_other_file_is_read(demo, visit, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    for path in (secret, "/etc/passwd", f"{demo.address}favicon.ico", "http://192.0.2.1/a.png"):
        found = visit.join(str(path))
        assert (found.status_code, found.text) == (
            400, "The question is not about an uploaded photo."
        )  # fmt: skip
        for way in ("file=", "file/", "proxy=", "stream/"):
            assert visit.client.get(f"/gradio_api/{way}{path}").status_code == 404
    uploaded = visit.upload("kept.png", picture()).json()[0]
    assert visit.client.get(f"/gradio_api/file={uploaded}").status_code == 404


@pytest.mark.slow
def test_hundreds_of_damaged_uploads_leave_the_page_as_it_was(demo, visit):
    """Each is answered or refused, none ends the process, and none takes much memory."""
    draw = random.Random(0)
    sound = [picture(form=form) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")]
    before, counts = demo.workers(), {True: 0, False: 0}
    # Uploads that nobody asked about stay for two minutes.
    left = set(demo.uploads())
    for number in range(NUM_FUZZED):
        html = visit.answer(f"{number}.png", mutate(draw.choice(sound), draw))
        counts["<table>" in html] += 1
        assert ('role="alert"' in html) is ("<table>" not in html)
    assert min(counts.values()) > 10
    for _ in range(NUM_FUZZED):
        body = mutate(
            b'{"data":[{"path":"/a","meta":{"_type":"gradio.FileData"}}],"fn_index":0}', draw
        )
        found = visit.client.post("/gradio_api/queue/join", content=body)
        assert found.status_code < 500
    assert demo.process.poll() is None
    assert demo.workers() == before
    assert "<table>" in visit.answer("photo.png", picture())
    assert set(demo.uploads()) <= left
    assert demo.peak_bytes() < MOST_BYTES


def test_visits_that_break_off_do_not_matter(demo, visit):
    host, port = demo.address.removeprefix("http://").rstrip("/").split(":")
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 9000\r\n"
    for text in (
        head,
        head + "Content-Type: multipart/form-data; boundary=a\r\n\r\n--a\r\n",
        "\0" * 99,
    ):
        with socket.create_connection((host, int(port)), timeout=10) as one:
            one.sendall(text.encode())
    assert "<table>" in visit.answer("photo.png", picture())


def test_visitors_with_the_same_photo_are_all_answered(demo):
    """Gradio keeps their uploads as one file."""
    content = picture(size=(31, 17))
    barrier = Barrier(6)

    def ask(number):
        with Visit(demo.address) as visit:
            barrier.wait(60)
            return visit.answer("same.png", content)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(ask, range(6)))
    assert ["<table>" in html for html in found] == [True] * 6
    assert not [path for path in demo.uploads() if path.name == "same.png"]


def test_malformed_uploads_and_questions_are_the_visitors_error(demo, visit):
    """The fixture looks for a traceback at the end."""
    head = b'--a\r\nContent-Disposition: form-data; name="files"'
    for upload_id in ("", "?upload_id=b"):
        for end in (b"", b'; filename=""', b"; filename*=x''", b'; filename="/"'):
            body = head + end + b"\r\n\r\nx\r\n--a--\r\n"
            found = visit.client.post(
                "/gradio_api/upload" + upload_id,
                content=body,
                headers={"content-type": "multipart/form-data; boundary=a"},
            )
            assert found.status_code in ((400,) if not end else (200, 400)), (end, found.text)
    path = visit.upload("a.png", picture()).json()[0]
    for change in ({"fn_index": 99}, {"fn_index": -1}, {"fn_index": None}, {"data": []}):
        photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = {"data": [photo], "fn_index": 0, "session_hash": "one", **change}
        assert visit.client.post("/gradio_api/queue/join", json=body).status_code == 400
    assert "Traceback" not in "".join(demo.lines)


def test_a_question_in_chunks_is_refused(demo):
    host, port = demo.address.removeprefix("http://").rstrip("/").split(":")
    head = (
        f"POST /gradio_api/queue/join HTTP/1.1\r\nHost: {host}:{port}\r\n"
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as one:
        one.sendall(head.encode() + b"5\r\nhello\r\n")
        assert b" 411 " in one.recv(99)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing argument 'RUN...'"),
        (["nowhere"], "Got 'nowhere'"),
        (["nowhere", "--port", "x"], "'x' is not a valid integer"),
    ],
)
def test_wrong_use_exits_with_2(options, words, poc):
    code, output, errors = poc("demo", *options)
    assert (code, output) == (2, "")
    assert words in errors
