# SPDX-License-Identifier: LGPL-2.1-or-later
"""Synthetic video of which the true motion is known.

A scene is a stack of moving layers, each a drawn picture and a mask, seen
through a moving camera. It is rendered at twice its size and averaged down,
so that edges look as a camera's. Scene `number` of seed `seed` is the same
everywhere, and its first frames are the same however many are asked for.
"""
import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator, default_rng

from .pictures import fixed, outline, picture
from .pixels import Array, Clip, Mask

DRAWING, SENSOR = 1, 2          # streams of random numbers
PURE = .98      # share of one layer in a pixel that counts as that layer's


class Scene(NamedTuple):
    """Pictures and the motion in them, of H×W pixels."""
    frames: Clip                # [T][H][W][3], RGB
    flow: Array                 # [T-1][H][W][u, v], frame t -> t-1, pixels
    sure: Mask                  # [T-1][H][W], seen in frame t-1, too


# --- Motion ------------------------------------------------------------------

def affine(angle: float, zoom: float, dx: float, dy: float) -> Array:
    """Turn, enlarge and shift about 0, as a 3×3 matrix."""
    c, s = math.cos(angle) * zoom, math.sin(angle) * zoom
    return np.array([[c, -s, dx], [s, c, dy], [0, 0, 1]])


class Path(NamedTuple):
    """A motion that swings slowly to and fro, so that what moves stays about
    the picture; plus the tremor of a hand. Angle, zoom, x, y."""
    base: Array
    speed: Array                # a frame, at its fastest
    period: float               # frames
    phase: float
    tremor: Array               # [2][x, y, phase, frames a period]

    def at(self, t: float) -> Array:
        k = 2 * math.pi / self.period
        way = (math.sin(k * t + self.phase) - math.sin(self.phase)) / k
        angle, zoom, dx, dy = self.base + self.speed * way
        for x, y, phase, period in self.tremor:
            s = math.sin(2 * math.pi * t / period + phase)
            dx, dy = dx + x * s, dy + y * s
        return affine(angle, zoom, dx, dy)


def path(rng: Generator, base: Array, moves: bool, shakes: bool) -> Path:
    a, v = rng.uniform(0, 2 * math.pi), min(rng.exponential(3.2), 20)
    speed = np.array([rng.normal(0, .008), rng.normal(0, .006),
                      v * math.cos(a), v * math.sin(a)]) * moves
    tremor = np.column_stack([
        rng.normal(0, .6, (2, 2)) * shakes, rng.uniform(0, 6.3, 2),
        rng.uniform(5, 25, 2)])
    return Path(base, speed, rng.uniform(40, 160), rng.uniform(-.9, .9),
                tremor)


# --- Layers ------------------------------------------------------------------

class Layer(NamedTuple):
    picture: Array              # [n][n][3], 0 … 255
    mask: Array | None          # [n][n], 0 … 1; None: all of it
    path: Path
    shutter: float              # of a frame's time: motion blur


def layer(rng: Generator, side: int, radius: float | None,
          moves: bool) -> Layer:
    """A layer of a scene `side` wide; `radius` of its shape in pixels of the
    scene, None for a background."""
    n = 2 * side + 160          # canvas: what is seen, twice as fine, and more
    base = np.array([rng.uniform(-.1, .1), 1, *rng.normal(0, side / 12, 2)])
    mask = None
    if radius is not None:
        base[2:] += rng.normal(0, side / 6, 2)
        mask = np.zeros((n, n), np.float32)
        cv2.fillPoly(mask, [fixed(outline(rng, 2 * radius) + n / 2)], 1,
                     cv2.LINE_AA, 4)
    shutter = rng.uniform(.2, 1) if rng.random() < .5 else 0.
    return Layer(picture(rng, n), mask, path(rng, base, moves, False),
                 shutter)


def stack(rng: Generator, side: int) -> tuple[list[Layer], Path]:
    """The layers of a scene, farthest first, and the camera's path: a camera
    that moves, one that stands before a small thing that moves, or
    nothing moves at all."""
    kind = rng.choice(3, p=[.62, .28, .1])
    moves = kind == 0 and rng.random() < .6
    camera = path(rng, np.array([0, 1, 0, 0]), moves,
                  kind == 0 and rng.random() < .3)
    layers = [layer(rng, side, None, False)]
    most = side / 2 if kind == 0 else side / 5
    count = rng.choice(4, p=[.15, .45, .3, .1]) if kind == 0 \
        else rng.choice([1, 2], p=[.7, .3])
    for _ in range(count):
        layers.append(layer(rng, side, rng.uniform(side / 16, most),
                            kind != 2 and rng.random() < .85))
    return layers, camera


# --- Frames ------------------------------------------------------------------

def view(layer: Layer, camera: Path, side: int, t: float) -> Array:
    """Canvas -> frame t, as a 3×3 matrix."""
    n = len(layer.picture)
    centre = affine(0, 1, (side - 1) / 2, (side - 1) / 2)
    canvas = affine(0, .5, -(n - 1) / 4, -(n - 1) / 4)
    return centre @ camera.at(t) @ layer.path.at(t) @ canvas


def smear(velocity: Array) -> Array | None:
    """Kernel of the blur that a motion (x, y) leaves, None for none."""
    if np.hypot(*velocity) < .7:
        return None
    n = int(np.abs(velocity).max()) // 2 * 2 + 3
    k = np.zeros((n + 1, n + 1), np.float32)
    for s in np.linspace(-.5, .5, 8 * n):
        x, y = s * velocity + n // 2
        i, j, a, b = int(x), int(y), x % 1, y % 1
        k[j:j + 2, i:i + 2] += np.outer([1 - b, b], [1 - a, a])
    return k[:n, :n] / k[:n, :n].sum()


class Shot:
    """A layer as the camera sees it. What stands still is rendered once."""

    def __init__(self, layer: Layer, camera: Path, side: int) -> None:
        self.layer, self.camera, self.side = layer, camera, side
        self.last = np.zeros((3, 3))

    def matrix(self, t: float) -> Array:
        return view(self.layer, self.camera, self.side, t)

    def render(self, t: int) -> tuple[Array, Array | None]:
        """Frame t: picture [S][S][3] and mask [S][S]."""
        m = self.matrix(t)
        if not np.array_equal(m, self.last):
            centre = np.linalg.solve(m, [self.side / 2, self.side / 2, 1])
            v = (self.matrix(t + .5) - self.matrix(t - .5)) @ centre
            kernel = smear(v[:2] * self.layer.shutter)
            picture, mask = self.layer.picture, self.layer.mask
            self.colour = self.part(picture, m, kernel, cv2.BORDER_REFLECT)
            self.alpha = mask if mask is None else self.part(
                mask, m, kernel, cv2.BORDER_CONSTANT)
            self.last = m
        return self.colour, self.alpha

    def part(self, canvas: Array, m: Array, kernel: Array | None,
             border: int) -> Array:
        twice = np.array([[2, 0, .5], [0, 2, .5], [0, 0, 1]]) @ m
        big = cv2.warpAffine(canvas, twice[:2], (2 * self.side,) * 2,
                             flags=cv2.INTER_LINEAR, borderMode=border)
        x = cv2.resize(big, (self.side,) * 2, interpolation=cv2.INTER_AREA)
        return x if kernel is None else cv2.filter2D(x, -1, kernel)


def compose(shots: list[Shot], t: int) -> tuple[Array, Array]:
    """Frame t, 0 … 255, and the share of every layer in every pixel,
    [layers][S][S]."""
    img, _ = shots[0].render(t)
    img = img.copy()
    shares = np.zeros((len(shots), *img.shape[:2]), np.float32)
    shares[0] = 1
    for i, shot in enumerate(shots[1:], 1):
        colour, alpha = shot.render(t)
        assert alpha is not None
        img += alpha[..., None] * (colour - img)
        shares[:i] *= 1 - alpha
        shares[i] = alpha
    return img, shares


def true_flow(shots: list[Shot], t: int, now: Array,
              before: Array) -> tuple[Array, Mask]:
    """Flow t -> t-1 of the layer seen most at each pixel, and where it is
    sure: where nearly only that layer is seen, here and at the target.
    `now`, `before`: the layers' shares in frames t and t-1."""
    side = now.shape[-1]
    x = np.arange(side, dtype=np.float32)[None].repeat(side, 0)
    y = x.T
    front = now.argmax(0)
    flow = np.zeros((side, side, 2), np.float32)
    sure = np.zeros((side, side), bool)
    for i, shot in enumerate(shots):
        a = shot.matrix(t - 1) @ np.linalg.inv(shot.matrix(t))
        mx, my = ((r[0] * x + r[1] * y + r[2]).astype(np.float32)
                  for r in a[:2])
        there = cv2.remap(before[i], mx, my, cv2.INTER_LINEAR)
        inside = (mx >= 0) & (my >= 0) & (mx <= side - 1) & (my <= side - 1)
        here = front == i
        flow[here] = np.stack([mx - x, my - y], -1)[here]
        sure |= here & inside & (now[i] > PURE) & (there > PURE)
    return flow, sure


# --- Scenes ------------------------------------------------------------------

class Lens(NamedTuple):
    """What the camera does to the picture."""
    blur: float                 # deviation, pixels; 0: none
    gain: float
    lift: float
    noise: float                # deviation, levels

    def take(self, img: Array, key: list[int]) -> Array:
        img = img * self.gain + self.lift
        if self.noise:
            noise = default_rng(key).standard_normal(img.shape, np.float32)
            img += cv2.GaussianBlur(noise, (0, 0), .6) * (self.noise * 2)
        return np.clip(img + .5, 0, 255).astype(np.uint8)

    def soften(self, img: Array) -> Array:
        return cv2.GaussianBlur(img, (0, 0), self.blur) if self.blur else img


def random_lens(rng: Generator) -> Lens:
    return Lens(rng.uniform(.3, 1.) if rng.random() < .6 else 0.,
                rng.uniform(.7, 1.1), rng.uniform(0, 20),
                rng.exponential(1.2) if rng.random() < .35 else 0.)


def scene(seed: int, number: int, frames: int = 3, side: int = 256,
          lens: Lens | None = None) -> Scene:
    """Scene `number` of `seed`; `lens`: another than the scene's own."""
    rng = default_rng([seed, number, DRAWING])
    own = random_lens(rng)
    layers, camera = stack(rng, side)
    return film(layers, camera, frames, side, lens or own, [seed, number])


def still(seed: int, number: int, side: int) -> Scene:
    """Frame 0 of a scene, as sharp as it can be."""
    rng = default_rng([seed, number, DRAWING])
    lens = random_lens(rng)._replace(blur=0., noise=0.)
    layers, camera = stack(rng, side)
    layers = [x._replace(shutter=0.) for x in layers]
    return film(layers, camera, 1, side, lens, [seed, number])


def film(layers: list[Layer], camera: Path, frames: int, side: int,
         lens: Lens, key: list[int]) -> Scene:
    """Frames 0 … `frames`-1 of a stack of layers; `key`: of the noise."""
    shots = [Shot(x, camera, side) for x in layers]
    pictures, flows, sure = [], [], []
    before = np.empty(0, np.float32)
    for t in range(frames):
        img, shares = compose(shots, t)
        shares = np.stack([lens.soften(x) for x in shares])
        pictures.append(lens.take(lens.soften(img), [*key, t, SENSOR]))
        if t:
            flow = true_flow(shots, t, shares, before)
            flows.append(flow[0])
            sure.append(flow[1])
        before = shares
    return Scene(np.stack(pictures),
                 np.array(flows, np.float32).reshape(-1, side, side, 2),
                 np.array(sure, bool).reshape(-1, side, side))
