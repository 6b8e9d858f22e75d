# SPDX-License-Identifier: LGPL-2.1-or-later
"""RGB to I420 and back as BT.601 says, in 16 … 235, rounded to the nearest
level: libswscale's is some 1.3 levels too dark."""
import cv2
import numpy as np

from .pixels import Array, to_bytes

FROM_RGB = np.array([[65.481, 128.553, 24.966],
                     [-37.797, -74.203, 112.],
                     [112., -93.786, -18.214]], np.float32) / 255
TO_RGB = np.linalg.inv(FROM_RGB)
ZERO = np.array([16, 128, 128], np.float32)


def to_i420(picture: Array) -> Array:
    """u8 [h][w][3] -> u8 [3h/2][w]: luma, and under it both chromas at half
    the resolution; even sides."""
    h, w, _ = picture.shape
    yuv = picture.astype(np.float32) @ FROM_RGB.T + ZERO
    half = cv2.resize(yuv[..., 1:], (w // 2, h // 2),
                      interpolation=cv2.INTER_AREA)
    return to_bytes(np.concatenate([
        yuv[..., 0], half.transpose(2, 0, 1).reshape(h // 2, w)]))


def to_rgb(i420: Array) -> Array:
    """The way back."""
    h, w = i420.shape[0] * 2 // 3, i420.shape[1]
    half = i420[h:].reshape(2, h // 2, w // 2).transpose(1, 2, 0)
    chroma = cv2.resize(half.astype(np.float32), (w, h))
    yuv = np.concatenate([i420[:h, :, None], chroma], -1) - ZERO
    return to_bytes(yuv @ TO_RGB.T)
