#!/usr/bin/env python3
"""pipelines/upscale: what goes in comes out four times as large, with its
sound and at its time; and where that cannot be, nothing comes out.

    test_upscale.py PROGRAM REPOSITORY [TEST...]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import concurrent.futures
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import media

PROGRAM = Path(sys.argv[1]).resolve()
ROOT = Path(sys.argv[2])
CLIP = ROOT / "pipelines" / "clip.mkv"
PATTERN = ["-f", "lavfi", "-i", "testsrc2=size=48x32:rate=25:duration=1"]
SINE = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]


class Upscale(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="upscale-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.results = self.dir / "results"
        self.results.mkdir()

    def make(self, name, *args):
        media.ffmpeg(*args, self.dir / name)
        return self.dir / name

    def run_program(self, *args, **options):
        return subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, **options)

    def names(self):
        return sorted(path.name for path in self.results.iterdir())

    def restore(self, source, name):
        """Runs the program, expects success and nothing but its results."""
        out = self.results / name
        done = self.run_program(source, out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(),
                         sorted([name, f"{out.stem}-before-after.png"]))
        return out

    def check_fails(self, *args, says, **options):
        """One line on standard error, a failure, nothing left behind."""
        before = self.names()
        done = self.run_program(*args, **options)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"\Aupscale: [^\n]+\n\Z")
        self.assertIn(says, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(self.names(), before)

    def check_times(self, source, out):
        self.assertEqual(media.packet_times(source), media.packet_times(out))

    def check_size(self, out, width, height):
        video = media.stream(out, "v")
        self.assertEqual((video["width"], video["height"]), (width, height))


class Results(Upscale):
    def test_shipped_clip(self):
        out = self.restore(CLIP, "clip.mkv")
        self.check_size(out, 768, 432)
        self.check_times(CLIP, out)
        self.assertEqual(media.audio_packets(CLIP), media.audio_packets(out))
        for key in ("color_space", "color_range", "color_primaries"):
            self.assertEqual(media.stream(CLIP, "v")[key],
                             media.stream(out, "v")[key])

    def test_picture(self):
        """The middle of the frame half-way: left as it came, right as it
        went. GStreamer converts colours some levels off; the frames before
        and after are 7 to 9 levels away."""
        out = self.restore(CLIP, "clip.mkv")
        picture = self.results / "clip-before-after.png"
        edge = 4  # of the dividing line and of the frame

        def half_way(path):
            return media.gray_picture(
                path, 376, 432, "-vf", "select='gte(t,1.504)',scale=768:432:"
                "flags=bicubic:param0=0:param1=0.5,format=rgb24,"
                "crop=376:432:196:0", "-frames:v", 1)

        def half(left):
            return media.gray_picture(picture, 376, 432, "-vf",
                                      f"crop=376:432:{left + edge}:0")

        for name, path, left in ("before", CLIP, 0), ("after", out, 384):
            with self.subTest(half=name):
                self.assertLess(media.mean_difference(half(left),
                                                      half_way(path)), 5)
        self.assertGreater(media.mean_difference(half(0), half(384)), 0.5)

    def test_variable_rate_matroska(self):
        source = self.make(
            "v.mkv", *PATTERN, *SINE, "-vf", "select='not(mod(n*n,7)-2)+"
            "not(mod(n,5))'", "-fps_mode", "vfr", "-c:a", "libopus")
        times = media.packet_times(source)
        self.assertGreater(len({round(b - a, 3) for a, b in
                                zip(times, times[1:])}), 1)
        out = self.restore(source, "v.mkv")
        self.check_times(source, out)
        self.assertEqual(media.audio_packets(source), media.audio_packets(out))

    def test_variable_rate_mp4(self):
        """By default the result of an MP4 file is one, beside it."""
        source = self.make(
            "results/v.mp4", *PATTERN, *SINE, "-vf", "select='not(mod(n,3))+"
            "not(mod(n,7))'", "-fps_mode", "vfr", "-c:a", "aac")
        done = self.run_program(source)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), ["v-x4-before-after.png", "v-x4.mp4",
                                        "v.mp4"])
        out = self.results / "v-x4.mp4"
        self.check_times(source, out)
        # The same packets, but for those outside the file's edit list.
        given, got = media.audio_packets(source), media.audio_packets(out)
        self.assertGreaterEqual(len(got), len(given) - 3)
        start = given.index(got[1]) - 1
        self.assertEqual(given[start:start + len(got)], got)

    def test_late_start(self):
        source = self.make("l.mkv", "-itsoffset", "0.5", *PATTERN, *SINE,
                           "-c:a", "libopus")
        self.assertGreaterEqual(media.packet_times(source)[0], 0.5)
        self.check_times(source, self.restore(source, "l.mkv"))

    def test_audio_that_matroska_stores_otherwise(self):
        source = self.make("p.mov", *PATTERN, *SINE, "-c:a", "pcm_s16le")
        out = self.restore(source, "p.mkv")
        samples = [media.ffmpeg("-i", path, "-map", "0:a", "-f", "s16le", "-")
                   for path in (source, out)]
        self.assertGreater(len(samples[0]), 80000)
        self.assertEqual(*samples)

    def test_every_audio_stream(self):
        source = self.make("two.mkv", *PATTERN, *SINE, *SINE, "-map", "0",
                           "-map", "1", "-map", "2", "-c:a:0", "aac",
                           "-c:a:1", "flac")
        out = self.restore(source, "two.mkv")
        codecs = [s["codec_name"] for s in
                  media.probe(out, "-show_streams")["streams"]]
        self.assertEqual(codecs, ["h264", "aac", "flac"])

    def test_no_audio_odd_size(self):
        source = self.make("o.mkv", *PATTERN, "-vf", "format=yuv444p10le,"
                           "crop=37:21,setsar=1", "-c:v", "ffv1")
        out = self.restore(source, "o.mkv")
        self.check_size(out, 148, 84)
        self.check_times(source, out)

    def test_rotated(self):
        """By the matrix in an MP4 file's track header, as telephones do."""
        source = self.make("r.mp4", *PATTERN)
        one, minus_one, none = b"\0\1\0\0", b"\xff\xff\0\0", bytes(4)
        plain = one + 3 * none + one
        turned = none + one + none + minus_one + none
        head, track, rest = source.read_bytes().partition(b"tkhd")
        self.assertEqual(rest.count(plain), 1)
        source.write_bytes(head + track + rest.replace(plain, turned))
        out = self.restore(source, "r.mp4")
        self.check_size(out, 128, 192)
        self.check_times(source, out)

    def test_interlaced(self):
        source = self.make("i.mkv", *PATTERN, "-vf", "scale=48:32,interlace",
                           "-c:v", "mpeg2video", "-flags", "+ildct+ilme")
        out = self.restore(source, "i.mkv")
        self.check_times(source, out)

    def test_size_change(self):
        """The size of the result is that of the first frame."""
        parts = [self.make("a.ts", *PATTERN),
                 self.make("b.ts", *PATTERN, "-vf", "scale=64:32,fps=30",
                           "-output_ts_offset", "1")]
        source = self.dir / "ab.ts"
        source.write_bytes(b"".join(part.read_bytes() for part in parts))
        out = self.restore(source, "ab.mkv")
        self.check_size(out, 192, 128)
        self.assertEqual(len(media.packet_times(out)), 25 + 30)
        media.ffmpeg("-xerror", "-i", out, "-f", "null", "-")

    def test_replaces_an_older_result(self):
        source = self.make("n.mkv", *PATTERN)
        (self.results / "n.mkv").write_text("older")
        out = self.restore(source, "n.mkv")
        self.check_size(out, 192, 128)


class Failures(Upscale):
    def test_inputs(self):
        out = self.results / "out.mkv"
        text = self.dir / "text.mkv"
        text.write_text("This is not a video.\n" * 100)
        empty = self.dir / "empty.mp4"
        empty.touch()
        sound = self.make("sound.m4a", *SINE, "-c:a", "aac")
        cut = self.dir / "cut.mp4"
        cut.write_bytes(self.make("w.mp4", *PATTERN).read_bytes()[:2000])

        self.check_fails(self.dir / "none.mkv", out, says="No such file")
        self.check_fails(self.dir, out, says="not a file")
        self.check_fails("/dev/null", out, says="not a file")
        for source in (text, empty, sound, cut):
            self.check_fails(source, out, says=str(source))

    def test_quick_failures(self):
        """Whichever of a demuxer's start and its end comes first; the more at
        once, the likelier the second."""
        cut = self.dir / "cut.mp4"
        cut.write_bytes(self.make("w.mp4", *PATTERN).read_bytes()[:2000])

        def fail(number):
            done = self.run_program(cut, self.results / f"{number}.mkv",
                                    timeout=60)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(str(cut), done.stderr)

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            list(pool.map(fail, range(192)))

    def test_outputs(self):
        source = shutil.copy(CLIP, self.results / "in.mkv")
        self.check_fails(source, source, says="at once")
        os.link(source, self.results / "link.mkv")
        self.check_fails(source, self.results / "link.mkv", says="at once")
        self.check_fails(source, self.results / "out.avi", says=".mkv")
        self.check_fails(source, self.dir / "none" / "out.mkv",
                         says="No such file")
        (self.results / "folder.mkv").mkdir()
        self.check_fails(source, self.results / "folder.mkv",
                         says="not a file")

    def test_full_disk(self):
        """A limit on the size of files stands in; an older result stays."""
        out = self.results / "out.mkv"
        out.write_text("older")

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        self.check_fails(CLIP, out, says="cannot be written",
                         preexec_fn=limit)
        self.assertEqual(out.read_text(), "older")

    def test_usage(self):
        done = self.run_program()
        self.assertEqual(done.returncode, 2)

    def test_interrupted(self):
        source = self.make("long.mkv", "-stream_loop", "20", "-i", CLIP,
                           "-c", "copy")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number=number):
                run = subprocess.Popen([PROGRAM, source,
                                        self.results / "out.mkv"],
                                       stderr=subprocess.PIPE, text=True)
                while not self.names() and run.poll() is None:
                    time.sleep(0.01)
                time.sleep(0.5)
                run.send_signal(number)
                error = run.communicate()[1]
                self.assertEqual(run.returncode, 128 + number, error)
                self.assertEqual(error, "upscale: interrupted\n")
                self.assertEqual(self.names(), [])


class Command(Upscale):
    """pipelines/upscale itself, as far as it needs no set-up."""

    def command(self, *args):
        return subprocess.run([ROOT / "pipelines" / "upscale", *args],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, cwd=self.dir)

    def test_bad_path(self):
        for path in ("none.mkv", ".", ""):
            done = self.command(path, "out.mkv")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\Aupscale: [^\n]+\n\Z")

    def test_help(self):
        done = self.command("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("pipelines/upscale [IN [OUT]]", done.stdout)


if __name__ == "__main__":
    media.need("ffmpeg", "ffprobe")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
