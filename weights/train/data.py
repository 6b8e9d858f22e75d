# SPDX-License-Identifier: LGPL-2.1-or-later
"""Synthetic video with known flow, and its degradation.

A clip is a stack of moving dead-leaves layers rendered at twice the HR size
and averaged down, so that edges look as a camera's. All is a function of the
seed: clip number n of seed s is the same picture everywhere.
"""
import collections
import functools
import math
import multiprocessing

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

SIZE = 256          # HR side of a clip
FRAMES = 3
CANVAS = 2 * SIZE + 160
WORDS = ("EXIT OPEN 42 the quick brown fox 10:37 Intel STOP salt & pepper "
         "Nr. 5 camera lorem ipsum MILK 98% www 3.14 left RIGHT Zug nach Ulm").split()

# frames u8 [T][3][S][S]; flow, the true one, f16 [T−1][2][S][S]; path, the
# optical flow of the last frame to the one before, and where it is sure
Clip = collections.namedtuple("Clip", "frames flow path sure")


# ---------------------------------------------------------------- still layers

def palette(rng):
    """Colours of one picture: a few hues, most of them dull."""
    n = rng.integers(3, 9)
    grey = rng.uniform(10, 245, (n, 1))
    spread = rng.choice([6, 20, 60], (n, 1), p=[.45, .35, .2])
    return np.clip(grey + rng.normal(0, 1, (n, 3)) * spread, 0, 255)


def pick(rng, colours):
    c = colours[rng.integers(len(colours))] + rng.normal(0, 10)
    return np.clip(c + rng.normal(0, 4, 3), 0, 255)


def cloud(rng, n, slope):
    """Random field of power spectrum f^-2·slope, unit deviation."""
    f = np.fft.rfft2(rng.standard_normal((n, n)).astype(np.float32))
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None])
    k[0, 0] = 1
    x = np.fft.irfft2(f / k ** slope, (n, n)).astype(np.float32)
    return (x - x.mean()) / (x.std() + 1e-6)


def ramp(rng, h, w):
    """Linear shading in -1 … 1 over h×w."""
    a = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[-1:1:h * 1j, -1:1:w * 1j].astype(np.float32)
    return (x * math.cos(a) + y * math.sin(a)) / 1.4


def stripes(rng, h, w):
    """Stripes or a checkerboard in 0 … 1, hard or sinusoidal."""
    a, period = rng.uniform(0, math.pi), rng.uniform(4, 40)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    u = np.sin((x * math.cos(a) + y * math.sin(a)) * 2 * math.pi / period)
    if rng.random() < .3:
        u = u * np.sin((y * math.cos(a) - x * math.sin(a))
                       * 2 * math.pi / period)
    return np.clip(u * (1 if rng.random() < .5 else 8), -1, 1) * .5 + .5


def outline(rng, r):
    """Closed polygon of about radius r: ellipse, blob, box or shard."""
    kind, t0 = rng.random(), rng.uniform(0, 2 * math.pi)
    if kind < .45:
        t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        rho = np.ones(48)
        if kind < .2:
            for k in range(2, 6):
                rho += rng.normal(0, .25 / k) * np.cos(
                    k * t + rng.uniform(0, 6.3))
    elif kind < .75:
        t = np.arange(4) * math.pi / 2 + math.pi / 4
        rho = np.ones(4)
    else:
        t = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(3, 8)))
        rho = rng.uniform(.6, 1.3, len(t))
    p = np.stack([np.cos(t) * rng.choice([1, rng.uniform(.15, 1)]),
                  np.sin(t)], 1) * rho[:, None] * r
    c, s = math.cos(t0), math.sin(t0)
    if kind >= .45 and rng.random() < .5:
        c, s = 1, 0                     # man-made things stand upright
    return p @ np.array([[c, s], [-s, c]])


def leaf(rng, img, noise, colours, r):
    n = img.shape[0]
    poly = outline(rng, r) + rng.uniform(-r * .3, n + r * .3, 2)
    fixed = np.round(poly * 16).astype(np.int32)
    colour = pick(rng, colours)
    if r < 10 or rng.random() < .3:
        cv2.fillPoly(img, [fixed], colour.tolist(), cv2.LINE_AA, 4)
        return
    x0, y0 = np.maximum(np.floor(poly.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(poly.max(0)).astype(int) + 2, n)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    h, w = y1 - y0, x1 - x0
    mask = np.zeros((h, w), np.uint8)
    cv2.fillPoly(mask, [fixed - np.array([x0, y0]) * 16], 255, cv2.LINE_AA, 4)
    fill = colour + ramp(rng, h, w)[..., None] * rng.normal(0, 25)
    kind = rng.random()
    if kind < .4:
        fill = fill + noise[y0:y1, x0:x1, None] * rng.exponential(8)
    elif kind < .5:
        fill = fill + stripes(rng, h, w)[..., None] * (
            pick(rng, colours) - colour)
    alpha = mask[..., None].astype(np.float32) / 255
    if rng.random() < .15:              # defocused or shaded border
        alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(1, 8))[..., None]
    area = img[y0:y1, x0:x1]
    area += alpha * (np.clip(fill, 0, 255) - area)


def strokes(rng, img, colours):
    n = img.shape[0]
    for _ in range(rng.integers(1, 12)):
        a, b = rng.uniform(0, n, 2), rng.normal(0, n / 3, 2)
        p = np.round(np.stack([a, a + b]) * 16).astype(np.int32)
        cv2.line(img, p[0].tolist(), p[1].tolist(), pick(rng, colours).tolist(),
                 int(rng.integers(1, 6)), cv2.LINE_AA, 4)


def writing(rng, img, colours):
    layer = Image.new("L", img.shape[1::-1])
    draw = ImageDraw.Draw(layer)
    for _ in range(rng.integers(1, 8)):
        words = " ".join(rng.choice(WORDS, rng.integers(1, 6)))
        draw.text(tuple(rng.uniform(0, img.shape[0] * .8, 2)), words, 255,
                  ImageFont.load_default(int(rng.integers(12, 60))))
    alpha = np.asarray(layer, np.float32)[..., None] / 255
    img += alpha * (pick(rng, colours) - img)


def still(rng, n=CANVAS):
    """One layer's picture: float32 [n][n][3], 0 … 255."""
    colours, noise = palette(rng), cloud(rng, n, rng.uniform(.6, 1.6))
    img = np.empty((n, n, 3), np.float32)
    img[:] = pick(rng, colours) + ramp(rng, n, n)[..., None] * rng.normal(
        0, 40, 3)
    if rng.random() < .3:
        img += noise[..., None] * rng.exponential(10)
    busy = rng.random()
    rmin, rmax = rng.uniform(3, 30), rng.uniform(80, 400)
    count = int(10 ** rng.uniform(.7, 3 if busy < .7 else 2))
    # inverse of the r^-3 law's distribution function
    u = rng.random(count)
    radii = (rmin ** -2 + u * (rmax ** -2 - rmin ** -2)) ** -.5
    for r in radii:
        leaf(rng, img, noise, colours, r)
    if rng.random() < .4:
        strokes(rng, img, colours)
    if rng.random() < .3:
        writing(rng, img, colours)
    return np.clip(img, 0, 255)


# --------------------------------------------------------------- moving layers

def affine(angle, zoom, dx, dy):
    """Canvas -> HR frame, about the centres, as a 3×3 matrix."""
    c, s = math.cos(angle) * zoom / 2, math.sin(angle) * zoom / 2
    o, k = (SIZE - 1) / 2, (CANVAS - 1) / 2
    return np.array([[c, -s, o - c * k + s * k + dx],
                     [s, c, o - s * k - c * k + dy], [0, 0, 1]])


def motion(rng, still_share):
    """Matrices of FRAMES frames: constant velocity, turn and zoom."""
    base = np.array([rng.uniform(-.1, .1), 1, *rng.uniform(-30, 30, 2)])
    if rng.random() < still_share:
        return [affine(*base)] * FRAMES
    a = rng.uniform(0, 2 * math.pi)
    v = min(rng.exponential(3.5), 24)
    step = np.array([rng.normal(0, .008), rng.normal(0, .006),
                     v * math.cos(a), v * math.sin(a)])
    return [affine(*(base + t * step)) for t in range(FRAMES)]


def render(picture, m, border):
    """A canvas picture seen through m: [SIZE][SIZE](channels)."""
    twice = np.array([[2, 0, .5], [0, 2, .5], [0, 0, 1]]) @ m
    big = cv2.warpAffine(picture, twice[:2], (2 * SIZE, 2 * SIZE),
                         flags=cv2.INTER_LINEAR, borderMode=border)
    return cv2.resize(big, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def smear(rng, m):
    """Kernel of the blur a layer's motion leaves, None for none."""
    v = (m[-1] - m[-2]) @ np.array([CANVAS / 2, CANVAS / 2, 1])
    v = v[:2] * rng.choice([0, rng.uniform(.2, 1)])
    n = int(np.abs(v).max()) // 2 * 2 + 3
    if np.hypot(*v) < .7:
        return None
    k = np.zeros((n, n), np.float32)
    for s in np.linspace(-.5, .5, 8 * n):
        x, y = s * v + n // 2
        i, j, a, b = int(x), int(y), x % 1, y % 1
        k[j:j + 2, i:i + 2] += np.outer([1 - b, b], [1 - a, a])[
            :n - j, :n - i]
    return k / k.sum()


def compose(rng):
    """Frames in 0 … 255 and the index of the layer seen at each pixel."""
    layers = [(still(rng), None, motion(rng, .5))]
    for _ in range(rng.choice(4, p=[.15, .4, .3, .15])):
        mask = np.zeros((CANVAS, CANVAS), np.float32)
        poly = outline(rng, rng.uniform(30, 260)) + rng.normal(
            CANVAS / 2, CANVAS / 6, 2)
        cv2.fillPoly(mask, [np.round(poly * 16).astype(np.int32)], 1,
                     cv2.LINE_AA, 4)
        layers.append((still(rng), mask, motion(rng, .15)))
    kernels = [smear(rng, m) for _, _, m in layers]

    def shot(i, part, t, border):
        x = render(layers[i][part], layers[i][2][t], border)
        return x if kernels[i] is None else cv2.filter2D(x, -1, kernels[i])

    frames, seen = [], []
    for t in range(FRAMES):
        img = shot(0, 0, t, cv2.BORDER_REFLECT)
        ids = np.zeros((SIZE, SIZE), np.int32)
        for i in range(1, len(layers)):
            a = shot(i, 1, t, cv2.BORDER_CONSTANT)
            img += a[..., None] * (shot(i, 0, t, cv2.BORDER_REFLECT) - img)
            ids[a > .5] = i
        frames.append(img)
        seen.append(ids)
    return frames, seen, [m for _, _, m in layers]


def true_flow(ids, motions, t):
    """Flow t -> t−1 of the layer seen at each pixel."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    flow = np.zeros((2, SIZE, SIZE), np.float32)
    for i, m in enumerate(motions):
        a = m[t - 1] @ np.linalg.inv(m[t])
        here = ids == i
        flow[0][here] = (a[0, 0] * x + a[0, 1] * y + a[0, 2] - x)[here]
        flow[1][here] = (a[1, 0] * x + a[1, 1] * y + a[1, 2] - y)[here]
    return flow


def optical_flow(now, before):
    """DIS flow between two RGB u8 pictures, f32 [H][W][u, v], and where the
    flow back agrees: the paths along which results are to be consistent."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    now, before = (cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2GRAY)
                   for x in (now, before))
    h, w = now.shape
    back, forth = dis.calc(now, before, None), dis.calc(before, now, None)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    mx, my = x + back[..., 0], y + back[..., 1]
    there = cv2.remap(forth, mx, my, cv2.INTER_LINEAR)
    size = (back ** 2).sum(-1) + (there ** 2).sum(-1)
    sure = ((back + there) ** 2).sum(-1) < .01 * size + .5
    return back, (sure & (mx >= 0) & (my >= 0)
                  & (mx <= w - 1) & (my <= h - 1))


def clip(seed, number):
    """Clip `number` of the endless film of `seed`."""
    rng = np.random.default_rng([seed, number])
    frames, seen, motions = compose(rng)
    blur = rng.choice([0, rng.uniform(.3, 1.1)], p=[.35, .65])
    sigma = rng.choice([0, rng.exponential(1.5)])
    gain, lift = rng.uniform(.7, 1.1), rng.uniform(0, 20)
    out = []
    for img in frames:
        if blur:
            img = cv2.GaussianBlur(img, (0, 0), blur)
        img = img * gain + lift
        noise = rng.standard_normal(img.shape).astype(np.float32)
        img = img + cv2.GaussianBlur(noise, (0, 0), .6) * sigma * 2
        out.append(np.uint8(np.clip(img + .5, 0, 255)))
    flow = [true_flow(seen[t], motions, t) for t in range(1, FRAMES)]
    path, sure = optical_flow(out[-1], out[-2])
    return Clip(np.stack(out).transpose(0, 3, 1, 2),
                np.stack(flow).astype("f2"),
                path.transpose(2, 0, 1)[None].astype("f2"), sure[None, None])


# ------------------------------------------------------------------- resampling

@functools.lru_cache(maxsize=None)
def resize_matrix(n, m):
    """Pillow's bicubic from n to m samples, as an m×n matrix."""
    scale = n / m
    wide = max(scale, 1)
    a = torch.zeros(m, n)
    for i in range(m):
        centre = (i + .5) * scale
        lo = max(int(centre - 2 * wide + .5), 0)
        hi = min(int(centre + 2 * wide + .5), n)
        x = ((torch.arange(lo, hi) + .5 - centre) / wide).abs()
        w = torch.where(x < 1, (1.5 * x - 2.5) * x * x + 1,
                        ((-.5 * x + 2.5) * x - 4) * x + 2)
        a[i, lo:hi] = w / w.sum()
    return a


def resize(x, h, w):
    """Pillow's bicubic on 0 … 255 pictures, 8 bits after either direction."""
    x = (x @ resize_matrix(x.shape[-1], w).T + .5).floor().clamp(0, 255)
    return (resize_matrix(x.shape[-2], h) @ x + .5).floor().clamp(0, 255)


def degrade(rng, hr):
    """HR clip [T][3][H][W], 0 … 255 -> LQ clip at a quarter of it a side.
    Three clips of four are only shrunk; the others also lose something."""
    h, w = hr.shape[-2] // 4, hr.shape[-1] // 4
    if rng.random() < .75:
        return resize(hr, h, w)
    if rng.random() < .5:
        k = torch.exp(-.5 * (torch.arange(-6., 7) / rng.uniform(.5, 1.8)) ** 2)
        k = (k / k.sum()).expand(3, 1, 1, 13)
        hr = F.conv2d(F.pad(hr, (6, 6, 6, 6), "replicate"), k, groups=3)
        hr = F.conv2d(hr, k.mT, groups=3)
    lq = resize(hr, h, w)
    if rng.random() < .5:
        noise = rng.standard_normal(tuple(lq.shape), dtype=np.float32)
        lq = lq + torch.from_numpy(noise) * min(rng.exponential(2.0), 8)
    lq = lq.round().clamp(0, 255)
    if rng.random() < .5:
        quality = int(rng.uniform(55, 97))
        for t in range(lq.shape[0]):
            img = lq[t].permute(1, 2, 0).numpy().astype(np.uint8)
            _, code = cv2.imencode(".jpg", img, [cv2.IMWRITE_JPEG_QUALITY,
                                                 quality])
            lq[t] = torch.from_numpy(cv2.imdecode(code, 1)).permute(2, 0, 1)
    return lq


LUMA = torch.tensor([.299, .587, .114])[:, None, None]


def fade(rng, hr):
    """Colours paler, in one clip of three to grey: cameras see more grey than
    a drawn scene has."""
    keep = max(rng.uniform(-.5, 1), 0)
    luma = (hr * LUMA).sum(-3, keepdim=True)
    return (luma + (hr - luma) * keep).round()


def flicker(rng, hr):
    """What coding leaves where nothing moves: blocks that now and then are
    coded anew, a little lighter or darker in spots of some eight pixels."""
    t, _, h, w = hr.shape
    strength, share = min(rng.exponential(.35), 1.2), rng.uniform(.1, .7)
    out, spots = [], torch.zeros(1, 1, h, w)
    for i in range(t):
        new = torch.from_numpy(rng.standard_normal(
            (1, 1, h // 8, w // 8), dtype=np.float32)) * strength
        new = F.interpolate(new, size=(h, w), mode="bicubic",
                            align_corners=False)
        coded = torch.from_numpy(np.float32(
            rng.random((1, 1, h // 16, w // 16)) < (share if i else 1)))
        coded = F.interpolate(coded, size=(h, w))
        spots = torch.where(coded > 0, new, spots)
        out.append(hr[i] + spots[0])
    return torch.stack(out)


def subsample_chroma(lq):
    """As if the clip had been coded in 4:2:0, as nearly all video is."""
    luma = (lq * LUMA).sum(-3, keepdim=True)
    chroma = F.interpolate(F.avg_pool2d(lq - luma, 2), scale_factor=2,
                           mode="bilinear", align_corners=False)
    return (luma + chroma).round().clamp(0, 255)


# ---------------------------------------------------------------------- batches

def _clip(arguments):
    cv2.setNumThreads(1)
    return clip(*arguments)


class Pool:
    """A window of clips over the endless row 0, 1, 2, …: `turn ()` replaces
    the oldest by the next, rendered meanwhile by other processes."""

    def __init__(self, seed, size, workers=2, ahead=4):
        self.seed, self.size = seed, size
        self.workers = multiprocessing.get_context("spawn").Pool(workers)
        self.clips = list(self.workers.imap(
            _clip, ((seed, n) for n in range(size)), chunksize=4))
        self.next = size
        self.coming = collections.deque()
        for _ in range(ahead):
            self._order()

    def _order(self):
        self.coming.append(self.workers.apply_async(
            _clip, ((self.seed, self.next),)))
        self.next += 1

    def turn(self):
        self.clips[(self.next - len(self.coming)) % self.size] = \
            self.coming.popleft().get()
        self._order()

    def sample(self, rng, side):
        """Random crop, mirrored, its colours exchanged."""
        c = self.clips[rng.integers(self.size)]
        y, x = rng.integers(0, SIZE - side + 1, 2)
        clip = [torch.from_numpy(np.ascontiguousarray(
            a[..., y:y + side, x:x + side])).float() for a in c]
        if rng.random() < .5:
            clip = [a.flip(-1) for a in clip]
            for flow in clip[1:3]:
                flow[:, 0] *= -1
        if rng.random() < .5:
            clip = [a.flip(-2) for a in clip]
            for flow in clip[1:3]:
                flow[:, 1] *= -1
        if rng.random() < .5:
            clip = [a.mT for a in clip]
            clip[1:3] = [flow.flip(1) for flow in clip[1:3]]
        clip[0] = clip[0][:, rng.permutation(3)]
        return clip

    def batch(self, rng, count, side):
        """[B][T][3][S][S] in [-1, 1]: target, bicubic ×4 of the LQ; the true
        flow; path and sure of the last frame, [B][1][2 or 1][S][S]."""
        rows = []
        for _ in range(count):
            hr, flow, path, sure = self.sample(rng, side)
            if rng.random() < .5:
                hr = fade(rng, hr)
            seen = flicker(rng, hr) if rng.random() < .5 else hr
            lq = degrade(rng, seen)
            if rng.random() < .6:
                lq = subsample_chroma(lq)
            up = resize(lq, side, side)
            rows.append((hr / 127.5 - 1, up / 127.5 - 1, flow, path, sure))
        return [torch.stack(x).contiguous() for x in zip(*rows)]

    def close(self):
        self.workers.terminate()
