# Writes a safetensors file whose tensors come one at a time: first the header,
# which needs only names, types and shapes, then each tensor as it is made.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json
import math
import os
from collections import namedtuple

import torch

from .problem import Problem

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "U8": torch.uint8}

# What goes into a file: `make ()` gives the tensor, of any type for a float
# one.
Item = namedtuple("Item", "name dtype shape make")


def size_of(item):
    return math.prod(item.shape) * DTYPES[item.dtype].itemsize


def make_header(items, metadata):
    header, end = {"__metadata__": metadata}, 0
    for item in items:
        begin, end = end, end + size_of(item)
        header[item.name] = {"dtype": item.dtype, "shape": list(item.shape),
                             "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def make_data(item):
    tensor = item.make()
    typed = tensor.to(DTYPES[item.dtype])
    if typed.is_floating_point() and not torch.isfinite(typed).all():
        raise Problem(
            f"tensor {item.name}: expected numbers that {item.dtype} can hold, "
            f"up to {torch.finfo(typed.dtype).max:g}, found "
            f"{tensor.abs().max():g}; convert with --dtype bf16 or f32")
    typed = typed.reshape(item.shape).contiguous()
    return typed.view(-1).view(torch.uint8).numpy().data


def fill(part, items, metadata):
    with open(part, "wb") as file:
        file.write(make_header(items, metadata))
        for item in items:
            file.write(make_data(item))
        file.flush()
        os.fsync(file.fileno())


def write(path, items, metadata):
    """Writes beside `path` and renames at the end: what has the name is whole.
    Larger elements first, so that all are aligned. Returns the bytes."""
    items = sorted(items, key=lambda i: -DTYPES[i.dtype].itemsize)
    part = path.with_name(path.name + ".part")
    if path.is_dir():
        raise Problem(f"{path}: expected the name of a file, found a folder")
    try:
        fill(part, items, metadata)
        os.replace(part, path)
    except BaseException as e:
        if part.is_file():
            part.unlink()
        if isinstance(e, OSError):
            raise Problem(f"{part}: cannot be written: {e.strerror}")
        raise
    return path.stat().st_size
