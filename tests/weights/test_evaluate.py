#!/usr/bin/env python3
"""weights/evaluate: its measures against ffmpeg's, against Pillow and against
pictures whose motion and flicker are known; its pictures against the clip's
pixels; the element through it; what is wrong must be refused in a sentence.

    python3 -m venv v && v/bin/pip install -r weights/evaluator/requirements.txt
    v/bin/python tests/weights/test_evaluate.py BUILD-FOLDER [unittest's own]

Needs ffmpeg. What --networks measures is tried where its packages are.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from fractions import Fraction
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

import numpy as np                                              # noqa: E402
from PIL import Image                                           # noqa: E402

from evaluator import codec, colours, element, picture          # noqa: E402
from evaluator.clip import Clip, read_clip                      # noqa: E402
from evaluator.command import main, parse_settings              # noqa: E402
from evaluator.flow import Path                                 # noqa: E402
from evaluator.measures import Measures, mean, warping_error    # noqa: E402
from converter.problem import Problem                       # noqa: E402
from evaluator.source import Source, enlarge, make_source       # noqa: E402

BUILD = pathlib.Path(sys.argv.pop(1)).resolve() \
    if len(sys.argv) > 1 else None
MODEL = ROOT / "weights" / "dloral-small.safetensors"
CLIP = ROOT / "pipelines" / "clip.mkv"
SCALING = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
# chroma as MPEG-2 has it; of what comes in or goes out
SITED = f"scale=flags={SCALING}:{{0}}_h_chr_pos=0:{{0}}_v_chr_pos=128"
NETWORKS = all(importlib.util.find_spec(name) for name in (
    "torch", "torchvision", "lpips", "DISTS_pytorch"))


def ffmpeg(*arguments):
    return subprocess.run(
        ["ffmpeg", "-nostdin", "-hide_banner", "-y", *map(str, arguments)],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def raw(width, height, pix_fmt="rgb24"):
    return "-f", "rawvideo", "-pix_fmt", pix_fmt, "-s", f"{width}x{height}"


def texture(height, width, grain):
    """Smooth enough for optical flow, and nowhere flat."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (height // grain + 1, width // grain + 1,
                                    3))
    return np.asarray(Image.fromarray(np.uint8(coarse)).resize(
        (width, height), Image.Resampling.BICUBIC))


def pan(count, height, width, dx, dy, grain=4):
    """A picture that moves by whole pixels a frame."""
    large = texture(height + count * dy, width + count * dx, grain)
    return np.stack([large[t * dy:t * dy + height, t * dx:t * dx + width]
                     for t in range(count)])


def clip_of(frames, rate=25):
    return Clip(pathlib.Path("made"), frames, Fraction(rate))


class Case(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def video(self, frames, name="clip.mkv"):
        """A file that has exactly these frames."""
        source, path = self.folder / "frames.raw", self.folder / name
        source.write_bytes(frames.tobytes())
        ffmpeg(*raw(frames.shape[2], frames.shape[1]), "-r", 25, "-i", source,
               "-c:v", "ffv1", "-pix_fmt", "bgr0", path)
        return path

    def evaluate(self, *arguments):
        """(exit status, stdout, stderr)"""
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), \
                contextlib.redirect_stderr(complained):
            status = main(list(map(str, arguments)))
        return status, said.getvalue(), complained.getvalue()

    def rows(self, *arguments):
        status, said, complained = self.evaluate(*arguments, "--json")
        self.assertEqual((status, complained), (0, ""))
        return [json.loads(line) for line in said.splitlines()]

    def launcher(self, script):
        """In gst-launch-1.0's place."""
        path = self.folder / "bin" / "gst-launch-1.0"
        path.parent.mkdir()
        path.write_text(f"#!{sys.executable}\nimport sys, time\n{script}\n")
        path.chmod(0o755)
        patch = mock.patch.dict(os.environ, PATH=str(path.parent))
        patch.start()
        self.addCleanup(patch.stop)


# --- Measures ----------------------------------------------------------------

class Likeness(Case):
    def ffmpeg_measures(self, name, a, b):
        """Of the luma, frame by frame."""
        height, width = a.shape[1:3]
        paths = [self.folder / "a.raw", self.folder / "b.raw"]
        for path, frames in zip(paths, (a, b)):
            path.write_bytes(frames.tobytes())
        lines = self.folder / "lines"
        inputs = [word for path in paths
                  for word in (*raw(width, height), "-i", path)]
        to_yuv = f"scale=flags={SCALING},format=yuv444p"
        ffmpeg(*inputs, "-lavfi", f"[0]{to_yuv}[a];[1]{to_yuv}[b];"
               f"[a][b]{name}=stats_file={lines}", "-f", "null", "-")
        key = {"psnr": "psnr_y", "ssim": "Y"}[name]
        return [float(re.search(rf"\b{key}:([\d.]+)", line)[1])
                for line in lines.read_text().splitlines()]

    def setUp(self):
        super().setUp()
        self.truth = read_clip(CLIP, 0, 8, None)
        self.plain = enlarge(make_source(self.truth, "rgb", None, 0))
        self.found = Measures(self.truth.frames)(self.plain)

    def test_psnr(self):
        expected = self.ffmpeg_measures("psnr", self.plain, self.truth.frames)
        self.assertEqual(len(expected), 8)
        self.assertAlmostEqual(self.found["psnr_y"], np.mean(expected),
                               delta=.02)

    def test_ssim(self):
        """ffmpeg's windows are 8×8 and not weighted."""
        expected = self.ffmpeg_measures("ssim", self.plain, self.truth.frames)
        self.assertAlmostEqual(self.found["ssim"], np.mean(expected),
                               delta=.03)

    def test_equal(self):
        found = Measures(self.truth.frames)(self.truth.frames)
        self.assertGreater(found["psnr_y"], 130)
        self.assertAlmostEqual(found["ssim"], 1)

    def test_noise(self):
        """PSNR of a known difference."""
        frames = pan(2, 64, 64, 0, 0)
        found = Measures(frames)(frames + np.uint8(10))
        grey = 10 * 219 / 255       # of the luma, 16 … 235
        self.assertAlmostEqual(found["psnr_y"],
                               20 * np.log10(255 / grey), places=6)


class Steadiness(Case):
    SHIFT = 3, 2

    def setUp(self):
        super().setUp()
        dx, dy = self.SHIFT
        self.still = pan(6, 96, 128, dx, dy)
        y, x = np.mgrid[0:96, 0:128].astype(np.float32)
        sure = (x + dx < 128) & (y + dy < 96)
        # a pixel of this frame was further right and down in the one before
        self.path = Path(x + dx, y + dy, sure)

    def flickering(self):
        """Each frame brighter or darker as a whole; and the error of that."""
        levels = np.array([0, 9, -4, 6, -10, 3])
        frames = np.uint8(self.still + levels[:, None, None, None])
        return frames, float(np.mean(np.diff(levels / 255) ** 2))

    def test_translation(self):
        for before, now in zip(self.still, self.still[1:]):
            self.assertEqual(warping_error(before, now, self.path), 0)

    def test_flicker(self):
        frames, expected = self.flickering()
        found = [warping_error(before, now, self.path)
                 for before, now in zip(frames, frames[1:])]
        self.assertAlmostEqual(np.mean(found), expected, places=9)

    def test_noise(self):
        """Of variance v in every frame: 2·v between two."""
        rng = np.random.default_rng(1)
        noisy = self.still + np.round(rng.normal(0, 5, self.still.shape))
        found = [warping_error(before, now, self.path)
                 for before, now in zip(noisy, noisy[1:])]
        self.assertAlmostEqual(np.mean(found) * 255 ** 2,
                               2 * (5 ** 2 + 1 / 12), delta=1)

    def test_motion_found(self):
        """Along the optical flow of the ground truth."""
        measures = Measures(self.still)
        middle = np.s_[24:-24, 24:-24]
        for path in measures.paths:
            for found, true in zip(path[:2], self.path[:2]):
                self.assertLess(np.abs(found - true)[middle].mean(), .1)
            self.assertGreater(path.sure[middle].mean(), .95)
        alone = measures(self.still)["warping_error_e3"]
        frames, expected = self.flickering()
        found = measures(frames)["warping_error_e3"]
        self.assertLess(alone, .05)
        self.assertAlmostEqual(found, alone + 1e3 * expected,
                               delta=.05 * found)

    def test_detail(self):
        """Energy: half the contrast has a quarter; none is in a flat clip."""
        measures = Measures(self.still)
        self.assertAlmostEqual(measures(self.still)["detail_percent"], 100)
        paler = np.float32(self.still) / 2 + 60
        self.assertAlmostEqual(measures(paler)["detail_percent"], 25)
        flat = np.full_like(self.still, 90)
        self.assertIsNone(Measures(flat)(self.still)["detail_percent"])

    def test_cut(self):
        """Nothing can be followed: no figure, and the others' mean."""
        nowhere = self.path._replace(sure=np.zeros((96, 128), bool))
        self.assertIsNone(warping_error(*self.still[:2], nowhere))
        self.assertEqual(mean([1, None, 3]), 2)
        self.assertIsNone(mean([None]))


@unittest.skipUnless(NETWORKS, "torch, lpips or DISTS_pytorch is missing")
class Perception(Case):
    """On a VGG16 of random weights, as none is shipped."""

    @classmethod
    def setUpClass(cls):
        import torch
        from evaluator.networks import Networks
        from torchvision.models import vgg16
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.hub = pathlib.Path(temporary.name)
        torch.manual_seed(1)
        # the last layers, which nobody uses, take no room
        cls.state = {
            name: value.flatten()[:1].clone().expand(value.shape)
            if name.startswith("classifier") else value
            for name, value in vgg16(weights=None).state_dict().items()}
        torch.save(cls.state, cls.hub / "vgg16-397923af.pth")
        cls.networks = Networks(cls.hub)

    def setUp(self):
        super().setUp()
        self.truth = pan(3, 64, 64, 1, 1)
        rng = np.random.default_rng(2)
        self.other = np.uint8(np.clip(self.truth + rng.normal(
            0, 12, self.truth.shape), 0, 255))

    def reference(self):
        """LPIPS, its network filled by hand."""
        import lpips
        import torch
        made = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()
        made.net.load_state_dict({
            name: self.state["features." + name.partition(".")[2]]
            for name in made.net.state_dict()})

        def distance(a, b):
            a, b = (torch.tensor(np.moveaxis(x, -1, 0)[None] / 127.5 - 1,
                                 dtype=torch.float32) for x in (a, b))
            with torch.no_grad():
                return made(a, b).item()
        return distance

    def test_values(self):
        measure = Measures(self.truth, self.networks)
        found, distance = measure(self.other), self.reference()
        self.assertAlmostEqual(found["lpips"], np.mean(
            [distance(*pair) for pair in zip(self.other, self.truth)]),
            places=5)
        changes = [np.array([distance(b, a) for a, b in zip(f, f[1:])])
                   for f in (self.other, self.truth)]
        self.assertAlmostEqual(found["tlp_e2"], 100 * np.mean(
            np.abs(changes[0] - changes[1])), places=3)
        self.assertGreater(found["dists"], 1e-4)

    def test_equal(self):
        found = Measures(self.truth, self.networks)(self.truth)
        for name in "lpips", "dists", "tlp_e2":
            self.assertAlmostEqual(found[name], 0, places=5)

    def test_command(self):
        clip = self.video(self.truth)
        status, said, complained = self.evaluate(
            MODEL, clip, "--networks", self.hub)
        self.assertEqual((status, complained), (0, ""))
        self.assertRegex(said, r"tLP e-2 +LPIPS +DISTS +fps\n")

    def test_another_file(self):
        (self.folder / "vgg16-397923af.pth").write_bytes(b"nothing")
        status, said, complained = self.evaluate(
            MODEL, CLIP, "--networks", self.folder)
        self.assertEqual((status, said), (1, ""))
        self.assertRegex(complained, "397923af.pth is not torchvision's VGG16")

    def test_another_network(self):
        import torch
        torch.save({"a": torch.zeros(1)}, self.folder / "vgg16-397923af.pth")
        status, said, complained = self.evaluate(
            MODEL, CLIP, "--networks", self.folder)
        self.assertEqual((status, said), (1, ""))
        self.assertRegex(complained, "397923af.pth is not torchvision's VGG16")


# --- From the clip to the element --------------------------------------------

class Reading(Case):
    def test_frames(self):
        """What ffmpeg reads of it, cropped; first and frames."""
        done = ffmpeg("-i", CLIP, "-vf", SITED.format("in"), "-f", "rawvideo",
                      "-pix_fmt", "rgb24", "-")
        expected = np.frombuffer(done.stdout, np.uint8).reshape(
            -1, 108, 192, 3)[5:12, :104]
        clip = read_clip(CLIP, 5, 7, None)
        self.assertEqual(clip.rate, 20)
        difference = np.abs(clip.frames - expected.astype(int))
        self.assertLessEqual(difference.max(), 1)

    def test_all_there_are(self):
        self.assertEqual(len(read_clip(CLIP, 58, 90, None).frames), 2)

    def test_exact(self):
        frames = pan(3, 64, 72, 1, 1)
        np.testing.assert_array_equal(
            read_clip(self.video(frames), 0, 9, None).frames, frames)

    def test_size(self):
        """Half of it: the mean of every four pixels."""
        frames = pan(2, 128, 144, 1, 1)
        found = read_clip(self.video(frames), 0, 9, (18, 16)).frames
        expected = frames.reshape(2, 64, 2, 72, 2, 3).mean((2, 4))
        self.assertLessEqual(np.abs(found - expected).max(), .5)


class Sources(Case):
    def setUp(self):
        super().setUp()
        self.clip = clip_of(pan(12, 96, 128, 2, 1))

    def test_bicubic(self):
        plain = enlarge(make_source(self.clip, "rgb", None, 0))
        for found, frame in zip(plain, self.clip.frames):
            small = Image.fromarray(frame).resize((32, 24), Image.BICUBIC)
            np.testing.assert_array_equal(
                found, small.resize((128, 96), Image.BICUBIC))

    def test_i420(self):
        """The planes that ffmpeg makes, and of them its pixels."""
        path = self.folder / "frame"
        frame = pan(1, 96, 128, 0, 0, 32)[0]
        planes = colours.to_i420(frame)
        for given, made, way, (before, after) in (
                (frame, planes, "out", ("rgb24", "yuv420p")),
                (planes, colours.to_rgb(planes), "in", ("yuv420p", "rgb24"))):
            path.write_bytes(given.tobytes())
            done = ffmpeg(*raw(128, 96, before), "-i", path,
                          "-vf", SITED.format(way),
                          "-f", "rawvideo", "-pix_fmt", after, "-")
            expected = np.frombuffer(done.stdout, np.uint8)
            difference = np.abs(made.ravel() - expected.astype(int))
            self.assertLess(difference.mean(), .2)
            self.assertLessEqual(difference.max(), 2)

    def test_one_start(self):
        """Bicubic starts from what the element is given."""
        for format, name in (("rgb", None), ("i420", None), ("rgb", "h264"),
                             ("i420", "h264"), ("i420", "vp8")):
            source = make_source(self.clip, format, name, 20000)
            given = source.frames if format == "rgb" else [
                colours.to_rgb(planes) for planes in source.frames]
            np.testing.assert_array_equal(source.rgb, given)

    def test_no_delay(self):
        """Every frame comes back in its own place, whatever the codec."""
        planes = [colours.to_i420(f) for f in self.clip.frames]
        for name in codec.CODECS:
            back = codec.transmit(planes, name, 8000000, Fraction(25))
            errors = np.array([[np.square(a - b.astype(float)).mean()
                                for b in planes] for a in back])
            self.assertEqual(errors.argmin(1).tolist(), list(range(12)))
            self.assertLess(np.diag(errors).mean(), 4)

    def test_bitrate(self):
        """Fewer bits, more damage."""
        truth = read_clip(CLIP, 0, 40, None)
        planes = [colours.to_i420(f) for f in truth.frames]
        for name in codec.CODECS:
            errors = [np.square(np.stack(codec.transmit(
                planes, name, bits, truth.rate)) - np.float32(planes)).mean()
                for bits in (50000, 200000, 2000000)]
            self.assertGreater(errors[0], 1.5 * errors[1])
            self.assertGreater(errors[1], 1.5 * errors[2])


class Element(Case):
    def test_bypass(self):
        """What went in comes out, enlarged: every frame, row and column is
        where it belongs, also where GStreamer pads rows."""
        for height, width in (96, 128), (64, 72):
            clip = clip_of(pan(4, height, width, 1, 1))
            source = make_source(clip, "rgb", None, 0)
            out = element.run(source, {"bypass": "true"}, clip.rate)
            difference = np.abs(out.frames - enlarge(source).astype(int))
            self.assertLess(difference.mean(), 1)
            self.assertGreater(out.fps, 0)

    def test_i420(self):
        """The element's colours are those that are counted on: it restores
        I420 as it does the RGB that we take it for."""
        for height, width in (96, 128), (64, 72):
            clip = clip_of(pan(3, height, width, 1, 1, 16))
            planes = make_source(clip, "i420", None, 0)
            settings = {"model": str(MODEL), "precision": "f32"}
            found, same = (
                element.run(source, settings, clip.rate).frames
                for source in (planes, Source("rgb", planes.rgb, planes.rgb)))
            for a, b in zip(found, same):
                b = colours.to_rgb(colours.to_i420(b)).astype(int)
                self.assertLess(np.abs(a - b).mean(), .5)

    def test_any_path(self):
        """gst-launch has a grammar of its own."""
        path = self.folder / 'a "b", c=d\\e ! f'
        shutil.copyfile(MODEL, path)
        clip = clip_of(pan(3, 64, 64, 1, 1))
        source = make_source(clip, "rgb", None, 0)
        settings = {"model": str(path), "threads": "1"}
        element.check(settings)
        self.assertEqual(
            len(element.run(source, settings, clip.rate).frames), 3)

    def test_fps(self):
        """The wait for the first frame is not counted."""
        self.launcher("time.sleep(.5)\n"
                      "for i in range(9):\n"
                      "    sys.stdout.buffer.write(bytes(64 * 64 * 3))\n"
                      "    sys.stdout.flush()\n"
                      "    time.sleep(.1)")
        source = make_source(clip_of(pan(9, 64, 64, 1, 1)), "rgb", None, 0)
        self.assertAlmostEqual(element.run(source, {}, Fraction(25)).fps, 10,
                               delta=1.5)

    def test_build_folder(self):
        """Beside the script, where GST_PLUGIN_PATH says nothing."""
        with mock.patch.dict(os.environ), \
                mock.patch.object(element, "BUILT", BUILD / "gst"):
            del os.environ["GST_PLUGIN_PATH"]
            element.check({"model": str(MODEL)})

    def test_settings(self):
        self.assertEqual(parse_settings("a=1,b-c=x,y=z=,3"), {
            "a": "1", "b-c": "x", "y": "z=,3"})
        self.assertEqual(parse_settings("prompt=a cat, a dog,precision=f32"),
                         {"prompt": "a cat, a dog", "precision": "f32"})


# --- What it shows -----------------------------------------------------------

def holds(sheet, part):
    """Whether these pixels are somewhere on the sheet."""
    height, width = part.shape[:2]
    found = np.all(sheet[:len(sheet) - height + 1,
                         :sheet.shape[1] - width + 1] == part[0, 0], axis=-1)
    return any(np.array_equal(sheet[y:y + height, x:x + width], part)
               for y, x in np.argwhere(found))


class Pictures(Case):
    def setUp(self):
        super().setUp()
        self.out = self.folder / "out.png"
        self.frames = pan(20, 96, 128, 1, 0)
        # one thing moves much, in a column that can be told
        self.frames[::2, 20:60, 70] = 255, 255, 255
        self.frames[1::2, 20:60, 70] = 0, 0, 0

    def sheet(self, option):
        clip = self.video(self.frames)
        self.rows(MODEL, clip, option, self.out, "--with", "bypass=true")
        self.assertEqual(list(self.folder.glob("*.part")), [])
        return np.asarray(Image.open(self.out).convert("RGB"))

    def shown(self):
        """Ground truth and bicubic."""
        return self.frames, enlarge(make_source(clip_of(self.frames), "rgb",
                                                None, 0))

    def test_profile(self):
        """Time goes right: frame t is column t, 18 pixels wide."""
        sheet = self.sheet("--profile")
        for frames in self.shown():
            strip = np.stack([frame[:, 70] for frame in frames], axis=1)
            self.assertTrue(holds(sheet, strip.repeat(3, 0).repeat(18, 1)))

    def test_frame(self):
        sheet = self.sheet("--frame")
        for frames in self.shown():
            self.assertTrue(any(
                holds(sheet, frames[10, 16:80, x:x + 64]
                      .repeat(4, 0).repeat(4, 1)) for x in range(16, 49)))

    def test_replaced_whole(self):
        self.out.write_text("older")
        self.assertEqual(self.sheet("--profile").shape[2], 3)


class Command(Case):
    def test_default_model(self):
        plain, restored, same = self.rows(
            MODEL, CLIP, "--frames", 30, "--with", "precision=f32")
        self.assertEqual([plain["row"], restored["row"], same["row"]],
                         ["bicubic", "dloral-small", "precision=f32"])
        self.assertEqual((plain["clip"], plain["frames"], plain["source"]),
                         (str(CLIP), 30, "48x26 RGB"))
        self.assertIsNone(plain["fps"])
        self.assertGreater(restored["fps"], 1)
        self.assertGreater(restored["psnr_y"], plain["psnr_y"] + .1)
        self.assertGreater(restored["ssim"], plain["ssim"])
        self.assertAlmostEqual(restored["psnr_y"], same["psnr_y"], delta=.1)
        for row in plain, restored:
            self.assertGreater(row["warping_error_e3"], 0)
            self.assertLess(row["warping_error_e3"], 10)
            self.assertLess(row["ssim"], 1)
            self.assertNotIn("lpips", row)

    def test_settings_are_set(self):
        """A row that only enlarges is bicubic's."""
        plain, restored, bypassed = self.rows(
            MODEL, CLIP, "--frames", 10, "--with", "bypass=true,threads=1")
        self.assertAlmostEqual(plain["psnr_y"], bypassed["psnr_y"], delta=.01)
        self.assertNotAlmostEqual(plain["psnr_y"], restored["psnr_y"],
                                  delta=.1)

    def test_table(self):
        done = subprocess.run(
            [ROOT / "weights" / "evaluate", MODEL, CLIP, CLIP, "--frames",
             "5", "--size", "32x18", "--codec", "vp8", "--bitrate", "50k"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PATH": os.pathsep.join([
                os.path.dirname(sys.executable), os.environ["PATH"]])})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        figures = r" +\d+\.\d\d +0\.\d{4} +\d\.\d{5} +\d+\.\d +"
        self.assertRegex(done.stdout, (
            rf"^({re.escape(str(CLIP))}: 5 frames, from 32x18 RGB, vp8 at "
            r"50k\n +PSNR-Y +SSIM +warp e-3 +detail % +fps\n"
            rf"bicubic{figures}-\ndloral-small{figures}\d+\.\d\n){{2}}$"))


# --- What is wrong -----------------------------------------------------------

class Refusals(Case):
    def check(self, message, *arguments):
        """One line that says it, nothing else, nothing written."""
        before = sorted(self.folder.rglob("*"))
        status, said, complained = self.evaluate(*arguments)
        self.assertEqual(status, 1)
        self.assertRegex(complained, rf"\Aevaluate: .*(?:{message}).*\n\Z")
        self.assertEqual(said, "")
        self.assertEqual(sorted(self.folder.rglob("*")), before)

    # the clip

    def test_no_clip(self):
        self.check("absent.mkv: cannot be read: No such file", MODEL,
                   self.folder / "absent.mkv")

    def test_no_video(self):
        self.check("cannot be read: Invalid data", MODEL, MODEL)

    def test_a_folder(self):
        self.check("cannot be read: Is a directory", MODEL, self.folder)

    def test_only_sound(self):
        path = self.folder / "sound.wav"
        ffmpeg("-f", "lavfi", "-i", "sine=d=1", path)
        self.check("sound.wav: has no video", MODEL, path)

    def test_too_few(self):
        self.check("at least 2 frames from frame 59 on, found 1", MODEL, CLIP,
                   "--first", 59)
        self.check("at least 2 frames from frame 99 on, found 0", MODEL, CLIP,
                   "--first", 99)

    def test_too_few_asked_for(self):
        self.check("expected at least 0 and 2, found 0 and 1", MODEL, CLIP,
                   "--frames", 1)
        self.check("expected at least 0 and 2, found -1 and 90", MODEL, CLIP,
                   "--first", -1)

    def test_too_small(self):
        path = self.video(pan(3, 60, 80, 1, 1))
        self.check("sides of at least 64 pixels, found 80x60", MODEL, path)

    def test_smaller_than_asked_for(self):
        self.check("at least 640x480, .* found 192x108", MODEL, CLIP,
                   "--size", "160x120")

    def test_size_that_changes(self):
        parts = [self.video(pan(3, side, 64, 1, 1), f"{side}.mkv")
                 for side in (64, 96)]
        path = self.folder / "both.mjpeg"
        with open(path, "wb") as both:
            for part in parts:
                ffmpeg("-i", part, part.with_suffix(".mjpeg"))
                both.write(part.with_suffix(".mjpeg").read_bytes())
        self.check("frames of one size, found another one in frame 3", MODEL,
                   path)

    # the element

    def test_no_model(self):
        self.check('The model file ".*absent" does not exist', self.folder /
                   "absent", CLIP)

    def test_another_model(self):
        self.check('clip.mkv" is not a model that can be used.*safetensors',
                   CLIP, CLIP)

    def test_property(self):
        self.check('no property "sharpness" in element "dloral"', MODEL, CLIP,
                   "--with", "sharpness=3")

    def test_value(self):
        self.check('could not set property "precision" .* to "f99"', MODEL,
                   CLIP, "--with", "bypass=true", "--with", "precision=f99")

    def test_range(self):
        self.check('value "9.0+" .* out of range for property .detail-str',
                   MODEL, CLIP, "--with", "detail-strength=9")

    def test_what_frames_show(self):
        """Refused when the first frame comes, and not before."""
        self.check("is not calibrated", MODEL, CLIP, "--with", "precision=fp8")

    def test_no_value(self):
        for text in "bypass", "=3", "! fakesink ! x=3", "":
            self.check("--with: expected PROPERTY=VALUE", MODEL, CLIP,
                       "--with", text)

    def test_no_plugin(self):
        with mock.patch.dict(os.environ, GST_PLUGIN_PATH=str(self.folder)):
            self.check("the plugin is neither in .* nor where GST_PLUGIN_PATH",
                       MODEL, CLIP)

    def test_no_launcher(self):
        with mock.patch.dict(os.environ, PATH=str(self.folder)):
            self.check("gst-launch-1.0 is missing", MODEL, CLIP)

    def test_lost_frames(self):
        self.launcher("sys.stdout.buffer.write(bytes(64 * 64 * 3 + 1))")
        self.check("expected 2 frames of 12288 bytes, found 1;", MODEL, CLIP)

    def test_frames_too_many(self):
        self.launcher("sys.stdout.buffer.write(bytes(64 * 64 * 3 * 3))")
        self.check("expected 2 frames of .*, found more;", MODEL, CLIP)

    def test_a_failure_on_the_way(self):
        """In the clip, its smallest frames have passed."""
        self.launcher(
            "if any('width=16,' in a for a in sys.argv):\n"
            "    sys.stdout.buffer.write(bytes(64 * 64 * 3 * 2))\n"
            "else:\n"
            "    sys.exit('ERROR: from element /a/b:c: There is no memory.')")
        status, _, complained = self.evaluate(MODEL, CLIP, "--frames", 5)
        self.assertEqual((status, complained), (
            1, "evaluate: dloral: There is no memory.\n"))

    def test_it_says_nothing(self):
        self.launcher("sys.exit(3)")
        self.check("gst-launch-1.0 failed with status 3", MODEL, CLIP)

    def test_it_stays(self):
        """As gst-launch does where it failed before it began to wait."""
        self.launcher("sys.stderr.write('ERROR: from element /a/b:c: No.\\n"
                      "ERROR: pipeline doesn\\'t want to preroll.\\n')\n"
                      "sys.stderr.flush()\n"
                      "time.sleep(60)")
        begin = time.monotonic()
        self.check("dloral: No.", MODEL, CLIP)
        self.assertLess(time.monotonic() - begin, 10)

    # the options

    def test_size(self):
        for text in "160", "160x", "0x0", "14x16", "161x120", "-16x16":
            self.check("--size: expected WIDTHxHEIGHT", MODEL, CLIP,
                       f"--size={text}")

    def test_bitrate(self):
        for text in "fast", "-3k", "0", "k", "1e5", "9999999M":
            self.check("--bitrate: expected bits a second", MODEL, CLIP,
                       "--codec", "vp8", f"--bitrate={text}")

    def test_one_of_two(self):
        self.check("--codec and --bitrate: expected both or none", MODEL,
                   CLIP, "--codec", "h264")
        self.check("--codec and --bitrate: expected both or none", MODEL,
                   CLIP, "--bitrate", "200k")

    def test_networks(self):
        self.check("expected vgg16-397923af.pth|package .* is missing", MODEL,
                   CLIP, "--networks", self.folder)

    def test_packages(self):
        sys.modules.pop("evaluator.networks", None)
        with mock.patch.dict(sys.modules, {"DISTS_pytorch": None}):
            self.check("package DISTS_pytorch is missing; pip install", MODEL,
                       CLIP, "--networks", self.folder)

    # the pictures

    def test_picture(self):
        for option in "--profile", "--frame":
            self.check("cannot be written: No such file", MODEL, CLIP, option,
                       self.folder / "absent" / "out.png")
            self.check("name of a picture, found a folder", MODEL, CLIP,
                       option, self.folder)

    def test_full_disk(self):
        out = self.folder / "out.png"
        out.with_name("out.png.part").symlink_to("/dev/full")
        with self.assertRaisesRegex(Problem, "written: No space left"):
            picture.write(out, [picture.Panel("a", pan(1, 64, 64, 0, 0)[0])])
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_two_clips(self):
        self.check("a picture shows one clip, found 2", MODEL, CLIP, CLIP,
                   "--frame", self.folder / "out.png")


if __name__ == "__main__":
    if BUILD is None or not BUILD.is_dir():
        sys.exit("use: test_evaluate.py BUILD-FOLDER")
    os.environ["GST_PLUGIN_PATH"] = str(BUILD / "gst")
    unittest.main()
