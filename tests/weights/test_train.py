#!/usr/bin/env python3
"""weights/train: stages, losses, checkpoints, and what is said of bad input.

    test_train.py       by hand: needs weights/train/requirements.txt

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import copy
import resource
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

from train import checkpoint, losses                        # noqa: E402
from train.problem import Problem                           # noqa: E402
from train.restored import Restored                         # noqa: E402
from train.schedule import Phase, Schedule, Stage           # noqa: E402

TINY = Path(__file__).with_name("data") / "train-tiny.toml"
C, E = Stage.CONSISTENCY, Stage.ENHANCEMENT


class Schedules(unittest.TestCase):
    def setUp(self):
        self.schedule = Schedule(
            [Phase(C, 20, (1., 1.)), Phase(E, 30, (1., .5))],
            {C: {"l2": 1., "consistency": 20.}, E: {"l2": 1., "csd": 2.}}, 10)

    def test_stages(self):
        found = [self.schedule.at(step).stage for step in range(50)]
        self.assertEqual(found, [C] * 20 + [E] * 30)
        self.assertEqual([s for s in range(50)
                          if self.schedule.at(s).since == 0], [0, 20])

    def test_transitions(self):
        """Ten steps from one set to the other, in a straight line."""
        self.assertEqual(self.schedule.at(0).weights,
                         {"l2": 1, "consistency": 20})
        for i in range(11):
            weights = self.schedule.at(20 + i).weights
            self.assertAlmostEqual(weights["l2"], 1)
            self.assertAlmostEqual(weights.get("consistency", 0), 20 - 2 * i)
            self.assertAlmostEqual(weights.get("csd", 0), .2 * i)
        self.assertEqual(self.schedule.at(49).weights, {"l2": 1, "csd": 2})

    def test_learning_rate(self):
        rates = [self.schedule.at(20 + i).learning_rate for i in range(30)]
        self.assertEqual(rates[0], 1)
        self.assertAlmostEqual(rates[15], .75)
        self.assertLess(rates[29], .51)


def moved(pictures, shift):
    """A clip of one picture that moves to the right, and its samples."""
    clip = torch.stack([pictures.roll(shift * t, -1) for t in range(3)], 1)
    b, t, _, h, w = clip.shape
    flow = torch.zeros(b, t - 1, 2, h, w)
    flow[:, :, 0] = -shift
    sure = torch.ones(b, t - 1, 1, h, w)
    sure[..., :shift] = 0
    return {"hr": clip, "up": clip, "flow": flow, "sure": sure}


class Losses(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)
        self.batch = moved(torch.rand(2, 3, 32, 48) * 2 - 1, 5)
        self.truth = self.batch["hr"][:, 1:]

    def value(self, name, pictures):
        return losses.PARTS[name](Restored(pictures, pictures), self.batch)

    def test_truth_is_best(self):
        for name in losses.PARTS:
            self.assertLess(self.value(name, self.truth), 1e-6, name)

    def test_worse_is_more(self):
        torch.manual_seed(2)
        noise = torch.randn_like(self.truth)
        for name in set(losses.PARTS) - {"flow"}:
            with self.subTest(loss=name):
                a = self.value(name, self.truth + .02 * noise)
                b = self.value(name, self.truth + .05 * noise)
                if name == "stillness":     # nothing stands still there
                    self.assertEqual((a, b), (0, 0))
                else:
                    self.assertLess(a, b)

    def test_consistency_is_the_variance_of_flicker(self):
        """Frames a little lighter and darker: the square of the step."""
        step = torch.tensor([.1, -.1])[:, None, None, None]
        seen = self.batch["sure"][:, 1:].mean()
        self.assertAlmostEqual(
            self.value("consistency", self.truth + step).item(),
            .04 * seen.item(), 5)

    def test_consistency_has_a_gradient(self):
        """By differences, at pixels here and there; none where occluded."""
        pictures = (self.truth + .1 * torch.randn_like(self.truth)).double()
        self.batch = {k: v.double() for k, v in self.batch.items()}
        pictures.requires_grad_()

        def value(x):
            d, sure, _ = losses.drift(Restored(x, x), self.batch)
            return (d * d * sure).mean()

        value(pictures).backward()
        self.assertGreater(pictures.grad[:, 0].abs().sum(), 0)
        self.assertGreater(pictures.grad[:, 1].abs().sum(), 0)
        self.assertEqual(pictures.grad[:, 1, ..., :5].abs().max(), 0)
        for place in [(0, 0, 1, 7, 9), (1, 1, 2, 20, 30), (0, 1, 0, 31, 47)]:
            step = torch.zeros_like(pictures)
            step[place] = 1e-4
            with torch.no_grad():
                slope = (value(pictures + step)
                         - value(pictures - step)) / 2e-4
            self.assertAlmostEqual(pictures.grad[place].item(), slope.item(),
                                   9)

    def test_spectrum_forgives_a_shift(self):
        """Detail a pixel beside its place is nearer than none at all."""
        shifted = self.truth.roll(1, -1)
        grey = self.truth.mean((-2, -1), keepdim=True).expand_as(self.truth)
        self.assertLess(self.value("spectrum", shifted) * 3,
                        self.value("spectrum", grey))
        self.assertGreater(self.value("l2", shifted),
                           self.value("l2", grey))

    def test_flow(self):
        """Levels in pixels of their own grid: right, and one pixel off."""
        right = [torch.zeros(4, 2, 32 // n, 48 // n) for n in (4, 2)]
        for level, n in zip(right, (4, 2)):
            level[:, 0] = -5 / n
        answer = Restored(self.truth, self.truth, right)
        self.assertLess(losses.flow(answer, self.batch), 1e-6)
        wrong = [level + 1 for level in right]
        answer = Restored(self.truth, self.truth, wrong)
        self.assertGreater(losses.flow(answer, self.batch), 1)


if __name__ == "__main__":
    unittest.main()
