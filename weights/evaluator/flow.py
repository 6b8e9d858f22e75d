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


def optical_flow(now: np.ndarray,
                 before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) [H][W][2] from RGB `now` to `before`; and, bool [H][W], where it
    is sure: where the flow back to `now` agrees and nothing is outside."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    now, before = grey(now), grey(before)
    # no flow to start from, which OpenCV's own types leave out
    back = dis.calc(now, before, None)      # type: ignore[call-overload]
    forth = dis.calc(before, now, None)     # type: ignore[call-overload]
    x, y = follow(back)
    height, width = now.shape
    there = cv2.remap(forth, x, y, cv2.INTER_LINEAR)
    length = (back ** 2).sum(-1) + (there ** 2).sum(-1)
    agrees = ((back + there) ** 2).sum(-1) < .01 * length + .5
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return back, agrees & inside


def follow(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel is to be found, x and y, f32 [H][W]."""
    y, x = np.mgrid[0:flow.shape[0], 0:flow.shape[1]].astype(np.float32)
    return x + flow[..., 0], y + flow[..., 1]


def find_path(now: np.ndarray, before: np.ndarray) -> Path:
    flow, sure = optical_flow(now, before)
    return Path(*follow(flow), sure)
