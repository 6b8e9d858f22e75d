# The element under test, run by gst-launch-1.0: raw frames from a file in,
# raw frames out through a pipe.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
from converter.problem import Problem

from .clip import SCALE, SMALLEST
from .colours import split, to_rgb
from .source import Source

LAUNCH = "gst-launch-1.0"
PATIENCE = 1        # seconds that it may take to end after it has failed
BUILT = Path(__file__).resolve().parents[2] / "build" / "gst"
COLOURS = ",colorimetry=bt601,chroma-site=mpeg2"    # as colours.py has them
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


def listen(process: subprocess.Popen, said: list[str]) -> None:
    """What gst-launch complains of. Having told that its pipeline failed to
    start, it sometimes stays: it missed its own call to quit."""
    for line in process.stderr or ():
        said.append(line.decode(errors="replace"))
        if "pipeline doesn't want to preroll" in said[-1]:
            end = threading.Timer(PATIENCE, process.kill)
            end.daemon = True
            end.start()


def launch(arguments: list[str], given: IO[bytes], receive: Callable) -> Any:
    """What `receive` makes of the pipe that the frames arrive in."""
    said: list[str] = []
    try:
        process = subprocess.Popen(
            [LAUNCH, "-q", *arguments], env=environment(), stdin=given,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise Problem(f"{LAUNCH} is missing; install GStreamer's tools "
                      "(Debian: gstreamer1.0-tools)")
    with process:
        listener = threading.Thread(target=listen, args=(process, said))
        listener.start()
        received = receive(process.stdout)
        listener.join()
    complaint = sentence("".join(said))
    if complaint or process.returncode:
        raise Problem("dloral: " + (complaint or f"{LAUNCH} failed with "
                                    f"status {process.returncode}"))
    return received


def rows_of_4(frame: np.ndarray, format: str) -> bytes:
    """GStreamer's layout: every row takes a multiple of 4 bytes."""
    def pad(plane):
        return np.pad(plane, ((0, 0), (0, -plane.shape[1] % 4))).tobytes()

    if format == "rgb":
        return pad(frame.reshape(len(frame), -1))
    luma, chroma = split(frame)
    return b"".join(map(pad, (luma, *chroma)))


def pipeline(source: Source, settings: Settings, rate: Fraction) -> list[str]:
    width, height = source.size
    bytes_in = len(rows_of_4(source.frames[0], source.format))
    caps = f"video/x-raw,format={source.format.upper()}"
    colours = COLOURS if source.format == "i420" else ""
    return [
        "fdsrc", f"blocksize={bytes_in}", "!",
        f"{caps},width={width},height={height},"
        f"framerate={rate.numerator}/{rate.denominator}{colours}",
        "!", "rawvideoparse", "use-sink-caps=true",
        "!", *element(settings),
        "!", f"{caps},width={width * SCALE},height={height * SCALE}",
        "!", "fdsink"]


def fill(pipe: BufferedReader, frames: np.ndarray) -> tuple[list[float], bool]:
    """When each of the frames had arrived, in seconds; whether more came."""
    arrivals: list[float] = []
    for frame in frames:
        if pipe.readinto(frame.data.cast("B")) < frame.nbytes:
            return arrivals, False
        arrivals.append(time.monotonic())
    return arrivals, bool(pipe.read())


def run(source: Source, settings: Settings, rate: Fraction) -> Restored:
    rows, *others = source.frames[0].shape
    others[0] *= SCALE
    out = np.empty((len(source.frames), rows * SCALE, *others), np.uint8)
    with tempfile.TemporaryFile() as given:
        for frame in source.frames:
            given.write(rows_of_4(frame, source.format))
        given.seek(0)
        arrivals, more = launch(pipeline(source, settings, rate), given,
                                lambda pipe: fill(pipe, out))
    if len(arrivals) < len(out) or more:
        raise Problem(
            f"dloral: expected {len(out)} frames of {out[0].nbytes} bytes, "
            f"found {'more' if more else len(arrivals)}; only settings that "
            "drop none can be measured")
    fps = (len(out) - 1) / (arrivals[-1] - arrivals[0])
    return Restored(out if source.format == "rgb" else
                    np.stack([to_rgb(frame) for frame in out]), fps)


def check(settings: Settings) -> None:
    """Whether there is such an element and it takes model and settings, on
    the smallest frames: some it refuses when the first one comes."""
    black = [np.zeros((SMALLEST, SMALLEST, 3), np.uint8)] * 2
    run(Source("rgb", black, black), settings, Fraction(25))
