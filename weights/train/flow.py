# SPDX-License-Identifier: LGPL-2.1-or-later
"""Optical flow of video whose true motion is not known."""
import cv2
import numpy as np
from numpy.typing import NDArray

from .pictures import Array


def optical_flow(now: NDArray[np.uint8], before: NDArray[np.uint8]
                 ) -> tuple[Array, NDArray[np.bool_]]:
    """DIS flow of a picture [H][W][3] to the one before, [H][W][u, v], and
    where it can be trusted: where the flow back from its target returns to
    the pixel it came from."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    now, before = (cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2GRAY)
                   for x in (now, before))
    h, w = now.shape
    back, forth = dis.calc(now, before, None), dis.calc(before, now, None)
    mx = back[..., 0] + np.arange(w, dtype=np.float32)
    my = back[..., 1] + np.arange(h, dtype=np.float32)[:, None]
    there = cv2.remap(forth, mx, my, cv2.INTER_LINEAR)
    size = (back ** 2).sum(-1) + (there ** 2).sum(-1)
    returns = ((back + there) ** 2).sum(-1) < .01 * size + .5
    inside = (mx >= 0) & (my >= 0) & (mx <= w - 1) & (my <= h - 1)
    return back, returns & inside
