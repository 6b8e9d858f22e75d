# The element under test, run by gst-launch-1.0: raw frames from a file in,
# raw frames out through a pipe.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .clip import SCALE
from .colours import to_rgb
from .problem import Problem
from .source import Source

LAUNCH = "gst-launch-1.0"
BUILT = Path(__file__).resolve().parents[2] / "build" / "gst"
Settings = dict[str, str]       # properties of the element, as text


@dataclass(frozen=True)
class Restored:
    frames: np.ndarray      # u8 [T][H][W][3], RGB
    fps: float              # from the first frame's arrival on


def environment() -> dict[str, str]:
    """The plugin where it is found, and messages in the language that they
    are looked for in."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
    if BUILT.is_dir():
        env.setdefault("GST_PLUGIN_PATH", str(BUILT))
    return env


def quote(value: str) -> str:
    """For gst-launch's own parser, which splits at spaces."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def element(settings: Settings) -> list[str]:
    return ["dloral", *(f"{name}={quote(value)}"
                        for name, value in settings.items())]


def launch(arguments: list[str], **streams) -> subprocess.Popen:
    try:
        return subprocess.Popen([LAUNCH, "-q", *arguments],
                                env=environment(), **streams)
    except FileNotFoundError:
        raise Problem(f"{LAUNCH} is missing; install GStreamer's tools "
                      "(Debian: gstreamer1.0-tools)")


def sentence(said: str) -> str | None:
    """What gst-launch complains of, or the element, with its reason."""
    if 'no element "dloral"' in said:
        return (f"the plugin is neither in {BUILT} nor where GST_PLUGIN_PATH "
                "says; build it, or set GST_PLUGIN_PATH to its folder")
    found = re.search(
        r"^ERROR: from element \S+: (?P<what>.*?)"
        r"(?:\nAdditional debug info:\n.*?:\n(?P<why>.*?))?(?:\n|$)"
        r"|^WARNING: erroneous pipeline: (?P<wrong>.*)"
        r"|\*\*: \S+ (?P<range>value .* out of range for property .*)",
        said, re.MULTILINE)
    if not found:
        return None
    return " ".join(text for text in (
        found["what"], found["why"] and f"({found['why']})", found["wrong"],
        found["range"]) if text)


def check(settings: Settings) -> None:
    """Whether there is such an element and it takes model and settings. It
    stands in its pipeline by itself: its start opens the model."""
    process = launch(["fakesrc", "num-buffers=0", "!", "fakesink",
                      *element(settings)], stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                     encoding="utf-8", errors="replace")
    _, said = process.communicate()
    complaint = sentence(said)
    if process.returncode or complaint:
        raise Problem(f"dloral: {complaint or said.strip()}")


def rows_of_4(frame: np.ndarray, format: str) -> bytes:
    """GStreamer's layout: every row takes a multiple of 4 bytes."""
    def pad(plane):
        return np.pad(plane, ((0, 0), (0, -plane.shape[1] % 4))).tobytes()

    if format == "rgb":
        return pad(frame.reshape(len(frame), -1))
    height, width = len(frame) * 2 // 3, frame.shape[1]
    chroma = frame[height:].reshape(2, height // 2, width // 2)
    return b"".join(map(pad, (frame[:height], *chroma)))


def pipeline(source: Source, settings: Settings, rate: Fraction) -> list[str]:
    width, height = source.size
    bytes_in = len(rows_of_4(source.frames[0], source.format))
    colours = ["colorimetry=bt601"] if source.format == "i420" else []
    return [
        "fdsrc", f"blocksize={bytes_in}", "!", "rawvideoparse",
        f"format={source.format}", f"width={width}", f"height={height}",
        f"framerate={rate.numerator}/{rate.denominator}", *colours,
        "!", *element(settings), "!",
        f"video/x-raw,format={source.format.upper()},"
        f"width={width * SCALE},height={height * SCALE}", "!", "fdsink"]


def receive(pipe, frames: np.ndarray) -> list[float]:
    """Fills the frames; when each of them had arrived, in seconds."""
    arrivals = []
    for frame in frames:
        if pipe.readinto(memoryview(frame).cast("B")) < frame.nbytes:
            break
        arrivals.append(time.monotonic())
    return arrivals


def run(source: Source, settings: Settings, rate: Fraction) -> Restored:
    shape = [side * SCALE for side in source.frames[0].shape[:2]]
    out = np.empty((len(source.frames), *shape,
                    *source.frames[0].shape[2:]), np.uint8)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        for frame in source.frames:
            given.write(rows_of_4(frame, source.format))
        given.seek(0)
        with launch(pipeline(source, settings, rate), stdin=given,
                    stdout=subprocess.PIPE, stderr=said) as process:
            arrivals = receive(process.stdout, out)
            too_much = process.stdout.read()
        said.seek(0)
        complaint = sentence(said.read().decode(errors="replace"))
    if complaint or process.returncode:
        raise Problem(f"dloral: {complaint or 'gst-launch-1.0 failed'}")
    if len(arrivals) < len(out) or too_much:
        raise Problem(f"dloral: of {len(out)} frames {len(arrivals)} came "
                      "out whole; only settings that drop none can be measured")
    fps = (len(out) - 1) / (arrivals[-1] - arrivals[0])
    return Restored(out if source.format == "rgb" else
                    np.stack([to_rgb(frame) for frame in out]), fps)
