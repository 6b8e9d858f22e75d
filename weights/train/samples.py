# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a training step is given: HR clips, the LQ clips made of them, and the
motion in them."""
import collections
import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import torch
from converter.problem import Problem
from numpy.random import Generator, default_rng
from torch import Tensor
from torch.utils.data import Dataset

from . import augment, noise, scenes
from .clips import Footage
from .degrade import Kind, degrade, subsample_chroma
from .pixels import Clip, to_bytes
from .resize import enlarge
from .scenes import Scene
from .shifts import shifted

MOVING, SHIFTED = 4, 5          # streams of random numbers
LARGEST = 4096


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where samples come from and what is done to them.

    Folders, each looked through with all folders in it; none: drawn scenes.
    `clips`: of video. `stills`: of pictures, to shift; none: frames of the
    clips.

    Sizes. `side`: of a sample, HR pixels, a multiple of 8. `frames`: of a
    sample. `scene_side`: of a scene, of which samples are crops.

    Scenes are costly. A sample is cut from one of `scene_window` scenes, all
    of which a data process keeps; after `samples_per_scene` samples a new one
    takes the oldest one's place.

    LQ clips, shares that sum to 1. `clean`: only shrunk. `light`: with a
    little blur, noise, flicker, JPEG. `coded`: with a camera's noise and
    H.264 or VP8. `hard`: Real-ESRGAN's second order, half of it coded, too.

    Other shares. `blocks`: of clips that flicker faintly in blocks before all
    else, as what was coded before does where nothing moves. `chroma`: of clips
    not coded, that have colour at half the resolution. `fade`: of clips, with
    paler colours."""

    clips: list[str] = dataclasses.field(default_factory=list)
    stills: list[str] = dataclasses.field(default_factory=list)
    side: int = 192
    frames: int = 3
    scene_side: int = 256
    scene_window: int = 48
    samples_per_scene: int = 8
    clean: float = .3
    light: float = .25
    coded: float = .3
    hard: float = .15
    blocks: float = .3
    chroma: float = .6
    fade: float = .5

    def __post_init__(self) -> None:
        for name, low, high in (
                ("side", 32, LARGEST), ("frames", 2, 100),
                ("scene_side", self.side, LARGEST),
                ("scene_window", 1, 100_000),
                ("samples_per_scene", 1, 1_000_000)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise Problem(f"data: {name}: expected a number from {low} "
                              f"to {high}, found {value}")
        if self.side % 8:
            raise Problem(f"data: side: expected a multiple of 8, found "
                          f"{self.side}")
        for name in (*Kind, "blocks", "chroma", "fade"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise Problem(f"data: {name}: expected a share from 0 to 1, "
                              f"found {value}")
        if abs(sum(self.shares) - 1) > 1e-6:
            raise Problem(f"data: {', '.join(Kind)}: expected shares that sum "
                          f"to 1, found {sum(self.shares):g}")

    @property
    def shares(self) -> list[float]:
        """Of the kinds of degradation."""
        return [getattr(self, kind) for kind in Kind]


def open_source(config: DataConfig, seed: int,
                moving: bool) -> Callable[[int], Scene]:
    """Scenes by number; of one frame where they are to be shifted."""
    frames = config.frames if moving else 1
    stills = [] if moving else config.stills
    clips = [] if stills else config.clips
    if clips or stills:
        footage = Footage(clips, stills, frames, config.side,
                          config.scene_side)
        return functools.partial(footage.scene, seed)
    if moving:
        return functools.partial(scenes.scene, seed, frames=frames,
                                 side=config.scene_side)
    return functools.partial(scenes.still, seed, side=config.scene_side)


class Recent:
    """The scenes asked for last, `most` of them."""

    def __init__(self, source: Callable[[int], Scene], most: int) -> None:
        self.source, self.most = source, most
        self.kept: collections.OrderedDict[int, Scene] = \
            collections.OrderedDict()

    def __getitem__(self, number: int) -> Scene:
        if number not in self.kept:
            self.kept[number] = self.source(number)
            if len(self.kept) > self.most:
                self.kept.popitem(last=False)
        self.kept.move_to_end(number)
        return self.kept[number]


def make_lq(rng: Generator, hr: Clip, config: DataConfig) -> Clip:
    kind = list(Kind)[rng.choice(len(Kind), p=config.shares)]
    if rng.random() < config.blocks:
        hr = to_bytes(noise.blocks(rng, hr.astype(np.float32)))
    lq = degrade(rng, hr, kind)
    if kind != Kind.CODED and rng.random() < config.chroma:
        lq = subsample_chroma(lq)
    return lq


def planes(x: np.ndarray) -> Tensor:
    """[T][S][S][c] -> f32 [T][c][S][S]."""
    return torch.from_numpy(np.ascontiguousarray(
        x.transpose(0, 3, 1, 2), np.float32))


class Samples(Dataset[dict[str, Tensor]]):
    """Sample n, for any n from 0 on, depends on `config`, `seed`, `moving` and
    n only. `moving`: clips; otherwise stills, shifted.

    hr    [T][3][S][S]    the target, -1 … 1
    up    [T][3][S][S]    the LQ frames, enlarged as the engine does it
    flow  [T-1][2][S][S]  (u, v), HR pixels, of frames 1 … T-1 to the one
                          before: pixel x is at x + flow there
    sure  [T-1][1][S][S]  1 where it is seen there, 0 where it is not"""

    def __init__(self, config: DataConfig, seed: int, moving: bool) -> None:
        self.config, self.seed, self.moving = config, seed, moving
        self.scenes = Recent(open_source(config, seed, moving),
                             config.scene_window)

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        config = self.config
        rng = default_rng([self.seed, n, MOVING if self.moving else SHIFTED])
        scene = self.scenes[n // config.samples_per_scene
                            + int(rng.integers(config.scene_window))]
        if self.moving:
            scene = augment.crop(rng, scene, config.side)
        else:
            scene = shifted(rng, scene.frames[0], config.frames, config.side)
        frames, flow, sure = augment.turn(rng, scene)
        hr = augment.recolour(rng, frames, config.fade)
        up = enlarge(make_lq(rng, hr, config))
        return {"hr": planes(hr) / 127.5 - 1, "up": planes(up) / 127.5 - 1,
                "flow": planes(flow), "sure": planes(sure[..., None])}
