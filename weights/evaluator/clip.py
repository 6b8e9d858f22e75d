# The ground truth: a clip's frames, cropped to multiples of 8, so that the
# shrunk ones have even sides.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from converter.problem import Problem

from .colours import frame_to_rgb

SCALE = 4
SMALLEST = 16               # a side of what the element takes
FEWEST = 2                  # frames that steadiness is seen in
Size = tuple[int, int]      # width, height


@dataclass(frozen=True)
class Clip:
    path: Path
    frames: np.ndarray      # u8 [T][H][W][3], RGB
    rate: Fraction          # frames a second


def fit(rgb: np.ndarray, small: Size | None, path: Path) -> np.ndarray:
    """Resized to ×4 what the shrunk clip is to have, and cropped."""
    height, width = rgb.shape[:2]
    if small:
        wanted = small[0] * SCALE, small[1] * SCALE
        if width < wanted[0] or height < wanted[1]:
            raise Problem(
                f"{path}: expected at least {wanted[0]}x{wanted[1]}, ×4 of "
                f"what --size says, found {width}x{height}")
        rgb = cv2.resize(rgb, wanted, interpolation=cv2.INTER_AREA)
    height, width = (side // 8 * 8 for side in rgb.shape[:2])
    if min(height, width) < SMALLEST * SCALE:
        raise Problem(
            f"{path}: expected sides of at least {SMALLEST * SCALE} pixels, "
            f"found {rgb.shape[1]}x{rgb.shape[0]}")
    return rgb[:height, :width]


def decode(container, path: Path, first: int, count: int,
           small: Size | None) -> list[np.ndarray]:
    frames: list[np.ndarray] = []
    for number, frame in enumerate(container.decode(video=0)):
        if number < first:
            continue
        rgb = fit(frame_to_rgb(frame), small, path)
        if frames and rgb.shape != frames[0].shape:
            raise Problem(f"{path}: expected frames of one size, found "
                          f"another one in frame {number}")
        frames.append(rgb)
        if len(frames) == count:
            break
    return frames


def read_clip(path: Path, first: int, count: int,
              small: Size | None) -> Clip:
    """Frames `first` to `first + count`, or as many of them as there are."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Problem(f"{path}: has no video")
            rate = container.streams.video[0].average_rate or Fraction(25)
            frames = decode(container, path, first, count, small)
    except (OSError, av.FFmpegError) as e:
        raise Problem(f"{path}: cannot be read: {e.strerror or e}")
    if len(frames) < FEWEST:
        raise Problem(
            f"{path}: expected at least {FEWEST} frames from frame {first} "
            f"on, found {len(frames)}")
    return Clip(path, np.stack(frames), Fraction(rate))
