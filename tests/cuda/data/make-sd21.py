#!/usr/bin/env python3
"""Makes sd21.json.gz: names and shapes of a model of Stable Diffusion 2.1's size,
with a tagger of RAM's.

make-sd21.py FULL.safetensors TINY.safetensors: the first as tests/full-width
writes it, the second tests/agreement/data/tiny/model.safetensors, whose decoder of
width 5 and encoder of width 4 become TAESD's, of width 64. The tagger is what
weights/converter lays out.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import gzip
import json
import math
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "weights"))
from converter.layouts import tagger_layout  # noqa: E402

TAGGER = {"image_size": 384, "patch_size": 4, "embed_dim": 192, "depths": [2, 2, 18, 2],
          "num_heads": [6, 12, 24, 48], "window_size": 12, "mlp_ratio": 4,
          "projection_dim": 512, "hidden_size": 768, "num_hidden_layers": 2,
          "num_attention_heads": 4, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
          "tags": 4585}
TAG_SIZE = len("tag 0000\n")


def read_header(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        return json.loads(file.read(size))


def widen(name, shape):
    """The encoder's width is also that of the latent, which its last layer makes."""
    narrow = 4 if name.startswith("tiny.encoder.") else 5
    if name.startswith("tiny.encoder.14."):
        return shape[:1] + [64 if n == narrow else n for n in shape[1:]]
    return [64 if n == narrow else n for n in shape]


def main():
    header = read_header(sys.argv[1])
    shapes = {k: v["shape"] for k, v in header.items() if k != "__metadata__"}
    for name, entry in read_header(sys.argv[2]).items():
        if name.startswith("tiny."):
            shapes[name] = widen(name, entry["shape"])
    for name, shape in tagger_layout(TAGGER).items():
        shapes["tagger." + name] = list(shape)
    shapes["tagger.thresholds"] = [TAGGER["tags"]]
    config = json.loads(header["__metadata__"]["config"])
    header["__metadata__"]["config"] = json.dumps({**config, "tagger": TAGGER})
    tensors, end = {}, 0
    for name, shape in sorted(shapes.items()):
        begin, end = end, end + 2 * math.prod(shape)
        tensors[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    size = TAGGER["tags"] * TAG_SIZE - 1
    tensors["tagger.tags"] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
    text = json.dumps({"__metadata__": header["__metadata__"], **tensors})
    path = pathlib.Path(__file__).with_name("sd21.json.gz")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


main()
