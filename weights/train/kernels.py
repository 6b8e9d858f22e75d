# SPDX-License-Identifier: LGPL-2.1-or-later
"""Blur kernels of Real-ESRGAN's degradation (Wang et al. 2021): Gaussian,
generalised Gaussian and plateau-shaped, round or elongated, and sinc, which
rings."""
import math

import numpy as np
import torch
from numpy.random import Generator

from .pixels import Array

SIZES = range(7, 22, 2)
SHAPES = ("gaussian", "generalised", "plateau")
SHAPE_SHARES = (.7, .15, .15)
ROUND_SHARE = .65


def offsets(size: int) -> tuple[Array, Array]:
    """x and y of a kernel's taps from its centre."""
    x = np.arange(size, dtype=np.float64) - size // 2
    return x[None], x[:, None]


def bell(size: int, widths: tuple[float, float], angle: float, shape: str,
         beta: float) -> Array:
    """A kernel of deviations `widths` along its axes."""
    x, y = offsets(size)
    c, s = math.cos(angle), math.sin(angle)
    square = ((x * c + y * s) / widths[0]) ** 2 \
        + ((y * c - x * s) / widths[1]) ** 2
    if shape == "plateau":
        k = 1 / (1 + square ** beta)
    else:
        k = np.exp(-.5 * square ** (beta if shape == "generalised" else 1))
    return (k / k.sum()).astype(np.float32)


def sinc(size: int, cutoff: float) -> Array:
    """A round low-pass filter that cuts off at `cutoff` radians a pixel."""
    x, y = offsets(size)
    r = torch.from_numpy(np.hypot(x, y))
    r[size // 2, size // 2] = 1         # the limit there is written below
    k = cutoff * torch.special.bessel_j1(cutoff * r) / (2 * math.pi * r)
    k[size // 2, size // 2] = cutoff ** 2 / (4 * math.pi)
    return (k / k.sum()).float().numpy()


def random_sinc(rng: Generator, lowest: float) -> Array:
    """`lowest`: cutoff in radians a pixel."""
    return sinc(int(rng.choice(SIZES)), rng.uniform(lowest, math.pi))


def random_kernel(rng: Generator, widest: float) -> Array:
    """One in ten a sinc; the others of deviations from 0.2 to `widest`."""
    if rng.random() < .1:
        return random_sinc(rng, math.pi / 3)
    size = int(rng.choice(SIZES))
    shape = str(rng.choice(SHAPES, p=SHAPE_SHARES))
    beta = rng.uniform(.5, 4) if shape == "generalised" else rng.uniform(1, 2)
    a, b = rng.uniform(.2, widest, 2)
    if rng.random() < ROUND_SHARE:
        b = a
    return bell(size, (a, b), rng.uniform(-math.pi, math.pi), shape, beta)
