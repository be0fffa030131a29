"""A headless Chromium, driven through chromedriver's own protocol (W3C WebDriver over HTTP)."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SECONDS_AT_MOST = 60
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# The machine's own proxies are for other machines.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """One window.

    Args:
        address: Address of chromedriver.
        folder: New folder for the user's data.
    """

    def __init__(self, address, folder):
        self._address = address
        options = {
            "binary": CHROMIUM,
            "args": [*FLAGS, f"--user-data-dir={folder}"],
            "perfLoggingPrefs": {"enableNetwork": True},
        }
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        found = self._ask("/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{found['sessionId']}"

    def open(self, url):
        self._ask(f"{self._session}/url", {"url": url})

    def run(self, script, *arguments):
        """The value of a script, which says `return`."""
        return self._ask(f"{self._session}/execute/sync", {"script": script, "args": arguments})

    def command(self, name, **parameters):
        """A command of Chromium's own protocol."""
        sent = {"cmd": name, "params": parameters}
        return self._ask(f"{self._session}/goog/cdp/execute", sent)

    def show_as(self, width, height, scheme, is_phone=False):
        """Lay the page out for a screen of so many pixels, light or dark."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=is_phone,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", features=features)

    def wait(self, script, *arguments):
        """The value of a script once it is true."""
        deadline = time.monotonic() + SECONDS_AT_MOST
        while not (found := self.run(script, *arguments)):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.1)
        return found

    def upload(self, selector, path):
        """Give a file to an input, as a drop does."""
        found = self._ask(f"{self._session}/element", {"using": "css selector", "value": selector})
        self._ask(f"{self._session}/element/{found[ELEMENT]}/value", {"text": str(path)})

    def log(self, kind):
        """Entries since the last call."""
        return self._ask(f"{self._session}/se/log", {"type": kind})

    def requested(self):
        """URLs that were asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self):
        """PNG of the window."""
        return base64.b64decode(self._ask(f"{self._session}/screenshot", None))

    def close(self):
        self._ask(self._session, None, "DELETE")

    def _ask(self, path, content, method=None):
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            self._address + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with OPENER.open(request, timeout=2 * SECONDS_AT_MOST) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None


def find_port():
    """A port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def browsing(folder):
    """A window that closes with the block; its data lie in a new folder."""
    port = find_port()
    driver = subprocess.Popen(
        [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + SECONDS_AT_MOST
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, "chromedriver does not start"
            time.sleep(0.05)
        browser = Browser(f"http://127.0.0.1:{port}", folder)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait(SECONDS_AT_MOST)
