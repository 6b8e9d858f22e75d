# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parts of the small DLoRAL model: pixel coder, flow, retrieval, UNet.

Parameter names are those of the model file (diffusers 0.25 for coder and UNet,
DLoRAL for flow and retrieval). Pictures are NCHW in [-1, 1] on the HR grid;
the latent grid is 1/patch_size of it a side. `c` is always the part of the
model file's config that describes it.
"""
import math
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .spynet import Spynet

Config = dict[str, Any]


class Resnet(nn.Module):
    def __init__(self, cin: int, cout: int, groups: int, eps: float,
                 temb: int = 0) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, cin, eps)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        if temb:
            self.time_emb_proj = nn.Linear(temb, cout)
        self.norm2 = nn.GroupNorm(groups, cout, eps)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else None

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        if temb is not None:
            y = y + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Resample(nn.Module):
    """diffusers' Downsample2D (stride 2) and Upsample2D (after nearest)."""

    def __init__(self, c: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=stride, padding=1)

    def forward(self, x: Tensor, size: Any = None) -> Tensor:
        return self.conv(x if size is None else F.interpolate(x, size=size))


class Block(nn.Module):
    """A row of resnets; DownBlock2D or UpBlock2D by what its owner adds."""

    def __init__(self, channels: list[tuple[int, int]], groups: int,
                 eps: float, temb: int = 0, resample: str | None = None,
                 stride: int = 1) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            Resnet(a, b, groups, eps, temb) for a, b in channels)
        if resample:
            setattr(self, resample,
                    nn.ModuleList([Resample(channels[-1][1], stride)]))


class UNet(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        ch, n, g = c["block_out_channels"], c["layers_per_block"], \
            c["norm_num_groups"]
        temb, eps, last = 4 * ch[0], 1e-5, len(ch) - 1
        self.width = ch[0]
        self.conv_in = nn.Conv2d(c["in_channels"], ch[0], 3, padding=1)
        self.time_embedding = nn.ModuleDict({
            "linear_1": nn.Linear(ch[0], temb),
            "linear_2": nn.Linear(temb, temb)})
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        skips, x = [ch[0]], ch[0]
        for i, co in enumerate(ch):
            io = [(x, co)] + [(co, co)] * (n - 1)
            self.down_blocks.append(Block(
                io, g, eps, temb, "downsamplers" if i < last else None, 2))
            skips += [co] * n + ([co] if i < last else [])
            x = co
        self.mid_block = None
        if c["mid_block_type"]:
            self.mid_block = Block([(x, x)], g, eps, temb)
        for i, co in enumerate(reversed(ch)):
            io = []
            for _ in range(n + 1):
                io.append((x + skips.pop(), co))
                x = co
            self.up_blocks.append(Block(
                io, g, eps, temb, "upsamplers" if i < last else None))
        self.conv_norm_out = nn.GroupNorm(g, x, eps)
        self.conv_out = nn.Conv2d(x, c["out_channels"], 3, padding=1)

    def embed(self, timestep: int) -> Tensor:
        half = self.width // 2
        f = timestep * torch.exp(
            torch.arange(half) * (-math.log(10000) / half))
        f = torch.cat([f.cos(), f.sin()])[None].to(self.conv_in.weight.device)
        t = self.time_embedding
        return t["linear_2"](F.silu(t["linear_1"](f)))

    def forward(self, x: Tensor, timestep: int) -> Tensor:
        t = self.embed(timestep)
        x = self.conv_in(x)
        skips = [x]
        b: Any
        for b in self.down_blocks:
            for r in b.resnets:
                x = r(x, t)
                skips.append(x)
            if hasattr(b, "downsamplers"):
                x = b.downsamplers[0](x)
                skips.append(x)
        if self.mid_block:
            for r in self.mid_block.resnets:
                x = r(x, t)
        for b in self.up_blocks:
            for r in b.resnets:
                x = r(torch.cat([x, skips.pop()], 1), t)
            if hasattr(b, "upsamplers"):
                x = b.upsamplers[0](x, skips[-1].shape[-2:])
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Coder(nn.Module):
    """One half of the coder at one resolution, between patches and latents."""

    def __init__(self, cin: int, width: int, cout: int, layers: int,
                 groups: int, blocks: str) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(cin, width, 3, padding=1)
        setattr(self, blocks, nn.ModuleList(
            [Block([(width, width)] * layers, groups, 1e-6)]))
        self.blocks = blocks
        self.conv_norm_out = nn.GroupNorm(groups, width, 1e-6)
        self.conv_out = nn.Conv2d(width, cout, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for r in getattr(self, self.blocks)[0].resnets:
            x = r(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Vae(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        p, z, w = c["patch_size"], c["latent_channels"], \
            c["block_out_channels"][0]
        self.patch, self.latent = p, z
        self.scale = c["scaling_factor"]
        self.encoder = Coder(3 * p * p, w, 2 * z, c["layers_per_block"],
                             c["norm_num_groups"], "down_blocks")
        self.decoder = Coder(z, w, 3 * p * p, c["decoder_layers_per_block"],
                             c["norm_num_groups"], "up_blocks")

    def encode(self, hr: Tensor) -> Tensor:
        mean = self.encoder(F.pixel_unshuffle(hr, self.patch))
        return mean[:, :self.latent] * self.scale

    def decode(self, z: Tensor, hr: Tensor) -> Tensor:
        y = self.decoder(z / self.scale)
        return F.pixel_shuffle(y.float(), self.patch) + hr


class Retrieval(nn.Module):
    """Windowed cross-frame attention: ReLU above a threshold, no softmax."""

    def __init__(self, latent: int, c: Config) -> None:
        super().__init__()
        self.heads, self.dim = c["heads"], c["embed_dim"]
        self.window, self.temperature = c["window"], c["temperature"]
        inner = self.heads * self.dim
        self.query_conv = nn.Conv2d(latent, inner, 1)
        self.key_conv = nn.Conv2d(latent, inner, 1)
        self.value_conv = nn.Conv2d(latent, inner, 1)
        self.proj_out = nn.Conv2d(inner, latent, 1)
        self.threshold_fc = nn.Linear(self.dim, 1)

    def forward(self, z: Tensor, aligned: Tensor) -> Tensor:
        """One place of the window after the other, [B][heads][dim][H][W]
        each; keys and values outside the picture are zero."""
        h, w, side = *z.shape[-2:], self.window
        shape = (self.heads, self.dim)
        q = self.query_conv(z).unflatten(1, shape)
        key, value = (F.pad(c(aligned), 4 * [side // 2]).unflatten(1, shape)
                      for c in (self.key_conv, self.value_conv))
        tau = self.threshold_fc(q.movedim(2, -1))[..., 0]
        out = torch.zeros_like(q)
        for place in range(side * side):
            y, x = place // side, place % side
            here = (..., slice(y, y + h), slice(x, x + w))
            sim = (q * key[here]).sum(2) / math.sqrt(self.dim)
            attn = F.relu((sim - tau) / self.temperature)
            out = out + attn[:, :, None] * value[here]
        return z + self.proj_out(out.flatten(1, 2))


class Cfr(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.spynet = Spynet(**config["spynet"])
        self.cross_attn_module = Retrieval(
            config["vae"]["latent_channels"], config["cfr"])
