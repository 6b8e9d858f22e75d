# Where each pixel was a frame before, by DIS optical flow.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

from typing import NamedTuple

import cv2
import numpy as np


class Path(NamedTuple):
    """From a frame to the one before."""
    x: np.ndarray       # f32 [H][W], the pixel's place there
    y: np.ndarray
    sure: np.ndarray    # bool [H][W]


def grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def find_path(now: np.ndarray, before: np.ndarray) -> Path:
    """Sure is where the flow back to `now` agrees and nothing is outside."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    now, before = grey(now), grey(before)
    height, width = now.shape
    # no flow to start from, which OpenCV's own types leave out
    back = dis.calc(now, before, None)      # type: ignore[call-overload]
    forth = dis.calc(before, now, None)     # type: ignore[call-overload]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + back[..., 0], y + back[..., 1]
    there = cv2.remap(forth, x, y, cv2.INTER_LINEAR)
    length = (back ** 2).sum(-1) + (there ** 2).sum(-1)
    agrees = ((back + there) ** 2).sum(-1) < .01 * length + .5
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return Path(x, y, agrees & inside)
