# RGB to I420 and back, by swscale: BT.601, 16 … 235, whatever the size.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import av
import numpy as np
from av.video.reformatter import Interpolation

# Chroma is averaged and interpolated, not taken from the nearest pixel.
SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND \
    | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
YUV = "ITU601", "MPEG"      # matrix, range


def frame_to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Of what matrix and range the frame says it has; [H][W][3]."""
    return frame.reformat(format="rgb24", interpolation=SCALING).to_ndarray()


def to_i420(rgb: np.ndarray) -> np.ndarray:
    """[H][W][3] to the planes, one after the other: [3·H/2][W]."""
    matrix, levels = YUV
    return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
        format="yuv420p", interpolation=SCALING, dst_colorspace=matrix,
        dst_color_range=levels).to_ndarray()


def to_rgb(i420: np.ndarray) -> np.ndarray:
    """[3·H/2][W] to [H][W][3]."""
    matrix, levels = YUV
    return av.VideoFrame.from_ndarray(i420, "yuv420p").reformat(
        format="rgb24", interpolation=SCALING, src_colorspace=matrix,
        src_color_range=levels).to_ndarray()
