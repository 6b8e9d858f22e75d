"""Which frames a program decodes and encodes, by the tracer in frames-tracer.c.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import os


class Trace:
    """Of programs that run in the environment `env`, one at a time."""

    def __init__(self, tracer, folder):
        self.log = folder / "frames.log"
        path = f"{tracer.parent}:{os.environ['GST_PLUGIN_PATH']}"
        self.env = {
            **os.environ, "GST_TRACERS": "frames", "FRAMES_LOG": str(self.log),
            "GST_PLUGIN_PATH": path, "GST_REGISTRY": str(folder / "reg")}

    def take(self):
        """The words of every line since the last time."""
        lines = self.log.read_text().splitlines()
        self.log.unlink()
        return [line.split() for line in lines]
