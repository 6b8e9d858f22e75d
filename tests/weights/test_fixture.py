#!/usr/bin/env python3
"""What of weights/convert needs no PyTorch, against a file that it wrote: the
lists of tensors and shapes, and the tokenizer, whose numbers transformers gave.
The tagger's list is compared with the file that the engine is tested with.

    test_fixture.py FOLDER

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import json
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

from converter.layouts import (cfr_layout, tagger_layout,       # noqa: E402
                               text_layout, unet_layout, vae_layout)
from converter.problem import Problem                           # noqa: E402
from converter.tokenizer import read_tokenizer                  # noqa: E402

FOLDER = Path(sys.argv.pop(1))
MODEL = FOLDER / "model.safetensors"
TAGGER = ROOT / "tests" / "agreement" / "data" / "tagger" / "tagger.safetensors"


def read_model(path=MODEL):
    """Header without metadata, config, and a function that gives bytes."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    config = json.loads(header.pop("__metadata__")["config"])

    def content(name):
        begin, end = header[name]["data_offsets"]
        return data[8 + size + begin:8 + size + end]
    return header, config, content


class Layouts(unittest.TestCase):
    def setUp(self):
        self.header, self.config, _ = read_model()

    def check(self, prefix, layout):
        found = {name[len(prefix):]: tuple(entry["shape"])
                 for name, entry in self.header.items()
                 if name.startswith(prefix) and ".lora_" not in name}
        self.assertEqual(found, dict(layout))

    def test_unet(self):
        self.check("unet.", unet_layout(self.config["unet"]))

    def test_vae(self):
        self.check("vae.", vae_layout(self.config["vae"]))

    def test_cfr(self):
        self.check("cfr.", cfr_layout(
            self.config["cfr"], self.config["spynet"],
            self.config["vae"]["latent_channels"]))

    def test_text_encoder(self):
        self.check("text_encoder.", text_layout(self.config["text_encoder"]))

    def test_tagger(self):
        self.header, config, content = read_model(TAGGER)
        tags = content("tagger.tags")
        self.check("tagger.", {
            **tagger_layout(config["tagger"]), "tags": (len(tags),),
            "thresholds": (len(tags.decode().split("\n")),)})

    def test_adapters(self):
        """Beside each convolution and projection of the UNet, rank 4."""
        wanted = {}
        for name, shape in unet_layout(self.config["unet"]).items():
            layer, kind = name.rsplit(".", 1)
            if kind == "bias" or len(shape) == 1 or "time_" in name:
                continue
            for adapter in ("consistency", "detail"):
                wanted[f"unet.{layer}.lora_A.{adapter}"] = [4, *shape[1:]]
                wanted[f"unet.{layer}.lora_B.{adapter}"] = \
                    [shape[0], 4] + [1] * (len(shape) - 2)
        found = {name: entry["shape"] for name, entry in self.header.items()
                 if ".lora_" in name}
        self.assertEqual(found, wanted)


class Tokens(unittest.TestCase):
    def setUp(self):
        _, self.config, content = read_model()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        for name in ("vocab.json", "merges.txt"):
            (self.folder / name).write_bytes(content("tokenizer." + name))
        (self.folder / "special_tokens_map.json").write_text(
            '{"pad_token": "!", "eos_token": {"content": "<|endoftext|>"}}')

    def read(self):
        return read_tokenizer(self.folder, self.config["text_encoder"])

    def test_like_transformers(self):
        tokenizer = self.read()
        cases = json.loads((FOLDER / "tokens.json").read_text("utf-8"))
        self.assertGreater(len(cases), 5)
        for text, ids in cases:
            with self.subTest(text=text):
                self.assertEqual(tokenizer.encode(text), ids)

    def test_config(self):
        self.assertEqual(self.read().config(), self.config["tokenizer"])
        self.assertEqual(self.config["tokenizer"]["pad_token_id"], 0)

    def check_refused(self, message):
        with self.assertRaisesRegex(Problem, message):
            self.read()

    def test_another_vocabulary(self):
        path = self.folder / "vocab.json"
        vocabulary = json.loads(path.read_text("utf-8"))
        vocabulary["more"] = len(vocabulary)
        path.write_text(json.dumps(vocabulary))
        self.check_refused("expected the text encoder's 534 tokens, found 535")

    def test_gap(self):
        path = self.folder / "vocab.json"
        path.write_text(path.read_text("utf-8").replace(": 7,", ": 8,"))
        self.check_refused("gaps")

    def test_another_merges(self):
        (self.folder / "merges.txt").write_text("#version: 0.2\na b\n")
        self.check_refused("line 2: .* found 'a b'")

    def test_too_long(self):
        (self.folder / "tokenizer_config.json").write_text(
            '{"model_max_length": 78}')
        self.check_refused("model_max_length: expected at most")

    def test_foreign_padding(self):
        (self.folder / "special_tokens_map.json").write_text(
            '{"pad_token": "[PAD]"}')
        self.check_refused("pad_token: expected a token of vocab.json")

    def test_not_json(self):
        (self.folder / "vocab.json").write_text("{")
        self.check_refused("vocab.json: expected JSON")


if __name__ == "__main__":
    unittest.main()
