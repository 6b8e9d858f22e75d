#!/usr/bin/env python3
# Writes a model file of Stable Diffusion 2.1's size with random weights: as fast or
# slow as the published one, and its numbers stay finite.
#
#   bench/make_model.py FILE
#
# Needs numpy; 2 GB of disk.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import gzip
import json
import math
import pathlib
import struct
import sys

import numpy as np

HEADER = pathlib.Path(__file__).resolve().parent.parent / "tests/cuda/data/sd21.json.gz"
TINY_WIDTH = 64                 # of the tiny coder, TAESD's


def find_shape(name, shape):
    """The header's, but for the tiny encoder: it is as narrow as its latent there."""
    if not name.startswith("tiny.encoder."):
        return shape
    wide = [TINY_WIDTH if n == 4 else n for n in shape]
    return [shape[0], *wide[1:]] if name.startswith("tiny.encoder.14.") else wide


def make_values(name, shape, rng):
    """f32: norms do nothing, biases are 0, and a layer keeps its input's size."""
    if len(shape) == 1:
        return np.full(shape, name.endswith(".weight"), np.float32)
    fan_in = 1 if name == "prompt_embeds" else math.prod(shape[1:])
    return rng.standard_normal(shape, np.float32) / math.sqrt(fan_in)


def to_bf16(x):
    """Bytes, cut off."""
    return (x.view(np.uint32) >> 16).astype("<u2").tobytes()


def make_header():
    given = json.loads(gzip.decompress(HEADER.read_bytes()))
    header, end = {"__metadata__": given.pop("__metadata__")}, 0
    for name, entry in given.items():
        shape = find_shape(name, entry["shape"])
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    return header


def write(path):
    rng = np.random.default_rng(1)
    header = make_header()
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, entry in header.items():
            if name != "__metadata__":
                file.write(to_bf16(make_values(name, entry["shape"], rng)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("make_model.py FILE")
    write(sys.argv[1])
