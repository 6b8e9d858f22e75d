# What the pictures show of every row: a column of pixels over time, and a
# part of one frame. Where, the ground truth alone decides.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import cv2
import numpy as np

from .colours import luma
from .picture import Panel, enlarge, outline

PROFILE_HEIGHT, PROFILE_SCALE = 160, 3      # pixels of a clip; times
PROFILE_WIDTH = 360                         # pixels of a sheet, about
CROP, CROP_SCALE = 96, 4
EDGE = 8        # of luma from one pixel to the next
CLOSE = 16      # pixels from the border where nothing is looked for


def most(score: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Top and left of the window with the greatest sum."""
    kernel = np.ones((height, width), np.float32)
    sums = cv2.filter2D(score.astype(np.float32), -1, kernel, anchor=(0, 0),
                        borderType=cv2.BORDER_CONSTANT)
    sums = sums[:score.shape[0] - height + 1, :score.shape[1] - width + 1]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left)


def detail(frame: np.ndarray) -> np.ndarray:
    """Contrast of neighbouring pixels; a hard edge is no more than a soft
    one, so that what has many wins over what is cut out sharply."""
    down, right = np.gradient(luma(frame))
    return np.minimum(np.hypot(down, right), EDGE)


class Profile:
    """One column over time: x is time, y the clip's own."""

    def __init__(self, truth: np.ndarray):
        """Where most moves."""
        height, width = truth.shape[1:3]
        self.height = min(height, PROFILE_HEIGHT)
        moves = np.std([luma(frame) for frame in truth], axis=0)
        inner = moves[:, CLOSE:width - CLOSE]
        self.top, left = most(inner, self.height, 1)
        self.column = left + CLOSE
        self.across = max(1, round(PROFILE_WIDTH / len(truth)))

    def panel(self, label: str, frames: np.ndarray) -> Panel:
        rows = slice(self.top, self.top + self.height)
        strip = frames[:, rows, self.column].transpose(1, 0, 2)
        return Panel(label, enlarge(strip, self.across, PROFILE_SCALE))

    def where(self, truth: np.ndarray) -> Panel:
        box = (self.column, self.top, self.column + 1,
               self.top + self.height)
        return Panel(f"column {self.column}, {len(truth)} frames", outline(
            truth[len(truth) // 2], box, self.height * PROFILE_SCALE))


class CloseUp:
    """A square of the middle frame."""

    def __init__(self, truth: np.ndarray):
        """Where most detail is."""
        self.time = len(truth) // 2
        height, width = truth.shape[1:3]
        self.side = min(height - 2 * CLOSE, width - 2 * CLOSE, CROP)
        inner = detail(truth[self.time])[CLOSE:-CLOSE, CLOSE:-CLOSE]
        top, left = most(inner, self.side, self.side)
        self.top, self.left = top + CLOSE, left + CLOSE

    def panel(self, label: str, frames: np.ndarray) -> Panel:
        crop = frames[self.time, self.top:self.top + self.side,
                      self.left:self.left + self.side]
        return Panel(label, enlarge(crop, CROP_SCALE, CROP_SCALE))

    def where(self, truth: np.ndarray) -> Panel:
        box = (self.left, self.top, self.left + self.side,
               self.top + self.side)
        return Panel(f"frame {self.time} of {len(truth)}", outline(
            truth[self.time], box, self.side * CROP_SCALE))
