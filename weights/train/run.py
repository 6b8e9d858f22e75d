# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a small model file over raw RGB24 frames, in float32.

usage: run.py MODEL IN.raw WIDTH HEIGHT FRAMES OUT.raw
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import model as dloral


def upsample(rgb, scale):
    """u8 [h][w][3] -> the same on the HR grid, by Pillow."""
    h, w = rgb.shape[:2]
    return np.asarray(Image.fromarray(rgb).resize((w * scale, h * scale),
                                                  Image.BICUBIC))


class Restorer:
    """Frames of one clip in, restored frames out; all u8 [h][w][3]."""

    def __init__(self, path):
        self.model = dloral.load(path)
        self.previous = None

    def __call__(self, rgb):
        hr = upsample(rgb, self.model.config["scale"])
        h, w = hr.shape[:2]
        p = self.model.config["vae"]["patch_size"]
        x = torch.from_numpy(hr.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        x = F.pad(x, (0, -w % p, 0, -h % p), "replicate")
        with torch.inference_mode():
            out, self.previous = self.model.frame(x, self.previous)
        # as the element does: truncation where the published corrections are
        # used, else the nearest level, so that equal levels stay equal
        bias = .5 if self.model.config["color_fix"] == "none" else 0
        out = (out[0, :, :h, :w] * .5 + .5) * 255 + bias
        return out.permute(1, 2, 0).clamp(0, 255).to(torch.uint8).numpy()


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    path, source, target = sys.argv[1], sys.argv[2], sys.argv[6]
    w, h, n = map(int, sys.argv[3:6])
    frames = np.fromfile(source, np.uint8, n * h * w * 3).reshape(n, h, w, 3)
    restore = Restorer(path)
    with open(target, "wb") as f:
        for rgb in frames:
            f.write(restore(rgb).tobytes())


if __name__ == "__main__":
    main()
