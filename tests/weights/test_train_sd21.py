#!/usr/bin/env python3
"""The trainer's full-size model on a toy folder of Stable Diffusion: where it
begins, what learns when, the losses that go with it, and that the engine
computes from what it exports what PyTorch computed.

    v/bin/pip install -r tests/weights/requirements.txt lpips
    v/bin/python tests/weights/test_train_sd21.py BUILD-FOLDER [unittest's own]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import contextlib
import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.error
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "weights"), str(ROOT / "tests" / "agreement")]

import numpy as np                                              # noqa: E402
import torch                                                    # noqa: E402
import torchvision                                              # noqa: E402
from diffusers import AutoencoderKL, UNet2DConditionModel       # noqa: E402
from PIL import Image                                           # noqa: E402
from safetensors.torch import save_file                         # noqa: E402
from torch.nn.functional import mse_loss                        # noqa: E402

import make_case                                                # noqa: E402
import make_checkpoint                                          # noqa: E402
import reference                                                # noqa: E402
from converter.command import main as convert                   # noqa: E402
from train.command import parse, prepare                        # noqa: E402
from train.distillation import Distillation, distillation      # noqa: E402
from train.perceptual import Lpips                              # noqa: E402
from converter.problem import Problem                       # noqa: E402
from train.retrieval import (HEADS, EMBED, TEMPERATURE,         # noqa: E402
                             Retrieval)
from train.schedule import Stage                                # noqa: E402
from train.sd21 import Sd21, Sd21Config                         # noqa: E402
from train.spynet import read_spynet                            # noqa: E402

BUILD = Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
PROMPT = "clean, sharp"
SHARED = {}


def write_toy(folder):
    """sd/ with a UNet of four channels, spynet.pth."""
    with contextlib.redirect_stdout(io.StringIO()):
        make_checkpoint.make("tiny", folder)
    torch.set_grad_enabled(True)
    content = torch.load(folder / "model.pkl")
    state = {name.replace(".base_layer", ""): p
             for name, p in content["state_dict_unet"].items()
             if ".lora_" not in name}
    state["conv_in.weight"] = state["conv_in.weight"][:, 4:]
    unet = UNet2DConditionModel(**make_checkpoint.unet_config(
        make_checkpoint.SHAPES["tiny"], 4))
    unet.load_state_dict(state)
    unet.save_pretrained(folder / "sd" / "unet")
    torch.save({name.removeprefix("spynet."): p
                for name, p in content["state_dict_bpp"].items()
                if name.startswith("spynet.basic_module")},
               folder / "spynet.pth")


def toy():
    """Made once; not to be changed."""
    if "toy" not in SHARED:
        temporary = tempfile.TemporaryDirectory()
        unittest.addModuleCleanup(temporary.cleanup)
        SHARED["toy"] = Path(temporary.name)
        write_toy(SHARED["toy"])
    return SHARED["toy"]


def make_model(**more):
    folder = toy()      # draws numbers where it is made
    torch.manual_seed(1)
    return Sd21(Sd21Config(folder / "sd", folder / "spynet.pth", **more))


@torch.no_grad()
def disturb(model):
    """As if it had learned: nothing is idle."""
    torch.manual_seed(2)
    for name, p in model.unet.named_parameters():
        if ".lora_B." in name:
            p.normal_(std=.05)
    conv = model.unet.conv_in.base_layer
    conv.weight += torch.randn_like(conv.weight) * .1
    attend = model.cfr.cross_attn_module
    z = torch.randn(2, 4, 16, 16)
    attend.proj_out.weight.normal_()
    attend.proj_out.weight.div_((attend(z, z) - z).std())
    attend.proj_out.bias.normal_(std=.1)
    return model


def make_frames(n=3):
    return make_case.make_frames(16, 16, n, np.random.default_rng(5))


def upsample(frames):
    """[1][T][3][4·h][4·w]"""
    h, w = frames.shape[1:3]
    up = np.stack([np.asarray(Image.fromarray(frame).resize(
        (4 * w, 4 * h), Image.BICUBIC)) for frame in frames])
    return torch.from_numpy(up).permute(0, 3, 1, 2)[None].float() / 127.5 - 1


class Case(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def check_problem(self, pattern, make, *arguments, **more):
        with self.assertRaisesRegex(Problem, pattern) as caught:
            make(*arguments, **more)
        self.assertNotIn("\n", str(caught.exception))


# --- The beginning -----------------------------------------------------------

class Beginning(Case):
    @torch.no_grad()
    def plain(self, up):
        """Each frame by itself, by diffusers and transformers."""
        sd = toy() / "sd"
        vae = AutoencoderKL.from_pretrained(sd / "vae")
        unet = UNet2DConditionModel.from_pretrained(sd / "unet")
        embeds = make_checkpoint.embed_prompt(sd, PROMPT)[None]
        x = up[0, 1:]
        z = vae.encode(x).latent_dist.mean * .18215
        x0 = z - unet(z, 1, embeds.expand(len(x), -1, -1)).sample
        return vae.decode(x0 / .18215).sample[None], x0[None]

    def check(self, first):
        up = upsample(make_frames())
        model = make_model(prompt=PROMPT)
        with torch.no_grad():
            found = model(up, first)
        for a, b in zip(found, self.plain(up)):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)

    def test_first(self):
        self.check(True)

    def test_pair(self):
        self.check(False)

    def test_several_clips(self):
        """Nothing of a clip or frame is in another's result, but for the
        predecessor."""
        model = disturb(make_model())
        frames = make_frames(4)
        up = torch.cat([upsample(frames[:3]), upsample(frames[1:])])
        with torch.no_grad():
            together = model(up, False)
            apart = [model(up[b:b + 1, t:t + 2], False)
                     for b in (0, 1) for t in (0, 1)]
        for i in (0, 1):
            torch.testing.assert_close(
                together[i].flatten(0, 1),
                torch.cat([result[i][0] for result in apart]),
                rtol=1e-4, atol=1e-4)

    def test_half_precision(self):
        """Everything leaves, and the retrieval is computed, in f32."""
        model, up = disturb(make_model()), upsample(make_frames())
        with torch.autocast("cpu", torch.bfloat16), mock.patch.object(
                Retrieval, "forward", autospec=True,
                side_effect=Retrieval.forward) as attend:
            found = model(up, False)
            z, aligned = attend.call_args.args[1:]
        self.assertEqual({t.dtype for t in (*found[:2], z, aligned)},
                         {torch.float32})
        with torch.no_grad():
            expected = model(up, False).latents
        error = (found.latents - expected).std() / expected.std()
        self.assertLess(error, .1)


class Parts(Case):
    """Flow and retrieval against those of the agreement test."""

    @torch.no_grad()
    def test_flow(self):
        spynet = read_spynet(toy() / "spynet.pth")
        widths = [len(layer.conv.bias)
                  for layer in spynet.basic_module[0].basic_module[:-1]]
        other = reference.Spynet(widths)
        other.load_state_dict(spynet.state_dict())
        x, y = torch.randn(2, 2, 3, 40, 72)
        expected = torch.cat([other(a[None], b[None]) for a, b in zip(x, y)])
        torch.testing.assert_close(spynet(x, y), expected,
                                   rtol=1e-4, atol=1e-4)

    @torch.no_grad()
    def test_retrieval(self):
        attend = Retrieval(4)
        for p in attend.parameters():
            p.normal_()
        other = reference.Retrieval(4, {
            "heads": HEADS, "embed_dim": EMBED, "temperature": TEMPERATURE})
        other.load_state_dict(attend.state_dict())
        x, y = torch.randn(2, 2, 4, 6, 9)
        expected = torch.cat([other(a[None], b[None]) for a, b in zip(x, y)])
        found = attend(x, y)
        self.assertGreater((found - x).std(), .1)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


# --- Learning ----------------------------------------------------------------

LEARNED = {
    Stage.CONSISTENCY: re.compile(
        r"unet\..*\.lora_[AB]\.default_(encoder|decoder|others)_consistency\."
        r"weight|unet\.conv_in\.base_layer\.(weight|bias)"
        r"|cfr\.cross_attn_module\..*"),
    Stage.ENHANCEMENT: re.compile(
        r"unet\..*\.lora_[AB]\.default_(encoder|decoder|others)_quality\."
        r"weight|unet\.conv_in\.base_layer\.(weight|bias)"),
}
LEARNED[Stage.JOINT] = re.compile(
    "|".join(pattern.pattern for pattern in LEARNED.values()))


class Learning(Case):
    def step(self, model, stage):
        """One, of an optimizer whose decay alone moves what it is given."""
        learned = model.learn(stage)
        optimizer = torch.optim.AdamW(learned, 1e-2, weight_decay=.1)
        torch.manual_seed(3)
        up = upsample(make_frames())
        result = model(up, False)
        loss = mse_loss(result.pictures, up[:, 1:])
        if stage is Stage.ENHANCEMENT:
            loss = loss + distillation(model, PROMPT)(
                result.latents.flatten(0, 1))
        loss.backward()
        for p in learned:
            self.assertTrue(p.grad.isfinite().all())
        optimizer.step()
        return learned

    def check(self, model, stage):
        before = copy.deepcopy(model.state_dict())
        learned = self.step(model, stage)
        moved = {name for name, p in model.state_dict().items()
                 if not torch.equal(p, before[name])}
        self.assertEqual(moved, {name for name in before
                                 if LEARNED[stage].fullmatch(name)})
        names = {name for name, p in model.named_parameters()
                 if p.requires_grad}
        self.assertEqual(names, moved)
        self.assertEqual({id(p) for p in learned},
                         {id(p) for p in model.parameters()
                          if p.requires_grad})

    def test_stages(self):
        """Each, and each after the other."""
        model = disturb(make_model(prompt=PROMPT))
        for stage in (Stage.CONSISTENCY, Stage.ENHANCEMENT,
                      Stage.CONSISTENCY, Stage.JOINT):
            with self.subTest(stage):
                self.check(model, stage)

    def test_from_the_beginning(self):
        """Where A and most of the retrieval have no gradient yet."""
        model = make_model()
        up = upsample(make_frames())
        learned = model.learn(Stage.CONSISTENCY)
        optimizer = torch.optim.SGD(learned, .1)
        for _ in range(2):
            optimizer.zero_grad()
            mse_loss(model(up, False).pictures, up[:, 1:]).backward()
            optimizer.step()
        for p in learned:
            self.assertGreater(p.grad.abs().max(), 0)

    def test_no_base(self):
        self.check_problem("stage base: ", make_model().learn, Stage.BASE)

    def test_checkpoints(self):
        """Less memory, the same gradients."""
        gradients = []
        for checkpointing in (False, True):
            model = disturb(make_model(gradient_checkpointing=checkpointing))
            self.step(model, Stage.ENHANCEMENT)
            self.step(model, Stage.CONSISTENCY)
            gradients.append([p.grad for p in model.parameters()
                              if p.grad is not None])
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


class Stock(Case):
    def test_same(self):
        """To the last bit, after any learning; and nothing is left of it."""
        model = disturb(make_model())
        model.learn(Stage.ENHANCEMENT)
        z, timesteps = torch.randn(3, 4, 16, 16), torch.tensor([20, 300, 499])
        embeds, up = torch.randn(3, 77, 8), upsample(make_frames())

        def state():
            return ([n for n, p in model.named_parameters()
                     if p.requires_grad], list(model.state_dict()),
                    model(up, False).latents)

        *names, x0 = state()
        found = model.stock(z, timesteps, embeds)
        *same_names, same_x0 = state()
        self.assertEqual(names, same_names)
        self.assertTrue(torch.equal(x0, same_x0))
        unet = UNet2DConditionModel.from_pretrained(toy() / "sd" / "unet")
        # Whether a weight learns decides on the order of PyTorch's sums.
        expected = unet.requires_grad_(False)(z, timesteps, embeds).sample
        self.assertTrue(torch.equal(found, expected))
        self.assertFalse(found.requires_grad)


# --- Losses ------------------------------------------------------------------

class Distilling(Case):
    def make(self, empty, told):
        """A UNet that says `empty` or `told` everywhere."""
        alphas = torch.linspace(.99, .01, 1000)
        alphas[100] = .64
        return Distillation(
            lambda z, t, e: e[:, 0, :1, None, None].expand_as(z), alphas,
            torch.full((1, 77, 2), empty), torch.full((1, 77, 2), told))

    def test_by_hand(self):
        """ε .5 and told .7: guided .5 + 7.5 · .2 = 2. Of x 1 with noise 1 at
        power .64: .8 + .6 = 1.4; x0 of any (1.4 − .6 · .5) / .8 = 1.375,
        guided (1.4 − .6 · 2) / .8 = .25, distance 1 − .25 = .75; gradient
        (1.375 − .25) / .75 = 1.5. Of x −1 with noise 0: −.8; x0 −1.375 and
        −2.5, distance 1.5, gradient .75."""
        x = torch.tensor([1., -1.]).view(2, 1, 1, 1).expand(2, 4, 3, 3)
        found = self.make(.5, .7).gradient(
            x, (x + 1) / 2, torch.tensor([100, 100]))
        expected = torch.tensor([1.5, .75]).view(2, 1, 1, 1).expand_as(x)
        torch.testing.assert_close(found, expected)

    def test_loss(self):
        """Its gradient is gradient () over the number of values, at the
        timesteps and noise that the generator gives."""
        of = self.make(.5, .7)
        x = torch.randn(2, 4, 3, 3, requires_grad=True)
        with mock.patch.object(of, "gradient", wraps=of.gradient) as asked:
            loss = of(x, torch.Generator().manual_seed(4))
            again = of(x, torch.Generator().manual_seed(4))
        loss.backward()
        first, second = (call.args for call in asked.call_args_list)
        for a, b in zip(first, second):
            self.assertTrue(torch.equal(a, b))
        self.assertEqual(loss, again)
        gradient = of.gradient(*first)
        torch.testing.assert_close(x.grad, gradient / x.numel())
        torch.testing.assert_close(loss.detach(), .5 * gradient.square().mean())

    def test_timesteps(self):
        of = self.make(.5, .7)
        with mock.patch.object(of, "gradient", wraps=of.gradient) as asked:
            of(torch.zeros(5000, 1, 1, 1))
        timesteps = asked.call_args.args[2]
        self.assertEqual((timesteps.min(), timesteps.max()), (20, 499))

    def test_schedule(self):
        """Of the published folder: the last step keeps .0047 of the power."""
        for of in (make_model(), self.with_scheduler()):
            alphas = distillation(of, PROMPT).alphas
            self.assertEqual(len(alphas), 1000)
            self.assertAlmostEqual(alphas[0].item(), 1 - .00085, places=6)
            self.assertAlmostEqual(alphas[-1].item(), .00466, places=5)

    def with_scheduler(self, **more):
        folder = self.folder / "sd"
        if not folder.exists():
            shutil.copytree(toy() / "sd", folder)
            (folder / "scheduler").mkdir()
        (folder / "scheduler" / "scheduler_config.json").write_text(
            json.dumps({"_class_name": "PNDMScheduler", "beta_end": .012,
                        "beta_schedule": "scaled_linear",
                        "beta_start": .00085, "clip_sample": False,
                        "num_train_timesteps": 1000,
                        "set_alpha_to_one": False, "skip_prk_steps": True,
                        "steps_offset": 1, "trained_betas": None, **more}))
        return Sd21(Sd21Config(folder, toy() / "spynet.pth"))

    def test_another_prediction(self):
        self.check_problem(
            "prediction_type: expected epsilon, found v_prediction; the "
            "folder is of another version",
            self.with_scheduler, prediction_type="v_prediction")

    def test_unknown_schedule(self):
        self.check_problem("scheduler_config.json: cannot be read: ",
                           self.with_scheduler, beta_schedule="steep")

    def test_broken_schedule(self):
        self.with_scheduler()
        path = self.folder / "sd" / "scheduler" / "scheduler_config.json"
        path.write_text("{")
        self.check_problem(
            "scheduler_config.json: cannot be read: ", Sd21,
            Sd21Config(self.folder / "sd", toy() / "spynet.pth"))

    def test_no_prompt(self):
        self.check_problem("prompt: expected what good pictures are",
                           distillation, make_model(), " ")


class Perceptual(Case):
    def backbone(self, net, **more):
        torch.manual_seed(6)
        features = getattr(torchvision.models, net)(weights=None).features
        state = {"features." + name: p
                 for name, p in features.state_dict().items()}
        path = self.folder / "backbone.safetensors"
        save_file({**state, **more}, path)
        return path, features.requires_grad_(False)

    def by_hand(self, features, taps, weights, a, b):
        """Differences of directions of features, weighted by channel."""
        mean = torch.tensor([.485, .456, .406]).view(3, 1, 1)
        std = torch.tensor([.229, .224, .225]).view(3, 1, 1)
        a, b = (((x + 1) / 2 - mean) / std for x in (a, b))
        total = 0
        for i, layer in enumerate(features):
            a, b = layer(a), layer(b)
            if i in taps:
                u, v = (x / x.norm(dim=1, keepdim=True) for x in (a, b))
                w = weights[f"lin{taps.index(i)}.model.1.weight"]
                total = total + ((u - v).square() * w).sum(1).mean((1, 2))
        return total

    def check(self, net, name, taps):
        path, features = self.backbone(name)
        of = Lpips(net, path)
        of.train()
        package = Path(sys.modules["lpips"].__file__).parent
        weights = torch.load(package / "weights" / "v0.1" / f"{net}.pth",
                             map_location="cpu")
        a, b = torch.rand(2, 2, 3, 64, 64) * 2 - 1
        a.requires_grad_()
        found = of(a, b)
        found.sum().backward()
        self.assertGreater(a.grad.abs().max(), 0)
        self.assertFalse(any(p.requires_grad for p in of.parameters()))
        with torch.no_grad():
            expected = self.by_hand(features, taps, weights, a, b)
        torch.testing.assert_close(found.detach(), expected,
                                   rtol=2e-3, atol=0)

    def test_alex(self):
        self.check("alex", "alexnet", (1, 4, 7, 9, 11))

    def test_vgg(self):
        self.check("vgg", "vgg16", (3, 8, 15, 22, 29))

    def test_neither(self):
        environment = {"TORCH_HOME": str(self.folder)}
        failing = mock.patch("torch.hub.download_url_to_file",
                             side_effect=urllib.error.URLError("no network"))
        with mock.patch.dict(os.environ, environment), failing:
            self.check_problem("alexnet are not in its cache and cannot be "
                               "downloaded .*no network.*; give a file",
                               Lpips, "alex")

    def test_another_network(self):
        path, _ = self.backbone("alexnet")
        self.check_problem("backbone.safetensors: .* tensors are missing: "
                           r"features\.\d", Lpips, "vgg", path)

    def test_no_file(self):
        self.check_problem("absent.pth: cannot be read: No such file", Lpips,
                           "alex", self.folder / "absent.pth")

    def test_no_such_network(self):
        self.check_problem("expected one of vgg, alex, found 'squeeze'",
                           Lpips, "squeeze")


# --- What leaves -------------------------------------------------------------

class Leaving(Case):
    def convert(self, *more):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), \
                contextlib.redirect_stderr(said), torch.no_grad():
            status = convert(["--sd", str(toy() / "sd"), "--dloral",
                              str(self.folder / "model.pkl"), "-o",
                              str(self.folder / "out.safetensors"),
                              "--dtype", "f32", *more])
        torch.set_grad_enabled(True)
        self.assertEqual(status, 0, said.getvalue())
        return said.getvalue()

    def engine(self, frames):
        """[T][H][W][3] u8"""
        lq, hr = self.folder / "lq.raw", self.folder / "hr.raw"
        frames.tofile(lq)
        n, h, w = frames.shape[:3]
        subprocess.run(
            ["gst-launch-1.0", "-q", "filesrc", f"location={lq}", "!",
             "rawvideoparse", "format=rgb", f"width={w}", f"height={h}", "!",
             "dloral", f"model={self.folder / 'out.safetensors'}",
             "precision=f32", "color-fix=none", "!",
             "filesink", f"location={hr}"],
            check=True, stdin=subprocess.DEVNULL, env={
                **os.environ, "GST_PLUGIN_PATH": str(BUILD / "gst"),
                "GST_REGISTRY": str(self.folder / "registry")})
        return np.fromfile(hr, np.uint8).reshape(n, 4 * h, 4 * w, 3)

    @torch.no_grad()
    def check_engine(self, model, *options):
        """Every picture."""
        frames = make_frames(5)
        up = upsample(frames)
        alone = model(up.expand(2, -1, -1, -1, -1)[:, [0] * 2], True)
        pictures = torch.cat([alone.pictures[0],
                              model(up, False).pictures[0]])
        expected = np.stack([reference.to_picture((p[None] + 1) / 2, .5)
                             for p in pictures]).astype(int)
        model.export(self.folder)
        said = self.convert(*options)
        self.assertNotIn("not used of " + str(self.folder), said)
        difference = np.abs(self.engine(frames) - expected)
        self.assertLessEqual(difference.max(), 1)
        self.assertLess(difference.mean(), .01)


class Program(Leaving):
    """Both stages of a configuration, as the command runs them."""

    CONFIG = """
        seed = 1
        transition = 1
        sd21 = {{sd = "{toy}/sd", spynet = "{toy}/spynet.pth", prompt = "{prompt}"}}
        perceptual = {{net = "alex", backbone = "{backbone}"}}
        distillation = {{prompt = "sharp"}}
        data = {{side = 64, scene_side = 64, scene_window = 2}}
        [train]
        batch = 1
        accumulate = 2
        precision = "no"
        weight_decay = 0.01
        betas = [0.9, 0.999]
        clip = 1
        average = 0.9
        warmup = 1
        pictures = 2
        save = 100
        [[phase]]
        stage = "consistency"
        steps = 2
        learning_rate = [1e-2, 1e-2]
        [[phase]]
        stage = "enhancement"
        steps = 2
        learning_rate = [1e-2, 1e-2]
        [losses.consistency]
        l2 = 1
        lpips = 0.04
        consistency = 20
        [losses.enhancement]
        l2 = 1
        lpips = 2
        csd = 2
        consistency = 10
        """

    def test_trains(self):
        """What is exported are the averages, which the engine is to have."""
        backbone = self.folder / "alex.pth"
        torch.manual_seed(4)
        torch.save(torchvision.models.alexnet().state_dict(), backbone)
        path = self.folder / "toy.toml"
        path.write_text(self.CONFIG.format(toy=toy(), prompt=PROMPT,
                                           backbone=backbone))
        trainer = prepare(parse([str(path), "--out", str(self.folder)]))
        begin = {n: p.clone() for n, p in trainer.model.state_dict().items()}
        trainer.run(None)
        with trainer.averaged():
            state = trainer.model.state_dict()
            moved = {n for n in state if not torch.equal(state[n], begin[n])}
            self.assertEqual(moved, {
                n for n in state if any(pattern.fullmatch(n)
                                        for pattern in LEARNED.values())})
            self.check_engine(trainer.model, "--prompt", PROMPT)


class Export(Leaving):
    def test_engine(self):
        model = disturb(make_model(prompt=PROMPT))
        self.check_engine(model, "--prompt", PROMPT)
        # the frame before plays its part in it
        up = upsample(make_frames(5))
        with torch.no_grad():
            aided, alone = (model(up, first).pictures
                            for first in (False, True))
        self.assertGreater(mse_loss(aided, alone).sqrt() * 127.5, 10)

    def test_other_ranks(self):
        model = disturb(make_model(rank_consistency=2, rank_detail=3))
        self.check_engine(model)
        self.check_engine(model, "--merge")

    def test_one_part_no_file(self):
        """Whole or not there; what was there stays."""
        (self.folder / "model.pkl").write_text("before")
        (self.folder / "model.pkl.part").symlink_to("/dev/full")
        self.check_problem("model.pkl: cannot be written: ",
                           make_model().export, self.folder)
        self.assertEqual((self.folder / "model.pkl").read_text(), "before")
        self.assertEqual(len(list(self.folder.iterdir())), 1)

    def test_no_folder(self):
        (self.folder / "file").touch()
        self.check_problem("model.pkl: cannot be written: ",
                           make_model().export, self.folder / "file")


# --- Bad input ---------------------------------------------------------------

class Inputs(Case):
    def setUp(self):
        super().setUp()
        self.sd = self.folder / "sd"

    def copy(self):
        shutil.copytree(toy() / "sd", self.sd)

    def check(self, pattern, **more):
        self.check_problem(pattern, Sd21, Sd21Config(
            **{"sd": self.sd, "spynet": toy() / "spynet.pth", **more}))

    def check_config(self, part, changes, pattern):
        self.copy()
        path = self.sd / part / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()),
                                    **changes}))
        self.check(pattern)

    def test_no_folder(self):
        self.check("sd: expected the folder of Stable Diffusion .* nothing")

    def test_a_file(self):
        self.sd.touch()
        self.check("sd: expected the folder of Stable Diffusion .* a file")

    def test_no_weights(self):
        self.copy()
        (self.sd / "unet" / "diffusion_pytorch_model.safetensors").unlink()
        self.check("unet: expected weights, one of .*; found none")

    def test_half_a_folder(self):
        self.copy()
        shutil.rmtree(self.sd / "text_encoder")
        self.check("text_encoder/config.json: cannot be read: No such file")

    def test_missing_tensor(self):
        self.copy()
        path = self.sd / "unet" / "diffusion_pytorch_model.safetensors"
        save_file({"conv_in.weight": torch.zeros(4, 4, 3, 3)}, path)
        self.check("tensors are missing: .*describes another UNet")

    def test_inpainting(self):
        self.check_config("unet", {"in_channels": 9},
                          "in_channels: expected 4, .* found 9")

    def test_another_text_encoder(self):
        self.check_config("text_encoder", {"hidden_size": 6},
                          "hidden_size: expected 8, the UNet's")

    def test_sdxl(self):
        self.check_config(
            "unet", {"addition_embed_type": "text_time"},
            "addition_embed_type: expected None, found text_time")

    def test_halves(self):
        """The kind of file that a download of halves leaves."""
        self.copy()
        for part in ("unet", "vae"):
            path = self.sd / part / "diffusion_pytorch_model.safetensors"
            path.rename(path.with_suffix(".fp16.safetensors"))
        Sd21(Sd21Config(self.sd, toy() / "spynet.pth"))

    def test_no_flow(self):
        self.copy()
        self.check("absent.pth: cannot be read: No such file",
                   spynet=self.folder / "absent.pth")

    def test_another_flow(self):
        self.copy()
        torch.save({"net.weight": torch.zeros(1)}, self.folder / "raft.pth")
        self.check(r"raft.pth: tensor basic_module\.0\..* is missing",
                   spynet=self.folder / "raft.pth")

    def test_rank(self):
        self.check_problem("rank_detail: expected a whole number from 1 to ",
                           make_model, rank_detail=0)

    def test_sides(self):
        self.check_problem("sides that are multiples of 4, found 64×66",
                           make_model(),
                           torch.zeros(1, 2, 3, 66, 64), True)


if __name__ == "__main__":
    if BUILD is None or not BUILD.is_dir():
        sys.exit("use: test_train_sd21.py BUILD-FOLDER")
    unittest.main()
