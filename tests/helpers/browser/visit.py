"""`poc demo` as a process, and a visit of its page by the requests that a browser makes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

SECONDS_AT_MOST = 180


class Demo:
    """A running `poc demo`."""

    def __init__(self, process, address, lines, folder):
        self.process, self.address, self.lines, self._folder = process, address, lines, folder

    def workers(self):
        """Process ids of the frameworks' processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def peak_bytes(self):
        """Most memory that the page's own process has taken."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def uploads(self):
        """Photos in the folder of uploads, each in a folder of its own."""
        (folder,) = self._folder.glob("poc-demo-*")
        return [path for path in folder.glob("*/*") if path.is_file()]


@contextmanager
def serving(*arguments, folder, environment=None):
    """`poc demo` with these arguments, at a free port; it gets SIGINT at the end."""
    environment = {**os.environ, "TMPDIR": str(folder), **(environment or {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "poc.cli", "demo", "--port", "0", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    lines, ready = [], Queue()

    def read():
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Open http"):
                ready.put(line.split()[1])
        ready.put(None)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        address = ready.get(timeout=SECONDS_AT_MOST)
        assert address, "".join(lines)
        yield Demo(process, address, lines, folder)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(SECONDS_AT_MOST)
        thread.join(SECONDS_AT_MOST)
        process.stdout.close()


class Visit:
    """One visitor's requests."""

    def __init__(self, address):
        import httpx

        self.client = httpx.Client(base_url=address, timeout=60, trust_env=False)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.client.close()

    def upload(self, name, content):
        """The response to an uploaded file."""
        return self.client.post("/gradio_api/upload", files={"files": (name, content)})

    def join(self, path, session="one"):
        """The response to the question about a path."""
        photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = {"data": [photo], "fn_index": 0, "session_hash": session, "trigger_id": 1}
        return self.client.post("/gradio_api/queue/join", json=body)

    def answer(self, name, content):
        """The HTML of the answer for an uploaded file."""
        uploaded = self.upload(name, content)
        assert uploaded.status_code == 200, uploaded.text
        session = uuid.uuid4().hex
        joined = self.join(uploaded.json()[0], session)
        assert joined.status_code == 200, joined.text
        parameters = {"session_hash": session}
        with self.client.stream("GET", "/gradio_api/queue/data", params=parameters) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line else {"msg": ""}
                if message["msg"] == "process_completed":
                    assert message["success"], message
                    return message["output"]["data"][1]
        raise AssertionError("no answer")
