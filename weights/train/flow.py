# SPDX-License-Identifier: LGPL-2.1-or-later
"""Optical flow of video whose true motion is not known."""
import cv2
import numpy as np

from .pixels import Array, Mask


def optical_flow(now: Array, before: Array) -> tuple[Array, Mask]:
    """DIS flow of a picture [H][W][3] to the one before, [H][W][u, v], and
    where it can be trusted: where the flow back from its target returns to
    the pixel it came from."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    a, b = (cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2GRAY)
            for x in (now, before))
    h, w = a.shape
    back, forth = (dis.calc(x, y, np.zeros((h, w, 2), np.float32))
                   for x, y in ((a, b), (b, a)))
    mx = back[..., 0] + np.arange(w, dtype=np.float32)
    my = back[..., 1] + np.arange(h, dtype=np.float32)[:, None]
    there = cv2.remap(forth, mx, my, cv2.INTER_LINEAR)
    size = (back ** 2).sum(-1) + (there ** 2).sum(-1)
    returns = ((back + there) ** 2).sum(-1) < .01 * size + .5
    inside = (mx >= 0) & (my >= 0) & (mx <= w - 1) & (my <= h - 1)
    return back, returns & inside
