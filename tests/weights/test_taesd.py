#!/usr/bin/env python3
# Reading the tiny coders' published files. Needs torch, safetensors and
# diffusers 0.25:
#
#   python3 tests/weights/test_taesd.py
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import pathlib
import sys
import tempfile
import unittest

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "weights"), str(ROOT / "tests" / "agreement")]

import tiny  # noqa: E402
from converter import taesd  # noqa: E402
from converter.problem import Problem  # noqa: E402


def make(remembers=False, latent=4):
    torch.manual_seed(1)
    return tiny.TinyVae(latent, (5,) * 4, (6,) * 4, remembers)


class Taesd(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def save(self, name, state):
        state = {k: v.detach().contiguous() for k, v in state.items()}
        (save_file if name.endswith(".safetensors") else torch.save)(
            state, self.folder / name)

    def save_pair(self, vae, suffix):
        self.save("taesd_encoder" + suffix, vae.encoder.state_dict())
        self.save("taesd_decoder" + suffix, vae.decoder.state_dict())

    def save_video(self, vae):
        self.save("taesdv.pth", {
            k.replace("video_decoder.", "decoder."): v
            for k, v in vae.state_dict().items()})

    def check(self, *states):
        expected = {f"tiny.{k}": v for s in states for k, v in s.items()}
        found = dict(taesd.tensors(self.folder))
        self.assertEqual(found.keys(), expected.keys())
        for name, tensor in found.items():
            self.assertEqual(tensor.shape, tuple(expected[name].shape), name)
            self.assertTrue(torch.equal(tensor.load(), expected[name]), name)

    def refused(self, *words):
        with self.assertRaises(Problem) as caught:
            taesd.tensors(self.folder)
        self.assertNotIn("\n", str(caught.exception))
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_own_files(self):
        for suffix in (".pth", ".safetensors"):
            vae = make()
            self.save_pair(vae, suffix)
            self.check(vae.state_dict())

    def test_diffusers(self):
        vae = make()
        self.save("diffusion_pytorch_model.safetensors",
                  tiny.as_diffusers(vae).state_dict())
        self.check(vae.state_dict())

    def test_video(self):
        vae = make(remembers=True)
        self.save_video(vae)
        self.check(vae.state_dict())

    def test_video_beside_stills(self):
        stills, video = make(), make(remembers=True)
        for p in video.encoder.parameters():
            p.data.zero_()
        self.save_pair(stills, ".pth")
        self.save_video(video)
        self.check(stills.state_dict(),
                   {k: v for k, v in video.state_dict().items()
                    if k.startswith("video_decoder.")})

    def test_nothing(self):
        self.refused(str(self.folder), "taesd_encoder", "found none")

    def test_half(self):
        self.save("taesd_encoder.pth", make().encoder.state_dict())
        self.refused("taesd_decoder", "found taesd_encoder.pth")

    def test_other_latents(self):
        self.save_pair(make(latent=16), ".pth")
        self.refused("taesd_encoder.pth", "14.weight", "(4, 5, 3, 3)",
                     "(16, 5, 3, 3)")

    def test_missing(self):
        vae = make()
        self.save_pair(vae, ".safetensors")
        state = vae.decoder.state_dict()
        del state["8.conv.2.bias"]
        self.save("taesd_decoder.safetensors", state)
        self.refused("taesd_decoder.safetensors", "8.conv.2.bias", "(6,)",
                     "found none")

    def test_other_network(self):
        vae = make(remembers=True)
        vae.video_decoder[6].register_parameter(
            "conv", torch.nn.Parameter(torch.zeros(6, 6, 1, 1)))
        self.save_video(vae)
        self.refused("taesdv.pth", "TAESDV's decoder", "6.conv")

    def test_still_as_video(self):
        self.save("taesdv.pth", make().state_dict())
        self.refused("3.conv.0.weight", "(6, 12, 3, 3)", "(6, 6, 3, 3)")

    def test_no_checkpoint(self):
        self.save_pair(make(), ".pth")
        for name in ("taesd_decoder.pth", "taesd_decoder.safetensors"):
            for content in (b"", b"not a model", bytes(4096)):
                (self.folder / name).write_bytes(content)
                self.refused(name, "cannot be read")

    def test_code_is_not_run(self):
        self.save_pair(make(), ".pth")
        torch.save({"0.weight": print}, self.folder / "taesd_encoder.pth")
        self.refused("taesd_encoder.pth", "cannot be read")

    def test_no_tensors(self):
        self.save_pair(make(), ".pth")
        torch.save([1, 2], self.folder / "taesd_encoder.pth")
        self.refused("taesd_encoder.pth", "dictionary of tensors")


unittest.main()
