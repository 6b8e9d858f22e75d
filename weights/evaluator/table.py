# Figures as a table for people or as one JSON object a row.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json
from typing import NamedTuple

from .clip import Clip
from .source import Source


class Column(NamedTuple):
    title: str
    digits: int


COLUMNS = {
    "psnr_y": Column("PSNR-Y", 2),
    "ssim": Column("SSIM", 4),
    "warping_error_e3": Column("warp e-3", 5),
    "detail_percent": Column("detail %", 1),
    "tlp_e2": Column("tLP e-2", 4),
    "lpips": Column("LPIPS", 4),
    "dists": Column("DISTS", 4),
    "fps": Column("fps", 1),
}
WIDTH = 10
LABEL = 32


def shown(name: str, value: float | None) -> str:
    text = "-" if value is None else f"{value:.{COLUMNS[name].digits}f}"
    return f"{text:>{WIDTH}}"


class Table:
    """Rows as they come; those of a clip have the same figures."""

    def __init__(self, as_json: bool):
        self.as_json = as_json

    def begin(self, clip: Clip, source: Source, how: str) -> None:
        """`how` the source came to be."""
        self.clip = {"clip": str(clip.path), "frames": len(clip.frames),
                     "source": "{}x{} {}".format(*source.size, how)}
        self.titled = False

    def title(self, names) -> None:
        print("{clip}: {frames} frames, from {source}".format(**self.clip))
        print(" " * LABEL + "".join(f"{COLUMNS[name].title:>{WIDTH}}"
                                    for name in names))
        self.titled = True

    def row(self, label: str, figures: dict[str, float | None]) -> None:
        if self.as_json:
            print(json.dumps({**self.clip, "row": label, **figures}),
                  flush=True)
            return
        if not self.titled:
            self.title(figures)
        print(f"{label:{LABEL}}" + "".join(
            shown(*figure) for figure in figures.items()), flush=True)
