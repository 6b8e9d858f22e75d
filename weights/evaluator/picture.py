# Sheets of labelled panels, and their files: what has the name is whole.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from converter.problem import Problem


MARGIN = 16         # pixels around each panel
TEXT = 20           # height of a label's letters
LINE = 32           # of a label's line
WIDEST = 2600       # panels that do not fit go below
PAPER, INK, MARK = "white", (32, 32, 32), (230, 30, 30)


class Panel(NamedTuple):
    label: str
    pixels: np.ndarray      # u8 [h][w][3]


def enlarge(pixels: np.ndarray, x: int, y: int) -> np.ndarray:
    """Every pixel x·y times: nothing is smoothed over."""
    return pixels.repeat(y, axis=0).repeat(x, axis=1)


def outline(pixels: np.ndarray, box: tuple[int, int, int, int],
            height: int) -> np.ndarray:
    """A picture scaled to a height, with a box (left, top, right, bottom, in
    its pixels) drawn around what the other panels show."""
    scale = height / len(pixels)
    image = Image.fromarray(pixels).resize(
        (round(pixels.shape[1] * scale), height), Image.Resampling.LANCZOS)
    left, top, right, bottom = (round(edge * scale) for edge in box)
    ImageDraw.Draw(image).rectangle((left - 2, top - 2, right + 1, bottom + 1),
                                    outline=MARK, width=2)
    return np.asarray(image)


def shorten(label: str, font, width: int) -> str:
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(label + "...") > width:
        label = label[:-1]
    return label + "..."


def arrange(panels: list[Panel]) -> tuple[list[tuple[int, int]], int, int]:
    """Where each panel's upper left corner goes; width and height of all."""
    places, x, y, width, tallest = [], MARGIN, MARGIN + LINE, 0, 0
    for panel in panels:
        height, wide = panel.pixels.shape[:2]
        if x > MARGIN and x + wide + MARGIN > WIDEST:
            x, y, tallest = MARGIN, y + tallest + MARGIN + LINE, 0
        places.append((x, y))
        x += wide + MARGIN
        width, tallest = max(width, x), max(tallest, height)
    return places, width, y + tallest + MARGIN


def draw(panels: list[Panel]) -> Image.Image:
    places, width, height = arrange(panels)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for panel, (x, y) in zip(panels, places):
        label = shorten(panel.label, font, panel.pixels.shape[1])
        pen.text((x, y - LINE / 2), label, INK, font, anchor="lm")
        sheet.paste(Image.fromarray(panel.pixels), (x, y))
    return sheet


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def require_writable(path: Path) -> None:
    """Said before the work and not after it."""
    if path.is_dir():
        raise Problem(f"{path}: expected the name of a picture, found a "
                      "folder")
    try:
        part_of(path).touch()
        part_of(path).unlink()
    except OSError as e:
        raise Problem(f"{path}: cannot be written: {e.strerror}")


def write(path: Path, panels: list[Panel]) -> None:
    part = part_of(path)
    try:
        draw(panels).save(part, "PNG")
        os.replace(part, path)
    except OSError as e:
        part.unlink(missing_ok=True)
        raise Problem(f"{path}: cannot be written: {e.strerror}")
