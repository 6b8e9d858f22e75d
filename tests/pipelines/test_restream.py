#!/usr/bin/env python3
"""pipelines/restream: ffmpeg sends by SRT, or serves by RTMP; what is written is
read by ffprobe and ffmpeg, and played in Chromium.

    test_restream.py PROGRAM REPOSITORY [TEST...]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import http.client
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import media
from chromium import Chromium, wait_for
from rtmp import Relay

PROGRAM = Path(sys.argv[1]).resolve()
ROOT = Path(sys.argv[2])

# White and a beep for the first tenth of each second.
FLASHES = ("color=black:s={size}:r={rate},"
           "drawbox=enable='lt(mod(t,1),0.1)':t=fill:c=white")
BEEPS = "aevalsrc='if(lt(mod(t,1),0.1),sin(2*PI*1000*t),0)':s=44100"


def free_port(kind):
    with socket.socket(type=kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def source(size="96x64", rate=25, sound=True, video=True, to=()):
    """ffmpeg, which sends as fast as it would be seen."""
    command = ["ffmpeg", "-v", "error", "-nostdin"]
    if video:
        command += ["-re", "-f", "lavfi", "-i", FLASHES.format(size=size, rate=rate)]
    if sound:
        command += ["-re", "-f", "lavfi", "-i", BEEPS]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
                "-g", str(rate), "-c:a", "aac", *to]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


# --- What the program wrote -----------------------------------------------------

class Playlist:
    """One of a track; its segments with the tags before them."""

    def __init__(self, path):
        self.folder = path.parent
        self.lines = path.read_text().splitlines()
        self.ended = self.lines[-1] == "#EXT-X-ENDLIST"
        self.segments = []
        segment, header = {}, None
        for line in self.lines:
            name, _, value = line.partition(":")
            if name == "#EXT-X-MAP":
                header = re.fullmatch('URI="([^"]+)"', value)[1]
            elif name == "#EXTINF":
                segment["duration"] = float(value.rstrip(","))
            elif name == "#EXT-X-PROGRAM-DATE-TIME":
                hours, minutes, seconds = value.rstrip("Z").split("T")[1].split(":")
                segment["date"] = (3600 * int(hours) + 60 * int(minutes)
                                   + float(seconds))
            elif name == "#EXT-X-DISCONTINUITY":
                segment["discontinuity"] = True
            elif line and not line.startswith("#"):
                self.segments.append({**segment, "file": line, "header": header})
                segment = {}

    def tag(self, name):
        return next((int(line.split(":")[1]) for line in self.lines
                     if line.startswith(f"#EXT-X-{name}:")), None)

    def join(self, segment):
        """A file of its header and itself."""
        path = self.folder / "joined.mp4"
        path.write_bytes(b"".join((self.folder / segment[part]).read_bytes()
                                  for part in ("header", "file")))
        return path

    def packets(self, segment):
        return media.probe(self.join(segment), "-show_packets")["packets"]


def boxes(data):
    """ISO base media: type and content of each."""
    found = []
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        assert 8 <= size <= len(data)
        found.append((kind.decode(), data[8:size]))
        data = data[size:]
    return found


class Run:
    """The program."""

    def __init__(self, test, uri, *args):
        self.test = test
        self.folder = test.dir / "out"
        self.log = open(test.dir / "log", "w+")
        # One thread, so that all machines are slow.
        self.process = subprocess.Popen(
            [PROGRAM, uri, self.folder, "--device", "cpu", *map(str, args)],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        test.addCleanup(self.end)
        self.said = self.process.stdout.readline()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.log.close()

    def error(self):
        return (self.test.dir / "log").read_text()

    def playlist(self, track="video"):
        return Playlist(self.folder / f"{track}.m3u8")

    def wait(self, what, condition):
        def check():
            if self.process.poll() is not None:
                raise AssertionError(f"it has ended: {self.error()}")
            return condition()

        return wait_for(what, check)

    def wait_for_segments(self, n, track="video"):
        path = self.folder / f"{track}.m3u8"
        self.wait(f"{n} segments", lambda: path.exists()
                  and len(self.playlist(track).segments) >= n)

    def wait_for_error(self, text):
        self.wait(text, lambda: text in self.error())

    def stop(self):
        """Ctrl-C ends it well; what it says then."""
        self.process.send_signal(signal.SIGINT)
        out = self.process.communicate(timeout=60)[0]
        self.test.assertEqual(self.process.returncode, 0, self.error())
        return out


class RestreamTest(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="restream-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def source(self, **kwargs):
        run = source(**kwargs)
        self.addCleanup(self.end, run)
        return run

    @staticmethod
    def end(run):
        run.kill()
        run.wait()

    def listen(self, *args):
        """The program, called by what is then sent."""
        port = free_port(socket.SOCK_DGRAM)
        self.to = ["-f", "mpegts", f"srt://127.0.0.1:{port}?connect_timeout=30000"]
        return Run(self, f"srt://127.0.0.1:{port}?mode=listener", *args)

    def send(self, **kwargs):
        return self.source(to=self.to, **kwargs)


class Checks(RestreamTest):
    def check_boxes(self, playlist, handler, rate):
        for name in {segment["header"] for segment in playlist.segments}:
            header = boxes((playlist.folder / name).read_bytes())
            self.assertEqual([kind for kind, _ in header], ["ftyp", "moov"])
            self.assertIn(b"cmfc", header[0][1])
            moov = [kind for kind, _ in boxes(header[1][1])]
            self.assertEqual(moov, ["mvhd", "trak", "mvex"])
            self.assertIn(handler, header[1][1])
        for segment in playlist.segments:
            parts = boxes((playlist.folder / segment["file"]).read_bytes())
            self.assertEqual([kind for kind, _ in parts], ["styp", "moof", "mdat"])
            self.assertIn(b"cmfs", parts[0][1])
            moof = boxes(parts[1][1])
            self.assertEqual([kind for kind, _ in moof], ["mfhd", "traf"])
            traf = boxes(moof[1][1])
            self.assertEqual([kind for kind, _ in traf], ["tfhd", "tfdt", "trun"])
            self.assertTrue(traf[0][1][1] & 2, "default-base-is-moof")
            self.assertAlmostEqual(self.duration(traf[2][1]) / rate,
                                   segment["duration"], delta=2e-6)

    @staticmethod
    def duration(trun):
        """Of all samples, each of which has a duration and a size."""
        flags, n = struct.unpack(">II", trun[:8])
        assert flags & ~0x4 == 0x301
        samples = trun[16 if flags & 0x4 else 12:]
        assert len(samples) == 8 * n
        return sum(struct.unpack(">" + "I4x" * n, samples))

    def check_times(self, playlist, seconds=None, tolerance=0.0):
        """Segments last as long as the playlist says, one begins where another ends,
        and that is at the frame that is nearest to where it should be."""
        end, before = None, 0
        for i, segment in enumerate(playlist.segments):
            packets = playlist.packets(segment)
            self.assertEqual(packets[0]["flags"][0], "K")
            times = [float(p["dts_time"]) for p in packets]
            if end is not None and "discontinuity" not in segment:
                self.assertAlmostEqual(times[0], end, delta=0.0002)
            end = times[0] + segment["duration"]
            self.assertLess(times[-1], end)
            self.assertLessEqual(round(segment["duration"]),
                                 playlist.tag("TARGETDURATION"))
            after = self.get_slack(times + [end])
            if seconds and i < len(playlist.segments) - 1:
                self.assertAlmostEqual(segment["duration"], seconds,
                                       delta=before + after + tolerance)
            before = after

    @staticmethod
    def get_slack(times):
        """How far the last time may be from a boundary that it is nearest to: half a
        frame; where frames are missing before it, as the machine was busy with other
        things, that was not known until it came."""
        frames = [b - a for a, b in zip(times, times[1:])]
        usual = sorted(frames)[len(frames) // 2]
        return frames[-1] / 2 if frames[-1] < 1.5 * usual else frames[-1]

    def check_bandwidth(self, run):
        master = (run.folder / "master.m3u8").read_text()
        bandwidth = int(re.search(r":BANDWIDTH=(\d+)", master)[1])
        tracks = [run.playlist()]
        if (run.folder / "audio.m3u8").exists():
            tracks.append(run.playlist("audio"))
        for segments in zip(*(track.segments for track in tracks)):
            size = sum((run.folder / s["file"]).stat().st_size for s in segments)
            self.assertLess(8 * size / segments[0]["duration"], bandwidth)

    def check_sync(self, run):
        """Flashes and beeps are at the same time."""
        pictures = media.ffmpeg("-i", run.folder / "video.m3u8", "-fps_mode",
                                "passthrough", "-vf", "scale=1:1,setpts=N/25/TB", "-f", "rawvideo",
                                "-pix_fmt", "gray", "-")
        times = media.packet_times(run.folder / "video.m3u8")
        self.assertEqual(len(pictures), len(times))
        flashes = [times[i] for i in range(1, len(times))
                   if pictures[i - 1] < 128 <= pictures[i]]
        sound = media.ffmpeg("-i", run.folder / "audio.m3u8", "-ac", 1, "-f",
                             "s16le", "-")
        first = media.packet_times(run.folder / "audio.m3u8", "a")[0]
        samples = struct.unpack(f"<{len(sound) // 2}h", sound)
        beeps, last = [], -48000
        for i, sample in enumerate(samples):
            if abs(sample) > 3000:
                if i - last > 24000:
                    beeps.append(first + i / 48000)
                last = i
        self.assertGreaterEqual(len(flashes), 2)
        # One that the beginning cuts is none of either.
        for flash in flashes[1:]:
            self.assertLess(min(abs(flash - beep) for beep in beeps), 0.1)


class Streams(Checks):
    def test_srt(self):
        run = self.listen("--segment", 1, "--keep", 0)
        self.assertIn("master.m3u8", run.said)
        self.send()
        run.wait_for_segments(3, "audio")
        self.assertRegex(run.stop(), r"restream: \d+ frames")
        self.assertEqual(run.error(), "")

        for track, handler, rate in (("video", b"vide", 90000),
                                     ("audio", b"soun", 48000)):
            playlist = run.playlist(track)
            self.assertTrue(playlist.ended)
            self.check_boxes(playlist, handler, rate)
            self.check_times(playlist, 1, 0.001 if track == "video" else 0.05)
            self.assertEqual(sum("discontinuity" in s for s in playlist.segments), 0)
        self.check_bandwidth(run)
        self.check_sync(run)

        master = run.folder / "master.m3u8"
        self.assertRegex(master.read_text(), r'CODECS="avc1\.64[0-9a-f]{4},mp4a\.40\.2",'
                         r'RESOLUTION=384x256,FRAME-RATE=25\.000,AUDIO="sound"')
        video, audio = (media.stream(master, kind) for kind in "va")
        self.assertEqual((video["codec_name"], video["width"], video["height"]),
                         ("h264", 384, 256))
        self.assertEqual((audio["codec_name"], audio["sample_rate"]),
                         ("aac", "48000"))
        self.check_whole(run)

    def check_whole(self, run):
        """ffmpeg decodes all of it, ffplay plays some of it."""
        done = subprocess.run(
            ["ffmpeg", "-v", "warning", "-nostdin", "-copyts", "-i",
             run.folder / "master.m3u8", "-map", "0:v", "-fps_mode", "passthrough",
             "-f", "framemd5", "-"], text=True, capture_output=True, check=True)
        lines = [line for line in done.stdout.splitlines() if line[0] != "#"]
        playlist = run.playlist()
        self.assertEqual(len(lines), sum(len(playlist.packets(segment))
                                         for segment in playlist.segments))
        self.assertEqual(done.stderr, "")
        subprocess.run(["ffplay", "-v", "error", "-t", "1", "-autoexit",
                        run.folder / "master.m3u8"], check=True, timeout=60,
                       stdin=subprocess.DEVNULL, capture_output=True,
                       env={**os.environ, "SDL_VIDEODRIVER": "dummy",
                            "SDL_AUDIODRIVER": "dummy"})

    def test_rtmp(self):
        """From a server; old segments go."""
        ports = [free_port(socket.SOCK_STREAM) for _ in range(2)]
        server, uri = (f"rtmp://127.0.0.1:{port}/live/x" for port in ports)
        self.source(size="64x48", to=["-listen", "1", "-f", "flv", server])
        relay = Relay(ports[1], ports[0])
        self.addCleanup(relay.close)
        run = Run(self, uri, "--segment", 0.5, "--keep", 3)
        path = run.folder / "video.m3u8"
        run.wait("old segments to leave", lambda: path.exists()
                 and run.playlist().tag("MEDIA-SEQUENCE") >= 6)
        playlist = run.playlist()
        self.assertEqual(len(playlist.segments), 3)
        self.assertEqual(playlist.segments[0]["file"],
                         f"video-{playlist.tag('MEDIA-SEQUENCE'):05}.m4s")
        self.assertFalse(playlist.ended)
        run.stop()

        self.assertFalse((run.folder / "video-00000.m4s").exists())
        self.assertLessEqual(len(list(run.folder.glob("*.m4s"))), 2 * 7)
        playlist = run.playlist()
        self.assertTrue(playlist.ended)
        self.check_times(playlist, 0.5, 0.002)  # FLV counts milliseconds
        self.check_bandwidth(run)
        video = media.stream(run.folder / "master.m3u8", "v")
        self.assertEqual((video["width"], video["height"]), (256, 192))

    def test_overload(self):
        """More frames than the model restores; and no sound."""
        run = self.listen("--segment", 1, "--keep", 0)
        self.send(size="192x144", rate=50, sound=False)
        run.wait_for_segments(3)
        frames, bypassed = re.search(r"(\d+) frames, of which (\d+) were enlarged",
                                     run.stop()).groups()
        self.assertGreater(int(bypassed), int(frames) / 5)
        playlist = run.playlist()
        self.check_times(playlist, 1, 0.001)
        master = (run.folder / "master.m3u8").read_text()
        self.assertIn('CODECS="avc1', master)
        self.assertNotIn("AUDIO", master)
        self.assertNotIn("mp4a", master)
        self.assertFalse((run.folder / "audio.m3u8").exists())


class Loss(Checks):
    def test_loss(self):
        """A source that is lost and comes back as another: without sound, which is
        then silence, and of another size."""
        run = self.listen("--segment", 1, "--keep", 0)
        first = self.send()
        run.wait_for_segments(2, "audio")
        first.terminate()
        run.wait_for_error("is lost: it has ended; trying to get it back\n")
        self.send(size="64x48", sound=False)
        run.wait_for_error("is back\n")
        n = len(run.playlist().segments)
        run.wait_for_segments(n + 2)
        run.stop()
        self.assertEqual(run.error().count("\n"), 2)

        video, audio = run.playlist(), run.playlist("audio")
        self.assertEqual(len(video.segments), len(audio.segments))
        for playlist in (video, audio):
            self.check_times(playlist)
            cuts = [i for i, segment in enumerate(playlist.segments)
                    if "discontinuity" in segment]
            self.assertEqual(len(cuts), 1)
            self.check_hole(playlist, cuts[0])
        cut = cuts[0]
        self.assertEqual([s["header"] for s in video.segments],
                         ["video-header-1.mp4"] * cut + ["video-header-2.mp4"]
                         * (len(video.segments) - cut))
        self.check_sizes(run, cut)
        self.check_silence(run, cut)

    def check_hole(self, playlist, cut):
        """Times go on as the clock does."""
        before, after = playlist.segments[cut - 1:cut + 1]
        starts = [float(playlist.packets(segment)[0]["pts_time"])
                  for segment in (before, after)]
        self.assertGreaterEqual(starts[1], starts[0] + before["duration"] - 0.001)
        self.assertAlmostEqual((after["date"] - before["date"]) % 86400,
                               starts[1] - starts[0], delta=0.2)

    def check_sizes(self, run, cut):
        segments = run.playlist().segments
        for segment, size in ((segments[cut - 1], "384x256"), (segments[cut], "256x192")):
            video = media.stream(run.playlist().join(segment), "v")
            self.assertEqual(f"{video['width']}x{video['height']}", size)

    def check_silence(self, run, cut):
        playlist = run.playlist("audio")
        for i, quiet in ((1, False), (cut + 1, True)):
            sound = media.ffmpeg("-i", playlist.join(playlist.segments[i]), "-f",
                                 "s16le", "-")
            self.assertEqual(max(sound) == 0, quiet)


class Server(RestreamTest):
    def setUp(self):
        super().setUp()
        self.run_ = self.listen("--segment", 1, "--port", 0)
        found = re.search(r"open (http://127\.0\.0\.1:(\d+)/) in a browser",
                          self.run_.said)
        self.url, self.port = found[1], int(found[2])

    def ask(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply, body


class Requests(Server):
    def test_requests(self):
        self.assertEqual(self.ask("/master.m3u8")[0].status, 404)
        self.send(size="64x48")
        self.run_.wait("the stream", lambda:
                       self.ask("/master.m3u8")[0].status == 200)
        folder = self.run_.folder
        (folder / "secret").write_text("secret")
        (folder / "video-99999.m4s").write_text("secret")
        for path, kind, caching in (
                ("/", "text/html", "no-cache"), ("/page.js", "text/javascript",
                                                "no-cache"),
                ("/master.m3u8", "application/vnd.apple.mpegurl", "no-cache"),
                ("/video.m3u8", "application/vnd.apple.mpegurl", "no-cache"),
                ("/video-header-1.mp4", "video/mp4", "max-age=3600"),
                ("/audio-header-1.mp4", "audio/mp4", "max-age=3600"),
                ("/video-00000.m4s?x=1", "video/mp4", "max-age=3600")):
            for method in ("GET", "HEAD"):
                reply, body = self.ask(path, method)
                self.assertEqual(reply.status, 200, path)
                self.assertEqual(reply.headers["Content-Type"].split(";")[0], kind)
                self.assertEqual(reply.headers["Cache-Control"], caching)
                if kind not in ("text/html", "text/javascript"):
                    self.assertEqual(reply.headers["Access-Control-Allow-Origin"], "*")
                self.assertEqual(body != b"", method == "GET")
        self.assertEqual(self.ask("/video-header-1.mp4")[1],
                         (folder / "video-header-1.mp4").read_bytes())
        for path in ("/secret", "/video-99999.m4s", "/none", "/../log", "/../out/secret",
                     "/..%2flog", "/%2e%2e/log", "//etc/passwd",
                     "/etc/passwd", "/out/master.m3u8", "/master.m3u8/",
                     "/master.m3u8%00", "/" + "x" * 5000):
            reply, body = self.ask(path)
            self.assertIn(reply.status, (400, 404), path)
            self.assertNotIn(b"secret", body)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            self.assertEqual(self.ask("/", method)[0].status, 405)
        self.run_.stop()

    def test_port_in_use(self):
        done = subprocess.run([PROGRAM, "srt://127.0.0.1:9", self.dir / "other", "--port",
                               str(self.port)], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\Arestream: cannot listen on [^\n]*--port\n\Z")


class Browser(Server):
    def setUp(self):
        super().setUp()
        self.chromium = Chromium()
        self.addCleanup(self.chromium.close)

    def check_plays(self, page, size):
        video = "document.querySelector('video')"
        wait_for(f"a video of {size}", lambda: page.evaluate(
            f"{video}.videoWidth + 'x' + {video}.videoHeight") == size)
        start = page.evaluate(f"{video}.currentTime")
        wait_for("the time to advance", lambda: page.evaluate(
            f"{video}.currentTime") > start + 0.5)
        frames = f"{video}.getVideoPlaybackQuality().totalVideoFrames"
        before = page.evaluate(frames)
        wait_for("frames", lambda: page.evaluate(frames) > before + 5)
        self.assertIsNone(page.evaluate(f"{video}.error"))

    def test_page(self):
        """By the page's own player, also when the source was lost and comes back as
        another; and by the browser's."""
        page = self.chromium.open(self.url)
        first = self.send()
        self.check_plays(page, "384x256")
        wait_for("the status", lambda: "384 × 256, live" in page.text("status"))
        sound = page.evaluate("document.querySelector('video')"
                              ".webkitAudioDecodedByteCount")
        self.assertGreater(sound, 0)
        first.terminate()
        self.run_.wait_for_error("is lost")
        self.send(size="64x48")
        self.check_plays(page, "256x192")

        own = self.chromium.open(self.url)
        if own.evaluate("document.createElement('video').canPlayType("
                        "'application/vnd.apple.mpegurl')"):
            own.evaluate("document.body.innerHTML = "
                         "'<video src=master.m3u8 autoplay muted>'")
            self.check_plays(own, "256x192")
        self.run_.stop()


class Failures(RestreamTest):
    def check_fails(self, *args, says):
        done = subprocess.run([PROGRAM, *map(str, args)], text=True,
                              capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"\Arestream: [^\n]+\n\Z")
        self.assertIn(says, done.stderr)

    def test_options(self):
        out = self.dir / "out"
        self.check_fails(says="--help")
        self.check_fails("srt://127.0.0.1:9", says="--help")
        self.check_fails("srt://127.0.0.1:9", out, "surplus", says="--help")
        for name, value in (("segment", "0.1"), ("segment", "nan"), ("keep", 1),
                            ("port", 65536), ("consistency", 3),
                            ("host", "nowhere")):
            self.check_fails("srt://127.0.0.1:9", out, f"--{name}", value, "--port",
                             value if name == "port" else 0, says=f"--{name}")
        self.check_fails("srt://127.0.0.1:9", out, "--model", "/none", says="/none")
        self.check_fails("nonsense://x", out, says="nonsense")
        self.check_fails("rtmp://127.0.0.1/", out, says="rtmp://HOST/APP/STREAM")
        self.check_fails("srt://127.0.0.1:9?passphrase=short", out, says="passphrase")

    def test_folders(self):
        (self.dir / "file").write_text("")
        self.check_fails("srt://127.0.0.1:9", self.dir / "file" / "out",
                         says="cannot write in the folder")
        (self.dir / "video.m3u8").write_text("")
        self.check_fails("srt://127.0.0.1:9", self.dir, says="empty the folder")

    def test_wrong_source(self):
        port = free_port(socket.SOCK_DGRAM)
        self.source(size="64x48", to=["-f", "mpegts", f"srt://127.0.0.1:{port}?mode="
                                      "listener&passphrase=0123456789"])
        self.check_fails(f"srt://127.0.0.1:{port}?passphrase=9876543210",
                         self.dir / "out", says="Incorrect passphrase; give the right")
        port = free_port(socket.SOCK_DGRAM)
        self.source(video=False, to=["-f", "mpegts",
                                     f"srt://127.0.0.1:{port}?mode=listener"])
        self.check_fails(f"srt://127.0.0.1:{port}", self.dir / "out", says="no video")

    def test_no_room(self):
        """What is there can be played."""
        run = self.listen("--segment", 1)
        (run.folder / "video-00002.m4s.part").mkdir()
        self.send(size="64x48")
        run.process.wait(60)
        self.assertEqual(run.process.returncode, 1)
        self.assertRegex(run.error(), r"\Arestream: cannot write [^\n]*video-00002.m4s"
                         r"[^\n]*; make room, or write elsewhere\n\Z")
        playlist = run.playlist()
        self.assertTrue(playlist.ended)
        self.assertEqual(len(playlist.segments), 2)
        self.assertGreater(len(media.packet_times(run.folder / "master.m3u8")), 40)

    def test_help(self):
        done = subprocess.run([ROOT / "pipelines" / "restream", "--help"],
                              stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn("pipelines/restream SOURCE FOLDER [OPTION...]", done.stdout)


if __name__ == "__main__":
    media.need("ffmpeg", "ffprobe", "ffplay")
    if "Browser" in sys.argv[3:]:
        media.need("chromium")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
