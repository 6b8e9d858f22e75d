#!/usr/bin/env python3
"""Makes sd21.json.gz: names and shapes of a model of Stable Diffusion 2.1's size.

make-sd21.py FULL.safetensors TINY.safetensors: the first as tests/full-width
writes it, the second tests/agreement/data/tiny/model.safetensors, whose decoder of
width 5 and encoder of width 4 become TAESD's, of width 64.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import gzip
import json
import math
import pathlib
import struct
import sys


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
    tensors, end = {}, 0
    for name, shape in sorted(shapes.items()):
        begin, end = end, end + 2 * math.prod(shape)
        tensors[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps({"__metadata__": header["__metadata__"], **tensors})
    path = pathlib.Path(__file__).with_name("sd21.json.gz")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


main()
