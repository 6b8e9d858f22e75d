# SPDX-License-Identifier: LGPL-2.1-or-later
"""Arrays of pixels: what they are called, 8 bits, luma."""
import cv2
import numpy as np

# Data processes are forked: a pool of threads that OpenCV began before would
# not answer in them. Nor are they to fight for cores.
cv2.setNumThreads(1)

Array = np.ndarray              # f32; pictures in 0 … 255
Clip = np.ndarray               # u8 [T][H][W][3], RGB
Mask = np.ndarray               # bool

LUMA = np.array([[.299], [.587], [.114]], np.float32)


def luma(pictures: Array) -> Array:
    """[…][3] -> [...][1], as BT.601 weighs the colours."""
    return pictures.astype(np.float32) @ LUMA


def to_bytes(pictures: Array) -> Clip:
    return np.clip(pictures + .5, 0, 255).astype(np.uint8)
