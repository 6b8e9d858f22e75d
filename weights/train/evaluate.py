# SPDX-License-Identifier: LGPL-2.1-or-later
"""Likeness and steadiness of restored video against bicubic ×4.

Every clip is cropped to multiples of 8, shrunk ×4 with Pillow's antialiased
bicubic and brought back. PSNR and SSIM are of BT.601 luma. Warping error is
the mean squared difference (RGB in 0 … 1) between a frame and the one before
brought to it along the optical flow of the ground truth (DIS), where flow
forward and backward agree.

evaluate.py --model FILE CLIP …            the PyTorch model
evaluate.py --restored RAW CLIP            frames another program restored
evaluate.py --shrunk RAW CLIP              writes the input such a program needs
"""
import argparse

import cv2
import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

import data
import run


def read(path, first, count):
    """Ground truth: RGB frames, sides cropped to multiples of 8."""
    video, frames = cv2.VideoCapture(path), []
    while len(frames) < first + count:
        ok, bgr = video.read()
        if not ok:
            break
        h, w = (n // 8 * 8 for n in bgr.shape[:2])
        frames.append(np.ascontiguousarray(bgr[:h, :w, ::-1]))
    if len(frames) <= first:
        raise SystemExit(f"{path}: no frame of video can be read")
    return frames[first:]


def shrink(rgb):
    h, w = rgb.shape[:2]
    return np.asarray(Image.fromarray(rgb).resize((w // 4, h // 4),
                                                  Image.BICUBIC))


def luma(rgb):
    return rgb @ np.array([65.481, 128.553, 24.966]) / 255 + 16


def paths(truth):
    """Flow of every frame to the one before, and where to trust it."""
    h, w = truth[0].shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    out = []
    for before, now in zip(truth, truth[1:]):
        flow, sure = data.optical_flow(now, before)
        out.append((x + flow[..., 0], y + flow[..., 1], sure))
    return out


def measure(frames, truth, along):
    """Mean PSNR-Y, mean SSIM, mean warping error × 1000."""
    psnr, ssim, drift = [], [], []
    for f, t in zip(frames, truth):
        a, b = luma(f), luma(t)
        psnr.append(10 * np.log10(255 ** 2 / max(((a - b) ** 2).mean(), 1e-9)))
        ssim.append(structural_similarity(
            a, b, data_range=255, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False))
    for before, now, (mx, my, sure) in zip(frames, frames[1:], along):
        moved = cv2.remap(np.float32(before) / 255, mx, my, cv2.INTER_LINEAR)
        drift.append(((moved - np.float32(now) / 255) ** 2)[sure].mean())
    return np.mean(psnr), np.mean(ssim), 1e3 * np.mean(drift)


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model")
    p.add_argument("--restored")
    p.add_argument("--shrunk")
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--frames", type=int, default=45)
    p.add_argument("clips", nargs="+")
    args = p.parse_args()
    print(f"{'clip':28}{'':10}{'PSNR-Y':>8}{'SSIM':>8}{'warp e-3':>10}")
    for path in args.clips:
        truth = read(path, args.first, args.frames)
        small = [shrink(f) for f in truth]
        if args.shrunk:
            np.stack(small).tofile(args.shrunk)
            print(f"{path}: {len(small)} frames "
                  f"{small[0].shape[1]}x{small[0].shape[0]}")
            continue
        along = paths(truth)
        rows = {"truth": truth, "bicubic": [run.upsample(f, 4) for f in small]}
        if args.restored:
            rows["restored"] = np.fromfile(args.restored, np.uint8).reshape(
                -1, *truth[0].shape)[:len(truth)]
        if args.model:
            restore = run.Restorer(args.model)
            rows["model"] = [restore(f) for f in small]
        for name, frames in rows.items():
            a, b, c = measure(frames, truth, along)
            print(f"{path.split('/')[-1]:28}{name:10}{a:8.2f}{b:8.4f}{c:10.5f}",
                  flush=True)


if __name__ == "__main__":
    main()
