# SPDX-License-Identifier: LGPL-2.1-or-later
"""What cameras and their electronics add to a clip: noise, and light that
flickers. A clip is f32 [T][H][W][3], 0 … 255; results are not clamped."""
import math

import cv2
import numpy as np
from numpy.random import Generator

from .pixels import Array, luma


def white(rng: Generator, clip: Array, sigma: float, grey: bool) -> Array:
    """Gaussian noise, new in each frame, the same in all colours if `grey`."""
    shape = (*clip.shape[:3], 1) if grey else clip.shape
    return clip + rng.standard_normal(shape, np.float32) * np.float32(sigma)


def poisson(rng: Generator, clip: Array, scale: float, grey: bool) -> Array:
    """The noise of counting photons, `scale` times that of 255 photons at
    full light."""
    light = np.clip(clip, 0, 255)
    if grey:
        light = luma(light)
    photons = rng.poisson(light).astype(np.float32)
    return clip + (photons - light) * np.float32(scale)


def moved(field: Array, dx: float, dy: float) -> Array:
    """The field shifted, continued around its borders."""
    m = np.array([[1, 0, dx], [0, 1, dy]])
    return cv2.warpAffine(field, m, field.shape[1::-1],
                          borderMode=cv2.BORDER_WRAP)


def rolling(rng: Generator, clip: Array, sigma: float) -> Array:
    """Noise of a cheap sensor: a coarse pattern that crawls and slowly
    becomes another one, and rows that are lighter or darker."""
    _, h, w, _ = clip.shape
    stay, grain = rng.uniform(.3, .9), rng.uniform(.4, .9)
    dx, dy = rng.normal(0, .7, 2)
    rows = rng.uniform(0, .4) * sigma

    def fresh() -> Array:
        field = cv2.GaussianBlur(rng.standard_normal((h, w, 3), np.float32),
                                 (0, 0), grain)
        return field / np.float32(field.std() + 1e-6)

    out, pattern = [], fresh()
    for frame in clip:
        row = rng.standard_normal((h, 1, 1), np.float32)
        out.append(frame + pattern * np.float32(sigma)
                   + row * np.float32(rows))
        pattern = moved(pattern, dx, dy) * np.float32(stay) \
            + fresh() * np.float32(math.sqrt(1 - stay ** 2))
    return np.stack(out)


def exposure(rng: Generator, clip: Array, gain: float, lift: float) -> Array:
    """Gain and lift (levels) that differ a little from frame to frame, by
    these deviations; their means over the clip are 1 and 0."""
    steps = rng.normal(0, 1, (2, len(clip), 1, 1, 1))
    steps -= steps.mean(1, keepdims=True)
    gains, lifts = steps.astype(np.float32)
    return clip * (1 + gains * np.float32(gain)) + lifts * np.float32(lift)


def blocks(rng: Generator, clip: Array) -> Array:
    """What coding leaves where nothing moves: blocks of 16 pixels that now
    and then are coded anew, a little lighter or darker in spots of some
    eight pixels."""
    _, h, w, _ = clip.shape
    strength = min(rng.exponential(.35), 1.2)
    share = rng.uniform(.1, .7)
    out, spots = [], np.zeros((h, w), np.float32)
    for i, frame in enumerate(clip):
        small = rng.standard_normal((-(-h // 8), -(-w // 8)), np.float32)
        new = cv2.resize(small * np.float32(strength), (w, h),
                         interpolation=cv2.INTER_CUBIC)
        coded = rng.random((-(-h // 16), -(-w // 16))) < (share if i else 1)
        coded = coded.repeat(16, 0).repeat(16, 1)[:h, :w]
        spots = np.where(coded, new, spots)
        out.append(frame + spots[..., None])
    return np.stack(out)
