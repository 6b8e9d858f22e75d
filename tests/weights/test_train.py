#!/usr/bin/env python3
"""weights/train: stages, losses, checkpoints, and what is said of bad input.

    python3 -m venv v && v/bin/pip install -r weights/train/requirements.txt
    GST_PLUGIN_PATH=build/gst v/bin/python tests/weights/test_train.py

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

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

from train import checkpoint, losses                        # noqa: E402
from converter.problem import Problem                       # noqa: E402
from train.restored import Restored                         # noqa: E402
from train.schedule import Phase, Schedule, Stage           # noqa: E402
from train.small import Small, SmallConfig                  # noqa: E402

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


class Runs(unittest.TestCase):
    """The program itself, on a model that learns in seconds."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.config = self.folder / "tiny.toml"
        self.config.write_text(TINY.read_text())

    def train(self, out, *arguments, **more):
        return subprocess.run(
            [sys.executable, ROOT / "weights" / "train", self.config, "--out",
             self.folder / out, *map(str, arguments)],
            capture_output=True, text=True, cwd=self.folder, **more)

    def succeed(self, *arguments, **more):
        done = self.train(*arguments, **more)
        self.assertEqual(done.returncode, 0, done.stderr)

    def check_fails(self, says, *arguments, **more):
        done = self.train(*arguments, **more)
        self.assertEqual(done.returncode, 1, done.stderr)
        line = done.stderr.splitlines()[-1]
        self.assertNotIn("Traceback", done.stderr)
        self.assertTrue(line.startswith("train: "), line)
        self.assertRegex(line, says)

    def state(self, out):
        return torch.load(self.folder / out / "checkpoint.pt")

    def change(self, old, new):
        text = self.config.read_text()
        self.assertIn(old, text)
        self.config.write_text(text.replace(old, new, 1))

    def check_same(self, a, b, where=""):
        """To the last bit."""
        self.assertIs(type(a), type(b), where)
        if isinstance(a, torch.Tensor):
            self.assertTrue(torch.equal(a, b), where)
        elif isinstance(a, dict):
            self.assertEqual(a.keys(), b.keys(), where)
            for key in a:
                self.check_same(a[key], b[key], f"{where}.{key}")
        elif isinstance(a, (list, tuple)):
            self.assertEqual(len(a), len(b), where)
            for i, (x, y) in enumerate(zip(a, b)):
                self.check_same(x, y, f"{where}[{i}]")
        else:
            self.assertEqual(a, b, where)

    def test_resumed(self):
        """Stopped within every phase, between two, and within a transition:
        the same to the last bit as never stopped."""
        self.succeed("whole")
        self.succeed("pieces", "--stop", 1)
        for stop in (4, 5, 6, 9):
            self.succeed("pieces", "--resume", "--stop", stop)
        self.succeed("pieces", "--resume")
        self.check_same(self.state("whole"), self.state("pieces"))
        files = [load_file(self.folder / out / "model.safetensors")
                 for out in ("whole", "pieces")]
        self.check_same(*files)
        self.assertTrue(any("lora_B.detail" in name and value.any()
                            for name, value in files[0].items()))

    def test_what_learns(self):
        """Each stage moves its own; every other tensor stays as it was."""
        own = [
            lambda n: n.startswith("cfr.spynet."),
            lambda n: not n.startswith("cfr.spynet.") and ".lora_" not in n,
            lambda n: ".consistency." in n or n.startswith("unet.conv_in.")
            or n.startswith("cfr.cross_attn_module."),
            lambda n: ".detail." in n or n.startswith("unet.conv_in.")]
        states = []
        for i, stop in enumerate((1, 2, 5, 8, 11)):
            self.succeed("out", "--stop", stop, *["--resume"][:i])
            state = self.state("out")
            mean = dict(zip(self.moving(state), state["mean"]
                            ["shadow_params"], strict=True))
            states.append({**state["model"], **mean})
        # the second begins where the first ended, by averages
        for before, after, is_own in zip(states, states[1:], own):
            moved = {n for n in after if not torch.equal(before[n], after[n])}
            self.assertEqual(moved, {n for n in after if is_own(n)
                                     and "basis" not in n})

    def test_joint(self):
        """What learns is what learns in either stage."""
        config = tomllib.loads(TINY.read_text())["small"]
        hr = torch.rand(4, 3, 32, 32) * 2 - 1
        model = Small(SmallConfig(**config), hr, hr.roll(1))

        def learned(stage):
            model.learn(stage)
            return {name for name, p in model.named_parameters()
                    if p.requires_grad}

        self.assertEqual(learned(Stage.JOINT), learned(C) | learned(E))
        self.assertNotEqual(learned(C), learned(E))

    def moving(self, state):
        """Names of what the last stage averages, in order."""
        step, own = state["step"], None
        for last, test in ((2, lambda n: n.startswith("cfr.spynet.")),
                           (5, lambda n: not n.startswith("cfr.spynet.")
                            and ".lora_" not in n and "basis" not in n),
                           (8, lambda n: ".consistency." in n
                            or n.startswith(("unet.conv_in.",
                                             "cfr.cross_attn_module."))),
                           (11, lambda n: ".detail." in n
                            or n.startswith("unet.conv_in."))):
            if step <= last:
                own = test
                break
        return [n for n in state["model"] if own(n)]

    def test_refused(self):
        for old, new, says in (
                ("seed = 3", "seed = 3.5", "seed: expected int, found 3.5"),
                ("seed = 3", "sead = 3", "sead: there is no such setting"),
                ("seed = 3", "seed = ", "not a TOML file"),
                ('stage = "flow"', 'stage = "flows"', "found 'flows'"),
                ("steps = 2", "steps = 0", r"\[\[phase\]\] 1: steps"),
                ("gradient = 1.0", "sharpness = 1.0", "sharpness: there is"),
                ("gradient = 1.0", "csd = 1.0", "csd: wants"),
                ("side = 32", "side = 31", "side"),
                ("batch = 2", "", "batch is missing"),
                ("[small]", "[large]", "large"),
                ("latent_channels = 4", "", "latent_channels")):
            with self.subTest(new=new):
                self.config.write_text(TINY.read_text())
                self.change(old, new)
                self.check_fails(says, "out")
                self.assertFalse(any(self.folder.glob("out/*.pt")))

    def begin_from_base(self):
        """tiny.toml: from a model file, C-LoRA and the retrieval only."""
        self.succeed("base", "--stop", 5)
        text = TINY.read_text()
        text = text[:text.index("[small.config]")]
        stage = text.index('[[phase]]\nstage = "consistency"')
        text = text[:text.index("[[phase]]")] + text[stage:]
        self.config.write_text(text.replace(
            "rank = 2", 'rank = 3\nbase = "base/model.safetensors"'))

    def test_base(self):
        self.begin_from_base()
        self.succeed("out", "--stop", 3)
        before, after = (load_file(self.folder / out / "model.safetensors")
                         for out in ("base", "out"))
        for name, value in after.items():
            if ".lora_" in name:
                self.assertIn(3, value.shape[:2], name)
                if "_B." in name:
                    self.assertEqual(value.any(), ".consistency" in name)
            else:
                self.assertNotEqual(torch.equal(value, before[name]),
                                    name.startswith(("unet.conv_in.",
                                                     "cfr.cross_attn_")), name)

    def test_bad_base(self):
        self.begin_from_base()
        path = self.folder / "base" / "model.safetensors"
        good = path.read_bytes()
        for content, says in (
                (good[:1000], "model.safetensors: "),
                (good.replace(b'latent_channels\\": 4',
                              b'latent_channels\\": 5'), "not those of its"),
                (b"", "model.safetensors: ")):
            path.write_bytes(content)
            self.check_fails(says, "out")
        path.unlink()
        self.check_fails("No such file", "out")
        self.change('base = "', 'config = {}\nbases = "')
        self.check_fails("bases: there is no such setting", "out")
        self.change("bases =", "base =")
        self.change("config = {}", "config = {scale = 4}")
        self.check_fails("either base or config", "out")

    def test_wrong_checkpoint(self):
        self.check_fails("there is no checkpoint", "out", "--resume")
        self.succeed("out", "--stop", 1)
        self.check_fails("has a checkpoint already", "out")
        self.change("rank = 2", "rank = 3")
        self.check_fails("another configuration: small.rank", "out",
                         "--resume")
        self.config.write_text(TINY.read_text())
        (self.folder / "out" / "checkpoint.pt").write_bytes(b"PK" * 100)
        self.check_fails("not a checkpoint", "out", "--resume")

    def test_full_disk(self):
        """A limit on the size of files stands in; the checkpoint stays."""
        self.succeed("out", "--stop", 1)
        before = self.state("out")
        self.check_fails(
            "cannot be written.*still there", "out", "--resume",
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (100000, 100000)))
        self.check_same(before, self.state("out"))
        self.assertFalse(list(self.folder.glob("out/*.part")))

    def test_unreadable_clip(self):
        """Found by a data process."""
        (self.folder / "clips").mkdir()
        (self.folder / "clips" / "a.mp4").write_text("not a clip")
        self.change("[data]", '[data]\nclips = ["clips"]')
        self.check_fails("a.mp4", "out")


class Engine(unittest.TestCase):
    """It makes of what is exported what PyTorch makes of it."""

    def make_model(self):
        config = tomllib.loads(TINY.read_text())["small"]
        torch.manual_seed(5)
        hr = torch.rand(4, 3, 32, 32) * 2 - 1
        model = Small(SmallConfig(**config), hr, hr + .2 * torch.rand_like(hr))
        for name, parameter in model.named_parameters():
            if ".lora_B." in name or "proj_out" in name:
                parameter.data.normal_(std=.2)
            elif "decoder.conv_out" in name or "spynet" in name:
                parameter.data.mul_(40)
        return model.half().float()     # as the file has it

    @torch.no_grad()
    def test_same_pictures(self):
        model = self.make_model()
        lq = np.random.default_rng(6).integers(
            0, 256, (4, 16, 20, 3)).astype(np.uint8)
        up = np.stack([np.asarray(Image.fromarray(f).resize(
            (80, 64), Image.BICUBIC)) for f in lq])
        up = torch.from_numpy(up).permute(0, 3, 1, 2)[None] / 127.5 - 1
        alone = model(up[:, [0, 0]], True).pictures[0]
        pictures = torch.cat([alone, model(up).pictures[0]])
        self.assertGreater((pictures[1:] - model(up, True).pictures[0])
                           .abs().mean() * 127.5, 2)
        expected = ((pictures.clamp(-1, 1) + 1) * 127.5).round()
        found = self.engine(model, lq)
        difference = (found - expected).abs()
        self.assertLessEqual(difference.max(), 1)
        self.assertLess(difference.mean(), .02)

    def engine(self, model, lq):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model.export(folder)
            lq.tofile(folder / "lq.raw")
            subprocess.run(
                ["gst-launch-1.0", "-q", "filesrc", f"location={name}/lq.raw",
                 "!", "rawvideoparse", "format=rgb", "width=20", "height=16",
                 "!", "dloral", f"model={name}/model.safetensors",
                 "precision=f32", "scene-cut-threshold=0", "!", "filesink",
                 f"location={name}/hr.raw"],
                check=True, stdin=subprocess.DEVNULL)
            hr = np.fromfile(folder / "hr.raw", np.uint8)
        return torch.from_numpy(hr.reshape(-1, 64, 80, 3).copy()) \
            .permute(0, 3, 1, 2).float()


if __name__ == "__main__":
    unittest.main()
