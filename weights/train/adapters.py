# SPDX-License-Identifier: LGPL-2.1-or-later
"""The UNet's two LoRA branches under their published names, by peft: W +
8/rank·BA for each kind, all at once. C-LoRA is "consistency"; D-LoRA, detail,
is "quality" in published files.
"""
import contextlib
from collections.abc import Iterator
from typing import Any

from converter.adapters import ALPHA, KINDS, PARTS
from peft import LoraConfig
from torch import nn

UNet = Any                      # diffusers says nothing of its types

# A layer is adapted if one of these is in its name.
ADAPTED = ("to_k", "to_q", "to_v", "to_out.0", "conv", "proj_in", "proj_out",
           "ff.net.0.proj", "ff.net.2")


def part_of(name: str) -> str:
    if "down_blocks" in name or "conv_in" in name:
        return "encoder"
    if "up_blocks" in name or "conv_out" in name:
        return "decoder"
    return "others"


def adapted_layers(unet: UNet) -> dict[str, list[str]]:
    """Names by part."""
    layers: dict[str, list[str]] = {part: [] for part in PARTS}
    for name, _ in unet.named_parameters():
        layer, kind = name.rsplit(".", 1)
        if kind == "weight" and "norm" not in layer \
                and any(word in layer for word in ADAPTED):
            layers[part_of(layer)].append(layer)
    return layers


def add_adapters(unet: UNet, layers: dict[str, list[str]],
                 ranks: dict[str, int]) -> None:
    """`ranks` by kind. They begin at BA = 0."""
    names = []
    for kind in sorted(KINDS, reverse=True):    # the published order
        for part in PARTS:
            names.append(f"default_{part}_{kind}")
            unet.add_adapter(
                LoraConfig(r=ranks[kind], lora_alpha=ALPHA,
                           init_lora_weights="gaussian",
                           target_modules=layers[part]),
                adapter_name=names[-1])
    unet.set_adapter(names)


def adapter_parameters(unet: UNet, kind: str) -> list[nn.Parameter]:
    return [p for name, p in unet.named_parameters()
            if ".lora_" in name and f"_{kind}." in name]


@contextlib.contextmanager
def without_adapters(unet: UNet) -> Iterator[None]:
    """peft also forgets then which parameters learn."""
    learning = [(p, p.requires_grad) for p in unet.parameters()]
    unet.disable_adapters()
    try:
        yield
    finally:
        unet.enable_adapters()
        for p, learns in learning:
            p.requires_grad_(learns)
