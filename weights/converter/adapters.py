# The UNet's adapters, as peft names them: beside a layer's weight W a pair A, B
# for each kind, so that W + alpha / rank · B · A is what computes.
#
# The published code wraps the UNet three times for each kind, once for the way
# down, once for the way up and once for the rest, with peft's default alpha.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import re

from .problem import Problem, some

PARTS = ("encoder", "decoder", "others")
KINDS = {"consistency": "consistency", "quality": "detail"}     # ours
ALPHA = 8
MAX_RANK = 1024

ADAPTER = re.compile(r"(.+)\.lora_([AB])\.default_(encoder|decoder|others)"
                     r"_(consistency|quality)\.weight")


def read_rank(checkpoint, kind):
    key = f"lora_rank_unet_{kind}"
    rank = checkpoint.value(key)
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise Problem(f"{checkpoint.path}: {key}: expected a whole number from "
                      f"1 to {MAX_RANK}, found {rank!r}")
    return rank


def read_list(checkpoint, key):
    value = checkpoint.value(key)
    if not isinstance(value, (list, tuple)) \
            or not all(isinstance(v, str) for v in value):
        raise Problem(f"{checkpoint.path}: {key}: expected a list of names")
    return value


def endings(layer):
    parts = layer.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]


class Adapters:
    """`names`: by layer and kind, part and the two tensors of an adapter."""

    def __init__(self, source, checkpoint):
        self.source, self.names = source, {}
        self.ranks = {kind: read_rank(checkpoint, kind) for kind in KINDS}
        for name in source.tensors:
            match = ADAPTER.fullmatch(name)
            if match:
                self.add(name, *match.groups())
            elif ".lora_" in name:
                raise Problem(f"{source.label}: tensor {name}: expected an "
                              "adapter named as DLoRAL's, "
                              "LAYER.lora_A.default_encoder_quality.weight "
                              "for one")
        self.check_modules(checkpoint)

    def add(self, name, layer, half, part, kind):
        entry = self.names.setdefault((layer, kind), {"part": part})
        if half in entry or entry["part"] != part:
            raise Problem(f"{self.source.label}: tensor {name}: expected one "
                          f"adapter {kind} of {layer}, found more")
        entry[half] = name

    def check_modules(self, checkpoint):
        """The lists of adapted layers are what the published code goes by:
        they and the tensors must say the same."""
        for kind in KINDS:
            for part in PARTS:
                key = f"unet_lora_{part}_modules_{kind}"
                listed = read_list(checkpoint, key)
                layers = {layer for (layer, k), e in self.names.items()
                          if k == kind and e["part"] == part}
                self.compare(key, listed, layers)

    def compare(self, key, listed, layers):
        """A listed name is a layer's own or the end of it, as in peft."""
        names = {layer: set(endings(layer)) for layer in layers}
        ends = set().union(*names.values())
        without = [name for name in listed if name not in ends]
        extra = [layer for layer in layers if names[layer].isdisjoint(listed)]
        if without:
            raise Problem(f"{self.source.label}: {key} lists {len(without)} "
                          "layers that have no adapter tensors: "
                          + some(without))
        if extra:
            raise Problem(f"{self.source.label}: {len(extra)} layers have "
                          f"adapter tensors but are not in {key}: "
                          + some(sorted(extra)))

    def claim(self, layout):
        """Checks every adapter against its layer's weight in `layout`."""
        for (layer, kind), entry in self.names.items():
            weight = layout.get(layer + ".weight")
            names = [entry.get("A"), entry.get("B")]
            if weight is None or None in names:
                raise Problem(
                    f"{self.source.label}: tensor {names[0] or names[1]}: "
                    + ("there is no such layer" if weight is None else
                       "the other half of the adapter is missing"))
            self.check_rank(names, kind)
            shapes = self.shapes(kind, weight)
            for name, shape in zip(names, shapes):
                self.source.check(name, shape)
                self.source.used.add(name)

    def check_rank(self, names, kind):
        for axis, name in enumerate(names):
            found = self.source.size(name, axis)
            if found != self.ranks[kind]:
                raise Problem(f"{self.source.label}: tensor {name}: expected "
                              f"rank {self.ranks[kind]}, as lora_rank_unet_"
                              f"{kind} says, found {found}")

    def shapes(self, kind, weight):
        """Of lora_A and lora_B beside a weight of that shape."""
        rank = self.ranks[kind]
        return (rank, *weight[1:]), (weight[0], rank) + (1,) * (len(weight) - 2)

    def merge(self, layer, weight):
        """W + alpha / rank · B · A for each adapter of the layer."""
        for kind, rank in self.ranks.items():
            if (layer, kind) in self.names:
                a, b = (self.source.read(self.names[layer, kind][half])
                        .flatten(1) for half in "AB")
                weight = weight + ALPHA / rank * (b @ a).view(weight.shape)
        return weight
