# SPDX-License-Identifier: LGPL-2.1-or-later
"""From HR clips to LQ clips of a quarter of their sides. Blur, sizes and
qualities are one for a clip, noise is new in each frame.

HR and LQ are u8 [T][H][W][3]; in between, clips are f32, 0 … 255.
"""
import enum

import cv2
import numpy as np
from numpy.random import Generator

from . import codecs, noise
from .pixels import Array, Clip, luma, to_bytes
from .resize import shrink
from .second_order import degrade_twice


class Kind(enum.StrEnum):
    CLEAN = "clean"             # shrunk
    LIGHT = "light"             # and a little of what a good camera adds
    CODED = "coded"             # and a camera's noise, H.264 or VP8
    HARD = "hard"               # Real-ESRGAN's second order, half of it coded


def flicker(rng: Generator, clip: Array) -> Array:
    """A light that is not steady, an exposure that hunts."""
    return noise.exposure(rng, clip, min(rng.exponential(.008), .025),
                          min(rng.exponential(.7), 2.5))


def grain(rng: Generator, clip: Array, mean: float, most: float) -> Array:
    """A sensor's noise, of a deviation of `mean` levels on average."""
    sigma = min(rng.exponential(mean), most)
    if rng.random() < .5:
        return noise.rolling(rng, clip, sigma)
    return noise.white(rng, clip, sigma, rng.random() < .4)


# --- The kinds ---------------------------------------------------------------

def light(rng: Generator, hr: Clip) -> Clip:
    if rng.random() < .5:
        sigma = rng.uniform(.5, 1.8)
        hr = np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in hr])
    clip = shrink(hr).astype(np.float32)
    if rng.random() < .3:
        clip = flicker(rng, clip)
    if rng.random() < .5:
        clip = grain(rng, clip, 2, 8)
    lq = to_bytes(clip)
    if rng.random() < .5:
        lq = codecs.jpeg(lq, int(rng.uniform(55, 97)))
    return lq


def coded(rng: Generator, hr: Clip) -> Clip:
    clip = shrink(hr).astype(np.float32)
    if rng.random() < .3:
        clip = flicker(rng, clip)
    if rng.random() < .6:
        clip = grain(rng, clip, 1.5, 6)
    return codecs.code(to_bytes(clip), codecs.random_coding(rng))


def hard(rng: Generator, hr: Clip) -> Clip:
    lq = degrade_twice(rng, hr)
    if rng.random() < .3:
        lq = to_bytes(flicker(rng, lq.astype(np.float32)))
    if rng.random() < .5:
        lq = codecs.code(lq, codecs.random_coding(rng))
    return lq


def degrade(rng: Generator, hr: Clip, kind: Kind) -> Clip:
    """HR sides are multiples of 8."""
    if kind == Kind.CLEAN:
        return shrink(hr)
    return {Kind.LIGHT: light, Kind.CODED: coded, Kind.HARD: hard}[kind](
        rng, hr)


# --- Colour ------------------------------------------------------------------

def subsample_chroma(lq: Clip) -> Clip:
    """As if the clip had been coded in 4:2:0, as nearly all video is."""
    out = []
    for frame in lq.astype(np.float32):
        h, w, _ = frame.shape
        grey = luma(frame)
        half = cv2.resize(frame - grey, (w // 2, h // 2),
                          interpolation=cv2.INTER_AREA)
        out.append(grey + cv2.resize(half, (w, h)))
    return to_bytes(np.stack(out))
