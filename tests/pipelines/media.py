"""What ffprobe and ffmpeg say of a file, for the tests of this folder.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import json
import shutil
import subprocess
import sys

SKIP = 77  # the exit status by which meson knows a skipped test


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            print(f"skipped: {program} is not installed")
            sys.exit(SKIP)


def ffmpeg(*args):
    """Runs ffmpeg, gives what it wrote to standard output."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, args)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def probe(path, *args):
    command = ["ffprobe", "-v", "error", "-of", "json", *args, str(path)]
    return json.loads(subprocess.check_output(command))


def stream(path, kind):
    """The first stream of a kind ("v", "a")."""
    return probe(path, "-show_streams", "-select_streams", kind)["streams"][0]


def packet_times(path, kind="v"):
    """Presentation times in seconds, in order; AVI has only the others."""
    packets = probe(path, "-show_packets", "-select_streams", kind)["packets"]
    return sorted(float(p.get("pts_time") or p["dts_time"]) for p in packets)


def audio_packets(path):
    """An MD5 for each packet of the first audio stream."""
    text = ffmpeg("-i", path, "-map", "0:a:0", "-c", "copy", "-f", "framemd5",
                  "-").decode()
    return [line.split(",")[-1].strip() for line in text.splitlines()
            if not line.startswith("#")]


def gray_picture(path, width, height, *filters):
    """The first picture as width x height bytes."""
    data = ffmpeg("-i", path, *filters, "-f", "rawvideo", "-pix_fmt", "gray",
                  "-")
    assert len(data) == width * height, (len(data), width, height)
    return data


def mean_difference(a, b):
    return sum(abs(x - y) for x, y in zip(a, b)) / len(a)
