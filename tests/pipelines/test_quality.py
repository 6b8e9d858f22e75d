#!/usr/bin/env python3
"""The default model on real video, shrunk to a quarter and restored by the
element: PSNR and SSIM of the luma against plain bicubic.

    test_quality.py FOLDER-OF-VIDEOS

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import media

# Name, width, height, first second, least gain in dB.
CLIPS = [("signing-640x480.mkv", 640, 480, 0, 1.5),
         ("bottles-640x360.mp4", 640, 360, 10, 1.5)]
FRAMES = 30
BICUBIC = "flags=bicubic+accurate_rnd+full_chroma_int:param0=0:param1=0.5"
RAW = ["-f", "rawvideo", "-pix_fmt", "yuv420p"]


def restore(source, width, height, out):
    subprocess.run(
        ["gst-launch-1.0", "-q", "filesrc", f"location={source}",
         "!", "rawvideoparse", "format=i420", f"width={width}",
         f"height={height}", "framerate=25/1",
         "!", "dloral", "!", "filesink", f"location={out}"],
        check=True, stdin=subprocess.DEVNULL)


def compare(path, reference, width, height):
    """PSNR in dB and SSIM of the luma, over all frames."""
    raw = [*RAW, "-s", f"{width}x{height}"]
    values = []
    for measure in ("psnr", "ssim"):
        done = subprocess.run(
            ["ffmpeg", "-nostdin", "-hide_banner", *raw, "-i", path, *raw,
             "-i", reference, "-lavfi", measure, "-f", "null", "-"],
            check=True, stderr=subprocess.PIPE, text=True)
        # "PSNR y:31.2 u:…", "SSIM Y:0.91 (…) U:…"
        values.append(float(re.search(r"(?:PSNR|SSIM) .*?[yY]:([\d.]+)",
                                      done.stderr)[1]))
    return values


def check(video, width, height, start, gain, folder):
    truth, small, plain, restored = (folder / name for name in (
        "truth.yuv", "small.yuv", "plain.yuv", "restored.yuv"))
    size = f"{width}x{height}"
    quarter = f"{width // 4}x{height // 4}"
    media.ffmpeg("-ss", start, "-i", video, "-frames:v", FRAMES, *RAW, truth)
    media.ffmpeg(*RAW, "-s", size, "-i", truth, "-vf",
                 f"scale={width // 4}:{height // 4}:{BICUBIC}", *RAW, small)
    media.ffmpeg(*RAW, "-s", quarter, "-i", small, "-vf",
                 f"scale={width}:{height}:{BICUBIC}", *RAW, plain)
    restore(small, width // 4, height // 4, restored)
    assert restored.stat().st_size == truth.stat().st_size, "frames were lost"

    before = compare(plain, truth, width, height)
    after = compare(restored, truth, width, height)
    print(f"{video.name}: bicubic {before[0]:.2f} dB, SSIM {before[1]:.4f};"
          f" restored {after[0]:.2f} dB ({after[0] - before[0]:+.2f}),"
          f" SSIM {after[1]:.4f}")
    return after[0] >= before[0] + gain and after[1] > before[1]


def main():
    media.need("ffmpeg", "gst-launch-1.0")
    videos = Path(sys.argv[1])
    absent = [name for name, *_ in CLIPS if not (videos / name).exists()]
    if absent:
        print(f"skipped: {videos} does not have", *absent)
        return media.SKIP

    good = []
    for name, *parameters in CLIPS:
        with tempfile.TemporaryDirectory() as folder:
            good.append(check(videos / name, *parameters, Path(folder)))
    return 0 if all(good) else 1


sys.exit(main())
