# What the element and bicubic start from: the clip shrunk ×4, coded where
# that is asked for, as RGB or I420.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .clip import SCALE, Clip
from .codec import transmit
from .colours import to_i420, to_rgb


@dataclass(frozen=True)
class Source:
    format: str                 # rgb or i420
    frames: list[np.ndarray]    # u8 [h][w][3] or [3·h/2][w]
    rgb: list[np.ndarray]       # the same, [h][w][3]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.rgb[0].shape[:2]
        return width, height


def resize(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pillow's bicubic, antialiased where it shrinks."""
    return np.asarray(Image.fromarray(rgb).resize(
        (width, height), Image.Resampling.BICUBIC))


def make_source(clip: Clip, format: str, codec: str | None,
                bitrate: int) -> Source:
    height, width = clip.frames.shape[1:3]
    rgb = [resize(frame, width // SCALE, height // SCALE)
           for frame in clip.frames]
    if codec is None and format == "rgb":
        return Source(format, rgb, rgb)
    planes = [to_i420(frame) for frame in rgb]
    if codec:
        planes = transmit(planes, codec, bitrate, clip.rate)
    rgb = [to_rgb(frame) for frame in planes]
    return Source(format, rgb if format == "rgb" else planes, rgb)


def enlarge(source: Source) -> np.ndarray:
    """By bicubic, [T][H][W][3]; once in the source's format, as the element's
    frames are: steadiness notices the rounding."""
    width, height = source.size
    large = [resize(frame, width * SCALE, height * SCALE)
             for frame in source.rgb]
    if source.format == "i420":
        large = [to_rgb(to_i420(frame)) for frame in large]
    return np.stack(large)
