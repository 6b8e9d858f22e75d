# SPDX-License-Identifier: LGPL-2.1-or-later
"""Coding a clip and decoding it, by real encoders as calls and cameras run
them: H.264 and VP8 in their settings for live video, JPEG.

A clip is u8 [T][H][W][3], RGB, of even sides.
"""
import math
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.codec.context import Flags
from converter.problem import Problem
from numpy.random import Generator

from .pixels import Clip
from .yuv import to_i420, to_rgb

RATE = 30                       # frames a second
HEADERS = 100                   # bits of a frame that are not for its pixels
# Bits a pixel: 160×120 at 30 frames a second, 60 … 800 kbit/s
LEAST, MOST = (1000 * k / (160 * 120 * RATE) for k in (60, 800))
WARM_UP = 10    # frames coded before, at least: the encoder finds its rate


class Coding(NamedTuple):
    """An encoder, its decoder, their settings."""
    encoder: str
    decoder: str
    bits: float                 # for a pixel of a frame
    options: dict[str, str]


def h264(preset: str, bits: float) -> Coding:
    return Coding("libx264", "h264", bits,
                  {"preset": preset, "tune": "zerolatency"})


def vp8(speed: int, bits: float) -> Coding:
    """`speed`: 1 … 16. Its sign says that it is not to depend on how fast the
    machine is."""
    return Coding("libvpx", "vp8", bits,
                  {"deadline": "realtime", "cpu-used": str(-speed),
                   "lag-in-frames": "0", "qmin": "4", "qmax": "56"})


def random_coding(rng: Generator) -> Coding:
    bits = math.exp(rng.uniform(math.log(LEAST), math.log(MOST)))
    if rng.random() < .65:
        return h264(str(rng.choice(["ultrafast", "superfast", "veryfast"])),
                    bits)
    return vp8(int(rng.integers(4, 13)), bits)


def order(frames: int) -> list[int]:
    """To and fro, and at last 0 … T-1: an encoder that has run for a while."""
    period = max(2 * (frames - 1), 1)
    return [min(i % period, -i % period)
            for i in range(-max(frames - 1, WARM_UP), frames)]


def open_encoder(coding: Coding, width: int, height: int
                 ) -> av.VideoCodecContext:
    if coding.encoder not in av.codecs_available:
        raise Problem(f"PyAV {av.__version__} has no encoder "
                      f"{coding.encoder}; install PyPI's package av")
    encoder = av.CodecContext.create(coding.encoder, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = Fraction(RATE)
    encoder.time_base = Fraction(1, RATE)
    encoder.gop_size = 300
    encoder.thread_count = 1
    encoder.flags |= Flags.global_header        # of which none is paid for
    encoder.bit_rate = int((coding.bits * width * height + HEADERS) * RATE)
    rate = str(encoder.bit_rate)
    encoder.options = {**coding.options, "minrate": rate, "maxrate": rate,
                       "bufsize": str(encoder.bit_rate // 2)}
    return encoder


def code(clip: Clip, coding: Coding) -> Clip:
    """The clip after the encoder and the decoder."""
    frames, height, width, _ = clip.shape
    encoder = open_encoder(coding, width, height)
    packets = []
    for t, i in enumerate(order(frames)):
        frame = av.VideoFrame.from_ndarray(to_i420(clip[i]), "yuv420p")
        frame.pts = t
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create(coding.decoder, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    decoder.extradata = encoder.extradata
    seen = [f for p in [*packets, None] for f in decoder.decode(p)]
    return np.stack([to_rgb(f.to_ndarray()) for f in seen[-frames:]])


def jpeg(clip: Clip, quality: int) -> Clip:
    out = []
    for frame in clip:
        _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR),
                               [cv2.IMWRITE_JPEG_QUALITY, quality])
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert bgr is not None          # it has just been coded
        out.append(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    return np.stack(out)
