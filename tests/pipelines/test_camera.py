#!/usr/bin/env python3
"""pipelines/camera: cameras of PipeWire that gst-launch plays, in several
formats; what is restored is recorded, or taken from the virtual camera by
gst-launch again. PipeWire and WirePlumber are a session of the test's own.

    test_camera.py PROGRAM REPOSITORY [TEST...]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import media
import program

ROOT = Path(sys.argv[2])
SMALL = "width=96,height=64,framerate=10/1"
# Still, but for the noise in its lower right corner.
PATTERN = ["videotestsrc", "is-live=true", "pattern=smpte", "!"]


def raw(video_format):
    return [*PATTERN, f"video/x-raw,format={video_format},{SMALL}"]


class Camera(program.ProgramTest):
    path = Path(sys.argv[1]).resolve()

    @classmethod
    def setUpClass(cls):
        cls.session = Path(tempfile.mkdtemp(prefix="pw-"))
        cls.addClassCleanup(shutil.rmtree, cls.session, ignore_errors=True)
        # gst-launch's own criticals are not what is tested.
        cls.env = {**os.environ, "XDG_RUNTIME_DIR": str(cls.session),
                   "HOME": str(cls.session), "G_DEBUG": ""}
        os.environ["XDG_RUNTIME_DIR"] = str(cls.session)
        daemon = subprocess.Popen(
            program.PIPEWIRE, env=cls.env, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(daemon.wait)
        cls.addClassCleanup(os.killpg, daemon.pid, signal.SIGTERM)
        program.wait_for(lambda: "WirePlumber" in cls.list("Client"))

    @classmethod
    def list(cls, kind):
        return subprocess.run(["pw-cli", "ls", kind], env=cls.env,
                              stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout

    def wait_for_node(self, name):
        program.wait_for(lambda: f'node.name = "{name}"' in self.list("Node"))

    def play(self, name, pattern):
        """A camera of this name."""
        properties = ("p,media.class=Video/Source,media.role=Camera,"
                      f"node.name={name}")
        run = subprocess.Popen(
            ["gst-launch-1.0", "-q", *pattern, "!", "pipewiresink",
             "mode=provide", f"stream-properties={properties}"], env=self.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, run)
        self.wait_for_node(name)
        return run

    def check_picture(self, frame):
        """384x256, luma first: the upper half of the bars, against videotestsrc's
        own at that size."""
        path = self.dir / "reference"
        subprocess.run(["gst-launch-1.0", "-q", "videotestsrc", "num-buffers=1",
                        "!", "video/x-raw,format=I420,width=384,height=256",
                        "!", "filesink", f"location={path}"], check=True)
        half = 384 * 128
        self.assertLess(media.mean_difference(frame[:half],
                                              path.read_bytes()[:half]), 4)

    def check_frames(self, data, size):
        frames = [data[i:i + size] for i in range(0, len(data), size)]
        self.assertGreaterEqual(len(frames), 3)
        # PipeWire 0.3.65 gives some twice.
        self.assertGreater(len(set(frames)), len(frames) // 2)
        for frame in frames:
            self.check_picture(frame)


class Virtual(Camera):
    def test_consumer(self):
        """Another program sees a camera of 4x the size, whose frames are the
        picture, and none like the one before."""
        self.play("fake", raw("YUY2"))
        run = self.start("pipewire:fake", "--virtual", "restored")
        self.wait_for_node("restored")
        self.assertRegex(self.list("Node"), r'node.name = "restored"\s+'
                         r'(\w.*\s+)*media.class = "Video/Source"')
        out = self.dir / "seen"
        seen = subprocess.run(
            ["gst-launch-1.0", "-v", "pipewiresrc", "target-object=restored",
             "num-buffers=8", "do-timestamp=true", "!", "video/x-raw", "!",
             "filesink", f"location={out}"], env=self.env, text=True,
            stdout=subprocess.PIPE, timeout=20)
        self.assertRegex(seen.stdout, r"I420, width=\(int\)384, "
                         r"height=\(int\)256")
        self.check_frames(out.read_bytes(), 384 * 256 * 3 // 2)
        self.stop(run)


class Recording(Camera):
    def record(self, name, pattern):
        self.play(name, pattern)
        out = self.dir / f"{name}.mp4"
        run = self.start(f"pipewire:{name}", "--out", out)
        program.wait_for(out.exists)
        time.sleep(2)
        return run, out

    def check_recording(self, out):
        video = media.stream(out, "v")
        self.assertEqual((video["width"], video["height"]), (384, 256))
        times = media.packet_times(out)
        self.assertLess(times[-1], 60)
        self.check_frames(media.ffmpeg("-i", out, "-f", "rawvideo", "-pix_fmt",
                                       "yuv420p", "-"), 384 * 256 * 3 // 2)

    def test_formats(self):
        for video_format in ("YUY2", "NV12"):
            with self.subTest(video_format=video_format):
                run, out = self.record(video_format, raw(video_format))
                self.stop(run)
                self.check_recording(out)

    def test_vanishes(self):
        """And one that never was."""
        none = self.start("pipewire:none", "--out", self.dir / "none.mp4")
        camera = self.play("gone", raw("YUY2"))
        out = self.dir / "gone.mp4"
        run = self.start("pipewire:gone", "--out", out)
        program.wait_for(out.exists)
        time.sleep(2)
        camera.terminate()
        self.check_failed(run, "no further picture")
        self.check_recording(out)
        self.check_failed(none, "no picture for")
        self.assertFalse((self.dir / "none.mp4").exists())


class Failures(program.ProgramTest):
    path = Path(sys.argv[1]).resolve()

    def test_no_camera(self):
        self.check_fails("/dev/video77", says="connect a camera")
        if subprocess.run(["gst-inspect-1.0", "--exists",
                           "libcamerasrc"]).returncode:
            self.check_fails("libcamera", says="gstreamer1.0-libcamera")

    def test_no_pipewire(self):
        nowhere = {"XDG_RUNTIME_DIR": str(self.dir)}
        out = self.dir / "x.mkv"
        self.check_fails("pipewire", "--out", out, says="PipeWire runs",
                         env=nowhere)
        self.assertFalse(out.exists())
        self.check_fails("test", "--virtual", "x", says="PipeWire, runs",
                         env=nowhere)

    def test_options(self):
        self.check_fails("test", "--virtual", "x", "--out", "y.mkv",
                         says="not both")
        self.check_fails("test", says="--help",
                         env={"DISPLAY": "", "WAYLAND_DISPLAY": ""})

    def test_help(self):
        program.check_help(self, ROOT / "pipelines" / "camera")


if __name__ == "__main__":
    media.need("ffmpeg", "gst-launch-1.0", "pipewire", "wireplumber",
               "dbus-run-session", "pw-cli")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
