# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a model makes of a batch of clips of T frames."""
from typing import NamedTuple

from torch import Tensor


class Restored(NamedTuple):
    """Of frames 1 … T−1 of each clip: frame 0 is only a predecessor."""

    pictures: Tensor            # f32 [B][T−1][3][H][W] in [-1, 1], unclamped
    latents: Tensor             # [B][T−1][C][h][w] x0, in the UNet's scale
    # The flow network's answer at every level, coarsest first, each
    # [B·(T−1)][u, v][h][w] in pixels of its own grid; None where it is frozen.
    flows: list[Tensor] | None = None
