# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cross-frame retrieval as published: attention of every position to every
position of the aligned latents, above a threshold that depends on the query,
without softmax.

Parameter names are those of the published state_dict_bpp. Computed in f32,
whatever autocast says.
"""
import math

import torch.nn.functional as F
from torch import Tensor, nn

from .spynet import Spynet

HEADS, EMBED, TEMPERATURE = 9, 64, 3000.


class Retrieval(nn.Module):
    """The published module, but for where it starts: proj_out is 0, so that
    what comes after it first sees the latent as it is."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(latent, HEADS * EMBED, 1)
        self.key_conv = nn.Conv2d(latent, HEADS * EMBED, 1)
        self.value_conv = nn.Conv2d(latent, HEADS * EMBED, 1)
        self.proj_out = nn.Conv2d(HEADS * EMBED, latent, 1)
        self.threshold_fc = nn.Linear(EMBED, 1)
        for p in self.proj_out.parameters():
            nn.init.zeros_(p)

    def forward(self, now: Tensor, aligned: Tensor) -> Tensor:
        """Latents [N][c][h][w] → the fused one."""
        n, _, h, w = now.shape

        def heads(x: Tensor) -> Tensor:         # [N][heads][h·w][EMBED]
            return x.view(n, HEADS, EMBED, h * w).transpose(2, 3)

        q = heads(self.query_conv(now))
        k = heads(self.key_conv(aligned))
        v = heads(self.value_conv(aligned))
        # Divided where they are small: the scores are [N][heads][h·w][h·w].
        threshold = self.threshold_fc(q) / TEMPERATURE
        q = q / (math.sqrt(EMBED) * TEMPERATURE)
        out = F.relu(q @ k.transpose(2, 3) - threshold) @ v
        return now + self.proj_out(out.transpose(2, 3).reshape(n, -1, h, w))


class Cfr(nn.Module):
    def __init__(self, latent: int, spynet: Spynet) -> None:
        super().__init__()
        self.spynet, self.cross_attn_module = spynet, Retrieval(latent)
