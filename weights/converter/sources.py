# Where tensors come from: safetensors and PyTorch files, opened but not read,
# whose tensors are asked for one at a time and ticked off.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import pickle
import re
import warnings
import zipfile
from collections import namedtuple

import torch
from safetensors import SafetensorError, safe_open

from .problem import Problem, some
from .textfile import read_json

# A tensor that waits in its file.
Stored = namedtuple("Stored", "shape read")


class Source:
    """Stored tensors by name; `label` is what messages call it. `renamed`
    says under which name a file may have what is asked for."""

    def __init__(self, label, tensors, renamed=lambda name: name):
        self.label, self.tensors, self.renamed = label, tensors, renamed
        self.used = set()

    def find(self, name):
        """The name in the file, or None."""
        for candidate in (name, self.renamed(name)):
            if candidate in self.tensors:
                return candidate
        return None

    def shape(self, name):
        found = self.find(name)
        if found is None:
            raise Problem(f"{self.label}: tensor {name} is missing")
        return self.tensors[found].shape

    def size(self, name, axis):
        shape = self.shape(name)
        if axis >= len(shape):
            raise Problem(f"{self.label}: tensor {self.find(name)}: expected "
                          f"more than {axis} dimensions, found {list(shape)}")
        return shape[axis]

    def claim(self, layout, advice=""):
        """Ticks off all tensors of a layout, or says what is wrong."""
        missing = [n for n in layout if self.find(n) is None]
        if missing:
            raise Problem(f"{self.label}: {len(missing)} of {len(layout)} "
                          f"tensors are missing: {some(missing)}{advice}")
        for name, expected in layout.items():
            self.check(name, expected, advice)
            self.used.add(self.find(name))

    def check(self, name, expected, advice=""):
        """A trailing run of 1s makes no difference."""
        found = self.shape(name)
        if strip(found) != strip(expected):
            raise Problem(f"{self.label}: tensor {self.find(name)}: expected "
                          f"{list(expected)}, found {list(found)}{advice}")

    def read(self, name):
        """Finite f32, fresh or from the mapped file: not to be written to."""
        found = self.find(name)
        tensor = self.tensors[found].read()
        if not tensor.is_floating_point():
            raise Problem(f"{self.label}: tensor {found}: expected floating "
                          f"point, found {tensor.dtype}")
        tensor = tensor.to(torch.float32)
        if not torch.isfinite(tensor).all():
            raise Problem(f"{self.label}: tensor {found}: expected finite "
                          "numbers, found infinity or NaN")
        return tensor

    def unused(self):
        return sorted(set(self.tensors) - self.used)


def strip(shape):
    shape = list(shape)
    while shape and shape[-1] == 1:
        shape.pop()
    return shape


# --- Files -------------------------------------------------------------------

def open_safetensors(path):
    try:
        file = safe_open(path, "pt")
        return {name: Stored(tuple(file.get_slice(name).get_shape()),
                             lambda name=name: file.get_tensor(name))
                for name in file.keys()}
    except (OSError, SafetensorError) as e:
        raise Problem(f"{path}: cannot be read as safetensors: {e}; "
                      "is it whole?")


def load_pickle(path):
    """Tensors, lists, names and numbers; nothing that runs. Tensors of a file
    in PyTorch's present format stay in it until they are read."""
    try:
        with warnings.catch_warnings():
            # Of what is about to fail, which is said below in one line.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True,
                              mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as e:
        asked = re.search(r"GLOBAL ([\w.]+)|`?([\w.]+)`? was not an allowed",
                          str(e))
        what = next(filter(None, asked.groups())) if asked else None
        raise Problem(
            f"{path}: expected tensors, names and numbers, found "
            + (f"{what}; what may run code is not loaded" if what
               else "no PyTorch file that holds only these"))
    except OSError as e:
        raise Problem(f"{path}: cannot be read: {e.strerror}")
    except Exception as e:      # whatever a damaged file makes torch do
        reason = (str(e) or type(e).__name__).splitlines()[0]
        raise Problem(f"{path}: cannot be read as a PyTorch file: {reason}; "
                      "is it whole?")


def stored(label, values):
    """A dictionary of tensors, as torch.load gives it."""
    if not isinstance(values, dict):
        raise Problem(f"{label}: expected tensors by name, found "
                      f"{type(values).__name__}")
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise Problem(f"{label}: entry {name!r}: expected a tensor, found "
                          f"{type(value).__name__}")
    return {name: Stored(tuple(value.shape), lambda value=value: value)
            for name, value in values.items()}


def open_bin(path):
    return stored(path, load_pickle(path))


def open_shards(path, open_one):
    tensors = {}
    shards = read_json(path).get("weight_map")
    if not isinstance(shards, dict):
        raise Problem(f"{path}: weight_map: expected names of files by tensor")
    for shard in sorted(set(map(str, shards.values()))):
        if "/" in shard or "\\" in shard:
            raise Problem(f"{path}: expected a file beside it, found {shard!r}")
        tensors.update(open_one(path.parent / shard))
    return tensors


def open_folder(folder, stem, bin_stem=None, renamed=lambda name: name):
    """The weights of a part, `stem` and what diffusers and transformers put
    behind it; of several kinds the finest."""
    bin_stem = bin_stem or stem
    kinds = []
    for variant in ("", ".fp16"):
        for name, open_one in (
                (f"{stem}{variant}.safetensors", open_safetensors),
                (f"{bin_stem}{variant}.bin", open_bin)):
            kinds.append((name, open_one))
            if not variant:
                kinds.append((name + ".index.json", lambda path, one=open_one:
                              open_shards(path, one)))
    for name, open_it in kinds:
        if (folder / name).exists():
            return Source(folder / name, open_it(folder / name), renamed)
    raise Problem(f"{folder}: expected weights, one of "
                  + ", ".join(name for name, _ in kinds) + "; found none")
