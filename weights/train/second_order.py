# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real-ESRGAN's second-order degradation (Wang et al. 2021) of a clip: twice
blur, resize, noise and JPEG, then a sinc filter. Kernels, sizes and qualities
are one for the clip, noise is new in each frame.

The published ranges are for single pictures from anywhere; these are milder,
for what calls and cameras show.
"""
import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from . import codecs, noise
from .kernels import random_kernel, random_sinc
from .pixels import Array, Clip, to_bytes
from .resize import SCALE


class Order(NamedTuple):
    """How strong one of the two is."""
    blur: float                 # share of clips
    widest: float               # deviation of the kernel, pixels
    base: int                   # the new size: HR's sides by this,
    shares: tuple[float, float, float]      # enlarged, shrunk or as it is,
    smallest: float             # by a factor from here
    largest: float              # to here
    gauss: float                # most noise, levels
    poisson: float              # or most, as of how many times 255 photons
    quality: int                # worst, of JPEG


FIRST = Order(1, 2.5, 1, (.2, .7, .1), .35, 1.5, 10, 1, 55)
SECOND = Order(.8, 1, SCALE, (.3, .4, .3), .7, 1.3, 5, .5, 60)
RINGING = .6 * math.pi          # lowest cutoff of the last filter
BEST = 95                       # quality of JPEG
INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def blur(clip: Array, kernel: Array) -> Array:
    return np.stack([cv2.filter2D(f, -1, kernel,
                                  borderType=cv2.BORDER_REFLECT_101)
                     for f in clip])


def random_resize(rng: Generator, clip: Array, height: int,
                  width: int) -> Array:
    way = int(rng.choice(INTERPOLATIONS))
    return np.stack([cv2.resize(f, (width, height), interpolation=way)
                     for f in clip])


def random_noise(rng: Generator, clip: Array, order: Order) -> Array:
    grey = rng.random() < .4
    if rng.random() < .5:
        return noise.white(rng, clip, rng.uniform(1, order.gauss), grey)
    return noise.poisson(rng, clip, rng.uniform(.05, order.poisson), grey)


def random_jpeg(rng: Generator, clip: Array, order: Order) -> Array:
    quality = int(rng.integers(order.quality, BEST + 1))
    return codecs.jpeg(to_bytes(clip), quality).astype(np.float32)


def degrade_once(rng: Generator, clip: Array, order: Order, height: int,
                 width: int) -> Array:
    """All but JPEG; `height`, `width`: of HR."""
    if rng.random() < order.blur:
        clip = blur(clip, random_kernel(rng, order.widest))
    way = rng.choice(3, p=order.shares)
    factor = (rng.uniform(1, order.largest), rng.uniform(order.smallest, 1),
              1)[way] / order.base
    clip = random_resize(rng, clip, round(height * factor),
                         round(width * factor))
    return random_noise(rng, clip, order)


def finish(rng: Generator, clip: Array, height: int, width: int) -> Array:
    """Resizes and filters. `height`, `width`: of LQ."""
    clip = random_resize(rng, clip, height, width)
    if rng.random() < .2:
        return clip
    return blur(clip, random_sinc(rng, RINGING))


def degrade_twice(rng: Generator, hr: Clip) -> Clip:
    """JPEG comes before or after the final filter."""
    _, height, width, _ = hr.shape
    clip = degrade_once(rng, hr.astype(np.float32), FIRST, height, width)
    clip = random_jpeg(rng, clip, FIRST)
    clip = degrade_once(rng, clip, SECOND, height, width)
    size = height // SCALE, width // SCALE
    if rng.random() < .5:
        clip = random_jpeg(rng, finish(rng, clip, *size), SECOND)
    else:
        clip = finish(rng, random_jpeg(rng, clip, SECOND), *size)
    return to_bytes(clip)
