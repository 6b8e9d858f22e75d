# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pillow's antialiased bicubic, on clips u8 [T][H][W][3]: how the engine
enlarges what it is given, and how LQ is made of HR."""
import numpy as np
from PIL import Image

from .pixels import Clip

SCALE = 4


def resize(clip: Clip, height: int, width: int) -> Clip:
    return np.stack([np.asarray(Image.fromarray(f).resize(
        (width, height), Image.Resampling.BICUBIC)) for f in clip])


def shrink(clip: Clip) -> Clip:
    return resize(clip, clip.shape[1] // SCALE, clip.shape[2] // SCALE)


def enlarge(clip: Clip) -> Clip:
    return resize(clip, clip.shape[1] * SCALE, clip.shape[2] * SCALE)
