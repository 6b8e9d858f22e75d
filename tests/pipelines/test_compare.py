#!/usr/bin/env python3
"""pipelines/compare: left what ffmpeg's bicubic gives, right what dloral gives
through gst-launch, of the same frame; and a window that does as it is told.

    test_compare.py PROGRAM REPOSITORY [TEST...]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import cmath
import http.server
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import media
import program

ROOT = Path(sys.argv[2])
BICUBIC = "flags=bicubic:param0=0:param1=0.5"
WIDTH, HEIGHT = 256, 192  # of what comes out
ROWS = range(60, 140)     # without text


def part(picture, columns, rows=ROWS, width=WIDTH):
    """Some of a picture's bytes, RGB."""
    return b"".join(picture[3 * (y * width + columns.start):
                            3 * (y * width + columns.stop)] for y in rows)


LEFT, RIGHT = range(8, 120), range(136, 248)


class Compare(program.ProgramTest):
    path = Path(sys.argv[1]).resolve()

    @classmethod
    def setUpClass(cls):
        cls.made = Path(tempfile.mkdtemp(prefix="compare-"))
        cls.addClassCleanup(shutil.rmtree, cls.made)
        cls.source = cls.made / "s.mkv"
        media.ffmpeg(
            "-f", "lavfi", "-i", "color=size=64x48:rate=10:duration=1", "-vf",
            "format=gbrp,geq=r='128+99*sin(X/3+N)':g='128+99*sin(Y/3-N)':"
            "b='2*X+2*Y+5*N'", "-pix_fmt", "bgr0", "-c:v", "ffv1", "-g", "1",
            cls.source)

    def frames(self, path, *filters):
        data = media.ffmpeg("-i", path, *filters, "-f", "rawvideo",
                            "-pix_fmt", "rgb24", "-")
        size = 3 * WIDTH * HEIGHT
        self.assertEqual(len(data) % size, 0)
        return [data[i:i + size] for i in range(0, len(data), size)]

    def bicubic(self):
        return self.frames(self.source, "-vf",
                           f"scale={WIDTH}:{HEIGHT}:{BICUBIC}")

    def restored(self):
        raw = self.dir / "restored.rgb"
        subprocess.run(
            ["gst-launch-1.0", "-q", "filesrc", f"location={self.source}", "!",
             "decodebin", "!", "videoconvert", "!", "dloral", "!",
             "videoconvert", "!", "video/x-raw,format=RGB", "!", "filesink",
             f"location={raw}"], check=True)
        data, size = raw.read_bytes(), 3 * WIDTH * HEIGHT
        return [data[i:i + size] for i in range(0, len(data), size)]


class Pictures(Compare):
    def test_halves(self):
        out = self.dir / "a.png"
        self.run_well(self.source, "--png", out)
        picture, = self.frames(out)
        self.assertLess(media.mean_difference(
            part(picture, LEFT), part(self.bicubic()[0], LEFT)), 2)
        self.assertEqual(part(picture, RIGHT),
                         part(self.restored()[0], RIGHT))
        self.assertEqual(part(picture, range(128, 129), range(HEIGHT)),
                         3 * HEIGHT * b"\xff")

    def test_at(self):
        """The frame at that time, on the left the nearest to any other."""
        out = self.dir / "a.png"
        self.run_well(self.source, "--png", out, "--at", "0.5")
        picture, = self.frames(out)
        differences = [media.mean_difference(part(picture, LEFT),
                                             part(frame, LEFT))
                       for frame in self.bicubic()]
        self.assertEqual(differences.index(min(differences)), 5)
        self.assertLess(differences[5], 2)

    def test_zoom(self):
        """ffmpeg cuts out, then enlarges; so does compare, but for the
        pixels beyond what is cut out."""
        out = self.dir / "z.png"
        self.run_well(self.source, "--png", out, "--zoom", "2", "--center",
                      "0.25,0.75", "--divider", "0.5")
        picture, = self.frames(out)
        left = self.frames(self.source, "-vf", "crop=32:24:0:24,"
                           f"scale={WIDTH}:{HEIGHT}:{BICUBIC}")[0]
        self.assertLess(media.mean_difference(part(picture, LEFT),
                                              part(left, LEFT)), 2)
        raw = self.dir / "r.rgb"
        raw.write_bytes(self.restored()[0])
        right = media.ffmpeg(
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}",
            "-i", raw, "-vf", f"crop=128:96:0:96,scale={WIDTH}:{HEIGHT}:"
            f"{BICUBIC}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        self.assertLess(media.mean_difference(part(picture, RIGHT),
                                              part(right, RIGHT)), 2)

    def test_zoom_420(self):
        """Chroma of half the size: both halves show the same part."""
        source = self.dir / "420.mkv"
        media.ffmpeg("-i", self.source, "-pix_fmt", "yuv420p", "-c:v", "ffv1",
                     source)
        args = source, "--zoom", "2.5", "--center", "0.6,0.4"
        pictures = []
        for divider in (0, 1):
            out = self.dir / f"{divider}.png"
            self.run_well(*args, "--divider", divider, "--png", out)
            pictures += [part(self.frames(out)[0], range(8, 248))]
        self.assertLess(media.mean_difference(*pictures), 12)

    def test_divider(self):
        for divider, columns, frames in (("0", range(4, 250), self.restored),
                                         ("1", range(4, 250), self.bicubic)):
            with self.subTest(divider=divider):
                out = self.dir / f"{divider}.png"
                self.run_well(self.source, "--png", out, "--divider", divider)
                picture, = self.frames(out)
                self.assertLess(media.mean_difference(
                    part(picture, columns), part(frames()[0], columns)), 2)


    def test_http(self):
        folder = str(self.made)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=folder)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        pictures = []
        for source in (self.source,
                       f"http://127.0.0.1:{server.server_port}/s.mkv"):
            out = self.dir / f"{len(pictures)}.png"
            self.run_well(source, "--png", out)
            pictures += [part(self.frames(out)[0], range(WIDTH))]
        self.assertEqual(*pictures)


class Videos(Compare):
    def test_in_step(self):
        """Each frame beside itself, at its time."""
        out = self.dir / "o.mkv"
        self.run_well(self.source, "--out", out)
        self.assertEqual(media.packet_times(out),
                         media.packet_times(self.source))
        references = self.bicubic(), self.restored()
        frames = self.frames(out)
        self.assertEqual(len(frames), 10)
        for number, frame in enumerate(frames):
            for columns, reference in zip((LEFT, RIGHT), references):
                differences = [media.mean_difference(part(frame, columns),
                                                     part(other, columns))
                               for other in reference]
                self.assertEqual(differences.index(min(differences)), number)

    def edges(self, row, columns):
        """Where bars begin in their mean, in pixels modulo their width."""
        width = 1280 / 7
        steps = [max(abs(a - b) for a, b in
                     zip(row[3 * x:3 * x + 3], row[3 * x - 24:3 * x - 21]))
                 for x in columns]
        found = [x for i, x in enumerate(columns)
                 if steps[i] > 100 and steps[i] == max(steps[max(0, i - 30):
                                                             i + 30])]
        self.assertGreater(len(found), 0)
        turn = 2j * math.pi / width
        return cmath.phase(sum(cmath.exp(x * turn) for x in found)) / turn.imag

    def test_live(self):
        """A picture that moves 8 pixels a frame, more often than it can be
        restored: the halves still fit. Ctrl-C leaves a whole MP4."""
        out = self.dir / "l.mp4"
        run = self.start("test", "--out", out)
        time.sleep(4)
        self.stop(run)
        video = media.stream(out, "v")
        self.assertEqual((video["width"], video["height"]), (1280, 720))
        rows = media.ffmpeg("-i", out, "-vf", "crop=1280:2:0:300", "-f",
                            "rawvideo", "-pix_fmt", "rgb24", "-")
        size = 3 * 1280 * 2
        self.assertGreater(len(rows), size)
        for i in range(0, len(rows), size):
            left = self.edges(rows[i:i + size], range(40, 630))
            right = self.edges(rows[i:i + size], range(660, 1240))
            apart = abs(left - right)
            self.assertLess(min(apart, 1280 / 7 - apart), 4)


class Window(Compare):
    """On an X server of the test's own."""

    def setUp(self):
        super().setUp()
        server, self.display = program.start_display(WIDTH, HEIGHT)
        self.addCleanup(server.communicate)
        self.addCleanup(server.terminate)
        self.env = {"DISPLAY": self.display}

    def grab(self):
        picture, = self.frames(self.display)
        return picture

    def frames(self, path, *filters):
        if path != self.display:
            return super().frames(path, *filters)
        data = media.ffmpeg("-f", "x11grab", "-probesize", "32", "-framerate",
                            "60", "-draw_mouse", "0", "-video_size",
                            f"{WIDTH}x{HEIGHT}", "-i", path, "-frames:v", "1",
                            "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        return [data]

    def do(self, *args):
        subprocess.run(["xdotool", *map(str, args)], check=True,
                       env={**os.environ, **self.env})

    def divider(self):
        """The white column, or None."""
        picture = part(self.grab(), range(WIDTH))
        return next((x for x in range(WIDTH) if all(
            min(picture[3 * x + c::3 * WIDTH]) == 255 for c in range(3))), None)

    def expect_divider(self, low, high):
        program.wait_for(lambda: low <= (self.divider() or -1) <= high)

    def edge(self):
        """Where black becomes gray."""
        row = part(self.grab(), range(WIDTH), range(100, 101))[::3]
        return next((x for x in range(4, WIDTH) if row[x] > 64
                     and row[x] < 250), None)

    def test_mouse_and_keys(self):
        source = self.made / "edge.mkv"
        media.ffmpeg("-f", "lavfi", "-i", "color=black:size=64x48:rate=10:"
                     "duration=8", "-vf", "drawbox=32:0:32:48:gray:fill",
                     "-pix_fmt", "bgr0", "-c:v", "ffv1", source)
        run = self.start(source, env=self.env)
        self.expect_divider(127, 129)
        self.do("mousemove", 128, 90, "mousedown", 1, "mousemove", 220, 90,
                "mouseup", 1)
        self.expect_divider(218, 222)
        self.do("mousemove", 64, 96)
        self.expect_divider(218, 222)
        self.do("key", "Right")
        self.expect_divider(223, 227)
        self.do("key", "Left", "key", "Left")
        self.expect_divider(212, 218)

        self.assertAlmostEqual(self.edge(), 128, delta=4)
        self.do("click", 4, "click", 4)
        program.wait_for(lambda: abs((self.edge() or 0) - 164) < 8)
        self.do("key", "minus", "key", "minus")
        program.wait_for(lambda: abs((self.edge() or 0) - 128) < 4)
        self.stop(run)


class Failures(Compare):
    def test_sources(self):
        png = self.dir / "x.png"
        text = self.dir / "text.mkv"
        text.write_text("This is not a video.\n" * 100)
        sound = self.dir / "sound.m4a"
        media.ffmpeg("-f", "lavfi", "-i", "sine=duration=1", sound)
        cases = (("none.mkv", "no such file"), ("/dev/video77", "no camera"),
                 (text, str(text)), (sound, str(sound)),
                 ("http://127.0.0.1:1/", "check the address"),
                 ("rtsp://127.0.0.1:1/", "check the address"),
                 ("nothing://x", "plugin"))
        runs = [(self.start(source, "--png", png), says)
                for source, says in cases]
        for run, says in runs:
            self.check_failed(run, says)
        self.assertFalse(png.exists())

    def test_options(self):
        there = self.dir / "there.mkv"
        there.write_text("older")
        display = {"DISPLAY": ":7777", "WAYLAND_DISPLAY": ""}
        bad = (
            (["--out", there], "already"),
            (["--out", "x.avi"], ".mkv"),
            (["--out", self.dir / "none" / "x.mkv"], "No such file"),
            (["--zoom", "0"], "--zoom"), (["--divider", "2"], "--divider"),
            (["--center", "1"], "--center"), (["--size", "3x"], "size"),
            (["--model", "none"], "model"), (["--device", "tpu"], "--device"),
            (["--detail", "3"], "--detail"), (["--bla"], "--bla"),
            (["second"], "one source"), ([], "--help"),
            (["--png", self.dir / "x.png", "--at", "7"], "--at"))
        runs = [(self.start(self.source, *args, env=display), says)
                for args, says in bad]
        for run, says in runs:
            self.check_failed(run, says)
        self.assertEqual(there.read_text(), "older")

    def test_help(self):
        program.check_help(self, ROOT / "pipelines" / "compare")


if __name__ == "__main__":
    media.need("ffmpeg", "gst-launch-1.0", "Xvfb", "xdotool")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
