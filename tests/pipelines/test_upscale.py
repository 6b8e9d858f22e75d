#!/usr/bin/env python3
"""pipelines/upscale: what goes in comes out four times as large, with its
sound and at its time; and where that cannot be, nothing comes out.

    test_upscale.py PROGRAM REPOSITORY TRACER [TEST...]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import concurrent.futures
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import frames
import media

PROGRAM = Path(sys.argv[1]).resolve()
ROOT = Path(sys.argv[2])
TRACER = Path(sys.argv[3]).resolve()
CLIP = ROOT / "pipelines" / "clip.mkv"
PATTERN = ["-f", "lavfi", "-i", "testsrc2=size=48x32:rate=25:duration=1"]
SINE = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]


def without_progress(text):
    """Where the machine is busy there is a line about it every ten seconds."""
    return re.sub(r"^frame .*\n", "", text, flags=re.MULTILINE)


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
        done = subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, **options)
        done.stderr = without_progress(done.stderr)
        return done

    def names(self):
        return sorted(path.name for path in self.results.iterdir())

    def interrupt(self, number, *args, part=None, env=None):
        """Runs the program, stops it when something has been written."""
        run = subprocess.Popen([PROGRAM, *args], stderr=subprocess.PIPE,
                               text=True, env=env)
        while run.poll() is None and not any(
                path.stat().st_size > 0 for path in
                self.results.glob(part or ".out*")):
            time.sleep(0.01)
        run.send_signal(number)
        error = without_progress(run.communicate(timeout=60)[1])
        if number == signal.SIGKILL:
            self.assertEqual(run.returncode, -number, error)
        else:
            self.assertEqual(run.returncode, 128 + number, error)
            self.assertRegex(error, r"\Aupscale: interrupted: [^\n]+\n\Z")

    def make_long(self):
        """Takes some seconds; a key frame every second or so, as the picture
        changes."""
        return self.make(
            "long.mkv", "-f", "lavfi", "-i",
            "testsrc2=size=64x48:rate=25:duration=10,"
            "negate=enable='lt(mod(t,2),1)'", "-f", "lavfi", "-i",
            "sine=duration=10", "-c:a", "libopus")

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

    def test_missing_encoder(self):
        """Where GStreamer has no plugins at all."""
        bare = dict(os.environ, GST_PLUGIN_SYSTEM_PATH=str(self.results),
                    GST_PLUGIN_PATH="", GST_REGISTRY=str(self.dir / "bare"))
        for name, package in (("x264", "ugly"), ("svt-av1", "bad"),
                              ("nvenc", "NVIDIA")):
            self.check_fails("--encoder", name, CLIP, self.dir / "out.mkv",
                             says=package, env=bare)
        self.check_fails("--encoder", "none", CLIP, self.dir / "out.mkv",
                         says="x264, x265")
        self.check_fails("--encoder", "x264", CLIP, self.dir / "out.webm",
                         says="vp9 or av1")

    def test_bad_times(self):
        for option in ("--start=x", "--start=1:70", "--duration=0",
                       "--duration=-1", "--length=1"):
            done = self.run_program(option, CLIP, self.results / "out.mkv")
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"\Aupscale: [^\n]+\n\Z")
        self.check_fails("--start", "9", CLIP, self.results / "out.mkv",
                         says="no frame")

    def test_interrupted(self):
        source = self.make_long()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number=number):
                self.interrupt(number, source, self.results / "out.mkv")
                self.assertEqual(self.names(), ["out-interrupted.mkv"])
                out = self.results / "out-interrupted.mkv"
                self.check_begins_as(source, out)
                out.unlink()

    def check_begins_as(self, source, out):
        """Playable, and the same up to where it stops."""
        times = media.packet_times(out)
        self.assertGreater(len(times), 10)
        self.assertEqual(times, media.packet_times(source)[:len(times)])
        sound = media.audio_packets(out)
        self.assertEqual(sound, media.audio_packets(source)[:len(sound)])
        media.ffmpeg("-xerror", "-i", out, "-f", "null", "-")


class Streams(Upscale):
    """What is carried over beside the video."""

    SUBTITLES = """1
00:00:00,100 --> 00:00:00,400
<i>Salt</i> & pepper, 1 < 2

2
00:00:00,600 --> 00:00:00,900
Größe
"""
    TITLE = 'Ein "kleiner" Film für A & B'
    CHAPTERS = """;FFMETADATA1
title=Ein "kleiner" Film für A & B
[CHAPTER]
TIMEBASE=1/1000
START=0
END=500
title=One
[CHAPTER]
TIMEBASE=1/1000
START=500
END=1000
title=Two
"""

    def make_full(self):
        """Two of everything, and ten bits."""
        (self.dir / "s.srt").write_text(self.SUBTITLES)
        (self.dir / "c.txt").write_text(self.CHAPTERS)
        return self.make(
            "full.mkv", *PATTERN, *SINE, *SINE, "-i", self.dir / "s.srt",
            "-i", self.dir / "s.srt", "-i", self.dir / "c.txt", "-map", 0,
            "-map", 1, "-map", 2, "-map", 3, "-map", 4, "-map_metadata", 5,
            "-map_chapters", 5, "-pix_fmt", "yuv420p10le", "-c:v", "libx264",
            "-c:a:0", "ac3", "-c:a:1", "libopus", "-c:s:0", "srt", "-c:s:1",
            "ass", "-metadata:s:a:0", "language=fre", "-metadata:s:a:1",
            "language=eng", "-metadata:s:s:0", "language=ger")

    def streams(self, path):
        return [(s["codec_name"], s.get("tags", {}).get("language"))
                for s in media.probe(path, "-show_streams")["streams"]]

    def subtitles(self, path, kind="srt"):
        return media.ffmpeg("-i", path, "-map", "0:s:0", "-c:s", kind, "-f",
                            "srt", "-").decode()

    def chapters(self, path):
        return [(c["start_time"], c["end_time"], c["tags"]["title"])
                for c in media.probe(path, "-show_chapters")["chapters"]]

    def test_matroska(self):
        source = self.make_full()
        out = self.restore(source, "full.mkv")
        self.assertEqual(
            self.streams(out)[1:],
            [("ac3", "fre"), ("opus", "eng"), ("subrip", "ger"),
             ("ass", None)])
        self.check_times(source, out)
        self.assertEqual(media.audio_packets(source), media.audio_packets(out))
        self.assertEqual(self.subtitles(source), self.subtitles(out))
        self.assertEqual(self.chapters(source), self.chapters(out))
        self.assertEqual(self.title(out), self.TITLE)
        self.assertEqual(
            [s["disposition"]["default"] for s in
             media.probe(out, "-show_streams")["streams"]], [1, 1, 0, 0, 0])
        self.assertEqual(media.stream(out, "v")["pix_fmt"], "yuv420p10le")

    def test_mp4(self):
        out = self.results / "full.mp4"
        done = self.run_program(self.make_full(), out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "upscale: the chapters were left out: "
                         "put them in a .mkv file\n")
        self.assertEqual(self.streams(out)[1:],
                         [("ac3", "fra"), ("opus", "eng"),
                          ("mov_text", "deu"), ("mov_text", "und")])
        self.assertIn("Salt & pepper, 1 < 2", self.subtitles(out))
        self.assertIn("Größe", self.subtitles(out))
        self.assertEqual(self.title(out), self.TITLE)

    def title(self, path):
        tags = media.probe(path, "-show_format")["format"]["tags"]
        return {key.lower(): value for key, value in tags.items()}["title"]

    def test_webm(self):
        """What it does not take is said."""
        out = self.results / "full.webm"
        done = self.run_program(self.make_full(), out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.streams(out), [
            ("vp9", None), ("opus", "fre"), ("opus", "eng")])
        self.assertIn("encoded as Opus", done.stderr)
        self.assertIn("left out", done.stderr)
        self.assertEqual(media.stream(out, "v")["pix_fmt"], "yuv420p10le")

    def test_part(self):
        source = self.make_full()
        out = self.results / "part.mkv"
        done = self.run_program("--start", "0.4", "--duration=0:0:0.4", source,
                                out)
        self.assertEqual(done.returncode, 0, done.stderr)
        for kind in "v", "a":
            given = [t - .4 for t in media.packet_times(source, kind)
                     if .4 <= t < .8]
            got = media.packet_times(out, kind)
            self.assertEqual([round(t, 3) for t in given], got)
        self.assertEqual(self.chapters(out), [
            ("0.000000", "0.100000", "One"), ("0.100000", "0.400000", "Two")])
        self.assertEqual(self.subtitles(out).count("-->"), 2)
        # Bit by bit what was at its time, but for the encoder's work.
        whole = self.restore_whole(source)
        frames = [media.gray_picture(path, 192, 128, "-vf",
                                     f"select='gte(t,{t})'", "-frames:v", 1)
                  for path, t in ((whole, .5), (out, .1))]
        self.assertLess(media.mean_difference(*frames), 3)

    def test_part_of_av1(self):
        """Whose decoder may fail when no more is wanted of it."""
        source = self.make("av1.mkv", "-f", "lavfi", "-i",
                           "testsrc2=size=48x32:rate=25:duration=6", "-c:v",
                           "libaom-av1", "-cpu-used", 8)
        out = self.results / "part.mkv"
        for _ in range(4):
            done = self.run_program("--duration", "0.4", source, out)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(media.packet_times(out),
                             [t for t in media.packet_times(source) if t < .4])

    def restore_whole(self, source):
        done = self.run_program(source, self.dir / "whole.mkv")
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.dir / "whole.mkv"


class Codecs(Upscale):
    SOURCES = [
        ("h264.ts", "libx264"), ("hevc.mp4", "libx265"),
        ("vp9.webm", "libvpx-vp9"), ("av1.mkv", "libaom-av1"),
        ("mpeg2.ts", "mpeg2video"), ("mjpeg.avi", "mjpeg"),
        ("prores.mov", "prores_ks"),
    ]

    def test_sources(self):
        for name, codec in self.SOURCES:
            with self.subTest(name=name):
                quiet = ["-x265-params", "log-level=none"] * (
                    codec == "libx265")
                fast = ["-cpu-used", 8] * (codec == "libaom-av1")
                source = self.make(name, *PATTERN, "-frames:v", 8, "-c:v",
                                   codec, *quiet, *fast)
                out = self.results / (name + ".mkv")
                done = self.run_program(source, out)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr, "")
                self.check_size(out, 192, 128)
                given, got = (media.packet_times(path)
                              for path in (source, out))
                self.assertEqual(len(got), 8)
                for a, b in zip(given, got):
                    self.assertAlmostEqual(a - given[0], b - got[0], 2)

    def test_encoders(self):
        """Ten bits stay where the encoder has them."""
        source = self.make("ten.mkv", *PATTERN, "-frames:v", 8, "-pix_fmt",
                           "yuv422p10le", "-c:v", "ffv1")
        for name, codec, pix_fmt in (("x264", "h264", "yuv420p10le"),
                                     ("x265", "hevc", "yuv420p10le"),
                                     ("vp9", "vp9", "yuv420p10le"),
                                     ("av1", "av1", None)):
            with self.subTest(name=name):
                out = self.results / f"{name}.mkv"
                done = self.run_program("--encoder", name, source, out)
                self.assertEqual(done.returncode, 0, done.stderr)
                video = media.stream(out, "v")
                self.assertEqual(video["codec_name"], codec)
                if pix_fmt:
                    self.assertEqual(video["pix_fmt"], pix_fmt)
                else:
                    self.assertEqual(video["pix_fmt"] == "yuv420p",
                                     "became 8" in done.stderr)
                self.check_times(source, out)

    def test_shape(self):
        """Turned upright once, with pixels that are not square."""
        for name in "r.mp4", "r.mkv":
            plain = self.make("plain.mp4", *PATTERN, "-frames:v", 8, "-vf",
                              "setsar=4/3")
            source = self.make("turned.mp4", "-i", plain, "-c", "copy",
                               "-metadata:s:v", "rotate=90")
            self.assertIn("side_data_list", media.stream(source, "v"))
            out = self.restore(source, name)
            video = media.stream(out, "v")
            self.assertEqual((video["width"], video["height"],
                              video["sample_aspect_ratio"]),
                             (128, 192, "3:4"))
            self.assertNotIn("side_data_list", video)
            for path in self.results.iterdir():
                path.unlink()


class Resume(Upscale):
    def setUp(self):
        super().setUp()
        self.out = self.results / "out.mkv"
        self.source = self.make_long()

    def test_interrupted(self):
        """Asked to stop, then killed, then let go on: the frames are those of
        a run in one go but for the encoder's work."""
        self.interrupt(signal.SIGINT, "--resume", self.source, self.out,
                       part="out.mkv.resume/part-0.gdp")
        self.assertEqual(self.names(), ["out.mkv.resume"])
        self.doubt_first_part()
        self.interrupt(signal.SIGKILL, "--resume", self.source, self.out,
                       part="out.mkv.resume/part-1.gdp")
        self.check_refusals()
        done = self.run_program("--resume", self.source, self.out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("going on after", done.stderr)
        self.assertEqual(self.names(), ["out-before-after.png", "out.mkv"])

        whole = self.dir / "whole.mkv"
        self.assertEqual(self.run_program(self.source, whole).returncode, 0)
        self.check_times(whole, self.out)
        self.assertEqual(media.audio_packets(whole),
                         media.audio_packets(self.out))
        self.assertGreater(self.least_psnr(whole, self.out), 35)

    def test_frames(self):
        """What enters the encoder is what enters it in one go, bit by bit, in a
        flicker too, which is no cut to who has seen two frames of it."""
        source = self.make(
            "flicker.mkv", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:"
            "duration=10,negate=enable='mod(n,2)'", "-g", 25)
        trace = frames.Trace(TRACER, self.dir)
        options = {"env": trace.env}

        self.assertEqual(self.run_program(source, self.dir / "whole.mkv",
                                          **options).returncode, 0)
        whole = {time: sum for what, time, *sum in trace.take()
                 if what == "encoded"}
        self.interrupt(signal.SIGINT, "--resume", source, self.out,
                       part="out.mkv.resume/part-0.gdp", **options)
        first = trace.take()
        done = self.run_program("--resume", source, self.out, **options)
        self.assertIn("going on after", done.stderr)
        frames_of_both = [(time, sum) for what, time, *sum in
                          first + trace.take() if what == "encoded"]
        self.assertEqual(len(frames_of_both), 250)
        self.assertEqual(dict(frames_of_both), whole)

    def doubt_first_part(self):
        """As if that run had been killed too: its end may not count."""
        state = self.results / "out.mkv.resume" / "state.ini"
        text = state.read_text()
        self.assertIn("whole-0=true", text)
        state.write_text(text.replace("whole-0=true", "whole-0=false"))

    def check_refusals(self):
        self.check_fails("--resume", "--encoder", "x265", self.source,
                         self.out, says="--encoder")
        os.utime(self.source, (1, 1))
        self.check_fails("--resume", self.source, self.out, says="the source")
        with open(self.results / "out.mkv.resume" / "state.ini") as state:
            modified = int(next(line for line in state if "modified" in line)
                           .split("=")[1])
        os.utime(self.source, (modified, modified))

    def least_psnr(self, a, b):
        log = self.dir / "psnr.log"
        media.ffmpeg("-i", a, "-i", b, "-lavfi", f"psnr=stats_file={log}",
                     "-f", "null", "-")
        return min(float(line.split("psnr_y:")[1].split()[0])
                   for line in log.read_text().splitlines())

    def test_in_one_go(self):
        """The same packets as without."""
        source = self.make("short.mkv", "-i", self.source, "-t", 1, "-c",
                           "copy")
        packets = []
        for options in ["--resume"], []:
            for name in "a.mkv", "a.mp4":
                out = self.results / name
                done = self.run_program(*options, source, out)
                self.assertEqual(done.returncode, 0, done.stderr)
                packets.append(media.ffmpeg("-i", out, "-map", 0, "-c", "copy",
                                            "-f", "framemd5", "-"))
        self.assertEqual(packets[:2], packets[2:])
        self.assertEqual(self.names(), ["a-before-after.png", "a.mkv",
                                        "a.mp4"])

    def test_transport_stream(self):
        """Whose streams say more of themselves than a part can hold."""
        source = self.make("s.ts", *PATTERN)
        done = self.run_program("--resume", source, self.out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(media.packet_times(self.out)), 25)

    def test_subtitles(self):
        """The file's own video is there before it knows what they are."""
        (self.dir / "s.srt").write_text(Streams.SUBTITLES)
        source = self.make("s.mkv", *PATTERN, *SINE, "-i", self.dir / "s.srt",
                           "-c:a", "libopus", "-c:s", "srt")
        done = self.run_program("--resume", source, self.out, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(
            [s["codec_name"] for s in
             media.probe(self.out, "-show_streams")["streams"]],
            ["h264", "opus", "subrip"])

    def test_nothing_to_keep(self):
        text = self.dir / "text.mkv"
        text.write_text("This is not a video.\n" * 100)
        self.check_fails("--resume", text, self.out, says=str(text))


class Folder(Upscale):
    def test_folder(self):
        """One that fails is said, the others go on."""
        folder = self.dir / "in"
        (folder / "sub").mkdir(parents=True)
        for name in "a.mkv", "b.mp4", "d.avi", "b.m4v":
            self.make(f"in/{name}", *PATTERN, "-frames:v", 3)
        (folder / "c.mkv").write_text("This is not a video.\n")
        (folder / "notes.txt").write_text("Neither is this.\n")
        done = self.run_program(folder, self.results)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.names(), [
            "a-before-after.png", "a.mkv", "b-before-after.png", "b.mp4",
            "d-before-after.png", "d.mkv"])
        self.assertIn("2 of 5 files", done.stderr)
        self.assertIn("c.mkv", done.stderr)
        self.assertIn("b.m4v", done.stderr)

        (folder / "c.mkv").unlink()
        (folder / "b.m4v").unlink()
        (self.results / "d.mkv").unlink()
        done = self.run_program("--resume", folder, self.results)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("is there already"), 2)
        self.check_size(self.results / "d.mkv", 192, 128)

    def test_refusals(self):
        source = self.make("results/in.mkv", *PATTERN, "-frames:v", 3)
        (self.dir / "empty").mkdir()
        self.check_fails(self.results, self.results, says="at once")
        self.check_fails(self.results, source, says="is a folder")
        self.check_fails(self.dir / "empty", self.results, says="no video")


class Command(Upscale):
    """pipelines/upscale itself, as far as it needs no set-up."""

    def command(self, *args):
        return subprocess.run([ROOT / "pipelines" / "upscale", *args],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, cwd=self.dir)

    def test_bad_path(self):
        for path in ("none.mkv", "/dev/null", ""):
            done = self.command(path, "out.mkv")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\Aupscale: [^\n]+\n\Z")

    def test_help(self):
        done = self.command("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("pipelines/upscale [OPTION...] [IN [OUT]]", done.stdout)

    def test_bad_path_after_options(self):
        done = self.command("--start", "1", "--resume", "none.mkv")
        self.assertEqual(done.returncode, 1)
        self.assertIn("none.mkv", done.stderr)


if __name__ == "__main__":
    media.need("ffmpeg", "ffprobe")
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
