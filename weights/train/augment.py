# SPDX-License-Identifier: LGPL-2.1-or-later
"""Variety: the same scene from elsewhere, mirrored, in other colours. The
flow goes with the pictures."""
import numpy as np
from numpy.random import Generator

from .pixels import Clip, luma, to_bytes
from .scenes import Scene


def crop(rng: Generator, scene: Scene, side: int) -> Scene:
    height, width = scene.frames.shape[1:3]
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return Scene(*(a[:, y:y + side, x:x + side] for a in scene))


def mirror(scene: Scene) -> Scene:
    """Left and right exchanged."""
    frames, flow, sure = (a[:, :, ::-1] for a in scene)
    return Scene(frames, flow * np.array([-1, 1], np.float32), sure)


def transpose(scene: Scene) -> Scene:
    """Rows and columns exchanged."""
    frames, flow, sure = (a.swapaxes(1, 2) for a in scene)
    return Scene(frames, flow[..., ::-1], sure)


def turn(rng: Generator, scene: Scene) -> Scene:
    """One of the eight ways to lay a square."""
    if rng.random() < .5:
        scene = mirror(scene)
    if rng.random() < .5:               # upside down
        scene = transpose(mirror(transpose(scene)))
    return transpose(scene) if rng.random() < .5 else scene


def fade(rng: Generator, frames: Clip) -> Clip:
    """Colours paler, in one clip of three to grey: cameras see more grey than
    a drawn scene has."""
    keep = np.float32(max(rng.uniform(-.5, 1), 0))
    colours = frames.astype(np.float32)
    grey = luma(colours)
    return to_bytes(grey + (colours - grey) * keep)


def recolour(rng: Generator, frames: Clip, fade_share: float) -> Clip:
    """Colours exchanged in half of the clips, paler in a share of them."""
    if rng.random() < .5:
        frames = frames[..., rng.permutation(3)]
    return fade(rng, frames) if rng.random() < fade_share else frames
