# The command: what it is asked, the order of the work.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import argparse
import re
import sys
from converter.problem import Problem
from pathlib import Path

from . import element, picture
from .clip import FEWEST, SMALLEST, Clip, Size, read_clip
from .codec import CODECS
from .measures import Measures
from .source import Source, enlarge, make_source
from .table import Table
from .views import CloseUp, Profile

FRAMES = 90     # measured of a clip when nothing is said


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="evaluate", description="Shrinks clips x4, has the element "
        "restore them, and measures the result beside bicubic's.")
    parser.add_argument("model", type=Path, metavar="MODEL",
                        help="the model file")
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument(
        "--with", action="append", default=[], dest="settings",
        metavar="PROPERTY=VALUE[,...]",
        help="another row, with the element's properties set so")
    parser.add_argument("--first", type=int, default=0, metavar="N",
                        help="the first frame (0)")
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N",
                        help=f"at most that many ({FRAMES})")
    parser.add_argument(
        "--size", metavar="WIDTHxHEIGHT",
        help="of the shrunk clip: the ground truth is first resized to x4 "
        "that (area)")
    parser.add_argument("--format", choices=("rgb", "i420"), default="rgb",
                        help="of the frames that the element is given (rgb)")
    parser.add_argument("--codec", choices=tuple(CODECS),
                        help="that the shrunk clip is sent through, as in "
                        "a call")
    parser.add_argument("--bitrate", metavar="BITS",
                        help="a second, for --codec: 200k, 1.5M")
    parser.add_argument(
        "--networks", type=Path, metavar="FOLDER",
        help="of torchvision's VGG16 (torch.hub's checkpoints folder): "
        "measures tLP, LPIPS and DISTS too")
    parser.add_argument("--profile", type=Path, metavar="PNG",
                        help="picture of one column of pixels over time")
    parser.add_argument("--frame", type=Path, metavar="PNG",
                        help="picture of one frame, a part of it enlarged")
    parser.add_argument("--json", action="store_true",
                        help="print one object a row")
    return parser.parse_args(arguments)


def parse_size(text: str) -> Size:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    sides = [int(side) for side in found.groups()] if found else []
    if not sides or min(sides) < SMALLEST or sides[0] % 2 or sides[1] % 2:
        raise Problem(f"--size: expected WIDTHxHEIGHT, even numbers from "
                      f"{SMALLEST} on, found {text}")
    return sides[0], sides[1]


def parse_bitrate(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kM]?)", text)
    bits = found and round(
        float(found[1]) * {"": 1, "k": 1000, "M": 1000000}[found[2]])
    if not bits or not 1000 <= bits <= 10 ** 9:
        raise Problem("--bitrate: expected bits a second from 1k to 1000M, "
                      f"as 200k, found {text}")
    return bits


def parse_settings(text: str) -> element.Settings:
    """A comma separates where a property's name follows it."""
    pairs = [pair.partition("=")
             for pair in re.split(r",(?=[a-z][a-z0-9-]*=)", text)]
    for name, equals, _ in pairs:
        if not equals or not re.fullmatch("[a-z][a-z0-9-]*", name):
            raise Problem("--with: expected PROPERTY=VALUE[,PROPERTY=VALUE"
                          f"...], found {text}")
    return {name: value for name, _, value in pairs}


def require_consistent(options: argparse.Namespace) -> None:
    if options.frames < FEWEST or options.first < 0:
        raise Problem(f"--first and --frames: expected at least 0 and "
                      f"{FEWEST}, found {options.first} and {options.frames}")
    if (options.codec is None) != (options.bitrate is None):
        raise Problem("--codec and --bitrate: expected both or none")
    pictures = [path for path in (options.profile, options.frame) if path]
    if pictures and len(options.clips) > 1:
        raise Problem(f"{pictures[0]}: a picture shows one clip, found "
                      f"{len(options.clips)}")
    for path in pictures:
        picture.require_writable(path)


def make_networks(folder: Path | None):
    if folder is None:
        return None
    from .networks import Networks      # PyTorch: only where it is wanted
    return Networks(folder)


class Evaluation:
    """What all clips have in common."""

    def __init__(self, options: argparse.Namespace):
        require_consistent(options)
        self.options = options
        self.size = parse_size(options.size) if options.size else None
        self.bitrate = parse_bitrate(options.bitrate) if options.bitrate else 0
        model = {"model": str(options.model)}
        self.rows = {options.model.stem: model}
        for text in options.settings:
            self.rows[text] = {**model, **parse_settings(text)}
        for settings in self.rows.values():
            element.check(settings)
        self.networks = make_networks(options.networks)
        self.table = Table(options.json)

    def how(self) -> str:
        options = self.options
        coded = f", {options.codec} at {options.bitrate}" \
            if options.codec else ""
        return options.format.upper() + coded

    def restored(self, clip: Clip, source: Source):
        """Rows of a clip: what made it, frames, frames a second."""
        yield "bicubic", enlarge(source), None
        for label, settings in self.rows.items():
            out = element.run(source, settings, clip.rate)
            yield label, out.frames, out.fps

    def clip(self, path: Path) -> None:
        options = self.options
        clip = read_clip(path, options.first, options.frames, self.size)
        source = make_source(clip, options.format, options.codec, self.bitrate)
        measures = Measures(clip.frames, self.networks)
        views = [(out, view(clip.frames)) for out, view in (
            (options.profile, Profile), (options.frame, CloseUp)) if out]
        panels = [[view.where(clip.frames)] for _, view in views]
        self.table.begin(clip, source, self.how())
        for label, frames, fps in self.restored(clip, source):
            self.table.row(label, {**measures(frames), "fps": fps})
            for (_, view), shown in zip(views, panels):
                shown.append(view.panel(label, frames))
        for (out, view), shown in zip(views, panels):
            shown.append(view.panel("ground truth", clip.frames))
            picture.write(out, shown)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        evaluation = Evaluation(options)
        for path in options.clips:
            evaluation.clip(path)
    except Problem as e:
        print(f"evaluate: {e}", file=sys.stderr)
        return 1
    return 0
