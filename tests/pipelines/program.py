"""What the tests of the live programs share.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

# A session of PipeWire's own; WirePlumber does not wait for it. Ends with its
# process group.
PIPEWIRE = ["dbus-run-session", "--", "sh", "-c", "pipewire & "
            "until [ -S $XDG_RUNTIME_DIR/pipewire-0 ]; do sleep 0.05; done; "
            "wireplumber"]


def start_display(width, height):
    """An X server that nobody sees: its process, and what DISPLAY is to be."""
    ready, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0",
         f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(ready) as pipe:
        return server, ":" + pipe.readline().strip()


def wait_for(what, seconds=30):
    """Gives the first true result of what ()."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = what()
        if result:
            return result
        time.sleep(0.1)
    raise AssertionError("waited in vain")


class ProgramTest(unittest.TestCase):
    path = None  # of the program

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="live-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def start(self, *args, env=None):
        run = subprocess.Popen([self.path, *map(str, args)],
                               stdin=subprocess.DEVNULL, text=True,
                               stderr=subprocess.PIPE,
                               env={**os.environ, **(env or {})})
        self.addCleanup(self.end, run)
        return run

    @staticmethod
    def end(run):
        if run.poll() is None:
            run.kill()
        if run.stderr and run.stderr.closed:
            run.wait()
        else:
            run.communicate()

    def stop(self, run, number=signal.SIGINT):
        """Ctrl-C ends it well."""
        self.assertIsNone(run.poll(), "it has ended before Ctrl-C")
        run.send_signal(number)
        error = run.communicate(timeout=60)[1]
        self.assertEqual((run.returncode, error), (0, ""))

    def run_well(self, *args):
        run = self.start(*args)
        error = run.communicate(timeout=120)[1]
        self.assertEqual((run.returncode, error), (0, ""))

    def check_failed(self, run, says):
        """One line on standard error, and what is said in it."""
        error = run.communicate(timeout=60)[1]
        self.assertEqual(run.returncode, 1, error)
        self.assertRegex(error, rf"\A{self.path.name}: [^\n]+\n\Z")
        self.assertIn(says, error)

    def check_fails(self, *args, says, env=None):
        self.check_failed(self.start(*args, env=env), says)


def check_help(test, script):
    done = subprocess.run([script, "--help"], stdout=subprocess.PIPE,
                          text=True, check=True)
    test.assertIn(f"pipelines/{script.name} [SOURCE] [OPTION...]", done.stdout)
