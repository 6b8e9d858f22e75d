# SPDX-License-Identifier: LGPL-2.1-or-later
"""The small model: learned from nothing, then with the two adapters.

Its flow network learns first, then, with that frozen, its base. Then all is
frozen but the UNet's first convolution; C-LoRA, D-LoRA and the retrieval learn
by the paper's two stages.
"""
import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn as nn
import torch.nn.functional as F
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils import parametrize

from .problem import Problem
from .restored import Restored
from .schedule import Stage
from .small_net import Cfr, Config, Resnet, UNet, Vae, warp

ADAPTED = ["conv1", "conv2", "conv_shortcut", "conv_out"]
KINDS = {Stage.CONSISTENCY: "consistency", Stage.ENHANCEMENT: "detail"}
ALPHA = 8       # peft's default, which the engine takes for granted


@dataclasses.dataclass(frozen=True)
class SmallConfig:
    """`config` is the model file's; `rank` that of either adapter."""

    config: Config
    rank: int


class Basis(nn.Module):
    """A convolution's weight learned in other coordinates of its patches:
    those of its input (side 1) or of its output (side 0)."""

    basis: Tensor

    def __init__(self, basis: Tensor, side: int) -> None:
        super().__init__()
        self.register_buffer("basis", basis)
        self.sum = ("ij,jckl->ickl", "ij,cjkl->cikl")[side]

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return torch.einsum(self.sum, self.basis, weight)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def components(x: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """Principal axes of patches (columns) and their variances."""
    x = F.pixel_unshuffle(x, patch).movedim(1, -1).flatten(0, -2)
    variance, axes = torch.linalg.eigh(x.T @ x / len(x))
    return axes.flip(1), variance.flip(0).clamp(min=0)


def split(weight: Tensor, count: int, rest: float) -> None:
    """Output channels 2i, 2i+1 start as plus and minus input channel i, so
    that silu (x) - silu (-x) = x can carry it on; the others stay random."""
    weight *= rest
    for i in range(min(count, weight.shape[0] // 2, weight.shape[1])):
        weight[2 * i, i, 1, 1] += 1
        weight[2 * i + 1, i, 1, 1] -= 1


class Small(nn.Module):
    """`hr`, `up`: [N][3][H][W], examples of what will be seen."""

    def __init__(self, config: SmallConfig, hr: Tensor, up: Tensor) -> None:
        super().__init__()
        self.config = config.config
        try:
            # TOML has no null, which is what says that there is none.
            self.config["unet"].setdefault("mid_block_type", None)
            self.vae = Vae(self.config["vae"])
            self.unet = UNet(self.config["unet"])
            self.cfr = Cfr(self.config)
        except KeyError as e:
            raise Problem(f"[small.config]: {e} is missing") from e
        self.change_coordinates(hr, up)
        with torch.no_grad():
            self.start()
        for kind in KINDS.values():
            inject_adapter_in_model(
                LoraConfig(r=config.rank, lora_alpha=ALPHA,
                           target_modules=ADAPTED), self.unet, kind)
        for module in self.unet.modules():
            if isinstance(module, LoraLayer):
                module.set_adapter(list(KINDS.values()))

    def change_coordinates(self, hr: Tensor, up: Tensor) -> None:
        """Neighbouring pixels of an upsampled picture are nearly equal: in
        pixels the first and the last convolution learn next to nothing. They
        learn in principal components of unit variance instead; the model file
        holds the product."""
        axes, variance = components(up, self.vae.patch)
        parametrize.register_parametrization(
            self.vae.encoder.conv_in, "weight",
            Basis(axes / (variance + 3e-4).sqrt(), 1))
        axes, variance = components(hr - up, self.vae.patch)
        parametrize.register_parametrization(
            self.vae.decoder.conv_out, "weight",
            Basis(axes * variance.sqrt(), 0))

    def start(self) -> None:
        """Latents begin as leading components of the picture, passed on by
        every part; the result begins near plain bicubic."""
        for m in self.modules():
            if isinstance(m, Resnet):
                m.conv2.weight *= .1
        encoder: Any = self.vae.encoder
        decoder: Any = self.vae.decoder
        unet, levels = self.unet, cast(Any, self.cfr.spynet.basic_module)
        first = encoder.conv_in.parametrizations.weight.original
        split(first, len(first) // 2, .1)
        encoder.conv_out.weight *= .1
        for i in range(min(self.vae.latent, len(first) // 2)):
            encoder.conv_out.weight[i, 2 * i, 1, 1] += 1
            encoder.conv_out.weight[i, 2 * i + 1, 1, 1] -= 1
        split(decoder.conv_in.weight, self.vae.latent, 1)
        split(unet.conv_in.weight, 2 * self.vae.latent, .3)
        unet.conv_out.weight *= .1
        decoder.conv_out.parametrizations.weight.original *= .03
        self.cfr.cross_attn_module.proj_out.weight *= .1
        for level in levels:        # from differences, nothing
            half = level.basic_module[0]["conv"].weight[::2]
            half[:, 3:6] = -half[:, :3]
            level.basic_module[-1]["conv"].weight *= .1
            level.basic_module[-1]["conv"].bias.zero_()

    def learn(self, stage: Stage) -> list[nn.Parameter]:
        """Exactly what learns in the stage requires a gradient afterwards."""
        for name, parameter in self.named_parameters():
            is_flow = name.startswith("cfr.spynet.")
            if stage == Stage.FLOW:
                learns = is_flow
            elif stage == Stage.BASE:
                learns = not is_flow and ".lora_" not in name
            else:
                learns = f".{KINDS[stage]}." in name \
                    or name.startswith("unet.conv_in.") \
                    or stage == Stage.CONSISTENCY \
                    and name.startswith("cfr.cross_attn_module.")
            parameter.requires_grad_(learns)
        return [p for p in self.parameters() if p.requires_grad]

    def find_flow(self, up: Tensor) -> list[Tensor]:
        """The pyramid of flows of frames 1 … T−1 to the ones before."""
        small = F.interpolate(up.flatten(0, 1), mode="bicubic",
                              scale_factor=1 / self.vae.patch)
        small = small.unflatten(0, up.shape[:2])
        return self.cfr.spynet.pyramid(small[:, 1:].flatten(0, 1),
                                       small[:, :-1].flatten(0, 1))

    def forward(self, up: Tensor, first: bool = False) -> Restored:
        """up: [B][T][3][H][W]. `first`: each frame is its own predecessor."""
        shape = (up.shape[0], up.shape[1] - 1)
        flows = None
        z = self.vae.encode(up.flatten(0, 1)).float().unflatten(
            0, up.shape[:2])
        now, hr = z[:, 1:].flatten(0, 1), up[:, 1:].flatten(0, 1)
        with torch.autocast(up.device.type, enabled=False):
            aligned = now
            if not first:
                flows = self.find_flow(up)
                flow = self.cfr.spynet.to_grid(flows[-1].detach(),
                                               *z.shape[-2:])
                aligned = warp(z[:, :-1].flatten(0, 1), flow, "zeros")
            fused = self.cfr.cross_attn_module(now, aligned)
        eps = self.unet(torch.cat([aligned, fused], 1),
                        self.config["timestep"])
        latents = fused - eps.float()
        pictures = self.vae.decode(latents, hr)
        return Restored(pictures.unflatten(0, shape),
                        latents.unflatten(0, shape), flows)

    def file_state(self) -> dict[str, Tensor]:
        """What the model file holds: coordinates multiplied out, adapters by
        the engine's names."""
        state = {}
        for name, value in self.state_dict().items():
            if ".parametrizations." in name:
                continue
            name = name.replace(".base_layer.", ".")
            for kind in KINDS.values():
                name = name.replace(f".{kind}.weight", f".{kind}")
            state[name] = value
        for name in ("vae.encoder.conv_in", "vae.decoder.conv_out"):
            state[name + ".weight"] = self.get_submodule(name).weight
        return {k: v.detach().half().contiguous() for k, v in state.items()}

    def export(self, folder: Path) -> None:
        part = folder / "model.safetensors.part"
        save_file(self.file_state(), part,
                  {"format": "dloral", "config": json.dumps(self.config)})
        part.replace(folder / "model.safetensors")
