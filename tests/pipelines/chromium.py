"""A headless Chromium with a camera of its own making, over the DevTools
protocol.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from websocket import WebSocket

# Loopback is a network like others here; the bicubic picture takes WebGL, which
# is computed on the CPU.
FLAGS = ["--headless=new", "--no-sandbox", "--use-fake-device-for-media-stream",
         "--autoplay-policy=no-user-gesture-required", "--no-first-run",
         "--allow-loopback-in-peer-connection", "--enable-unsafe-swiftshader",
         "--use-angle=swiftshader", "--disable-background-networking",
         "--disable-dev-shm-usage", "--remote-debugging-port=0"]
TIMEOUT = 60


def wait_for(what, condition, timeout=TIMEOUT, every=0.2):
    """What the condition gives, as soon as it is true."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(every)


class Page:
    def __init__(self, url):
        self.socket = WebSocket(url, timeout=TIMEOUT)
        self.number = 0

    def call(self, method, **params):
        self.number += 1
        self.socket.send({"id": self.number, "method": method,
                          "params": params})
        while True:
            message = self.socket.receive()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, script):
        """The value of some JavaScript; promises are waited for."""
        result = self.call("Runtime.evaluate", expression=script,
                           awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, name):
        return self.evaluate(f"document.getElementById('{name}').textContent")

    def number_of(self, name):
        """What an element shows, or None while it shows no number."""
        try:
            return float(self.text(name))
        except ValueError:
            return None

    def close(self):
        self.socket.close()


class Chromium:
    def __init__(self, *flags):
        self.dir = Path(tempfile.mkdtemp(prefix="chromium-"))
        self.log = open(self.dir / "log", "w")
        self.process = subprocess.Popen(
            [shutil.which("chromium"), *FLAGS, *flags,
             f"--user-data-dir={self.dir}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.pages = []
        try:
            ports = self.dir / "DevToolsActivePort"
            wait_for("Chromium to start", lambda: self.process.poll() is not None
                     or ports.exists() and "\n" in ports.read_text())
            self.port = int(ports.read_text().split()[0])
        except BaseException:
            self.close()
            raise

    def open(self, url, camera="granted", script=""):
        """A page, with what is to be answered when it asks for the camera and
        a script that runs before its own."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            target = json.load(reply)
        page = Page(target["webSocketDebuggerUrl"])
        self.pages.append(page)
        page.call("Page.enable")
        page.call("Browser.setPermission", permission={"name": "camera"},
                  setting=camera)
        page.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        page.call("Page.navigate", url=url)
        wait_for("the page to load", lambda: page.evaluate(
            "document.readyState === 'complete' && location.href !== "
            "'about:blank'"))
        return page

    def close(self):
        for page in self.pages:
            page.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
