# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clips made of one still, of which the motion is known: crops that shift
from frame to frame."""
import math

import cv2
import numpy as np
from numpy.random import Generator

from .pixels import Array
from .scenes import Scene

STEP = 16                       # shifts are whole 16ths of a pixel


def random_positions(rng: Generator, frames: int,
                     room: tuple[int, int]) -> Array:
    """Corners of the crops, [T][x, y], from 0 to `room`: a steady pan that
    trembles. Whole pixels in every other clip."""
    a, v = rng.uniform(0, 2 * math.pi), min(rng.exponential(4), 24)
    steps = rng.normal(0, .7, (frames, 2)) + [v * math.cos(a),
                                              v * math.sin(a)]
    if rng.random() < .15:
        steps[:] = 0
    way = np.cumsum(steps, 0)
    way -= way.min(0)
    way *= np.minimum(1, room / np.maximum(way.max(0), 1e-6))
    places = way + rng.uniform(0, np.maximum(room - way.max(0), 0))
    parts = 1 if rng.random() < .5 else STEP
    return np.round(places * parts) / parts


def crop_at(still: Array, x: float, y: float,
            side: int) -> Array:
    if x == int(x) and y == int(y):
        return still[int(y):int(y) + side, int(x):int(x) + side]
    m = np.array([[1, 0, x], [0, 1, y]])
    return cv2.warpAffine(still, m, (side, side),
                          flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REFLECT)


def shifted(rng: Generator, still: Array, frames: int,
            side: int) -> Scene:
    """`still`: u8 [H][W][3], no smaller than side×side."""
    height, width, _ = still.shape
    places = random_positions(rng, frames, (width - side, height - side))
    way = np.arange(side)
    flow = np.empty((frames - 1, side, side, 2), np.float32)
    sure = np.empty((frames - 1, side, side), bool)
    for t, (dx, dy) in enumerate(places[1:] - places[:-1]):
        flow[t] = dx, dy
        ox, oy = ((way + d >= 0) & (way + d <= side - 1) for d in (dx, dy))
        sure[t] = oy[:, None] & ox
    return Scene(np.stack([crop_at(still, x, y, side)
                           for x, y in places.tolist()]), flow, sure)
