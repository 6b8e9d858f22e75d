#!/usr/bin/env python3
# Writes a model file of Stable Diffusion 2.1's size, with a tagger of RAM's, of random
# weights: as fast or slow as the published one, and its numbers stay finite.
#
#   bench/make_model.py FILE
#
# Needs numpy; 2.5 GB of disk.
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


def make_values(name, shape, rng):
    """f32: norms do nothing, biases are 0, and a layer keeps its input's size."""
    if len(shape) == 1:
        return np.full(shape, name.endswith(".weight"), np.float32)
    fan_in = 1 if name == "prompt_embeds" else math.prod(shape[1:])
    return rng.standard_normal(shape, np.float32) / math.sqrt(fan_in)


def to_bf16(x):
    """Bytes, cut off."""
    return (x.view(np.uint32) >> 16).astype("<u2").tobytes()


def make_tags(size):
    """As many as there is room for: "tag 0000", "tag 0001", …"""
    tags = "\n".join(f"tag {i:04}" for i in range(10000))
    return tags[:size].encode()


def write(path):
    rng = np.random.default_rng(1)
    text = gzip.decompress(HEADER.read_bytes())
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, entry in json.loads(text).items():
            if name == "tagger.tags":
                file.write(make_tags(entry["shape"][0]))
            elif name != "__metadata__":
                file.write(to_bf16(make_values(name, entry["shape"], rng)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("make_model.py FILE")
    write(sys.argv[1])
