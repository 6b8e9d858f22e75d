# Likeness to the ground truth and steadiness along its motion; numbers are
# means over the frames. README.md defines them.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import math

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from .colours import luma
from .flow import Path, find_path

LEAST_ERROR = 1e-9      # square levels: what is less is rounding
BLUR = 2                # σ in pixels, half of a shrunk clip's pixel


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = max(((a - b) ** 2).mean(), LEAST_ERROR)
    return 10 * math.log10(255 ** 2 / error)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """As its authors have it: 11×11 Gaussian window, σ 1.5."""
    return structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False)


def fine_energy(brightness: np.ndarray) -> float:
    """Of what a blur takes away: edges, texture, and noise too."""
    blurred = cv2.GaussianBlur(brightness, (0, 0), BLUR)
    return float(((brightness - blurred) ** 2).mean())


def warping_error(before: np.ndarray, now: np.ndarray,
                  path: Path) -> float | None:
    """Mean squared difference, colours in 0 … 1; None where nothing is
    sure, as at a cut."""
    if not path.sure.any():
        return None
    before, now = (frame.astype(np.float32) / 255 for frame in (before, now))
    moved = cv2.remap(before, path.x, path.y, cv2.INTER_LINEAR)
    return float(((moved - now) ** 2)[path.sure].mean())


def mean(values) -> float | None:
    values = [value for value in values if value is not None]
    return float(np.mean(values)) if values else None


class Measures:
    """Against one clip's ground truth, u8 [T][H][W][3]."""

    def __init__(self, truth: np.ndarray, networks=None):
        self.luma = [luma(frame) for frame in truth]
        self.paths = [find_path(now, before)
                      for before, now in zip(truth, truth[1:])]
        self.fine = sum(map(fine_energy, self.luma))
        self.perceived = networks and networks.against(truth)

    def __call__(self, frames: np.ndarray) -> dict[str, float | None]:
        brightness = [luma(frame) for frame in frames]
        error = mean(map(warping_error, frames, frames[1:], self.paths))
        fine = sum(map(fine_energy, brightness))
        return {
            "psnr_y": mean(map(psnr, brightness, self.luma)),
            "ssim": mean(map(ssim, brightness, self.luma)),
            "warping_error_e3": None if error is None else 1e3 * error,
            "detail_percent": 100 * fine / self.fine
            if self.fine > LEAST_ERROR else None,
            **(self.perceived(frames) if self.perceived else {})}
