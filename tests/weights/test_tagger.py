#!/usr/bin/env python3
"""The tagger in PyTorch that the engine is compared with, against what
transformers and PyTorch's own attention compute; weights/convert on RAM and
DAPE in the published layout, merged against plain arithmetic in float64; what
is wrong must be refused in a sentence.

    python3 -m venv v && v/bin/pip install -r tests/weights/requirements.txt
    v/bin/python tests/weights/test_tagger.py [unittest's own]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "weights"), str(ROOT / "tests" / "agreement")]

import numpy as np                                              # noqa: E402
import torch                                                    # noqa: E402
import torch.nn.functional as F                                 # noqa: E402
from safetensors import safe_open                               # noqa: E402
from safetensors.torch import load_file                         # noqa: E402
from torch import nn                                            # noqa: E402
from transformers import SwinConfig, SwinModel                  # noqa: E402

import make_checkpoint                                          # noqa: E402
import make_tagger                                              # noqa: E402
import tagger                                                   # noqa: E402
from converter.command import main                              # noqa: E402
from converter.layouts import tagger_layout                     # noqa: E402

DATA = ROOT / "tests" / "agreement" / "data" / "tagger"
QKV = "visual_encoder.layers.2.blocks.1.attn.qkv"
QUERY = "tagging_head.encoder.layer.1.crossattention.self.query"
TABLE = "visual_encoder.layers.0.blocks.0.attn.relative_position_bias_table"
torch.set_grad_enabled(False)

# What the published checkpoint's config has to be.
PUBLISHED = {
    "image_size": 384, "patch_size": 4, "embed_dim": 192,
    "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12,
    "mlp_ratio": 4, "projection_dim": 512, "hidden_size": 768,
    "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 3072, "layer_norm_eps": 1e-12, "tags": 4585}


# --- The reference -----------------------------------------------------------

SWIN_NAMES = (
    ("visual_encoder.layers", "encoder.layers"),
    ("visual_encoder.patch_embed.proj", "embeddings.patch_embeddings"
     ".projection"),
    ("visual_encoder.patch_embed.norm", "embeddings.norm"),
    ("visual_encoder.norm", "layernorm"), ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"), ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"), ("attn.proj", "attention.output.dense"),
    ("attn.relative", "attention.self.relative"))


def make_swin(config):
    return SwinModel(SwinConfig(
        hidden_act="gelu", layer_norm_eps=1e-5, qkv_bias=True,
        **{key: config[key] for key in (
            "image_size", "patch_size", "embed_dim", "depths", "num_heads",
            "window_size", "mlp_ratio")})).eval()


def swin_state(state):
    """With the names that transformers has for them."""
    found = {}
    for name, tensor in state.items():
        for ours, theirs in SWIN_NAMES:
            name = name.replace(ours, theirs)
        if ".attn.qkv." in name:
            for which, part in zip(("query", "key", "value"),
                                   tensor.chunk(3)):
                found[name.replace("attn.qkv", "attention.self." + which)] \
                    = part
        elif name.startswith(("encoder.", "embeddings.", "layernorm.")):
            found[name] = tensor
    return found


class Reference(unittest.TestCase):
    def setUp(self):
        self.net = tagger.load(DATA / "tagger.safetensors", torch.float64)
        lq = load_file(DATA / "answers-26x18.safetensors")["lq"].numpy()
        self.answers = self.net.run(tagger.enlarge(lq))

    def test_swin(self):
        swin = make_swin(self.net.config).double()
        rest = swin.load_state_dict(swin_state(self.net.state), strict=False)
        self.assertEqual(rest.unexpected_keys, [])
        self.assertEqual([n for n in rest.missing_keys
                          if "relative_position_index" not in n], [])
        found = swin(self.answers["input"].permute(2, 0, 1)[None])
        tokens = self.answers["tokens"]
        torch.testing.assert_close(found.last_hidden_state[0], tokens[1:])
        torch.testing.assert_close(found.pooler_output[0], tokens[0])

    def attention(self, name):
        config, state = self.net.config, self.net.state
        width, seen = config["hidden_size"], config["projection_dim"]
        net = nn.MultiheadAttention(
            width, config["num_attention_heads"], kdim=seen, vdim=seen,
            dtype=torch.float64)
        parts = [f"{name}.self.{which}." for which in ("query", "key",
                                                       "value")]
        for part, weight in zip(parts, (net.q_proj_weight, net.k_proj_weight,
                                        net.v_proj_weight)):
            weight.copy_(state[part + "weight"])
        net.in_proj_bias.copy_(torch.cat([state[p + "bias"] for p in parts]))
        net.out_proj.weight.copy_(state[name + ".output.dense.weight"])
        net.out_proj.bias.copy_(state[name + ".output.dense.bias"])
        return net

    def layer(self, name, x, seen):
        """A decoder's layer of PyTorch's, of which the tags do not look at
        each other: its norms come after, as in BERT."""
        config, state = self.net.config, self.net.state
        net = nn.TransformerDecoderLayer(
            config["hidden_size"], config["num_attention_heads"],
            config["intermediate_size"], 0, "gelu",
            layer_norm_eps=config["layer_norm_eps"], dtype=torch.float64)
        net.multihead_attn = self.attention(name + ".crossattention")
        net.self_attn = net.norm1 = None
        for ours, theirs in ((".intermediate.dense", net.linear1),
                             (".output.dense", net.linear2),
                             (".crossattention.output.LayerNorm", net.norm2),
                             (".output.LayerNorm", net.norm3)):
            theirs.weight.copy_(state[f"{name}{ours}.weight"])
            theirs.bias.copy_(state[f"{name}{ours}.bias"])
        x = net.norm2(x + net.multihead_attn(x, seen, seen)[0])
        return net.norm3(x + net._ff_block(x))

    def test_head(self):
        state, seen = self.net.state, self.answers["embeds"]
        x = F.relu(F.linear(state["label_embed"],
                            state["wordvec_proj.weight"],
                            state["wordvec_proj.bias"]))
        for n in range(self.net.config["num_hidden_layers"]):
            x = self.layer(f"tagging_head.encoder.layer.{n}", x, seen)
        logits = x @ state["fc.weight"][0] + state["fc.bias"]
        torch.testing.assert_close(logits, self.answers["logits"])

    def test_answers(self):
        """The files hold what is computed today."""
        paths = sorted(DATA.glob("answers-*.safetensors"))
        self.assertEqual(len(paths), len(make_tagger.SIZES))
        for path in paths:
            stored = load_file(path)
            found = self.net.run(tagger.enlarge(stored.pop("lq").numpy()))
            for name, tensor in stored.items():
                torch.testing.assert_close(found[name].float(), tensor)
            with safe_open(path, "pt") as file:
                self.assertEqual(file.metadata()["tags"], ", ".join(
                    self.net.choose(found["logits"])))

    def test_full_size(self):
        """Swin-L has the tensors of transformers' own."""
        layout = {n: torch.empty(s, device="meta") for n, s
                  in tagger_layout(PUBLISHED).items()}
        self.assertEqual(
            {n: t.shape for n, t in swin_state(layout).items()},
            {n: p.shape for n, p in make_swin(PUBLISHED).named_parameters()})


# --- The converter -----------------------------------------------------------

def load_ram(folder):
    return torch.load(folder / "ram.pth")["model"]


def merged(folder):
    """Every tensor that the file must have, in float64, by its published
    name: adapters of rank 8 and alpha 1."""
    ram, dape = load_ram(folder), torch.load(folder / "DAPE.pth")
    state = {n: t.double() for n, t in ram.items() if n.startswith(
        ("visual_encoder.", "tagging_head.", "image_proj.", "wordvec_proj.",
         "fc.", "label_embed")) and not n.endswith(("_index", "_mask"))}
    for name, tensor in dape.items():
        layer, _, kind = name.rpartition(".")
        weight = layer.replace("tag_encoder", "tagging_head") + ".weight"
        if kind != "lora_A" or weight not in state:
            continue
        a, b = tensor.double(), dape[layer + ".lora_B"].double()
        if layer.endswith("qkv"):
            width = len(b) // 2
            state[weight][:width] += b[:width] @ a[:8] / 8
            state[weight][2 * width:] += b[width:] @ a[8:] / 8
        else:
            state[weight] += b @ a / 8
    state["fc.bias"] = dape["fc.bias"].double()
    return state


def convert(*arguments):
    """(exit status, stdout, stderr)"""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), \
            contextlib.redirect_stderr(complained):
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as e:         # argparse's own
            status = e.code
    return status, said.getvalue(), complained.getvalue()


class Case(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        make_checkpoint.write_ram(self.folder)
        self.out = self.folder / "out.safetensors"
        self.inputs = ["--ram", self.folder / "ram.pth", "--dape",
                       self.folder / "DAPE.pth", "--ram-data",
                       self.folder / "data", "-o", self.out]

    def convert(self, *more):
        status, said, complained = convert(*self.inputs, *more)
        self.assertEqual((status, complained), (0, ""))
        return said

    def change_ram(self, change):
        content = torch.load(self.folder / "ram.pth")
        change(content["model"])
        torch.save(content, self.folder / "ram.pth")

    def change_dape(self, change):
        content = torch.load(self.folder / "DAPE.pth")
        change(content)
        torch.save(content, self.folder / "DAPE.pth")

    def check(self, expected):
        """The file holds these and no more of the network."""
        found = {n[len("tagger."):]: t for n, t
                 in load_file(self.out).items() if n.startswith("tagger.")}
        self.assertEqual(bytes(found.pop("tags").numpy()).decode(),
                         "\n".join(make_tagger.TAGS))
        torch.testing.assert_close(
            found.pop("thresholds"), torch.tensor([.95] + [.68] * 22),
            rtol=0, atol=0)
        self.assertEqual(found.keys(), expected.keys())
        for name, tensor in found.items():
            torch.testing.assert_close(tensor, expected[name].float(),
                                       msg=name)


class Converted(Case):
    def test_alone(self):
        self.convert("--dtype", "f32")
        self.check(merged(self.folder))
        with safe_open(self.out, "pt") as file:
            metadata = file.metadata()
        self.assertEqual(metadata["format"], "dloral-tagger")
        self.assertEqual(json.loads(metadata["config"]),
                         {"tagger": make_checkpoint.RAM})

    def test_adapters_matter(self):
        """Each of the three kinds changes its weight, keys of windows not."""
        ram, state = load_ram(self.folder), merged(self.folder)
        apart = state[QKV + ".weight"] - ram[QKV + ".weight"]
        for part, changes in zip(apart.chunk(3), (True, False, True)):
            self.assertEqual(part.abs().max().item() > .1, changes)
        for name in (QUERY, QUERY.replace("query", "key")):
            apart = state[name + ".weight"] - ram[name + ".weight"]
            self.assertGreater(apart.abs().max().item(), .1)

    def test_computes(self):
        self.convert("--dtype", "f32")
        picture = np.random.default_rng(1).integers(
            0, 256, (40, 56, 3), np.uint8)
        state = {**merged(self.folder), "thresholds": torch.zeros(23)}
        expected = tagger.Tagger(make_checkpoint.RAM, state, make_tagger.TAGS)
        found = tagger.load(self.out, torch.float64)
        torch.testing.assert_close(
            found.run(picture)["logits"], expected.run(picture)["logits"],
            rtol=1e-4, atol=1e-4)
        self.assertEqual(found.tags, make_tagger.TAGS)

    def test_inside_a_model(self):
        """Nothing else changes."""
        with contextlib.redirect_stdout(io.StringIO()):
            make_checkpoint.make("tiny", self.folder)
        sd = ["--sd", self.folder / "sd", "--dloral",
              self.folder / "model.pkl", "--dtype", "f32"]
        plain = self.folder / "plain.safetensors"
        self.assertEqual(convert(*sd, "-o", plain)[0], 0)
        self.convert(*sd)
        self.check(merged(self.folder))
        without, whole = load_file(plain), load_file(self.out)
        self.assertEqual(without.keys(), {n for n in whole if not
                                          n.startswith("tagger.")})
        self.assertTrue(all(torch.equal(t, whole[n])
                            for n, t in without.items()))
        with safe_open(plain, "pt") as a, safe_open(self.out, "pt") as b:
            config = json.loads(a.metadata()["config"])
            self.assertEqual(b.metadata()["format"], "dloral")
            self.assertEqual(json.loads(b.metadata()["config"]),
                             {**config, "tagger": make_checkpoint.RAM})

    def test_types(self):
        for name in ("f16", "bf16", "f32"):
            with self.subTest(name):
                self.convert("--dtype", name)
                with safe_open(self.out, "pt") as file:
                    types = {n: file.get_slice(n).get_dtype()
                             for n in file.keys()}
                self.assertEqual(types.pop("tagger.tags"), "U8")
                self.assertEqual(types.pop("tagger.thresholds"), "F32")
                self.assertEqual(set(types.values()), {name.upper()})

    def test_ram_alone(self):
        del self.inputs[2:4]
        self.convert("--dtype", "f32")
        ram = load_ram(self.folder)
        self.check({n: ram[n].double() for n in merged(self.folder)})

    def test_old_name_of_the_head(self):
        expected = merged(self.folder)

        def change(s):
            for name in [n for n in s if n.startswith("tagging_head.")]:
                s[name.replace("tagging_head", "vision_multi")] = s.pop(name)
        self.change_ram(change)
        self.convert("--dtype", "f32")
        self.check(expected)

    def test_adapter_of_one_twin(self):
        for owner in ("tagging_head", "tag_encoder"):
            with self.subTest(owner):
                make_checkpoint.write_ram(self.folder)
                self.change_dape(lambda s: [
                    s.pop(n) for n in list(s) if n.startswith(owner)])
                self.convert("--dtype", "f32")
                self.check(merged(self.folder))

    def test_what_is_no_adapter(self):
        """A buffer of loralib's, in files of some of its versions."""
        expected = merged(self.folder)
        self.change_dape(lambda s: s.update({
            QKV + ".lora_ind": torch.ones(48, dtype=torch.bool)}))
        self.convert("--dtype", "f32")
        self.check(expected)

    def test_replaced_under_either_name(self):
        """The published code loads the head's name last."""
        name = QUERY + ".bias"
        twin = name.replace("tagging_head", "tag_encoder")
        expected = merged(self.folder)
        self.change_dape(lambda s: s.update({twin: torch.full((24,), 2.)}))
        self.convert("--dtype", "f32")
        self.check({**expected, name: torch.full((24,), 2.)})
        self.change_dape(lambda s: s.update({name: torch.full((24,), 3.)}))
        self.convert("--dtype", "f32")
        self.check({**expected, name: torch.full((24,), 3.)})

    def test_without_masks(self):
        self.change_ram(lambda s: [s.pop(n) for n in list(s)
                                   if n.endswith(("_index", "_mask"))])
        self.convert("--dtype", "f32")
        self.check(merged(self.folder))

    def test_report(self):
        said = self.convert()
        self.assertIn("23 tags; adapters of 9 layers, merged", said)
        self.assertRegex(said, r"ram\.pth: model: 1 fc\.\*, \d+ tag_encoder")
        self.assertIn("ram.pth: epoch\n", said)
        self.assertIn("DAPE.pth: text_decoder.bert", said)
        self.assertNotIn("attn_mask", self.convert("--verbose"))


# --- What is wrong -----------------------------------------------------------

class Runs:
    """Pickled, it would call something when read."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "ran"),)


class Refused(Case):
    def check_refused(self, message, *more, lines=1, status=1):
        self.out.write_text("what was there before")
        found, _, complained = convert(*self.inputs, *more)
        self.assertEqual(found, status, complained)
        self.assertRegex(complained, message)
        if lines:
            self.assertEqual(complained.count("\n"), lines, complained)
        self.assertEqual(self.out.read_text(), "what was there before")

    def check_ram(self, change, message):
        self.change_ram(change)
        self.check_refused(message)

    def check_dape(self, change, message):
        self.change_dape(change)
        self.check_refused(message)

    def check_data(self, name, change, message):
        path = self.folder / "data" / name
        path.write_bytes(change(path.read_bytes()))
        self.check_refused(message)

    # RAM's file

    def test_no_model(self):
        torch.save({"params": {}}, self.folder / "ram.pth")
        self.check_refused("ram.pth: expected RAM's checkpoint, with an entry "
                           "model, found params")

    def test_empty(self):
        torch.save({}, self.folder / "ram.pth")
        self.check_refused("with an entry model, found nothing")

    def test_no_dictionary(self):
        torch.save([1], self.folder / "ram.pth")
        self.check_refused("with an entry model, found list")

    def test_code(self):
        for name in ("ram.pth", "DAPE.pth"):
            with self.subTest(name):
                torch.save({"model": Runs(self.folder)}, self.folder / name)
                self.check_refused(
                    rf"{name}: .* may run code is not loaded")
                self.assertFalse((self.folder / "ran").exists())
                make_checkpoint.write_ram(self.folder)

    def test_cut_short(self):
        path = self.folder / "ram.pth"
        path.write_bytes(path.read_bytes()[:5000])
        self.check_refused("ram.pth: ")

    def test_missing(self):
        name = "visual_encoder.layers.0.blocks.0.norm1.weight"
        self.check_ram(lambda s: s.pop(name),
                       rf"ram\.pth: model: 1 of 115 tensors are missing: "
                       rf"{name}")

    def test_missing_block(self):
        def change(s):
            for name in [n for n in s if ".layers.2.blocks.0." in n
                         and not n.endswith("table")]:
                del s[name]
        self.check_ram(change, r"12 of 115 tensors are missing: visual_enc")

    def test_missing_stage(self):
        def change(s):
            for name in [n for n in s if ".layers.1." in n]:
                del s[name]
        self.check_ram(change, r"layers\.1\.blocks\.0\.attn\.relative_\w+ is "
                       "missing")

    def test_no_tagger(self):
        self.check_ram(lambda s: s.clear(), "wordvec_proj.weight is missing")

    def test_shape(self):
        name = "visual_encoder.layers.1.blocks.0.mlp.fc1.weight"
        self.check_ram(
            lambda s: s.update({name: s[name][1:]}),
            name + r": expected \[16, 8\], found \[15, 8\]")

    def test_flat(self):
        self.check_ram(
            lambda s: s.update({TABLE: s[TABLE][:, 0]}),
            TABLE + r": expected more than 1 dimensions, found \[49\]")

    def test_nothing_in_it(self):
        name = "visual_encoder.patch_embed.proj.weight"
        self.check_ram(
            lambda s: s.update({name: s[name][:0]}),
            name + r": expected numbers, found none: \[0, 3, 2, 2\]")

    def test_window(self):
        for rows in (48, 36):
            with self.subTest(rows):
                self.check_ram(
                    lambda s: s.update({TABLE: torch.zeros(rows, 1)}),
                    TABLE + r": expected \(2 w - 1\)² rows for a window of w, "
                    f"found {rows}")

    def test_heads(self):
        self.check_ram(
            lambda s: s.update({TABLE: torch.zeros(49, 3)}),
            TABLE + ": expected a number of heads that divides 4, found 3")

    def test_mlp_ratio(self):
        name = "visual_encoder.layers.0.blocks.0.mlp.fc1.weight"
        self.check_ram(lambda s: s.update({name: s[name][1:]}),
                       name + ": expected a multiple of 4, found 7")

    def test_heads_of_the_head(self):
        name = "wordvec_proj.weight"
        self.check_ram(
            lambda s: s.update({name: s[name][1:]}),
            name + ": expected a multiple of the 4 heads .* found 23")

    def test_another_picture(self):
        name = "visual_encoder.layers.0.blocks.1.attn_mask"
        self.check_ram(
            lambda s: s.update({name: torch.zeros(36, 16, 16)}),
            name + ": expected 16 windows, as in a picture of 32, .* found 36")

    def test_integers(self):
        self.check_ram(lambda s: s.update({"fc.weight":
                                           s["fc.weight"].long()}),
                       "fc.weight: expected floating point, found torch.int")

    def test_not_finite(self):
        self.check_ram(lambda s: s["label_embed"].fill_(float("inf")),
                       "label_embed: expected finite numbers")

    def test_overflow(self):
        self.check_ram(lambda s: s[QKV + ".weight"].fill_(7e4),
                       r"tensor tagger\.\S+qkv\.weight: expected numbers that "
                       "F16 can hold")

    # DAPE's

    def test_another_file(self):
        torch.save({"conv.weight": torch.ones(1)}, self.folder / "DAPE.pth")
        self.check_refused("DAPE.pth: expected DAPE's adapters, found no "
                           "tensor of RAM's tagger but conv.weight")

    def test_no_tensors(self):
        torch.save({"model": {}}, self.folder / "DAPE.pth")
        self.check_refused("DAPE.pth: entry 'model': expected a tensor, found")

    def test_rank(self):
        for layer, half, shape in ((QUERY, "A", [8, 24]),
                                   (QKV, "B", [32, 8])):
            name = f"{layer}.lora_{half}"
            with self.subTest(name):
                self.check_dape(
                    lambda s: s.update({name: s[name][:4]}),
                    rf"{name}: expected \[{shape[0]}, {shape[1]}\], found "
                    rf"\[4, {shape[1]}\]; DAPE's adapters are of rank 8")
                make_checkpoint.write_ram(self.folder)

    def test_half_missing(self):
        for half in "AB":
            with self.subTest(half):
                name = f"{QUERY}.lora_{half}"
                self.check_dape(lambda s: s.pop(name),
                                name + " is missing, the other half of an ad")
                make_checkpoint.write_ram(self.folder)

    def test_other_layers(self):
        for layer in ("visual_encoder.layers.2.blocks.2.attn.qkv",
                      "visual_encoder.layers.0.blocks.0.mlp.fc1",
                      "visual_encoder.patch_embed.norm",
                      QUERY.replace("query", "value")):
            with self.subTest(layer):
                self.check_dape(
                    lambda s: s.update({f"{layer}.lora_{half}":
                                        torch.ones(8, 8) for half in "AB"}),
                    f"2 tensors are of adapters of no layer .*: {layer}")
                make_checkpoint.write_ram(self.folder)

    def test_another_shape(self):
        self.check_dape(lambda s: s.update({"fc.bias": torch.ones(2)}),
                        r"DAPE.pth: tensor fc.bias: expected \[1\], found "
                        r"\[2\]")

    # the lists

    def test_number_of_tags(self):
        self.check_data("ram_tag_list.txt", lambda d: d + b"\nmore",
                        "tag_list.txt: expected 23 tags, as many as label_emb")

    def test_number_of_thresholds(self):
        self.check_data("ram_tag_list_threshold.txt", lambda d: d[:-5],
                        "threshold.txt: expected 23 thresholds, .* found 22")

    def test_no_tag(self):
        for tag in (b" ", b"a\0b"):
            with self.subTest(tag):
                self.check_data(
                    "ram_tag_list.txt", lambda d: tag + d[d.index(b"\n"):],
                    "tag_list.txt: line 1: expected a tag, found '")

    def test_not_text(self):
        self.check_data("ram_tag_list.txt", lambda d: b"\xff" + d,
                        "tag_list.txt: expected text in UTF-8")

    def test_no_threshold(self):
        for text in (b"half", b"nan", b"-0.1", b"1.5", b""):
            with self.subTest(text):
                self.check_data(
                    "ram_tag_list_threshold.txt",
                    lambda d: text + d[d.index(b"\n"):],
                    "threshold.txt: line 1: expected a number from 0 to 1, "
                    f"found '{text.decode()}'")

    def test_no_folder(self):
        shutil.rmtree(self.folder / "data")
        self.check_refused("ram_tag_list.txt: cannot be read: No such file")

    # what is asked for

    def check_use(self, message, *inputs):
        self.inputs = ["-o", self.out, *inputs]
        self.check_refused("convert: error: " + message, lines=0, status=2)

    def test_use(self):
        ram, data = self.inputs[:2], self.inputs[4:6]
        self.check_use("expected --sd with --dloral, --ram with --ram-data")
        self.check_use("--ram needs --ram-data", *ram)
        self.check_use("--dape needs --ram", "--dape", "x", "--sd", "y",
                       "--dloral", "z")
        self.check_use("--dloral needs --sd", *ram, *data, "--dloral", "x")
        self.check_use("--sd needs --dloral", *ram, *data, "--sd", "x")
        self.check_use("--prompt needs --sd", *ram, *data, "--prompt", "x")
        self.check_use("--merge needs --sd", *ram, *data, "--merge")


if __name__ == "__main__":
    unittest.main()
