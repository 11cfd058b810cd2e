"""A headless Chromium on this machine, controlled through its DevTools protocol."""

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
from contextlib import contextmanager

import aiohttp

from tests.waiting import wait_for

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60
COMMAND = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-port=0",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-default-browser-check",
)  # fmt: skip


def find():
    """Return the path of the browser, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """A page that records its requests in ``requests`` and its errors in ``complaints``."""

    def __init__(self, runner, socket):
        self.runner, self.socket, self.numbers = runner, socket, itertools.count(1)
        self.requests, self.complaints, self.loaded = [], [], 0
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        return self.runner.run(asyncio.wait_for(self._call(method, params), SECONDS))

    async def _call(self, method, params):
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while (message := await self._receive()).get("id") != number:
            pass
        assert "error" not in message, message["error"]
        return message["result"]

    async def _receive(self):
        message = json.loads((await self.socket.receive()).data)
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded += 1
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" or (
            method == "Log.entryAdded" and params["entry"]["level"] != "verbose"
        ):
            self.complaints.append(json.dumps(params))
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {params['message']}")
        return message

    def open(self, url, width, height=900, dark=False):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        before = self.loaded
        self.call("Page.navigate", url=url)
        wait_for(lambda: self._loaded_since(before), SECONDS, f"{url} does not load")
        return self

    def _loaded_since(self, before):
        self.evaluate("0")  # messages are received while an answer is awaited
        return self.loaded > before

    def close(self):
        self.runner.run(self.socket.close())

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def type(self, selector, text):
        """Focus a field, clear it, and type as a user does."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus(); document.activeElement.select()")
        self.call("Input.dispatchKeyEvent", type="keyDown", key="Delete", windowsVirtualKeyCode=46)
        self.call("Input.dispatchKeyEvent", type="keyUp", key="Delete", windowsVirtualKeyCode=46)
        for letter in text:
            self.call("Input.dispatchKeyEvent", type="char", text=letter)

    def screenshot(self, path, selector=None):
        """Take a PNG of the whole page or of one element."""
        options = {"captureBeyondViewport": True}
        box = f"document.querySelector({json.dumps(selector or 'html')}).getBoundingClientRect()"
        x, y, width, height = self.evaluate(
            f"(() => {{ const b = {box}; return [b.x + scrollX, b.y + scrollY, b.width, b.height]; }})()"
        )
        options["clip"] = {"x": x, "y": y, "width": width, "height": min(height, 16_000), "scale": 1}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **options)["data"]))


@contextmanager
def chromium(path, folder):
    """Start the browser with its profile in ``folder``, and yield a function that opens a tab."""
    command = [path, *COMMAND, f"--user-data-dir={folder}", "about:blank"]
    with (
        open(folder / "stderr", "wb") as log,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log) as process,
        asyncio.Runner() as runner,
    ):
        try:
            port = _port(process, folder)
            session = runner.run(_session())
            try:
                yield lambda: Tab(runner, runner.run(_tab(session, port)))
            finally:
                runner.run(session.close())
        finally:
            process.terminate()
            process.wait(SECONDS)


def _port(process, folder):
    file = folder / "DevToolsActivePort"

    def answers():
        assert process.poll() is None, (folder / "stderr").read_text()
        return file.exists() and "\n" in file.read_text()

    wait_for(answers, SECONDS, "Chromium does not answer")
    return int(file.read_text().splitlines()[0])


async def _session():
    return aiohttp.ClientSession()


async def _tab(session, port):
    async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as reply:
        target = await reply.json(content_type=None)
    return await session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
