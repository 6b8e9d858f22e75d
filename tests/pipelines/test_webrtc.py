#!/usr/bin/env python3
"""pipelines/webrtc in a real browser, and against participants that mean ill.

    test_webrtc.py PROGRAM REPOSITORY [TEST...]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import http.client
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import media
from chromium import Chromium, wait_for
from websocket import Closed, Refused, WebSocket

PROGRAM = Path(sys.argv[1]).resolve()
ROOT = Path(sys.argv[2])
# Lets a test reach the page's connection.
KEEP_CONNECTION = """window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); window.connection = this; } }"""

# An offer whose every line is right, but nobody is behind it.
MEDIUM = """m=video 9 UDP/TLS/RTP/SAVPF 96\r
c=IN IP4 0.0.0.0\r
a=ice-ufrag:abcd\r
a=ice-pwd:abcdefghijklmnopqrstuvwx\r
a=fingerprint:sha-256 {fingerprint}\r
a=setup:actpass\r
a=mid:{mid}\r
a={direction}\r
a=rtcp-mux\r
a=rtpmap:96 VP8/90000\r
"""
HEAD = """v=0\r
o=- 1 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0 1\r
"""
FINGERPRINT = ":".join(["AB"] * 32)
OFFER = HEAD + "".join(
    MEDIUM.format(fingerprint=FINGERPRINT, mid=mid, direction=direction)
    for mid, direction in enumerate(["sendrecv", "recvonly"]))


def start(*args):
    return subprocess.Popen([PROGRAM, *map(str, args)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


class Server:
    """The program, on a port that was free."""

    def __init__(self, *args):
        self.process = start("--port", 0, *args)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"webrtc: open (https?://127\.0\.0\.1:(\d+)/) in a "
                             r"browser \(Ctrl-C ends\)\n", line)
        if not found:
            raise AssertionError(line + self.process.stderr.read())
        self.url, self.port = found[1], int(found[2])
        self.origin = self.url[:-1]

    def connect(self, origin=None, tls=None):
        return WebSocket(f"ws{'s' * bool(tls)}://127.0.0.1:{self.port}/signalling",
                         origin or self.origin, tls=tls)

    def stop(self):
        """What it wrote to standard error, having ended well."""
        self.process.send_signal(signal.SIGINT)
        try:
            error = self.process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if self.process.returncode != 0:
            raise AssertionError(f"{self.process.returncode}: {error}")
        return error


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--participants", 2, "--idle-timeout", 3)

    @classmethod
    def tearDownClass(cls):
        error = cls.server.stop()
        assert error == "", error

    def end_of(self, peer):
        """The reason and the sentence of the last message."""
        while True:
            message = peer.receive()
            if message["type"] == "end":
                with self.assertRaises(Closed):
                    peer.receive()
                return message["reason"], message["message"]

    def check_goes_on(self, peer):
        """Somebody else is answered."""
        peer.send({"type": "offer", "sdp": OFFER})
        while (answer := peer.receive())["type"] != "answer":
            self.assertNotEqual(answer["type"], "end", answer)
        self.assertIn("a=rtpmap:96 VP8/90000", answer["sdp"])
        # Media are received on loopback, too.
        self.assertEqual(
            set(re.findall(r"a=candidate:.* (\S+) \d+ typ", answer["sdp"]))
            - {"127.0.0.1"}, set())

    def check_ends(self, reason, *messages):
        with self.server.connect() as other, self.server.connect() as peer:
            for message in messages:
                peer.send(message)
            self.assertEqual(self.end_of(peer)[0], reason)
            self.check_goes_on(other)

    def test_malformed_messages(self):
        for message in ("", "{", "nonsense", "[]", "null", '{"type":"offer"',
                        "[" * 60000, '{"a":' * 10000, {"type": "offer"},
                        {"type": "offer", "sdp": 7}, {"type": "what"}, {"type": []},
                        {"type": "offer", "sdp": {}},
                        {"type": "candidate", "candidate": "x", "index": 0},
                        {"type": "settings", "consistency": 1, "detail": 1}):
            with self.subTest(message=str(message)[:40]):
                with self.server.connect() as peer:
                    peer.send(message)
                    self.assertEqual(self.end_of(peer)[0], "message")
        self.check_ends("message", "{")

    def test_malformed_after_the_offer(self):
        offer = {"type": "offer", "sdp": OFFER}
        for message in (offer, {"type": "settings", "consistency": 3,
                                "detail": 1},
                        {"type": "settings", "consistency": "1", "detail": 1},
                        {"type": "candidate", "candidate": "candidate:",
                         "index": 7}):
            with self.subTest(message=message):
                self.check_ends("message", offer, message)

    def test_malformed_sdp(self):
        audio = OFFER.replace("m=video", "m=audio", 1)
        for name, sdp in {
                "empty": "", "text": "nonsense", "head": HEAD,
                "cut": OFFER[:len(OFFER) // 2], "audio": audio,
                "codec": OFFER.replace("VP8", "VP7"),
                "payload": OFFER.replace("SAVPF 96", "SAVPF 9999999999"),
                "no ice": OFFER.replace("a=ice-pwd", "a=x"),
                "binary": "v=0\r\n" + "\x01\u0416" * 1000}.items():
            with self.subTest(sdp=name), self.server.connect() as peer:
                peer.send({"type": "offer", "sdp": sdp})
                reason, text = self.end_of(peer)
                self.assertEqual(reason, "offer")
                self.assertRegex(text, r"\AThe offer .*\.\Z")
        self.check_ends("offer", {"type": "offer", "sdp": audio})

    def test_bad_candidate(self):
        """webrtcbin ignores those that it cannot read."""
        with self.server.connect() as peer:
            self.check_goes_on(peer)
            for text in ("candidate:", "candidate:1 1 udp 1 nowhere 9 typ host",
                         "candidate:" + "9" * 5000):
                peer.send({"type": "candidate", "candidate": text, "index": 0})
            peer.send({"type": "settings", "consistency": 0.5, "detail": 2})
            while (message := peer.receive())["type"] != "stats":
                pass
            self.assertEqual((message["consistency"], message["detail"]),
                             (0.5, 2))

    def test_too_large_a_message(self):
        with self.server.connect() as other, self.server.connect() as peer:
            peer.send({"type": "offer", "sdp": "x" * 100000})
            with self.assertRaises(Closed) as closed:
                peer.receive()
            self.assertIn(closed.exception.args[0], (1009, None))
            self.check_goes_on(other)

    def test_origin(self):
        port = self.server.port
        for origin in ("http://example.org", f"http://example.org:{port}",
                       f"https://127.0.0.1:{port}", "http://127.0.0.1",
                       f"http://127.0.0.2:{port}", "null", "nonsense"):
            with self.subTest(origin=origin):
                with self.assertRaises(Refused) as refused:
                    self.server.connect(origin)
                self.assertEqual(refused.exception.args, (403,))
        with self.assertRaises(Refused):
            WebSocket(f"ws://127.0.0.1:{port}/signalling")
        with self.server.connect(f"http://localhost:{port}") as peer:
            self.check_goes_on(peer)

    def test_one_too_many(self):
        with self.server.connect() as one, self.server.connect():
            with self.server.connect() as third:
                reason, text = self.end_of(third)
            self.assertEqual(reason, "full")
            self.assertIn("2 can take part at a time", text)
            self.check_goes_on(one)

    def test_idle(self):
        """With an offer or without; messages do not make up for video."""
        with self.server.connect() as silent, self.server.connect() as peer:
            self.check_goes_on(peer)
            for _ in range(4):
                time.sleep(0.5)
                peer.send({"type": "settings", "consistency": 1, "detail": 1})
            begin = time.monotonic()
            self.assertEqual(self.end_of(silent)[0], "idle")
            self.assertEqual(self.end_of(peer)[0], "idle")
            self.assertLess(time.monotonic() - begin, 10)
        with self.server.connect() as peer:
            self.check_goes_on(peer)

    def test_pages(self):
        for method, path, status in (("GET", "/", 200), ("GET", "/page.js", 200),
                                     ("GET", "/../webrtc.c", 404),
                                     ("GET", "/none", 404),
                                     ("POST", "/", 405)):
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port,
                                               timeout=20)
            connection.request(method, path)
            self.assertEqual(connection.getresponse().status, status, path)
            connection.close()

    def test_certificate(self):
        """By https and wss, from pages of its own https only."""
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder, "both.pem")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                 "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                 "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out",
                 Path(folder, "certificate.pem")], check=True,
                stderr=subprocess.DEVNULL)
            with open(pem, "a") as both:
                both.write(Path(folder, "certificate.pem").read_text())
            server = Server("--certificate", pem)
            self.addCleanup(server.stop)
            tls = ssl.create_default_context(cafile=pem)
        connection = http.client.HTTPSConnection("127.0.0.1", server.port,
                                                 timeout=20, context=tls)
        connection.request("GET", "/")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()
        with server.connect(tls=tls) as peer:
            self.check_goes_on(peer)
        with self.assertRaises(Refused):
            server.connect(f"http://127.0.0.1:{server.port}", tls=tls)

    def check_fails(self, *args, says):
        process = start(*args)
        out, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, error)
        self.assertRegex(error, r"\Awebrtc: [^\n]+\n\Z")
        self.assertIn(says, error)
        self.assertEqual(out, "")

    def test_failures(self):
        self.check_fails("--port", self.server.port, says="--port")
        self.check_fails("--port", "99999", says="65535")
        self.check_fails("--host", "nowhere", says="no IP address")
        self.check_fails("--participants", "0", says="--participants")
        self.check_fails("--stun", "example.org", says="stun://")
        self.check_fails("--certificate", ROOT / "README.md",
                         says="certificate")
        self.check_fails("--model", "/none.safetensors",
                         says="/none.safetensors")
        self.check_fails("--device", "tpu", says="--device")
        self.check_fails("surplus", says="surplus")


class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--participants", 2, "--idle-timeout", 60,
                            "--consistency", 0.75)
        cls.addClassCleanup(cls.server.stop)
        cls.chromium = Chromium()
        cls.addClassCleanup(cls.chromium.close)

    def open(self, query="", camera="granted"):
        page = self.chromium.open(self.server.url + query, camera,
                                  KEEP_CONNECTION)
        self.addCleanup(page.call, "Page.close")
        page.evaluate("document.getElementById('start').click()")
        return page

    def stop(self, page):
        page.evaluate("document.getElementById('start').click()")
        self.assertIn("Stopped", page.text("status"))

    def size(self, page, name):
        return page.evaluate(f"[document.getElementById('{name}').videoWidth, "
                             f"document.getElementById('{name}').videoHeight]")

    def check_video(self, page, codec, width, height):
        wait_for("the restored video", lambda: self.size(page, "restored")
                 == [4 * width, 4 * height])
        wait_for("the video sent", lambda: self.size(page, "sent")
                 == [width, height])
        wait_for("the bicubic picture", lambda: page.evaluate(
            "document.getElementById('before').width") == 4 * width)
        wait_for("frames", lambda: (page.number_of("fps-shown") or 0) > 0)
        self.assertEqual(page.text("codec-now"), codec)
        self.check_alike(page)

    def check_alike(self, page):
        """The restored picture is like the one sent, and no empty one."""
        gray = """((name) => {
          const canvas = new OffscreenCanvas(16, 12);
          const context = canvas.getContext("2d");
          context.drawImage(document.getElementById(name), 0, 0, 16, 12);
          return [...context.getImageData(0, 0, 16, 12).data]
            .filter((_, i) => i % 4 === 1); })"""
        after, before = (page.evaluate(f"{gray}('{name}')")
                         for name in ("after", "before"))
        self.assertGreater(max(before) - min(before), 50)
        self.assertLess(media.mean_difference(after, before), 30)

    def check_frames_advance(self, page):
        frames = ("document.getElementById('restored')"
                  ".getVideoPlaybackQuality().totalVideoFrames")
        before = page.evaluate(frames)
        wait_for("more frames", lambda: page.evaluate(frames) >= before + 3)

    def test_vp8(self):
        page = self.open("?size=160x120&codec=VP8")
        self.check_video(page, "VP8", 160, 120)
        self.check_frames_advance(page)

        # The statistics move, and are plausible.
        latency = wait_for("a latency", lambda: page.number_of("latency"))
        self.assertTrue(0 < latency < 60000, latency)
        seen = set()
        wait_for("other figures", lambda: seen.add(tuple(map(
            page.text, ("fps-sent", "latency")))) or len(seen) > 1)

        # What the sliders show beside them is what the element says.
        self.assertEqual(page.text("consistency-now"), "0.75")
        self.assertEqual(page.evaluate(
            "document.getElementById('consistency').value"), "0.75")
        page.evaluate("""for (const [name, value] of [["detail", 0.5], ["consistency", 1.75]]) {
          const slider = document.getElementById(name);
          slider.value = value;
          slider.dispatchEvent(new Event("input")); }""")
        wait_for("the element to change", lambda: (page.text("detail-now"),
                 page.text("consistency-now")) == ("0.50", "1.75"))

        # Another one has a model of its own, a third is told.
        other = self.open("?size=160x90&codec=VP8")
        self.check_video(other, "VP8", 160, 90)
        self.assertEqual(other.text("detail-now"), "1.00")
        third = self.open()
        wait_for("a refusal", lambda: "All places are taken"
                 in third.text("status"))
        other.call("Page.bringToFront")
        self.stop(other)
        page.call("Page.bringToFront")
        self.check_frames_advance(page)

        # As congestion control does.
        page.evaluate("""(() => {
          const [sender] = connection.getSenders();
          const parameters = sender.getParameters();
          parameters.encodings[0].scaleResolutionDownBy = 2;
          return sender.setParameters(parameters); })()""")
        self.check_video(page, "VP8", 80, 60)
        self.check_frames_advance(page)
        self.stop(page)

    def test_h264(self):
        page = self.open("?size=160x90&codec=H264")
        if not page.evaluate("RTCRtpSender.getCapabilities('video').codecs"
                             ".some((c) => c.mimeType === 'video/H264')"):
            self.assertIn("This browser has no H264", page.text("status"))
            self.skipTest("this Chromium has no H.264")
        self.check_video(page, "H.264", 160, 90)
        self.check_frames_advance(page)
        self.stop(page)

    def test_delay(self):
        """Found again in pictures of something that moves, restored 400 ms
        late and a little otherwise; not where nothing moves."""
        page = self.chromium.open(self.server.url)
        self.addCleanup(page.call, "Page.close")
        found = page.evaluate("""import("/delay.js").then(({ Delay }) =>
          [1, 0].map((speed) => {
            const look = (time, noise) => Float32Array.from({ length: 384 },
              (_, i) => 100 * Math.sin((i + speed * time / 20) ** 2 / 900)
                + noise * ((i * 7919) % 13 - 6));
            const delay = new Delay();
            for (let time = 0; time < 8000; time += 33)
              delay.seen.push({ time, gray: look(time, 0) });
            for (let time = 5000; time < 8000; time += 120)
              delay.shown.push({ time, gray: look(time - 400, 1) });
            return delay.estimate(); }))""")
        self.assertAlmostEqual(found[0], 400, delta=40)
        self.assertIsNone(found[1])

    def test_camera_refused(self):
        page = self.open(camera="denied")
        wait_for("advice", lambda: "The camera was refused. Allow it"
                 in page.text("status"))
        self.assertEqual(page.text("start"), "Start camera")


if __name__ == "__main__":
    media.need("chromium" if "Browser" in sys.argv[3:] else "openssl")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
