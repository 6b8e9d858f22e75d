# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the small model begins where nothing is learned yet."""
from typing import Any, cast

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parametrize

from .small_net import Cfr, Resnet, UNet, Vae


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


def change_coordinates(vae: Vae, hr: Tensor, up: Tensor) -> None:
    """Neighbouring pixels of an upsampled picture are nearly equal: in
    pixels the first and the last convolution learn next to nothing. They
    learn in principal components of unit variance instead; the model file
    holds the product. `hr`, `up`: [N][3][H][W], examples."""
    axes, variance = components(up, vae.patch)
    parametrize.register_parametrization(
        vae.encoder.conv_in, "weight",
        Basis(axes / (variance + 3e-4).sqrt(), 1))
    axes, variance = components(hr - up, vae.patch)
    parametrize.register_parametrization(
        vae.decoder.conv_out, "weight",
        Basis(axes * variance.sqrt(), 0))


@torch.no_grad()
def pass_on(vae: Vae, unet: UNet, cfr: Cfr) -> None:
    """Latents begin as leading components of the picture, passed on by
    every part; the result begins near plain bicubic."""
    encoder, decoder = cast(Any, vae.encoder), cast(Any, vae.decoder)
    for m in (*vae.modules(), *unet.modules()):
        if isinstance(m, Resnet):
            m.conv2.weight *= .1
    first = encoder.conv_in.parametrizations.weight.original
    split(first, len(first) // 2, .1)
    encoder.conv_out.weight *= .1
    for i in range(min(vae.latent, len(first) // 2)):
        encoder.conv_out.weight[i, 2 * i, 1, 1] += 1
        encoder.conv_out.weight[i, 2 * i + 1, 1, 1] -= 1
    split(decoder.conv_in.weight, vae.latent, 1)
    split(unet.conv_in.weight, 2 * vae.latent, .3)
    unet.conv_out.weight *= .1
    decoder.conv_out.parametrizations.weight.original *= .03
    cfr.cross_attn_module.proj_out.weight *= .1
    for level in cast(Any, cfr.spynet.basic_module):
        half = level.basic_module[0].conv.weight[::2]
        half[:, 3:6] = -half[:, :3]     # looks at differences, finds nothing
        level.basic_module[-1].conv.weight *= .1
        level.basic_module[-1].conv.bias.zero_()
