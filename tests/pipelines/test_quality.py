#!/usr/bin/env python3
"""The default model on real video, shrunk to a quarter and restored by the
element: PSNR and SSIM of the luma against plain bicubic. Once in RGB, where
shrinking loses nothing but pixels, and once in I420, whose chroma is then a
quarter of a quarter.

    test_quality.py FOLDER-OF-VIDEOS

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import media

# Name, width, height, first second.
CLIPS = [("signing-640x480.mkv", 640, 480, 0),
         ("bottles-640x360.mp4", 640, 360, 10)]
FORMATS = [("rgb24", "rgb"), ("yuv420p", "i420")]    # ffmpeg's, GStreamer's
LEAST_GAIN = 1.5        # dB
FRAMES = 30
BICUBIC = "flags=bicubic+accurate_rnd+full_chroma_int:param0=0:param1=0.5"


def raw(pix_fmt, size=None):
    return ["-f", "rawvideo", "-pix_fmt", pix_fmt] + (
        ["-s", size] if size else [])


def restore(source, format, width, height, out):
    subprocess.run(
        ["gst-launch-1.0", "-q", "filesrc", f"location={source}",
         "!", "rawvideoparse", f"format={format}", f"width={width}",
         f"height={height}", "framerate=25/1",
         "!", "dloral", "!", "filesink", f"location={out}"],
        check=True, stdin=subprocess.DEVNULL)


def compare(path, reference, pix_fmt, size):
    """PSNR in dB and SSIM of the luma, over all frames."""
    frames = raw(pix_fmt, size)
    values = []
    for measure in ("psnr", "ssim"):
        done = subprocess.run(
            ["ffmpeg", "-nostdin", "-hide_banner", *frames, "-i", path,
             *frames, "-i", reference, "-lavfi",
             f"[0]format=yuv444p[a];[1]format=yuv444p[b];[a][b]{measure}",
             "-f", "null", "-"],
            check=True, stderr=subprocess.PIPE, text=True)
        # "PSNR y:31.2 u:…", "SSIM Y:0.91 (…) U:…"
        values.append(float(re.search(r"(?:PSNR|SSIM) .*?[yY]:([\d.]+)",
                                      done.stderr)[1]))
    return values


def check(video, width, height, start, names, folder):
    pix_fmt, format = names
    truth, small, plain, restored = (folder / name for name in (
        "truth", "small", "plain", "restored"))
    size = f"{width}x{height}"
    quarter = f"{width // 4}x{height // 4}"
    media.ffmpeg("-ss", start, "-i", video, "-frames:v", FRAMES,
                 *raw(pix_fmt), truth)
    media.ffmpeg(*raw(pix_fmt, size), "-i", truth, "-vf",
                 f"scale={width // 4}:{height // 4}:{BICUBIC}",
                 *raw(pix_fmt), small)
    media.ffmpeg(*raw(pix_fmt, quarter), "-i", small, "-vf",
                 f"scale={width}:{height}:{BICUBIC}", *raw(pix_fmt), plain)
    restore(small, format, width // 4, height // 4, restored)
    assert restored.stat().st_size == truth.stat().st_size, "frames were lost"

    before = compare(plain, truth, pix_fmt, size)
    after = compare(restored, truth, pix_fmt, size)
    print(f"{video.name} {pix_fmt}: bicubic {before[0]:.2f} dB, SSIM"
          f" {before[1]:.4f}; restored {after[0]:.2f} dB"
          f" ({after[0] - before[0]:+.2f}), SSIM {after[1]:.4f}")
    return after[0] >= before[0] + LEAST_GAIN and after[1] > before[1]


def main():
    media.need("ffmpeg", "gst-launch-1.0")
    videos = Path(sys.argv[1])
    absent = [name for name, *_ in CLIPS if not (videos / name).exists()]
    if absent:
        print(f"skipped: {videos} does not have", *absent)
        return media.SKIP

    good = []
    for name, *parameters in CLIPS:
        for names in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                good.append(check(videos / name, *parameters, names,
                                  Path(folder)))
    return 0 if all(good) else 1


sys.exit(main())
