# The tagger: RAM's published checkpoint (a Swin transformer and a head with a
# question for each tag), the adapters of DAPE that change it, and the lists of
# tags and thresholds that belong to it. Adapters are loralib's and are merged.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import re
from math import isqrt

import torch

from .layouts import tagger_layout
from .problem import Problem, some
from .sources import Source, load_pickle, open_bin, stored
from .textfile import read_file

# Constants of the published code, which the weights do not show.
HEADS, LAYER_NORM_EPS = 4, 1e-12        # of the head
RANK, ALPHA = 8, 1                      # of the adapters

SWIN = "visual_encoder."
HEAD, OLD_HEAD, TWIN = "tagging_head.", "vision_multi.", "tag_encoder."


def owners(name):
    """A parameter's own name and that of its twin: the published code ties
    RAM's tag encoder to the head, so that what is loaded or merged under
    either name is in both."""
    return [name, name.replace(HEAD, TWIN)] if name.startswith(HEAD) \
        else [name]


# --- What the shapes say -----------------------------------------------------

def size(source, name, axis):
    found = source.size(name, axis)
    if found < 1:
        raise Problem(f"{source.label}: tensor {source.find(name)}: expected "
                      f"numbers, found none: {list(source.shape(name))}")
    return found


def count_of(source, start):
    """How many there are of what is numbered behind `start`, by the largest
    number: a gap is a missing tensor."""
    numbered = re.compile(re.escape(start) + r"([0-9]{1,3})\.")
    matches = filter(None, map(numbered.match, source.tensors))
    return 1 + max((int(match[1]) for match in matches), default=0)


def divide(source, name, axis, by, what):
    """The size of an axis in units of `by`."""
    found = size(source, name, axis)
    if found % by:
        raise Problem(f"{source.label}: tensor {source.find(name)}: expected "
                      f"{what}, found {found}")
    return found // by


def table_of(stage):
    return f"{SWIN}layers.{stage}.blocks.0.attn.relative_position_bias_table"


def read_heads(source, stage, width):
    heads = size(source, table_of(stage), 1)
    if width % heads:
        raise Problem(f"{source.label}: tensor {table_of(stage)}: expected a "
                      f"number of heads that divides {width}, found {heads}")
    return heads


def read_window(source):
    """The table has a row for each way to go from place to place: 2 w - 1
    down by as many across."""
    rows = size(source, table_of(0), 0)
    side = isqrt(rows)
    if side ** 2 != rows or side % 2 == 0:
        raise Problem(f"{source.label}: tensor {table_of(0)}: expected (2 w - "
                      f"1)² rows for a window of w, found {rows}")
    return (side + 1) // 2


def check_masks(source, swin):
    """A stage whose windows roll may keep a mask for each of them: as many as
    the picture has windows there."""
    for stage in range(len(swin["depths"])):
        name = f"{SWIN}layers.{stage}.blocks.1.attn_mask"
        if source.find(name) is None:
            continue
        side = swin["image_size"] // (swin["patch_size"] << stage)
        expected = (side // swin["window_size"]) ** 2
        if size(source, name, 0) != expected:
            raise Problem(
                f"{source.label}: tensor {name}: expected {expected} windows, "
                f"as in a picture of {swin['image_size']}, whose last stage is "
                f"one window, found {size(source, name, 0)}")
        source.used.add(name)


def read_swin(source):
    patch = SWIN + "patch_embed.proj.weight"
    width = size(source, patch, 0)
    stages = count_of(source, SWIN + "layers.")
    fc1 = SWIN + "layers.0.blocks.0.mlp.fc1.weight"
    swin = {
        "patch_size": size(source, patch, 2), "embed_dim": width,
        "depths": [count_of(source, f"{SWIN}layers.{stage}.blocks.")
                   for stage in range(stages)],
        "num_heads": [read_heads(source, stage, width << stage)
                      for stage in range(stages)],
        "window_size": read_window(source),
        "mlp_ratio": divide(source, fc1, 0, width, f"a multiple of {width}"),
    }
    # Nothing shows the picture's size: Swin's last stage is one window.
    swin["image_size"] = \
        swin["window_size"] * swin["patch_size"] << (stages - 1)
    check_masks(source, swin)
    return swin


def read_config(source):
    """What the model file's config says of the tagger."""
    layers = HEAD + "encoder.layer."
    head_width = divide(source, "wordvec_proj.weight", 0, HEADS,
                        f"a multiple of the {HEADS} heads that RAM's head has")
    return {
        **read_swin(source),
        "projection_dim": size(source, "image_proj.weight", 0),
        "hidden_size": HEADS * head_width,
        "num_hidden_layers": count_of(source, layers),
        "num_attention_heads": HEADS,
        "intermediate_size":
            size(source, layers + "0.intermediate.dense.weight", 0),
        "layer_norm_eps": LAYER_NORM_EPS,
        "tags": size(source, "label_embed", 0),
    }


# --- Adapters ----------------------------------------------------------------

def adapter_shapes(layer, weight):
    """Of lora_A and lora_B beside a weight of that shape; None where the
    published code has no adapter. Of q, k and v in one, q and v have."""
    if layer.endswith(".attn.qkv"):
        return (2 * RANK, weight[1]), (weight[0] // 3 * 2, RANK)
    if layer.endswith((".self.query", ".self.key")):
        return (RANK, weight[1]), (weight[0], RANK)
    return None


def difference(layer, a, b):
    """What an adapter adds to its layer's weight."""
    if layer.endswith(".attn.qkv"):
        q, v = b.view(2, -1, RANK) @ a.view(2, RANK, -1)
        whole = torch.cat([q, torch.zeros_like(q), v])
    else:
        whole = b @ a
    return ALPHA / RANK * whole


class Dape:
    """The fine-tuned part: adapters, and tensors that replace RAM's. `source`
    is empty where there is none."""

    def __init__(self, path):
        self.source = Source(path, open_bin(path) if path else {})

    def find(self, name):
        """Under which name it has a tensor: of twins, the one that the
        published code loads last."""
        return next((n for n in owners(name) if n in self.source.tensors),
                    None)

    def adapters(self, layer):
        """The names of lora_A and lora_B, of none, one or both twins."""
        pairs = [[f"{owner}.lora_{half}" for half in "AB"]
                 for owner in owners(layer)]
        return [pair for pair in pairs
                if not self.source.tensors.keys().isdisjoint(pair)]

    def claim(self, layout):
        """Ticks off its adapters and tensors for a layout; how many layers
        have adapters."""
        adapted = 0
        for name, shape in layout.items():
            layer, _, kind = name.rpartition(".")
            pairs = self.adapters(layer) if kind == "weight" else []
            for pair in pairs:
                self.claim_pair(layer, pair, shape)
            adapted += bool(pairs)
            found = self.find(name)
            if found:
                self.source.claim({found: shape})
        self.check_unused()
        return adapted

    def claim_pair(self, layer, pair, weight):
        for name in pair:
            if name not in self.source.tensors:
                raise Problem(f"{self.source.label}: tensor {name} is missing,"
                              " the other half of an adapter")
        shapes = adapter_shapes(layer, weight)
        if shapes:              # others are left over, and refused
            self.source.claim(dict(zip(pair, shapes)),
                              f"; DAPE's adapters are of rank {RANK}")

    def check_unused(self):
        extra = [n for n in self.source.unused()
                 if n.endswith((".lora_A", ".lora_B"))
                 and n.startswith((SWIN, HEAD))]
        if extra:
            raise Problem(f"{self.source.label}: {len(extra)} tensors are of "
                          f"adapters of no layer of this RAM's: {some(extra)}")
        if self.source.tensors and not self.source.used:
            raise Problem(f"{self.source.label}: expected DAPE's adapters, "
                          "found no tensor of RAM's tagger but "
                          + some(self.source.tensors))

    def merge(self, layer, weight):
        for pair in self.adapters(layer):
            weight = weight + difference(layer, *map(self.source.read, pair))
        return weight


# --- Files -------------------------------------------------------------------

def open_ram(path):
    """Its tensors, and the names of what else is in the file."""
    values = load_pickle(path)
    if not isinstance(values, dict) or "model" not in values:
        raise Problem(f"{path}: expected RAM's checkpoint, with an entry "
                      "model, found " + (some(map(str, values)) or "nothing"
                                         if isinstance(values, dict)
                                         else type(values).__name__))
    label = f"{path}: model"
    tensors = {name.replace(OLD_HEAD, HEAD): tensor for name, tensor
               in stored(label, values["model"]).items()}
    return Source(label, tensors), [str(k) for k in values if k != "model"]


class Tagger:
    """RAM as DAPE changes it. `unread`: entries of RAM's file beside its
    tensors; `adapted`: how many layers have adapters."""

    def __init__(self, ram, dape=None):
        self.ram, self.unread = open_ram(ram)
        self.dape = Dape(dape)
        self.config = read_config(self.ram)
        self.layout = tagger_layout(self.config)
        self.adapted = self.dape.claim(self.layout)
        self.ram.claim({name: shape for name, shape in self.layout.items()
                        if not self.dape.find(name)})

    def read(self, name):
        replaced = self.dape.find(name)
        tensor = self.dape.source.read(replaced) if replaced \
            else self.ram.read(name)
        layer, _, kind = name.rpartition(".")
        return self.dape.merge(layer, tensor) if kind == "weight" else tensor


def read_lines(folder, name, expected, what):
    path = folder / name
    lines = read_file(path).decode().splitlines()
    if len(lines) != expected:
        raise Problem(f"{path}: expected {expected} {what}, as many as "
                      f"label_embed has rows, found {len(lines)}")
    return path, lines


def read_tags(folder, number):
    path, tags = read_lines(folder, "ram_tag_list.txt", number, "tags")
    for line, tag in enumerate(tags, 1):
        if not tag.strip() or not tag.isprintable():
            raise Problem(f"{path}: line {line}: expected a tag, found "
                          f"{tag!r}")
    return tags


def read_thresholds(folder, number):
    """[number]: the probability above which a tag holds. The published code
    caps them at 0.9, but not those above: they are as they stand."""
    path, lines = read_lines(folder, "ram_tag_list_threshold.txt", number,
                             "thresholds")
    thresholds = []
    for line, text in enumerate(lines, 1):
        try:
            thresholds.append(float(text))
        except ValueError:
            thresholds.append(-1.)
        if not 0 <= thresholds[-1] <= 1:
            raise Problem(f"{path}: line {line}: expected a number from 0 to "
                          f"1, found {text!r}")
    return torch.tensor(thresholds)
