# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user's own clips and stills, as scenes: a random piece of a random file.
Folders are looked through once, with all folders in them."""
import collections
import sys
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from converter.problem import Problem
from evaluator.flow import optical_flow
from numpy.random import Generator, default_rng
from PIL import Image

from .pixels import Clip
from .scenes import Scene

CUTS = 3                        # stream of random numbers
VIDEO = (".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".mpg", ".mpeg",
         ".ts", ".ogv", ".flv", ".wmv", ".y4m")
STILL = (".png", ".jpg", ".jpeg", ".webp")
NOT_STILLS = (OSError, SyntaxError, Image.DecompressionBombError)  # Pillow's


class Entry(NamedTuple):
    """A clip, or a still, which has one frame."""
    path: Path
    width: int
    height: int
    frames: int                 # as the file says, or by time and rate
    rate: Fraction              # frames a second


# --- The index ---------------------------------------------------------------

def find(folders: list[str], endings: tuple[str, ...],
         what: str) -> list[Path]:
    found = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise Problem(f"{folder}: expected a folder of {what}, found "
                          f"{'a file' if folder.exists() else 'nothing'}")
        files = sorted(p for p in folder.rglob("*")
                       if p.suffix.lower() in endings and p.is_file())
        if not files:
            raise Problem(f"{folder}: expected {what} ({' '.join(endings)}) "
                          "in it, found none")
        found += files
    return found


def count_frames(container: av.container.InputContainer,
                 stream: av.VideoStream, rate: Fraction) -> int:
    if stream.frames:
        return stream.frames
    if stream.duration and stream.time_base:
        return int(stream.duration * stream.time_base * rate)
    if container.duration:
        return int(Fraction(container.duration, av.time_base) * rate)
    return sum(1 for p in container.demux(stream) if p.size)


def unreadable(path: Path, error: Exception) -> Problem:
    reason = getattr(error, "strerror", None) or error
    return Problem(f"{path}: cannot be read: {reason}")


def look_at_clip(path: Path) -> Entry:
    """Decodes the first frame, so that what cannot be read is known now."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Problem(f"{path}: there is no video in it")
            stream = container.streams.video[0]
            frame = next(container.decode(stream), None)
            if frame is None:
                raise Problem(f"{path}: there are no frames in it")
            rate = stream.average_rate or Fraction(25)
            return Entry(path, frame.width, frame.height,
                         count_frames(container, stream, rate), rate)
    except (av.FFmpegError, OSError) as e:
        raise unreadable(path, e) from e


def look_at_still(path: Path) -> Entry:
    try:
        with Image.open(path) as image:
            return Entry(path, *image.size, 1, Fraction(1))
    except NOT_STILLS as e:
        raise unreadable(path, e) from e


def usable(entries: list[Entry], what: str, frames: int,
           side: int) -> list[Entry]:
    """Those that are long and large enough; says how many are not."""
    good = [e for e in entries if e.frames >= frames
            and min(e.width, e.height) >= side]
    need = f"{side}×{side} pixels" + (
        f" and {frames} frames" if frames > 1 else "")
    if not good:
        raise Problem(f"{entries[0].path.parent}: expected {what} of at least "
                      f"{need}, found {len(entries)} smaller"
                      + (" or shorter" if frames > 1 else ""))
    if len(good) < len(entries):
        print(f"{len(entries) - len(good)} of {len(entries)} {what} are not "
              f"used: they have less than {need}", file=sys.stderr)
    return good


# --- Reading -----------------------------------------------------------------

def check_size(entry: Entry, frame: av.VideoFrame) -> None:
    if (frame.width, frame.height) != (entry.width, entry.height):
        raise Problem(
            f"{entry.path}: expected {entry.width}×{entry.height} pixels in "
            f"all frames, found {frame.width}×{frame.height} at "
            f"{frame.time or 0:.2f} s; cut it into clips of one size each")


def frames_from(entry: Entry, first: int, frames: int,
                seek: bool = True) -> list[av.VideoFrame]:
    """`frames` frames from number `first` on, or the last of the clip where
    it ends before; all from the beginning is decoded where seeking does not
    lead to what is before them, or not `seek`."""
    with av.open(str(entry.path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        begin = float((stream.start_time or 0) * (stream.time_base or 0))
        step = float(1 / entry.rate)
        time = begin + (first - .5) * step
        if first and seek:
            container.seek(int(time * av.time_base))
        last: collections.deque[av.VideoFrame] = collections.deque(
            maxlen=frames)
        for frame in container.decode(stream):
            check_size(entry, frame)
            if seek and not last and (frame.time or 0) > time + step:
                break
            last.append(frame)
            if len(last) == frames and (last[0].time or 0) >= time:
                break
    if len(last) < frames and seek:
        return frames_from(entry, first, frames, seek=False)
    return list(last)


def read_clip(entry: Entry, rng: Generator,
              frames: int) -> Clip:
    """Random successive frames: u8 [T][H][W][3]."""
    first = int(rng.integers(entry.frames - frames + 1))
    try:
        found = frames_from(entry, first, frames)
    except (av.FFmpegError, OSError) as e:
        raise unreadable(entry.path, e) from e
    if len(found) < frames:
        raise Problem(f"{entry.path}: expected {entry.frames} frames, as the "
                      f"file says, found {len(found)}")
    return np.stack([f.to_ndarray(format="rgb24") for f in found])


def read_still(entry: Entry) -> Clip:
    try:
        with Image.open(entry.path) as image:
            return np.asarray(image.convert("RGB"))[None]
    except NOT_STILLS as e:
        raise unreadable(entry.path, e) from e


# --- Scenes ------------------------------------------------------------------

def cut(rng: Generator, clip: Clip, side: int) -> Scene:
    """A random piece of at most side×side pixels, and its optical flow."""
    t, height, width, _ = clip.shape
    h, w = min(side, height), min(side, width)
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    clip = np.ascontiguousarray(clip[:, y:y + h, x:x + w])
    flow = np.zeros((t - 1, h, w, 2), np.float32)
    sure = np.zeros((t - 1, h, w), bool)
    for i in range(t - 1):
        flow[i], sure[i] = optical_flow(clip[i + 1], clip[i])
    return Scene(clip, flow, sure)


class Footage:
    """Scenes out of clips and stills. `side`: what a file must have at least;
    `scene_side`: the scenes' size where it has that."""

    def __init__(self, clips: list[str], stills: list[str], frames: int,
                 side: int, scene_side: int) -> None:
        self.frames, self.scene_side = frames, scene_side
        self.entries = []
        if clips:
            self.entries += usable(
                [look_at_clip(p) for p in find(clips, VIDEO, "clips")],
                "clips", frames, side)
        if stills:
            self.entries += usable(
                [look_at_still(p) for p in find(stills, STILL, "stills")],
                "stills", 1, side)

    def scene(self, seed: int, number: int) -> Scene:
        """Scene `number` of `seed`; of a still, one frame."""
        rng = default_rng([seed, number, CUTS])
        entry = self.entries[rng.integers(len(self.entries))]
        clip = read_still(entry) if entry.path.suffix.lower() in STILL \
            else read_clip(entry, rng, self.frames)
        return cut(rng, clip, self.scene_side)
