# RGB to I420 and back, as video has it: BT.601, 16 … 235, chroma in line with
# the luma's even columns and between its rows (MPEG-2's siting).
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import av
import numpy as np
from av.video.reformatter import Interpolation

# Chroma is interpolated, not taken from the nearest pixel.
SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND \
    | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
# Y, Cb and Cr of R, G and B in 0 … 255
MATRIX = np.array([[65.481, 128.553, 24.966],
                   [-37.797, -74.203, 112],
                   [112, -93.786, -18.214]], np.float32) / 255
ZERO = np.array([16, 128, 128], np.float32)


def frame_to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Of what matrix and range the frame says it has; [H][W][3]."""
    return frame.reformat(format="rgb24", interpolation=SCALING).to_ndarray()


def luma(rgb: np.ndarray) -> np.ndarray:
    """16 … 235, not rounded."""
    return rgb @ MATRIX[0].astype(np.float64) + ZERO[0]


def to_bytes(x: np.ndarray) -> np.ndarray:
    return np.clip(x + .5, 0, 255).astype(np.uint8)


def halve(plane: np.ndarray) -> np.ndarray:
    """A plane of chroma: means of two rows, of columns 1 2 1 around even
    ones."""
    rows = (plane[0::2] + plane[1::2]) / 2
    left = np.pad(rows, ((0, 0), (1, 0)), "edge")[:, :-1:2]
    return (left + 2 * rows[:, 0::2] + rows[:, 1::2]) / 4


def double(plane: np.ndarray) -> np.ndarray:
    """Back, linearly."""
    around = np.pad(plane, ((1, 1), (0, 1)), "edge")
    middle = around[1:-1]
    rows = np.stack([3 * middle + around[:-2], 3 * middle + around[2:]], 1) / 4
    rows = rows.reshape(-1, rows.shape[2])
    columns = np.stack([rows[:, :-1], (rows[:, :-1] + rows[:, 1:]) / 2], 2)
    return columns.reshape(len(rows), -1)


def to_i420(rgb: np.ndarray) -> np.ndarray:
    """[H][W][3] to the planes, one after the other: [3·H/2][W]."""
    y, cb, cr = np.moveaxis(rgb @ MATRIX.T + ZERO, -1, 0)
    planes = [y.ravel(), halve(cb).ravel(), halve(cr).ravel()]
    return to_bytes(np.concatenate(planes)).reshape(-1, y.shape[1])


def split(i420: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luma [H][W] and chroma [2][H/2][W/2]."""
    height, width = len(i420) * 2 // 3, i420.shape[1]
    return i420[:height], i420[height:].reshape(2, height // 2, width // 2)


def to_rgb(i420: np.ndarray) -> np.ndarray:
    """[3·H/2][W] to [H][W][3]."""
    y, chroma = split(i420)
    cb, cr = (double(plane.astype(np.float32)) for plane in chroma)
    yuv = np.stack([y.astype(np.float32), cb, cr], -1) - ZERO
    return to_bytes(yuv @ np.linalg.inv(MATRIX).T.astype(np.float32))
