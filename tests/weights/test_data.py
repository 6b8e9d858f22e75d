#!/usr/bin/env python3
"""The trainer's data (weights/train): that a sample is a function of its
number, that the motion is true, that coding codes, that bad input is refused
in a line.

    python3 -m venv v && v/bin/pip install -r weights/train/requirements.txt
    v/bin/python tests/weights/test_data.py [unittest's own]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import contextlib
import hashlib
import io
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest
from fractions import Fraction
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

import av                                                       # noqa: E402
import numpy as np                                              # noqa: E402
from PIL import Image                                           # noqa: E402
from torch.utils.data import DataLoader, Subset                 # noqa: E402

from train import augment, clips, codecs, kernels, noise        # noqa: E402
from train import samples, scenes, shifts                       # noqa: E402
from train.degrade import Kind, degrade, subsample_chroma       # noqa: E402
from evaluator.flow import optical_flow                         # noqa: E402
from converter.problem import Problem                       # noqa: E402
from train.resize import shrink                                 # noqa: E402
from train.samples import DataConfig, Samples                   # noqa: E402
from train.yuv import to_i420, to_rgb                           # noqa: E402

SHARP = scenes.Lens(0., 1., 0., 0.)
SMALL = {"side": 64, "scene_side": 96, "scene_window": 3}


def only(kind, **others):
    """A config of one kind of degradation."""
    shares = {str(k): float(k == kind) for k in Kind}
    return DataConfig(**{**SMALL, **shares, **others})


def warp(picture, flow):
    """Bilinear, in plain numpy; what is outside is the border's."""
    h, w = picture.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(float)
    x, y = np.clip(x + flow[..., 0], 0, w - 1), np.clip(
        y + flow[..., 1], 0, h - 1)
    i, j = np.minimum(x.astype(int), w - 2), np.minimum(y.astype(int), h - 2)
    a, b = (x - i)[..., None], (y - j)[..., None]
    p = picture.astype(float)
    return ((p[j, i] * (1 - a) + p[j, i + 1] * a) * (1 - b)
            + (p[j + 1, i] * (1 - a) + p[j + 1, i + 1] * a) * b)


def misses(scene):
    """How far warped frames are from the true ones where that is sure, and
    how far they would be without motion: mean levels."""
    moved, still = [], []
    for t in range(len(scene.flow)):
        now, sure = scene.frames[t + 1].astype(float), scene.sure[t]
        moved.append(abs(warp(scene.frames[t], scene.flow[t]) - now)[sure])
        still.append(abs(scene.frames[t] - now)[sure])
    return np.concatenate(moved).mean(), np.concatenate(still).mean()


def psnr(a, b):
    return 10 * math.log10(255 ** 2 / max(
        ((a.astype(float) - b) ** 2).mean(), 1e-6))


def numpy_of(sample):
    """A sample as a scene, in levels."""
    planes = {k: v.numpy().transpose(0, 2, 3, 1) for k, v in sample.items()}
    return scenes.Scene(np.rint((planes["hr"] + 1) * 127.5).astype(np.uint8),
                        planes["flow"], planes["sure"][..., 0] > .5)


def digest(sample):
    return hashlib.sha256(b"".join(
        sample[k].numpy().tobytes() for k in sorted(sample))).hexdigest()


class Repeats(unittest.TestCase):
    """The same number gives the same sample."""
    NUMBERS = 0, 7, 1, 40

    def digests(self, moving):
        some = Samples(DataConfig(**SMALL), 3, moving)
        return [digest(some[n]) for n in self.NUMBERS]

    def test_in_any_order(self):
        for moving in (True, False):
            some = Samples(DataConfig(**SMALL), 3, moving)
            backwards = [digest(some[n]) for n in self.NUMBERS[::-1]][::-1]
            self.assertEqual(self.digests(moving), backwards)
            self.assertEqual(len(set(backwards)), len(self.NUMBERS))

    def test_in_another_process(self):
        code = "import test_data; print(*test_data.Repeats().digests(True))"
        out = subprocess.run(
            [sys.executable, "-c", code], check=True, text=True,
            capture_output=True, cwd=ROOT / "tests" / "weights").stdout
        self.assertEqual(out.split(), self.digests(True))

    def test_in_data_processes(self):
        """Forked after OpenCV was at work, and begun anew."""
        numbers = range(4)
        some = Samples(DataConfig(scene_window=3), 3, True)
        expected = [digest(some[n]) for n in numbers]
        for method in ("fork", "spawn"):
            loader = DataLoader(Subset(some, numbers), None, num_workers=1,
                                multiprocessing_context=method, timeout=60)
            self.assertEqual([digest(s) for s in loader], expected)

    def test_depends_on_seed_and_stage(self):
        config = DataConfig(**SMALL)
        self.assertEqual(len({digest(Samples(config, *rest)[0]) for rest in (
            (3, True), (4, True), (3, False))}), 3)

    def test_long_scene_begins_as_short_one(self):
        for number in range(4):
            short, long = (scenes.scene(2, number, t, 64) for t in (3, 6))
            for a, b in zip(short, long):
                np.testing.assert_array_equal(a, b[:len(a)])


class Motion(unittest.TestCase):
    def test_drawn_scenes(self):
        all_moved, all_still = [], []
        for number in range(16):
            moved, still = misses(scenes.scene(11, number, 3, 128, SHARP))
            self.assertLess(moved, 6, number)      # fine texture, half a pixel
            all_moved.append(moved)
            all_still.append(still)
        self.assertLess(np.median(all_moved), 1)
        self.assertGreater(sum(all_still), 4 * sum(all_moved))

    def test_what_is_not_sure_differs(self):
        sure, unsure = [], []
        for number in range(16):
            s = scenes.scene(11, number, 2, 128, SHARP)
            d = abs(warp(s.frames[0], s.flow[0]) - s.frames[1]).mean(-1)
            sure.append(d[s.sure[0]])
            unsure.append(d[~s.sure[0]])
        self.assertGreater(np.concatenate(unsure).mean(),
                           8 * np.concatenate(sure).mean())

    def test_two_layers(self):
        """A rectangle that moves by (3, -2) before a background that moves by
        (-2, 1): worked out by hand."""
        side, n = 64, 2 * 64 + 160
        rng = np.random.default_rng(5)
        fast, slow, none = (
            scenes.Path(np.array([0, 1, 0, 0.]), np.array([0, 0, *v]), 1e9,
                        0., np.zeros((0, 4))) for v in ((3, -2), (-2, 1),
                                                        (0, 0)))
        pictures = [np.float32(rng.uniform(0, 255, (n // 4, n // 4, 3)))
                    .repeat(4, 0).repeat(4, 1) for _ in range(2)]
        mask = np.zeros((n, n), np.float32)     # pixels 20 … 39 × 24 … 47
        mask[n // 2 - 64 + 48:n // 2 - 64 + 96,
             n // 2 - 64 + 40:n // 2 - 64 + 80] = 1
        scene = scenes.film(
            [scenes.Layer(pictures[0], None, slow, 0.),
             scenes.Layer(pictures[1], mask, fast, 0.)],
            none, 3, side, SHARP, [0, 0])
        for t in (1, 2):
            front, sure = np.zeros((2, side, side), bool)
            for y in range(side):
                for x in range(side):
                    def covered(x, y, t):
                        return 20 <= x - 3 * t < 40 and 24 <= y + 2 * t < 48
                    front[y, x] = covered(x, y, t)
                    u, v = (-3, 2) if front[y, x] else (2, -1)
                    sure[y, x] = (
                        0 <= x + u < side and 0 <= y + v < side
                        and covered(x + u, y + v, t - 1) == front[y, x])
            flow = np.where(front[..., None], [-3, 2], [2, -1])
            np.testing.assert_allclose(scene.flow[t - 1], flow, atol=1e-3)
            np.testing.assert_array_equal(scene.sure[t - 1], sure)
            d = warp(scene.frames[t - 1], flow) - scene.frames[t]
            self.assertLessEqual(abs(d[sure]).max(), 1)

    def test_swings_and_stays(self):
        path = scenes.path(np.random.default_rng(1), np.array([0, 1, 0, 0]),
                           True, False)
        way = np.array([path.at(t)[:2, 2] for t in range(400)])
        step = np.hypot(*(way[1:] - way[:-1]).T)
        self.assertLessEqual(step.max(), np.hypot(*path.speed[2:]) + 1e-9)
        self.assertLess(np.abs(way).max(), 2 * 20 * 160 / math.pi)

    def test_shifted_stills(self):
        still = scenes.scene(1, 3, 1, 128, SHARP).frames[0]
        whole = 0
        for k in range(12):
            scene = shifts.shifted(np.random.default_rng(k), still, 4, 64)
            moved, unmoved = misses(scene)
            if np.array_equal(scene.flow, np.rint(scene.flow)):
                whole += 1
                self.assertEqual(moved, 0)
            self.assertLess(moved, max(.5 * unmoved, .01))
        self.assertTrue(2 < whole < 12)

    def test_still_no_larger_than_sample(self):
        still = np.zeros((64, 64, 3), np.uint8)
        scene = shifts.shifted(np.random.default_rng(0), still, 3, 64)
        self.assertFalse(scene.flow.any())
        self.assertTrue(scene.sure.all())

    def test_turned(self):
        scene = next(s for s in (scenes.scene(11, n, 3, 96, SHARP)
                                 for n in range(99)) if misses(s)[1] > 6)
        turned = {}
        for k in range(40):
            s = augment.turn(np.random.default_rng(k), scene)
            self.assertAlmostEqual(misses(s)[0], misses(scene)[0], places=1)
            turned[s.frames.tobytes()] = s
        self.assertEqual(len(turned), 8)

    def test_samples(self):
        for moving in (True, False):
            some = Samples(DataConfig(**{**SMALL, "fade": 0.}), 8, moving)
            for n in range(8):
                moved, still = misses(numpy_of(some[n]))
                self.assertLess(moved, max(.5 * still, 4))

    def test_optical_flow(self):
        still = scenes.scene(1, 7, 1, 160, SHARP).frames[0]
        flow, sure = optical_flow(still[:128, :128], still[3:131, 5:133])
        self.assertGreater(sure.mean(), .7)
        off = np.hypot(*(flow[sure] - [-5, -3]).T)
        self.assertLess(np.median(off), .5)


class Degradation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hr = np.concatenate([scenes.scene(7, n, 3, 192, SHARP).frames
                                 for n in range(4)]).reshape(4, 3, 192, 192, 3)

    def test_shapes_and_repeats(self):
        for kind in Kind:
            a, b = (degrade(np.random.default_rng(1), self.hr[0], kind)
                    for _ in range(2))
            self.assertEqual((a.shape, a.dtype), ((3, 48, 48, 3), np.uint8))
            np.testing.assert_array_equal(a, b)

    def test_strength(self):
        """Each kind is worse than the one before, none hopeless."""
        means = []
        for kind in Kind:
            means.append(np.mean([psnr(degrade(
                np.random.default_rng(k), self.hr[k % 4], kind),
                shrink(self.hr[k % 4])) for k in range(40)]))
        self.assertEqual(means, sorted(means)[::-1])
        self.assertGreater(means[-1], 27)
        self.assertLess(means[-1], 35)

    def test_up_is_pillows(self):
        some = Samples(only(Kind.CLEAN, chroma=0., blocks=0.), 5, True)
        for n in range(3):
            sample = some[n]
            for hr, up in zip(sample["hr"], sample["up"]):
                levels = np.rint((hr.numpy() + 1) * 127.5).astype(np.uint8)
                lq = Image.fromarray(levels.transpose(1, 2, 0)).resize(
                    (16, 16), Image.Resampling.BICUBIC)
                expected = np.asarray(lq.resize(
                    (64, 64), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
                np.testing.assert_array_equal(
                    up.numpy(), expected.astype(np.float32) / 127.5 - 1)

    def test_shares(self):
        kinds = []
        config = DataConfig(**SMALL, clean=.5, light=.3, coded=.2, hard=0.)
        with mock.patch.object(samples, "degrade", lambda rng, hr, kind: (
                kinds.append(kind), shrink(hr))[1]):
            some = Samples(config, 1, False)
            for n in range(600):
                some[n]
        for kind, share in zip(Kind, config.shares):
            self.assertLessEqual(
                abs(kinds.count(kind) / 600 - share),
                4 * math.sqrt(share * (1 - share) / 600), kind)

    def test_blocks(self):
        """Faint, in the LQ frames only, the same in all channels, new in some
        places of each frame and as it was in the others."""
        with mock.patch.object(samples, "subsample_chroma", lambda lq: lq):
            plain, spotted = (Samples(only(Kind.CLEAN, blocks=share, fade=0.),
                                      7, False) for share in (0., 1.))
            kept = changed = 0
            for n in range(8):
                a, b = plain[n], spotted[n]
                np.testing.assert_array_equal(a["hr"], b["hr"])
                spots = ((b["up"] - a["up"]) * 127.5).numpy()
                self.assertLess(abs(spots).max(), 12)
                self.assertLess(spots.std((1,)).mean(), .7)
                change = abs(np.diff(spots.mean(1), axis=0)).reshape(
                    2, 4, 16, 4, 16).mean((2, 4))
                kept += (change < .01).sum()
                changed += (change > .05).sum()
        self.assertGreater(min(kept, changed), 15)

    def test_chroma(self):
        lq = self.hr[0][:, :48, :48]
        half = subsample_chroma(lq)
        weights = [.299, .587, .114]
        self.assertLess(abs(lq @ weights - half @ weights).mean(), 1)
        grey = np.repeat(lq[..., :1], 3, -1)
        np.testing.assert_array_equal(subsample_chroma(grey), grey)


class Coding(unittest.TestCase):
    CODINGS = [lambda b: codecs.h264("ultrafast", b),
               lambda b: codecs.h264("veryfast", b),
               lambda b: codecs.vp8(4, b), lambda b: codecs.vp8(12, b)]

    def test_more_bits_are_closer(self):
        lq = [shrink(scenes.scene(5, n, 3, 192, SHARP).frames)
              for n in range(6)]
        for make in self.CODINGS:
            low, middle, high = (
                np.mean([psnr(codecs.code(x, make(bits)), x) for x in lq])
                for bits in (codecs.LEAST, .38, codecs.MOST))
            self.assertTrue(24 < low < middle - 1 < high - 1.5 < 42,
                            (low, middle, high))

    def test_not_the_key_frame(self):
        """What is kept is of even quality."""
        lq = [shrink(scenes.scene(5, n, 4, 192, SHARP).frames)
              for n in range(6)]
        for make in self.CODINGS:
            coded = [codecs.code(clip, make(.3)) for clip in lq]
            each = [np.mean([psnr(a[t], b[t]) for a, b in zip(coded, lq)])
                    for t in range(4)]
            self.assertLess(max(each) - min(each), 2.5)

    def test_order(self):
        for frames in (1, 2, 3, 5, 40):
            order = codecs.order(frames)
            self.assertEqual(order[-frames:], list(range(frames)))
            self.assertGreaterEqual(len(order), frames + codecs.WARM_UP)
            self.assertEqual(set(order), set(range(frames)))
            self.assertTrue({abs(a - b) for a, b in zip(order, order[1:])}
                            <= {1 if frames > 1 else 0})

    def test_repeats_and_lengths(self):
        rng = np.random.default_rng(0)
        for frames in (1, 2, 5):
            clip = rng.integers(0, 256, (frames, 16, 24, 3), np.uint8)
            for make in self.CODINGS:
                a, b = (codecs.code(clip, make(.5)) for _ in range(2))
                self.assertEqual(a.shape, clip.shape)
                np.testing.assert_array_equal(a, b)

    def test_rates(self):
        rng = np.random.default_rng(0)
        rates = [codecs.random_coding(rng).bits * 160 * 120 * 30 / 1000
                 for _ in range(500)]
        self.assertTrue(60 <= min(rates) and max(rates) <= 800)
        self.assertTrue(180 < np.median(rates) < 270)       # √(60·800) = 219

    def test_colours(self):
        """Nothing gets lighter or darker; grey stays grey."""
        clip = np.stack([shrink(scenes.scene(5, n, 1, 192, SHARP).frames)[0]
                         for n in range(6)])
        there = np.stack([to_rgb(to_i420(x)) for x in clip])
        off = (there - clip.astype(float)).mean((1, 2))
        self.assertLess(abs(off).max(), 1)              # of flat pictures
        self.assertLess(abs(off.mean(0)).max(), .3)
        grey = np.arange(256, dtype=np.uint8)[:, None, None].repeat(
            8, 1).repeat(3, 2)
        self.assertLessEqual(abs(to_rgb(to_i420(grey)) - grey.astype(
            int)).max(), 1)
        for make in self.CODINGS:
            off = codecs.code(clip[:1], make(3)) - clip[:1].astype(float)
            self.assertLess(abs(off.mean((0, 1, 2))).max(), .6)

    def test_i420_is_ffmpegs(self):
        """The layout, and all but libswscale's rounding."""
        picture = shrink(scenes.scene(5, 3, 1, 192, SHARP).frames)[0]
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
            format="yuv420p", interpolation="AREA")
        off = to_i420(picture) - frame.to_ndarray().astype(int)
        self.assertLess(abs(off).mean(), 2)
        self.assertLess(abs(off[48:]).mean(), 2)

    def test_no_encoder(self):
        with self.assertRaisesRegex(Problem, "has no encoder nonsense"):
            codecs.code(np.zeros((1, 16, 16, 3), np.uint8), codecs.Coding(
                "nonsense", "h264", 1, {}))


class Light(unittest.TestCase):
    """Noise and flicker."""

    def setUp(self):
        self.rng = np.random.default_rng(0)
        self.flat = np.full((4, 64, 64, 3), 128, np.float32)

    def test_exposure_keeps_the_mean(self):
        still = np.float32(self.rng.uniform(0, 255, (64, 64, 3)))
        clip = noise.exposure(self.rng, np.stack([still] * 5), .02, 2)
        np.testing.assert_allclose(clip.mean(0), still, atol=1e-3)
        self.assertGreater(clip.mean((1, 2, 3)).std(), .3)

    def neighbours(self, clip):
        """Correlation of the noise of frames that follow each other."""
        x = (clip - 128).reshape(len(clip), -1)
        return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(x, x[1:])])

    def test_white(self):
        clip = noise.white(self.rng, self.flat, 5, False)
        self.assertAlmostEqual((clip - 128).std(), 5, delta=.1)
        self.assertLess(abs(self.neighbours(clip)), .05)
        grey = noise.white(self.rng, self.flat, 5, True)
        np.testing.assert_array_equal(grey[..., 0], grey[..., 2])

    def test_poisson(self):
        clip = noise.poisson(self.rng, self.flat, 1, False)
        self.assertAlmostEqual((clip - 128).std(), math.sqrt(128), delta=.3)
        self.assertAlmostEqual(clip.mean(), 128, delta=.2)

    def test_rolling_stays_for_a_while(self):
        some = [noise.rolling(self.rng, self.flat, 4) for _ in range(20)]
        self.assertAlmostEqual(np.mean([(x - 128).std() for x in some]), 4,
                               delta=.6)
        self.assertGreater(np.mean([self.neighbours(x) for x in some]), .1)

    def test_blocks_stay(self):
        clip = noise.blocks(self.rng, self.flat)
        kept = (clip[1] == clip[0]).mean()
        self.assertTrue(.05 < kept < 1, kept)


class Kernels(unittest.TestCase):
    def test_sums(self):
        rng = np.random.default_rng(0)
        for _ in range(200):
            k = kernels.random_kernel(rng, 3)
            self.assertAlmostEqual(float(k.sum()), 1, places=5)
            np.testing.assert_allclose(k, k[::-1, ::-1], atol=1e-6)

    def test_gaussian(self):
        x = np.arange(-10, 11)
        line = np.exp(-.5 * (x / 2.) ** 2)
        expected = np.outer(line, line) / line.sum() ** 2
        for shape in ("gaussian", "generalised"):
            np.testing.assert_allclose(
                kernels.bell(21, (2, 2), 1., shape, 1), expected, atol=1e-6)

    def test_sinc_cuts_off(self):
        """A disc of frequencies, transformed and cut."""
        w = np.fft.fftfreq(512) * 2 * math.pi
        for cutoff in (math.pi / 3, 2.4):
            disc = np.hypot(w[:, None], w) < cutoff
            k = np.fft.fftshift(np.fft.ifft2(disc).real)[246:267, 246:267]
            np.testing.assert_allclose(kernels.sinc(21, cutoff), k / k.sum(),
                                       atol=2e-3)


def write_clip(path, levels, size=(64, 64), codec="libx264", rate=10):
    """A clip of flat frames of these levels, or of these pictures."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 7
        for level in levels:
            picture = np.empty((size[1], size[0], 3), np.uint8)
            picture[:] = level
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


class Folders(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def refused(self, text, **config):
        with self.assertRaises(Problem) as caught:
            some = Samples(DataConfig(**{**SMALL, **config}), 0,
                           "stills" not in config)
            for n in range(8):
                some[n]
        message = str(caught.exception)
        self.assertIn(text, message)
        self.assertNotIn("\n", message)

    def test_any_frame(self):
        """Frame by frame, whatever the container and B-frames."""
        levels = [20 + 5 * i for i in range(40)]
        for name in ("a.mp4", "a.mkv", "a.ts", "a.avi"):
            path = self.folder / name
            write_clip(path, levels, codec="mpeg4" if name == "a.avi"
                       else "libx264", rate=Fraction(30000, 1001))
            entry = clips.look_at_clip(path)
            self.assertEqual((entry.width, entry.height), (64, 64))
            self.assertAlmostEqual(entry.frames, 40, delta=1, msg=name)
            for first in (*range(0, 37, 3), 37):
                found = [f.to_ndarray(format="rgb24").mean()
                         for f in clips.frames_from(entry, first, 3)]
                np.testing.assert_allclose(
                    found, levels[first:first + 3], atol=4, err_msg=name)

    def test_samples(self):
        deep = self.folder / "deep" / "er"
        deep.mkdir(parents=True)
        write_clip(deep / "a.MP4", [50] * 9, (80, 72))
        Image.new("RGB", (100, 90), (200, 10, 10)).save(deep / "a.webp")
        Image.new("P", (100, 90)).save(deep / "b.png")
        config = DataConfig(**SMALL, clips=[str(self.folder)],
                            stills=[str(self.folder)])
        for moving in (True, False):
            some = Samples(config, 1, moving)
            for n in range(6):
                shapes = {k: tuple(v.shape) for k, v in some[n].items()}
                self.assertEqual(shapes, {
                    "hr": (3, 3, 64, 64), "up": (3, 3, 64, 64),
                    "flow": (2, 2, 64, 64), "sure": (2, 1, 64, 64)})
            self.assertEqual(digest(some[4]),
                             digest(Samples(config, 1, moving)[4]))

    def test_frames_of_clips_as_stills(self):
        write_clip(self.folder / "a.mp4", [50] * 9, (80, 72))
        config = DataConfig(**SMALL, clips=[str(self.folder)])
        self.assertEqual(len(Samples(config, 1, False)[0]["hr"]), 3)

    def test_skipped(self):
        write_clip(self.folder / "long.mp4", [50] * 9)
        write_clip(self.folder / "short.mp4", [50] * 2)
        write_clip(self.folder / "small.mp4", [50] * 9, (64, 48))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            Samples(DataConfig(**SMALL, clips=[str(self.folder)]), 0, True)
        self.assertEqual(said.getvalue(), "2 of 3 clips are not used: they "
                         "have less than 64×64 pixels and 3 frames\n")
        (self.folder / "long.mp4").unlink()
        self.refused("64×64 pixels and 3 frames", clips=[str(self.folder)])

    def test_missing(self):
        nothing = str(self.folder / "nothing")
        self.refused(f"{nothing}: expected a folder of clips, found nothing",
                     clips=[nothing])
        file = self.folder / "file"
        file.touch()
        self.refused("found a file", stills=[str(file)])

    def test_empty(self):
        self.refused(".mp4 .m4v", clips=[str(self.folder)])
        self.refused("expected stills (.png .jpg .jpeg .webp) in it, found "
                     "none", stills=[str(self.folder)])

    def test_not_video(self):
        path = self.folder / "a.mp4"
        path.write_text("no video\n" * 100)
        self.refused(f"{path}: cannot be read: ", clips=[str(self.folder)])
        path.write_bytes(b"")
        self.refused(f"{path}: cannot be read: ", clips=[str(self.folder)])
        path.unlink()
        with av.open(str(self.folder / "b.mkv"), "w") as out:
            stream = out.add_stream("pcm_s16le", rate=48000)
            sound = av.AudioFrame.from_ndarray(
                np.zeros((1, 2048), np.int16), "s16", "stereo")
            sound.sample_rate = 48000
            out.mux(stream.encode(sound))
        self.refused("there is no video in it", clips=[str(self.folder)])

    def test_not_a_still(self):
        path = self.folder / "a.png"
        path.write_text("no picture")
        self.refused(f"{path}: cannot be read: ", stills=[str(self.folder)])
        Image.effect_noise((100, 100), 50).save(path)
        path.write_bytes(path.read_bytes()[:2000])
        self.refused(f"{path}: cannot be read: ", stills=[str(self.folder)])

    def test_still_too_small(self):
        Image.new("RGB", (100, 63)).save(self.folder / "a.png")
        self.refused("stills of at least 64×64 pixels, found 1 smaller",
                     stills=[str(self.folder)])

    def test_size_changes(self):
        for name, size in (("a", (80, 64)), ("b", (64, 80))):
            write_clip(self.folder / f"{name}.x.ts", [50] * 20, size)
        both = b"".join((self.folder / f"{n}.x.ts").read_bytes()
                        for n in "ab")
        for n in "ab":
            (self.folder / f"{n}.x.ts").unlink()
        (self.folder / "c.ts").write_bytes(both)
        self.refused("c.ts: expected 80×64 pixels in all frames, found 64×80 "
                     "at", clips=[str(self.folder)])

    def test_cut_off(self):
        """The index says more than there is."""
        path = self.folder / "a.mkv"
        rng = np.random.default_rng(0)
        write_clip(path, rng.integers(0, 255, (60, 96, 96, 3), np.uint8),
                   (96, 96))
        path.write_bytes(path.read_bytes()[:-100_000])
        some = Samples(DataConfig(**SMALL, clips=[str(self.folder)]), 0, True)
        for n in range(20):
            self.assertEqual(len(some[n]["hr"]), 3)


class Config(unittest.TestCase):
    def test_refused(self):
        for fields, text in (
                ({"side": 100}, "side: expected a multiple of 8, found 100"),
                ({"side": 16}, "side: expected a number from 32 to 4096"),
                ({"scene_side": 90}, "scene_side: expected a number from 192"),
                ({"frames": 1}, "frames: expected a number from 2"),
                ({"scene_window": 0}, "scene_window: expected"),
                ({"samples_per_scene": 0}, "samples_per_scene: expected"),
                ({"clean": -.1}, "clean: expected a share from 0 to 1"),
                ({"chroma": float("nan")}, "chroma: expected a share"),
                ({"clean": .9}, "clean, light, coded, hard: expected shares "
                 "that sum to 1, found 1.6")):
            with self.subTest(fields), self.assertRaises(Problem) as caught:
                DataConfig(**fields)
            self.assertIn(text, str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
