#!/usr/bin/env python3
"""pipelines/rtsp between a camera (gst-rtsp-server as it comes) and clients that
others wrote: ffmpeg, ffprobe, GStreamer's rtspsrc.

    test_rtsp.py PROGRAM REPOSITORY CAMERA [TEST...]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

import lossy
import media
import program
from program import wait_for

ROOT = Path(sys.argv[2])
CAMERA = Path(sys.argv[3]).resolve()
# What is not ours may have criticals of its own.
FOREIGN = {**os.environ, "G_DEBUG": ""}
SIZE = (384, 256)  # 4x the camera's
# ffmpeg would otherwise watch for seconds before it says anything.
SOON = ["-analyzeduration", "500000", "-fpsprobesize", "0"]


def show(pattern="smpte", width=96, height=64):
    return (f"( videotestsrc is-live=true pattern={pattern} ! video/x-raw,"
            f"format=I420,width={width},height={height},framerate=20/1 ! "
            "x264enc tune=zerolatency key-int-max=20 ! rtph264pay name=pay0 "
            "pt=96 config-interval=-1 )")


AUDIO_ONLY = "( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 )"
UNKNOWN_CODEC = ("( videotestsrc is-live=true ! x264enc tune=zerolatency ! "
                 "rtph264pay pt=96 ! capssetter name=pay0 "
                 "caps=application/x-rtp,encoding-name=NOBODY )")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def inside(namespace):
    return ["nsenter", "-n", "-t", namespace] if namespace else []


class Frames:
    """ffmpeg, which writes a line for each frame that it decodes."""

    def __init__(self, test, url, transport, namespace=None):
        self.path = test.dir / f"frames{len(test.clients)}"
        test.clients.append(self)
        self.errors = open(f"{self.path}.errors", "w")
        self.process = subprocess.Popen(
            [*inside(namespace), "ffmpeg", "-nostdin", "-v", "verbose",
             "-rtsp_transport", transport, *SOON, "-i", url, "-f", "framemd5",
             "-flush_packets", "1", self.path], stderr=self.errors,
            env=FOREIGN)
        test.addCleanup(test.end, self.process)
        test.addCleanup(self.errors.close)

    def lines(self):
        if not self.path.exists():
            return []
        return [line.split(",") for line in self.path.read_text().splitlines()
                if line[0] != "#" and line.count(",") == 5]

    def hashes(self):
        return [line[5].strip() for line in self.lines()]

    def said(self):
        return Path(self.errors.name).read_text()

    def wait_for_more(self, n):
        """So many frames more than there are now."""
        n += len(self.lines())
        wait_for(lambda: len(self.lines()) >= n, 60)

    def check_times(self, test):
        times = [int(line[1]) for line in self.lines()]
        test.assertEqual(times, sorted(set(times)))


class Rtsp(program.ProgramTest):
    path = Path(sys.argv[1]).resolve()

    def setUp(self):
        super().setUp()
        self.clients = []

    def play_camera(self, launch=None, port=0, password=(), namespace=None,
                    address="127.0.0.1"):
        """A camera; its process and port."""
        run = subprocess.Popen(
            [*inside(namespace), CAMERA, address, str(port), launch or show(),
             *password], stdout=subprocess.PIPE, text=True, env=FOREIGN)
        self.addCleanup(self.end, run)
        port = int(run.stdout.readline())
        return run, port, f"rtsp://{address}:{port}/camera"

    def serve(self, source, *args, wait=True, namespace=None):
        """The program, and what clients call it by once there is a picture."""
        with open(self.dir / "out", "w") as out, \
                open(self.dir / "error", "w") as error:
            run = subprocess.Popen(
                [*inside(namespace), self.path, source, *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=error)
        self.addCleanup(self.end, run)
        return run, self.wait_for_url(run) if wait else None

    def wait_for_url(self, run):
        wait_for(lambda: run.poll() is not None or self.read("out"), 60)
        self.assertRegex(self.read("out"), r"\Artsp://[^\n]*\n\Z",
                         self.read("error"))
        return self.read("out").strip()

    def read(self, name):
        return (self.dir / name).read_text()

    def stop(self, run, error=""):
        """Ctrl-C ends it well, whoever is connected."""
        self.assertIsNone(run.poll(), self.read("error"))
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(30), 0, self.read("error"))
        self.assertRegex(self.read("error"), rf"\A{error}\Z")

    def probe(self, url, transport="tcp"):
        """Width and height, or what ffprobe says against it."""
        done = subprocess.run(
            ["ffprobe", "-v", "error", "-rtsp_transport", transport, *SOON,
             "-of", "csv=p=0", "-show_entries", "stream=codec_name,width,height", url],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=FOREIGN, timeout=60)
        found = re.search(r"^h264,(\d+),(\d+)$", done.stdout, re.M)
        return (int(found[1]), int(found[2])) if found else done.stderr


class Clients(Rtsp):
    def check_picture(self, frame):
        """Luma of the upper half, the bars, against videotestsrc's own at that
        size."""
        path = self.dir / "reference"
        subprocess.run(["gst-launch-1.0", "-q", "videotestsrc", "num-buffers=1",
                        "!", "video/x-raw,format=I420,width=384,height=256",
                        "!", "filesink", f"location={path}"], check=True,
                       env=FOREIGN)
        half = SIZE[0] * SIZE[1] // 2
        self.assertLess(media.mean_difference(frame[:half],
                                              path.read_bytes()[:half]), 6)

    def receive(self, url, protocol):
        """Frames that GStreamer decodes."""
        out = self.dir / "received"
        subprocess.run(
            ["gst-launch-1.0", "-q", "rtspsrc", f"location={url}",
             "latency=100", f"protocols={protocol}", "!", "rtph264depay", "!", "h264parse",
             "!", "avdec_h264", "!", "videoconvert", "!",
             "video/x-raw,format=I420", "!", "identity", "eos-after=13", "!",
             "filesink", f"location={out}"], check=True, env=FOREIGN,
            timeout=60)
        data, size = out.read_bytes(), SIZE[0] * SIZE[1] * 3 // 2
        self.assertEqual(len(data) % size, 0)
        return [data[i:i + size] for i in range(0, len(data), size)]

    def test_pictures(self):
        """By UDP and TCP: 4x the size, and the picture."""
        _, _, source = self.play_camera()
        run, url = self.serve(source, "--port", 0, "--path", "/x/y")
        self.assertRegex(url, r"\Artsp://127\.0\.0\.1:\d+/x/y\Z")
        for transport in ("tcp", "udp"):
            with self.subTest(transport=transport):
                self.assertEqual(self.probe(url, transport), SIZE)
                frames = self.receive(url, transport)
                self.assertGreaterEqual(len(frames), 10)
                self.check_picture(frames[-1])
        self.assertIn("404", self.probe(url + "z"))
        self.stop(run)

    def test_come_and_go(self):
        """Clients see the very same frames, of one model; one that is killed,
        or that does not read any more, is nothing to the others."""
        _, _, source = self.play_camera(show("snow"))
        run, url = self.serve(source, "--port", 0)
        a, b, c = (Frames(self, url, transport)
                   for transport in ("udp", "tcp", "tcp"))
        for client in (a, b, c):
            client.wait_for_more(10)
        self.assertEqual(self.probe(url + "?x"), SIZE)
        b.process.send_signal(signal.SIGSTOP)
        c.process.kill()
        a.wait_for_more(10)
        self.assertGreater(len(set(a.hashes()) & set(b.hashes())), 5)
        maps = Path(f"/proc/{run.pid}/maps").read_text()
        self.assertEqual(maps.count(".safetensors"), 1)
        a.process.kill()
        a.process.wait()
        d = Frames(self, url, "udp")
        d.wait_for_more(10)
        self.stop(run)
        for client in (a, b, d):
            client.check_times(self)

    def test_limits(self):
        """A password, and no more clients than are wanted."""
        (self.dir / "password").write_text("secret\nnot this\n")
        run, url = self.serve("test", "--port", 0, "--clients", 1, "--user",
                              "eve", "--password-file", self.dir / "password",
                              "--size", "96x64")
        self.assertIn("401", self.probe(url))
        self.assertIn("401", self.probe(url.replace("127", "eve:Secret@127")))
        url = url.replace("127", "eve:secret@127")
        self.assertEqual(self.probe(url), SIZE)
        client = Frames(self, url, "udp")
        client.wait_for_more(3)
        self.assertIn("Server returned 5", self.probe(url))
        client.process.kill()
        wait_for(lambda: self.probe(url) == SIZE, 20)
        self.stop(run)


class Source(Rtsp):
    def test_lost_and_back(self):
        """A client stays, and gets frames again, of another size."""
        camera, port, source = self.play_camera()
        source = source.replace("rtsp://", "rtsp://eve:secret@")
        run, url = self.serve(source, "--port", 0)
        client = Frames(self, url, "tcp")
        client.wait_for_more(5)
        camera.kill()
        wait_for(lambda: "is lost" in self.read("error"))
        self.assertIn("Server returned 5", self.probe(url))

        other, _, _ = self.play_camera(port=port, password=("eve", "other"))
        wait_for(lambda: "Unauthorized" in self.read("error"))
        other.kill()
        other.wait()
        self.play_camera(show(width=64, height=48), port=port,
                         password=("eve", "secret"))
        client.wait_for_more(10)
        self.assertEqual(self.probe(url), (256, 192))
        client.check_times(self)
        self.stop(run, r'rtsp: "[^"]*" is lost: [^\n]*\n'
                  r'rtsp: "[^"]*" is not there: Unauthorized; [^\n]*\n'
                  r'rtsp: "[^"]*" is back\n')
        self.assertNotIn("secret", self.read("error"))

    def test_late(self):
        """A camera that is not there yet."""
        port = free_port()
        run, _ = self.serve(f"rtsp://127.0.0.1:{port}/camera", "--port", 0,
                            wait=False)
        wait_for(lambda: "cannot connect" in self.read("error"))
        self.assertEqual(self.read("out"), "")
        self.play_camera(port=port)
        self.assertEqual(self.probe(self.wait_for_url(run)), SIZE)
        self.stop(run, r'rtsp: "[^"]*" is not there: [^\n]*\n'
                  r'rtsp: "[^"]*" is there\n')

    def test_silent(self):
        """Ctrl-C while a client waits for a camera that says nothing."""
        camera, _, source = self.play_camera()
        run, url = self.serve(source, "--port", 0)
        camera.send_signal(signal.SIGSTOP)
        time.sleep(1)           # frames that are on their way would be described
        with socket.create_connection(url.split("/")[2].split(":")) as client:
            client.sendall(f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"
                           .encode())
            client.settimeout(1)
            with self.assertRaises(TimeoutError):
                client.recv(100)
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.wait(10), 0)

    def test_end(self):
        """A file that ends begins again."""
        path = self.dir / "short.mkv"
        media.ffmpeg("-f", "lavfi", "-i", "testsrc=size=96x64:rate=20",
                     "-t", "1", path)
        run, url = self.serve(path, "--port", 0)
        client = Frames(self, url, "tcp")
        client.wait_for_more(30)
        client.check_times(self)
        self.stop(run, r'(rtsp: "[^"]*" is (lost: it has ended[^\n]*|back)\n)*')


class Loss(Rtsp):
    def lose(self, *args):
        """A link, and the namespaces at its ends."""
        link = subprocess.Popen(
            ["unshare", "-n", sys.executable, lossy.__file__, *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, link)
        self.addCleanup(link.terminate)
        line = link.stdout.readline()
        if not line:
            self.skipTest("no network namespaces or TUN devices here: "
                          + link.communicate()[1].splitlines()[-1])
        return link, line.split()

    def test_udp(self):
        """5 % of the packets lost, the others delayed by 10 to 30 ms, on the
        way from the camera and on that to the client."""
        link, (near, far) = self.lose("5", "20", "10")
        _, _, source = self.play_camera(show("ball"), namespace=far,
                                        address=lossy.FAR)
        run, url = self.serve(source, "--port", 0, "--host", lossy.NEAR,
                              namespace=near)
        self.assertTrue(url.startswith(f"rtsp://{lossy.NEAR}:"))
        client = Frames(self, url, "udp", namespace=far)
        client.wait_for_more(60)
        client.check_times(self)
        self.assertGreater(len(set(client.hashes())), 40)
        self.assertRegex(client.said(), "missed|concealing")
        self.stop(run)
        link.terminate()
        packets, lost = map(int, link.communicate()[0].split())
        self.assertGreater(lost, packets / 40)


class Failures(Rtsp):
    def test_sources(self):
        _, port, url = self.play_camera(password=("eve", "secret"))
        for name in ("", "eve:wrong@"):
            self.check_fails(url.replace("127", name + "127"), "--port", 0,
                             says="give the right name and password")
        for source in ("rtsp://", "rtsp:/x", "rtsp://127.0.0.1:99999/"):
            self.check_fails(source, "--port", 0, says="give one as rtsp://")
        self.check_fails("nobody://127.0.0.1/", says="nothing here reads")
        self.check_fails(says="give one source")
        self.check_fails("test", "test", says="give one source")

    def test_streams(self):
        _, _, url = self.play_camera(AUDIO_ONLY)
        self.check_fails(url, "--port", 0, says="there is no video in it")
        _, _, url = self.play_camera(UNKNOWN_CODEC)
        self.check_fails(url, "--port", 0, says="install the GStreamer plugin")

        small = self.dir / "small.mkv"
        media.ffmpeg("-f", "lavfi", "-i", "testsrc=size=8x8", "-t", "1", small)
        self.check_fails(small, "--port", 0, says="too small")

    def test_options(self):
        with socket.socket() as used:
            used.bind(("127.0.0.1", 0))
            used.listen()
            self.check_fails("test", "--port", used.getsockname()[1],
                             says="another with --port")
        empty = self.dir / "empty"
        empty.touch()
        for args, says in (
                (("--model", "/none"), "no such model"),
                (("--model", empty), "dloral"),
                (("--port", 65536), "from 0 to 65535"),
                (("--clients", 0), "from 1 to"),
                (("--host", "localhost"), "no IP address"),
                (("--path", "restored"), "give one as /restored"),
                (("--size", "1x1"), "is not a size"),
                (("--user", "eve"), "or neither"),
                (("--user", "eve", "--password-file", empty), "first line"),
                (("--user", "eve", "--password-file", "/none"), "/none")):
            with self.subTest(args=args):
                self.check_fails("test", "--port", 0, *args, says=says)

    def test_help(self):
        done = subprocess.run([ROOT / "pipelines" / "rtsp", "--help"],
                              stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn("pipelines/rtsp SOURCE [OPTION...]", done.stdout)


if __name__ == "__main__":
    media.need("ffmpeg", "ffprobe", "gst-launch-1.0")
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
