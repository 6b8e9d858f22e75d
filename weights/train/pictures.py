# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drawn still pictures: dead leaves (shapes whose sizes follow the r^-3 law of
natural pictures), shaded and textured surfaces, writing.

All coordinates are canvas pixels. A picture is a function of the generator.
"""
import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from .pixels import Array

WORDS = ("EXIT OPEN 42 the quick brown fox 10:37 Intel STOP salt & pepper "
         "Nr. 5 camera lorem ipsum MILK 98% www 3.14 left RIGHT Zug nach Ulm "
         "and of to in (a) is # that it = on you for; with as I be / at <b> "
         "Level 2026 +49 30 1.000,00 $5 mute share Anna John WC").split()
SKIN = np.array([1, .76, .62])      # a skin's colour to its red
ANGLES = np.linspace(0, 2 * math.pi, 48, endpoint=False)


# --- Colours -----------------------------------------------------------------

def palette(rng: Generator) -> Array:
    """Colours of one picture: a few hues, most of them dull."""
    n = rng.integers(3, 9)
    grey = rng.uniform(10, 245, (n, 1))
    spread = rng.choice([6, 20, 60], (n, 1), p=[.45, .35, .2])
    colours = grey + rng.normal(0, 1, (n, 3)) * spread
    if rng.random() < .2:
        colours[0] = skin(rng)
    return np.clip(colours, 0, 255).astype(np.float32)


def skin(rng: Generator) -> Array:
    tint = SKIN + rng.normal(0, .04, 3)
    return (rng.uniform(60, 245) * tint).astype(np.float32)


def pick(rng: Generator, colours: Array) -> Array:
    """One of the colours, lighter or darker, of a slightly other hue."""
    c = colours[rng.integers(len(colours))] + rng.normal(0, 10)
    return np.clip(c + rng.normal(0, 4, 3), 0, 255).astype(np.float32)


# --- Fields ------------------------------------------------------------------

def cloud(rng: Generator, n: int, slope: float, stretch: float = 1,
          angle: float = 0) -> Array:
    """Random n×n field of power spectrum f^-2·slope and unit deviation;
    `stretch`: how many times longer than wide its grain is (hair, wood)."""
    f = np.fft.rfft2(rng.standard_normal((n, n), np.float32))
    x, y = np.fft.rfftfreq(n)[None], np.fft.fftfreq(n)[:, None]
    c, s = math.cos(angle), math.sin(angle)
    k = np.hypot((x * c + y * s) * stretch, y * c - x * s).astype(np.float32)
    k[0, 0] = 1
    field = np.fft.irfft2(f * k ** -slope, (n, n)).astype(np.float32)
    field -= field.mean()
    return field / (field.std() + 1e-6)


def grid(h: int, w: int) -> tuple[Array, Array]:
    """x and y from -1 to 1, to be broadcast over h×w."""
    return (np.linspace(-1, 1, w, dtype=np.float32)[None],
            np.linspace(-1, 1, h, dtype=np.float32)[:, None])


def ramp(rng: Generator, h: int, w: int) -> Array:
    """Linear shading in -1 … 1."""
    a, (x, y) = rng.uniform(0, 2 * math.pi), grid(h, w)
    return (x * math.cos(a) + y * math.sin(a)) / 1.4


def ball(rng: Generator, h: int, w: int) -> Array:
    """How a matt ellipsoid that fills h×w is lit, 0 … 1."""
    a, height, (x, y) = rng.uniform(0, 6.3), rng.uniform(.3, .9), grid(h, w)
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    side = math.sqrt(1 - height ** 2)
    return np.maximum(side * (x * math.cos(a) + y * math.sin(a))
                      + height * z, 0)


def stripes(rng: Generator, h: int, w: int) -> Array:
    """Stripes, a checkerboard or a weave in 0 … 1, hard or sinusoidal."""
    a = rng.uniform(0, math.pi)
    k = 2 * math.pi / np.exp(rng.uniform(math.log(4), math.log(40)))
    x = np.arange(w, dtype=np.float32)[None]
    y = np.arange(h, dtype=np.float32)[:, None]
    u = np.sin((x * math.cos(a) + y * math.sin(a)) * k)
    if rng.random() < .4:
        u = u * np.sin((y * math.cos(a) - x * math.sin(a)) * k)
    return np.clip(u * (1 if rng.random() < .5 else 8), -1, 1) * .5 + .5


# --- Shapes ------------------------------------------------------------------

def corners(rng: Generator, kind: float) -> tuple[Array, Array]:
    """Angles and distances of the corners of a shape of about radius 1:
    ellipse, blob, box or shard."""
    if kind < .45:
        rho = np.ones(len(ANGLES))
        if kind < .2:
            k = np.arange(2, 6)[:, None]
            rho += (rng.normal(0, .25 / k) * np.cos(
                k * ANGLES + rng.uniform(0, 6.3, (4, 1)))).sum(0)
        return ANGLES, rho
    if kind < .75:
        return np.arange(4) * math.pi / 2 + math.pi / 4, np.ones(4)
    t = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(3, 8)))
    return t, rng.uniform(.6, 1.3, len(t))


def outline(rng: Generator, r: float) -> Array:
    """Closed polygon of about radius r about 0: [corners][x, y]."""
    kind, turn = rng.random(), rng.uniform(0, 2 * math.pi)
    t, rho = corners(rng, kind)
    squeeze = 1 if rng.random() < .5 else rng.uniform(.15, 1)
    p = np.stack([np.cos(t) * squeeze, np.sin(t)], 1) * rho[:, None] * r
    if kind >= .45 and rng.random() < .5:
        return p                        # man-made things stand upright
    c, s = math.cos(turn), math.sin(turn)
    return p @ np.array([[c, s], [-s, c]])


def fixed(points: Array) -> Array:
    """Coordinates as OpenCV draws them: sixteenths of a pixel."""
    return np.round(points * 16).astype(np.int32)


def fill(rng: Generator, colours: Array, noise: Array) -> Array:
    """A surface as large as `noise`: [h][w][3]."""
    h, w = noise.shape
    colour = pick(rng, colours)
    kind = rng.random()
    if kind < .15:
        return colour * (.35 + .75 * ball(rng, h, w))[..., None]
    surface = colour + ramp(rng, h, w)[..., None] * np.float32(
        rng.normal(0, 25))
    if kind < .5:
        return surface + noise[..., None] * np.float32(rng.exponential(8))
    if kind < .6:
        return surface + stripes(rng, h, w)[..., None] * (
            pick(rng, colours) - colour)
    return surface


def leaf(rng: Generator, img: Array, noise: Array, colours: Array,
         r: float) -> None:
    """Draws one shape of radius r somewhere."""
    n = len(img)
    poly = fixed(outline(rng, r) + rng.uniform(-r * .3, n + r * .3, 2))
    if r < 10 or rng.random() < .3:
        cv2.fillPoly(img, [poly], pick(rng, colours).tolist(), cv2.LINE_AA, 4)
        return
    soft = rng.uniform(1, 8) if rng.random() < .15 else 0.  # out of focus
    margin = int(3 * soft) + 1
    x0, y0 = np.maximum(poly.min(0) // 16 - margin, 0).tolist()
    x1, y1 = np.minimum(poly.max(0) // 16 + margin + 2, n).tolist()
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [poly - np.array([x0, y0]) * 16], 255, cv2.LINE_AA, 4)
    alpha: Array = mask / np.float32(255)
    if soft:
        alpha = cv2.GaussianBlur(alpha, (0, 0), soft)
    area = img[y0:y1, x0:x1]
    surface = fill(rng, colours, noise[y0:y1, x0:x1])
    area += alpha[..., None] * (surface - area)


def leaves(rng: Generator, img: Array, noise: Array, colours: Array,
           count: int, smallest: float, largest: float) -> None:
    """Draws shapes whose radii follow the r^-3 law."""
    u = rng.random(count)
    radii = (smallest ** -2
             + u * (largest ** -2 - smallest ** -2)) ** -.5
    for r in radii.tolist():
        leaf(rng, img, noise, colours, r)


def strokes(rng: Generator, img: Array, colours: Array) -> None:
    n = len(img)
    for _ in range(rng.integers(1, 12)):
        a, b = rng.uniform(0, n, 2), rng.normal(0, n / 3, 2)
        p = fixed(np.stack([a, a + b]))
        cv2.line(img, p[0].tolist(), p[1].tolist(),
                 pick(rng, colours).tolist(), int(rng.integers(1, 6)),
                 cv2.LINE_AA, 4)


# --- Writing -----------------------------------------------------------------

def words(rng: Generator, most: int) -> str:
    return " ".join(rng.choice(WORDS, rng.integers(1, most)))


def signs(rng: Generator, n: int, draw: ImageDraw.ImageDraw) -> None:
    """A few words here and there."""
    for _ in range(rng.integers(1, 8)):
        draw.text(tuple(rng.uniform(0, n * .8, 2)), words(rng, 6), 255,
                  ImageFont.load_default(int(rng.integers(12, 60))))


def page(rng: Generator, n: int, draw: ImageDraw.ImageDraw) -> None:
    """Lines of a text, as on paper or a shared screen."""
    size = int(rng.integers(14, 40))
    font = ImageFont.load_default(size)
    margin = rng.uniform(0, n * .2)
    for y in np.arange(margin, n, size * rng.uniform(1.2, 1.8)):
        if rng.random() < .85:
            draw.text((margin, float(y)), words(rng, 14), 255, font)


def write(rng: Generator, img: Array, colours: Array,
          layout: Callable) -> None:
    layer = Image.new("L", img.shape[1::-1])
    layout(rng, len(img), ImageDraw.Draw(layer))
    alpha = np.asarray(layer, np.float32)[..., None] / 255
    img += alpha * (pick(rng, colours) - img)


# --- Pictures ----------------------------------------------------------------

def dead_leaves(rng: Generator, n: int) -> Array:
    colours, noise = palette(rng), cloud(rng, n, rng.uniform(.6, 1.6))
    img = pick(rng, colours) + ramp(rng, n, n)[..., None] * np.float32(
        rng.normal(0, 40, 3))
    if rng.random() < .3:
        img += noise[..., None] * np.float32(rng.exponential(10))
    dense = 3 if rng.random() < .7 else 2
    count = int(10 ** rng.uniform(1.2, dense) * (n / 672) ** 2) + 3
    leaves(rng, img, noise, colours, count,
           rng.uniform(3, 30), rng.uniform(80, 400))
    if rng.random() < .4:
        strokes(rng, img, colours)
    if rng.random() < .3:
        write(rng, img, colours, signs)
    return img


def smooth(rng: Generator, n: int) -> Array:
    """Skin, cloth, walls: soft light, faint grain, next to no edges."""
    colour = skin(rng) if rng.random() < .6 else pick(rng, palette(rng))
    light = .8 + rng.uniform(.05, .2) * cloud(rng, n, rng.uniform(1.8, 3))
    pores = cloud(rng, n, rng.uniform(.2, .8))
    img = colour * np.clip(light, .2, 1.1)[..., None].astype(np.float32) \
        + pores[..., None] * np.float32(rng.exponential(1.5))
    leaves(rng, img, pores * .2, np.stack([colour, colour * .6, skin(rng)]),
           int(rng.integers(1, 12)), 15, 200)
    return img


def texture(rng: Generator, n: int) -> Array:
    """Hair, grass, wood, cloth: fine grain all over, a few things on it."""
    colours = palette(rng)
    a, b = pick(rng, colours), pick(rng, colours)
    if rng.random() < .35:
        grain = stripes(rng, n, n) * 2 - 1 + .2 * cloud(rng, n, .5)
    else:
        grain = cloud(rng, n, rng.uniform(.4, 1.1), rng.uniform(1, 12),
                      rng.uniform(0, math.pi))
    mix = np.clip(.5 + grain * np.float32(rng.uniform(.1, .35)), 0, 1)
    img = a + mix[..., None] * (b - a)
    leaves(rng, img, grain, colours, int(rng.integers(1, 30)), 10, 300)
    return img


def document(rng: Generator, n: int) -> Array:
    """A page or a screen with text and boxes."""
    paper = pick(rng, np.full((1, 3), rng.uniform(190, 250), np.float32))
    ink = pick(rng, np.full((1, 3), rng.uniform(0, 90), np.float32))
    if rng.random() < .3:
        paper, ink = ink, paper
    img = paper + ramp(rng, n, n)[..., None] * np.float32(rng.normal(0, 12))
    leaves(rng, img, ramp(rng, n, n), palette(rng),
           int(rng.integers(0, 8)), 20, 200)
    write(rng, img, ink[None], page)
    return img


def picture(rng: Generator, n: int) -> Array:
    """Any picture: f32 [n][n][3], 0 … 255."""
    kinds = (dead_leaves, smooth, texture, document)
    draw = kinds[rng.choice(len(kinds), p=[.6, .16, .14, .1])]
    return np.clip(draw(rng, n), 0, 255)
