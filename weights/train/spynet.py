# SPDX-License-Identifier: LGPL-2.1-or-later
"""SPyNet: optical flow from coarse to fine. Both models have it, of different
widths; parameter names are the published ones.

Flow is [N][u, v][H][W] in pixels of its own grid: pixel (x, y) of a frame is
at (x + u, y + v) in the one before.
"""
from pathlib import Path

import torch
import torch.nn.functional as F
from converter.layouts import SPYNET_LEVELS
from torch import Tensor, nn

from .tensor_files import open_tensors


def warp(x: Tensor, flow: Tensor, padding: str) -> Tensor:
    """x [N][C][H][W] sampled at (i + u, j + v), flow [N][u, v][H][W] in
    pixels of x."""
    h, w = x.shape[-2:]
    j, i = torch.meshgrid(torch.arange(h, device=x.device),
                          torch.arange(w, device=x.device), indexing="ij")
    grid_x = (i + flow[:, 0]) * (2 / max(w - 1, 1)) - 1
    grid_y = (j + flow[:, 1]) * (2 / max(h - 1, 1)) - 1
    return F.grid_sample(x, torch.stack([grid_x, grid_y], -1),
                         mode="bilinear", padding_mode=padding,
                         align_corners=True)


class Layer(nn.Module):
    """One convolution, under the name that published files give it."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Level(nn.Module):
    """From reference, warped neighbour and flow so far to a better flow."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        sides = [8, *channels, 2]
        self.basic_module = nn.Sequential(*map(Layer, sides, sides[1:]))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.basic_module[:-1]:
            x = F.relu(layer(x))
        return self.basic_module[-1](x)


def column(*values: float) -> Tensor:
    """One value a channel."""
    return torch.tensor(values)[:, None, None]


class Spynet(nn.Module):
    """`channels`: of the four layers inside each level. `shrink`: how many
    times smaller than the pictures its finest level is."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: list[int], shrink: int = 1) -> None:
        super().__init__()
        self.multiple = 32 * shrink
        self.basic_module = nn.ModuleList(
            Level(channels) for _ in range(SPYNET_LEVELS))
        self.register_buffer("mean", column(.485, .456, .406), False)
        self.register_buffer("std", column(.229, .224, .225), False)

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Coarsest first; sides of multiples of 32."""
        h, w = (-(-side // self.multiple) * 32 for side in x.shape[-2:])
        x = F.interpolate(x, (h, w), mode="bilinear", align_corners=False)
        levels = [(x - self.mean) / self.std]
        for _ in range(SPYNET_LEVELS - 1):
            levels.append(F.avg_pool2d(levels[-1], 2))
        return levels[::-1]

    def find(self, frame: Tensor, before: Tensor) -> list[Tensor]:
        """Pictures [N][3][h][w] → the flow from `frame` to `before` as every
        level has it, in pixels of its own grid; coarsest first."""
        flows: list[Tensor] = []
        for net, x, y in zip(self.basic_module, self.pyramid(frame),
                             self.pyramid(before)):
            if flows:
                flow = 2 * F.interpolate(flows[-1], scale_factor=2,
                                         mode="bilinear", align_corners=True)
            else:
                flow = x.new_zeros(len(x), 2, *x.shape[-2:])
            flows.append(flow + net(torch.cat(
                [x, warp(y, flow, "border"), flow], 1)))
        return flows

    def forward(self, frame: Tensor, before: Tensor) -> Tensor:
        """The finest of them on the pictures' grid, in its pixels."""
        return to_grid(self.find(frame, before)[-1], *frame.shape[-2:])


def to_grid(flow: Tensor, h: int, w: int) -> Tensor:
    ratio = flow.new_tensor([w / flow.shape[-1], h / flow.shape[-2]])
    flow = F.interpolate(flow, (h, w), mode="bilinear", align_corners=False)
    return flow * ratio[:, None, None]


def read_spynet(path: Path) -> Spynet:
    """From a file of its published names, as mmediting's
    spynet_20210409-c6c1bd09.pth has them, or a state_dict_bpp."""
    source = open_tensors(path, lambda name: "spynet." + name)
    first = "basic_module.0.basic_module."
    channels = [source.size(f"{first}{j}.conv.weight", 0)
                for j in range(4)]
    spynet = Spynet(channels)
    layout = {name: tuple(p.shape)
              for name, p in spynet.named_parameters()}
    source.claim(layout)
    spynet.load_state_dict({name: source.read(name) for name in layout})
    return spynet
