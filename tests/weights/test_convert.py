#!/usr/bin/env python3
"""weights/convert on a checkpoint of the published layout: the engine must
compute from the file it writes what the published code computes from the
checkpoint; names, tokens and embeddings must be those of diffusers and
transformers; what is wrong must be refused in a sentence.

    python3 -m venv v && v/bin/pip install -r tests/weights/requirements.txt
    v/bin/python tests/weights/test_convert.py BUILD-FOLDER [unittest's own]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import contextlib
import io
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "weights"), str(ROOT / "tests" / "agreement")]

import torch                                                    # noqa: E402
from diffusers import AutoencoderKL, UNet2DConditionModel       # noqa: E402
from safetensors import safe_open                               # noqa: E402
from safetensors.torch import load_file, save_file              # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel          # noqa: E402

import make_checkpoint                                          # noqa: E402
import tiny                                                     # noqa: E402
from converter import layouts                                   # noqa: E402
from converter.clip import Encoder                              # noqa: E402
from converter.command import main                              # noqa: E402
from converter.configs import read_text_encoder                 # noqa: E402
from converter.configs import read_unet, read_vae               # noqa: E402
from converter.sources import Source, stored                    # noqa: E402
from converter.tokenizer import read_tokenizer                  # noqa: E402

BUILD = pathlib.Path(sys.argv.pop(1)).resolve() \
    if len(sys.argv) > 1 else None
LAYER = "up_blocks.0.resnets.1.conv1"       # one that has adapters
SHARED = {}             # folders of the checkpoints, by shape
torch.set_grad_enabled(False)


def checkpoint(shape):
    """Made once; not to be changed."""
    if shape not in SHARED:
        temporary = tempfile.TemporaryDirectory()
        unittest.addModuleCleanup(temporary.cleanup)
        folder = pathlib.Path(temporary.name)
        with contextlib.redirect_stdout(io.StringIO()):
            make_checkpoint.make(shape, folder)
        SHARED[shape] = folder
    return SHARED[shape]


def convert(folder, out, *more):
    """(exit status, stdout, stderr)"""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), \
            contextlib.redirect_stderr(complained):
        status = main(["--sd", str(folder / "sd"),
                       "--dloral", str(folder / "model.pkl"),
                       "-o", str(out), *more])
    return status, said.getvalue(), complained.getvalue()


class Case(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.out = self.folder / "out.safetensors"

    def copy(self, shape="tiny"):
        """A checkpoint to change."""
        folder = self.folder / "checkpoint"
        shutil.copytree(checkpoint(shape), folder)
        return folder

    def convert(self, folder, *more):
        status, said, complained = convert(folder, self.out, *more)
        self.assertEqual((status, complained), (0, ""))
        return said


# --- The engine --------------------------------------------------------------

class Agreement(Case):
    """The agreement test's own program and bounds."""

    def engine(self, name, *options, prompt=None):
        source = checkpoint("published")
        folder = self.folder / name
        folder.mkdir()
        for path in [*source.glob("*.raw"), *source.glob("intermediates-*")]:
            shutil.copyfile(path, folder / path.name)
        self.out = folder / "model.safetensors"
        if prompt is None:
            prompt = (source / "prompt.txt").read_text()
        self.convert(source, "--prompt", prompt, *options)
        return subprocess.run(
            [BUILD / "tests" / "agreement" / "test-agreement",
             ROOT / "weights" / "dloral-small.safetensors", folder,
             "-p", f"/agreement/{name}/f32"], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", env={
                **os.environ,
                "G_TEST_SRCDIR": str(ROOT / "tests" / "agreement")})

    def check(self, name, *options):
        done = self.engine(name, *options)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"ok 1 /agreement/{name}/f32", done.stdout)

    def test_apart(self):
        self.check("apart", "--dtype", "f32")

    def test_merged(self):
        self.check("merged", "--dtype", "f32", "--merge")

    def test_f16(self):
        """The checkpoint's numbers are f16's own."""
        self.check("half")

    def test_prompt_by_the_engine(self):
        """Tokenizer and text encoder, as the element computes with them."""
        source = checkpoint("tiny")
        frames, = source.glob("lq-16x16-*")
        reference, = source.glob("ref-none-*")
        out = self.folder / "out.raw"
        self.convert(source, "--dtype", "f32")
        prompt = (source / "prompt.txt").read_text()
        subprocess.run(
            ["gst-launch-1.0", "-q", "filesrc", f"location={frames}", "!",
             "rawvideoparse", "format=rgb", "width=16", "height=16", "!",
             "dloral", f"model={self.out}", "precision=f32", "color-fix=none",
             f'prompt="{prompt}"', "!", "filesink", f"location={out}"],
            check=True, stdin=subprocess.DEVNULL, env={
                **os.environ, "GST_PLUGIN_PATH": str(BUILD / "gst"),
                "GST_REGISTRY": str(self.folder / "registry")})
        found, expected = (torch.frombuffer(bytearray(p.read_bytes()),
                                            dtype=torch.uint8).int()
                           for p in (out, reference))
        self.assertEqual(len(found), len(expected))
        self.assertLessEqual((found - expected).abs().max().item(), 2)

    def test_the_prompt_matters(self):
        done = self.engine("other", "--dtype", "f32", prompt="a friend")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"(?m)ERROR.*BOUND \* deviation")


# --- What others say ---------------------------------------------------------

# Stable Diffusion 2.1-base, what of its config.json differs from the defaults.
SD_UNET = {
    "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024,
    "use_linear_projection": True, "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3}
SD_VAE = {
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4}
SD_TEXT = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
    "num_attention_heads": 16, "hidden_act": "gelu", "vocab_size": 49408,
    "max_position_embeddings": 77, "layer_norm_eps": 1e-5}


class Names(Case):
    """Of the full size, which nothing here computes with."""

    def config(self, values):
        path = self.folder / "config.json"
        path.write_text(json.dumps(values))
        return path

    def check(self, layout, module):
        self.assertEqual(dict(layout), {
            n: tuple(p.shape) for n, p in module.named_parameters()})

    def test_unet(self):
        unet = read_unet(self.config(SD_UNET), 4)
        with torch.device("meta"):
            self.check(layouts.unet_layout(unet),
                       UNet2DConditionModel(**SD_UNET))

    def test_unet_with_convolutions(self):
        values = {**SD_UNET, "use_linear_projection": False,
                  "attention_head_dim": 8, "cross_attention_dim": 768}
        unet = read_unet(self.config(values), 4)
        with torch.device("meta"):
            self.check(layouts.unet_layout(unet),
                       UNet2DConditionModel(**values))
        self.assertEqual(unet["attention_head_dim"], [8] * 4)

    def test_vae(self):
        vae = read_vae(self.config(SD_VAE))
        with torch.device("meta"):
            self.check(layouts.vae_layout(vae), AutoencoderKL(**SD_VAE))

    def test_text_encoder(self):
        text = read_text_encoder(self.config(SD_TEXT))
        with torch.device("meta"):
            self.check(layouts.text_layout(text),
                       CLIPTextModel(CLIPTextConfig(**SD_TEXT)))


class Text(Case):
    def test_tokens(self):
        folder = checkpoint("published") / "sd"
        tokenizer = read_tokenizer(
            folder / "tokenizer",
            read_text_encoder(folder / "text_encoder" / "config.json"))
        texts = make_checkpoint.TEXTS
        found = [tokenizer.encode(text) for text in texts]
        self.assertEqual(found, make_checkpoint.tokens_of(folder, texts))

    def check_embedding(self, **more):
        values = dict(vocab_size=50, hidden_size=16, intermediate_size=24,
                      num_hidden_layers=3, num_attention_heads=4,
                      max_position_embeddings=77, layer_norm_eps=1e-5, **more)
        torch.manual_seed(1)
        model = CLIPTextModel(CLIPTextConfig(**values)).eval()
        for p in model.parameters():
            p.copy_(torch.randn(p.shape) * .4)
        source = Source("model", stored("model", model.state_dict()))
        ids = torch.randint(50, (77,)).tolist()
        expected = model(torch.tensor([ids]))[0][0]
        found = Encoder(source, values).encode(ids)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    def test_gelu(self):
        self.check_embedding(hidden_act="gelu")

    def test_quick_gelu(self):
        self.check_embedding(hidden_act="quick_gelu")

    def test_default_prompt(self):
        """Nothing."""
        folder = checkpoint("published")
        self.convert(folder)
        with safe_open(self.out, "pt") as file:
            found = file.get_tensor("prompt_embeds")
        self.assertEqual(found.dtype, torch.float32)
        torch.testing.assert_close(
            found, make_checkpoint.embed_prompt(folder / "sd", ""),
            rtol=1e-5, atol=1e-5)


# --- Forms of input and output -----------------------------------------------

class Forms(Case):
    def plain(self):
        out = self.folder / "plain.safetensors"
        self.assertEqual(convert(checkpoint("tiny"), out)[0], 0)
        return out.read_bytes()

    def check_same(self, folder):
        self.convert(folder)
        self.assertEqual(self.out.read_bytes(), self.plain())

    def weights(self, folder):
        for part, name in (("vae", "diffusion_pytorch_model"),
                           ("text_encoder", "model")):
            path = folder / "sd" / part / (name + ".safetensors")
            yield path, load_file(path)
            path.unlink()

    def test_pytorch_files(self):
        folder = self.copy()
        for path, state in self.weights(folder):
            name = path.stem.replace("model", "pytorch_model") \
                if path.stem == "model" else path.stem
            torch.save(state, path.with_name(name + ".bin"))
        self.check_same(folder)

    def test_old_pytorch_file(self):
        folder = self.copy()
        content = torch.load(folder / "model.pkl")
        torch.save(content, folder / "model.pkl",
                   _use_new_zipfile_serialization=False)
        self.check_same(folder)

    def test_halves(self):
        folder = self.copy()
        for path, state in self.weights(folder):
            save_file({n: t.half() if t.is_floating_point() else t
                       for n, t in state.items()},
                      path.with_name(path.stem + ".fp16.safetensors"))
        self.check_same(folder)

    def test_shards(self):
        folder = self.copy()
        for path, state in self.weights(folder):
            shards = {"first.safetensors": {}, "second.safetensors": {}}
            index = {}
            for i, (name, tensor) in enumerate(state.items()):
                index[name] = list(shards)[i % 2]
                shards[index[name]][name] = tensor
            for name, tensors in shards.items():
                save_file(tensors, path.with_name(name))
            path.with_name(path.name + ".index.json").write_text(
                json.dumps({"weight_map": index}))
        self.check_same(folder)

    def test_new_names_of_the_vae(self):
        folder = self.copy()
        path = folder / "sd" / "vae" / "diffusion_pytorch_model.safetensors"
        vae = AutoencoderKL.from_pretrained(path.parent)
        self.assertIn("encoder.mid_block.attentions.0.query.weight",
                      load_file(path))
        path.unlink()
        vae.save_pretrained(path.parent)
        self.assertIn("encoder.mid_block.attentions.0.to_q.weight",
                      load_file(path))
        self.check_same(folder)

    def test_types(self):
        for name in ("f16", "bf16", "f32"):
            with self.subTest(name):
                self.convert(checkpoint("tiny"), "--dtype", name)
                with safe_open(self.out, "pt") as file:
                    types = {file.get_slice(n).get_dtype() for n
                             in file.keys()}
                self.assertEqual(types, {name.upper(), "F32", "U8"})

    def test_merged_once(self):
        """W + 2·BA of peft's own doing."""
        folder = checkpoint("tiny")
        self.convert(folder, "--merge", "--dtype", "f32")
        unet = make_checkpoint.load_unet(
            folder / "sd", torch.load(folder / "model.pkl"))
        with safe_open(self.out, "pt") as file:
            self.assertFalse([n for n in file.keys() if "lora" in n])
            for name, module in unet.named_modules():
                if hasattr(module, "get_delta_weight"):
                    expected = module.base_layer.weight + sum(
                        module.get_delta_weight(a)
                        for a in module.active_adapters
                        if a in module.lora_A)
                    found = file.get_tensor(f"unet.{name}.weight")
                    torch.testing.assert_close(found, expected, atol=1e-5,
                                               rtol=1e-5)

    def test_kinds(self):
        """Which adapter is which does not show in a picture of both."""
        folder = checkpoint("tiny")
        self.convert(folder, "--dtype", "f32")
        unet = torch.load(folder / "model.pkl")["state_dict_unet"]
        with safe_open(self.out, "pt") as file:
            for ours, theirs in (("detail", "quality"),
                                 ("consistency", "consistency")):
                for half in "AB":
                    found = file.get_tensor(f"unet.{LAYER}.lora_{half}.{ours}")
                    torch.testing.assert_close(found, unet[
                        f"{LAYER}.lora_{half}.default_decoder_{theirs}.weight"
                    ], atol=0, rtol=0)

    def test_config(self):
        self.convert(checkpoint("tiny"))
        with safe_open(self.out, "pt") as file:
            metadata = file.metadata()
        self.assertEqual(metadata["format"], "dloral")
        config = json.loads(metadata["config"])
        shape = make_checkpoint.SHAPES["tiny"]
        wanted = make_checkpoint.whole_config(shape)
        self.assertEqual({k: config[k] for k in wanted}, wanted)
        self.assertEqual(config["color_fix"], "adain")
        self.assertEqual(config["tokenizer"], {
            "bos_token_id": 532, "eos_token_id": 533, "pad_token_id": 0,
            "max_length": 77})
        self.assertEqual(config["text_encoder"], {
            "num_hidden_layers": 1, "num_attention_heads": 2,
            "hidden_size": 8, "intermediate_size": 16, "hidden_act": "gelu",
            "layer_norm_eps": 1e-5, "max_position_embeddings": 77,
            "vocab_size": 534})

    def test_report(self):
        said = self.convert(checkpoint("tiny"))
        self.assertIn("2 feat_extract.*, 2 spynet.*, 2 weight_predict.*", said)
        self.assertIn("text_model.embeddings.position_ids", said)
        self.assertNotIn("spynet.mean\n", said)
        said = self.convert(checkpoint("tiny"), "--verbose")
        self.assertIn(" spynet.mean\n", said)

    def test_as_a_command(self):
        folder = checkpoint("tiny")
        subprocess.run(
            [sys.executable, ROOT / "weights" / "convert",
             "--sd", folder / "sd", "--dloral", folder / "model.pkl",
             "-o", self.out], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(self.out.read_bytes(), self.plain())
        done = subprocess.run(
            [sys.executable, ROOT / "weights" / "convert",
             "--sd", folder, "--dloral", folder / "model.pkl",
             "-o", self.out], stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)


# --- Tiny coders -------------------------------------------------------------

class Tiny(Case):
    def setUp(self):
        super().setUp()
        torch.manual_seed(4)
        self.vae = tiny.TinyVae(4, (5,) * 4, (6,) * 4, False)
        torch.save(self.vae.encoder.state_dict(),
                   self.folder / "taesd_encoder.pth")
        torch.save(self.vae.decoder.state_dict(),
                   self.folder / "taesd_decoder.pth")

    def test_added(self):
        said = self.convert(checkpoint("published"), "--dtype", "f32",
                            "--taesd", str(self.folder))
        state = load_file(self.out)
        expected = {f"tiny.{k}": v for k, v in self.vae.state_dict().items()}
        self.assertEqual({k for k in state if k.startswith("tiny.")},
                         set(expected))
        for name, tensor in expected.items():
            self.assertTrue(torch.equal(state[name], tensor), name)
        self.assertIn("(decoder, encoder)", said)

    def test_missing(self):
        (self.folder / "taesd_decoder.pth").unlink()
        status, _, complained = convert(checkpoint("published"), self.out,
                                        "--taesd", str(self.folder))
        self.assertEqual(status, 1)
        self.assertIn("taesd_decoder", complained)
        self.assertFalse(self.out.exists())


# --- What is wrong -----------------------------------------------------------

class Runs:
    """Pickled, it would call something when read."""

    def __reduce__(self):
        return os.mkdir, (str(SHARED["tiny"] / "ran"),)


class Refused(Case):
    def check(self, folder, message, *more):
        self.out.write_text("what was there before")
        status, _, complained = convert(folder, self.out, *more)
        self.assertEqual(status, 1, complained)
        self.assertRegex(complained, message)
        self.assertEqual(complained.count("\n"), 1, complained)
        self.assertEqual(self.out.read_text(), "what was there before")
        self.assertFalse(self.out.with_name("out.safetensors.part").exists())

    def check_pickle(self, change, message, *more):
        folder = self.copy()
        content = torch.load(folder / "model.pkl")
        change(content)
        torch.save(content, folder / "model.pkl")
        self.check(folder, message, *more)

    def check_unet(self, change, message, *more):
        self.check_pickle(lambda c: change(c["state_dict_unet"]), message,
                          *more)

    def check_config(self, part, change, message):
        folder = self.copy()
        path = folder / "sd" / part / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        self.check(folder, message)

    # model.pkl

    def test_code(self):
        self.check_pickle(lambda c: c.update(more=Runs()),
                          r"found \S*mkdir; what may run code is not loaded")
        self.assertFalse((SHARED["tiny"] / "ran").exists())

    def test_code_in_a_plain_pickle(self):
        folder = self.copy()
        (folder / "model.pkl").write_bytes(pickle.dumps({"more": Runs()}))
        self.check(folder, "model.pkl: expected tensors, names and numbers")
        self.assertFalse((SHARED["tiny"] / "ran").exists())

    def test_cut_short(self):
        folder = self.copy()
        data = (folder / "model.pkl").read_bytes()
        (folder / "model.pkl").write_bytes(data[:len(data) // 2])
        self.check(folder, "model.pkl: ")

    def test_empty(self):
        folder = self.copy()
        (folder / "model.pkl").write_bytes(b"")
        self.check(folder, "model.pkl: ")

    def test_absent(self):
        folder = self.copy()
        (folder / "model.pkl").unlink()
        self.check(folder, "model.pkl: cannot be read: No such file")

    def test_another_checkpoint(self):
        self.check_pickle(lambda c: c.pop("state_dict_bpp"),
                          "found no state_dict_bpp in it but unet_lora")

    def test_only_tensors(self):
        folder = self.copy()
        torch.save([1, 2], folder / "model.pkl")
        self.check(folder, "expected a DLoRAL checkpoint, found list")

    def test_not_a_tensor(self):
        self.check_unet(lambda s: s.update({"conv_in.base_layer.bias": 1}),
                        "entry 'conv_in.base_layer.bias': expected a tensor")

    def test_missing(self):
        self.check_unet(lambda s: s.pop(LAYER + ".base_layer.bias"),
                        r"1 of 206 tensors are missing: up_blocks\.0\."
                        r"resnets\.1\.conv1\.bias;")

    def test_shape(self):
        name = LAYER + ".base_layer.weight"
        self.check_unet(
            lambda s: s.update({name: s[name][:, 1:]}),
            name + r": expected \[4, 8, 3, 3\], found \[4, 7, 3, 3\]")

    def test_integers(self):
        name = LAYER + ".base_layer.weight"
        self.check_unet(lambda s: s.update({name: s[name].to(torch.int8)}),
                        "expected floating point, found torch.int8")

    def test_not_finite(self):
        self.check_unet(
            lambda s: s[LAYER + ".base_layer.bias"].fill_(float("nan")),
            LAYER + r"\.base_layer\.bias: expected finite numbers")

    def test_overflow(self):
        self.check_unet(
            lambda s: s[LAYER + ".base_layer.bias"].fill_(1e5),
            r"unet\.\S+conv1\.bias: expected numbers that F16 can hold, up to "
            r"65504, found 100000; convert with --dtype bf16 or f32")

    def test_overflow_once_merged(self):
        def change(s):
            s[LAYER + ".base_layer.weight"].fill_(6e4)
            for half in "AB":
                s[f"{LAYER}.lora_{half}.default_decoder_quality.weight"] \
                    .fill_(100)
        self.check_unet(change, "conv1.weight: expected numbers that F16 can",
                        "--merge")

    def test_retrieval_missing(self):
        self.check_pickle(
            lambda c: c["state_dict_bpp"].pop(
                "cross_attn_module.threshold_fc.weight"),
            "state_dict_bpp: tensor cross_attn_module.threshold_fc.weight is")

    def test_retrieval_heads(self):
        def change(c):
            c["state_dict_bpp"]["cross_attn_module.threshold_fc.weight"] \
                = torch.zeros(1, 5)
        self.check_pickle(change, "expected a multiple of 5 channels")

    # adapters

    def test_rank(self):
        self.check_pickle(
            lambda c: c.update(lora_rank_unet_quality=8),
            r"default_\w+_quality\.weight: expected rank 8, as "
            r"lora_rank_unet_quality says, found 4")

    def test_rank_of_one(self):
        name = LAYER + ".lora_B.default_decoder_consistency.weight"
        self.check_unet(lambda s: s.update({name: s[name][:, :2]}),
                        f"{name}: expected rank 4, .* found 2")

    def test_no_rank(self):
        self.check_pickle(lambda c: c.update(lora_rank_unet_quality=0),
                          "lora_rank_unet_quality: expected a whole number")

    def test_half_missing(self):
        self.check_unet(
            lambda s: s.pop(LAYER + ".lora_B.default_decoder_quality.weight"),
            LAYER + ".*other half of the adapter is missing")

    def test_two_parts(self):
        def change(s):
            name = LAYER + ".lora_A.default_%s_quality.weight"
            s[name % "encoder"] = s[name % "decoder"]
        self.check_unet(change, "expected one adapter quality of " + LAYER)

    def test_not_listed(self):
        key = "unet_lora_decoder_modules_quality"
        self.check_pickle(
            lambda c: c.update({key: [n for n in c[key] if n != LAYER]}),
            f"1 layers have adapter tensors but are not in {key}: {LAYER}")

    def test_listed_only(self):
        def change(c):
            for half in "AB":
                c["state_dict_unet"].pop(
                    f"{LAYER}.lora_{half}.default_decoder_quality.weight")
        self.check_pickle(change, "lists 1 layers that have no adapter "
                          f"tensors: {LAYER}")

    def test_foreign_adapter(self):
        self.check_unet(
            lambda s: s.update({LAYER + ".lora_A.default.weight":
                                torch.zeros(4, 8, 3, 3)}),
            "expected an adapter named as DLoRAL's")

    # the folder

    def test_another_version(self):
        self.check_config(
            "unet", {"cross_attention_dim": 768},
            "cross_attention_dim: expected 8, .* found 768; the folder is of "
            "another version of Stable Diffusion than 2.1-base")

    def test_another_unet(self):
        self.check_config("unet", {"block_out_channels": [4, 6],
                                   "attention_head_dim": [1, 2]},
                          "describes another UNet than the checkpoint's")

    def test_heads(self):
        self.check_config("unet", {"attention_head_dim": [1, 3]},
                          "attention_head_dim: expected numbers of heads")

    def test_unknown_unet(self):
        self.check_config("unet", {"class_embed_type": "timestep"},
                          "class_embed_type: expected None, found timestep")

    def test_unbounded(self):
        self.check_config("unet", {"layers_per_block": 10 ** 9},
                          "layers_per_block: expected a whole number from 1")

    def test_another_vae(self):
        self.check_config("vae", {"latent_channels": 16},
                          r"encoder\.conv_out\.weight: expected \[32, ")

    def test_another_text_encoder(self):
        self.check_config("text_encoder", {"hidden_size": 6},
                          "hidden_size: expected 8, the UNet's")

    def test_unknown_activation(self):
        self.check_config("text_encoder", {"hidden_act": "relu"},
                          "hidden_act: expected gelu or quick_gelu")

    def test_another_tokenizer(self):
        folder = self.copy()
        path = folder / "sd" / "tokenizer" / "vocab.json"
        path.write_text(json.dumps({**json.loads(path.read_text()),
                                    "more": 534}))
        self.check(folder, "vocab.json: expected the text encoder's 534 tok")

    def test_no_weights(self):
        folder = self.copy()
        (folder / "sd" / "vae" / "diffusion_pytorch_model.safetensors") \
            .unlink()
        self.check(folder, "vae: expected weights, one of .*; found none")

    def test_no_config(self):
        folder = self.copy()
        (folder / "sd" / "unet" / "config.json").unlink()
        self.check(folder, "unet/config.json: cannot be read: No such file")

    def test_not_downloaded(self):
        """What git leaves where its large files were not fetched."""
        folder = self.copy()
        (folder / "sd" / "vae" / "diffusion_pytorch_model.safetensors") \
            .write_text("version https://git-lfs.github.com/spec/v1\n")
        self.check(folder, "cannot be read as safetensors: .*; is it whole")

    def test_shard_elsewhere(self):
        folder = self.copy()
        path = folder / "sd" / "vae" / "diffusion_pytorch_model.safetensors"
        path.rename(folder / "sd" / "elsewhere.safetensors")
        path.with_name(path.name + ".index.json").write_text(
            '{"weight_map": {"a": "../elsewhere.safetensors"}}')
        self.check(folder, "expected a file beside it")

    # the output

    def test_no_folder(self):
        out = self.folder / "absent" / "out.safetensors"
        status, _, complained = convert(checkpoint("tiny"), out)
        self.assertEqual(status, 1)
        self.assertRegex(complained, "cannot be written: No such file")

    def test_a_folder(self):
        status, _, complained = convert(checkpoint("tiny"), self.folder)
        self.assertEqual(status, 1)
        self.assertIn("expected the name of a file, found a folder",
                      complained)

    def test_full_disk(self):
        self.out.with_name("out.safetensors.part").symlink_to("/dev/full")
        status, _, complained = convert(checkpoint("tiny"), self.out)
        self.assertEqual(status, 1)
        self.assertRegex(complained, "cannot be written: No space left")
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    if BUILD is None or not BUILD.is_dir():
        sys.exit("use: test_convert.py BUILD-FOLDER")
    unittest.main()
