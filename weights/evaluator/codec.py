# Coding and decoding as a call's sender and receiver do: one frame in, one
# out, nothing looked at ahead, the bitrate kept within a second.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from converter.problem import Problem



@dataclass(frozen=True)
class Codec:
    encoder: str
    decoder: str
    options: dict[str, str]


CODECS = {
    "h264": Codec("libx264", "h264",
                  {"preset": "veryfast", "tune": "zerolatency"}),
    "vp8": Codec("libvpx", "vp8", {
        "deadline": "realtime", "cpu-used": "6", "lag-in-frames": "0"}),
}


def create(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    return cast(VideoCodecContext, av.CodecContext.create(name, mode))


def open_encoder(codec: Codec, width: int, height: int, rate: Fraction,
                 bitrate: int) -> VideoCodecContext:
    encoder = create(codec.encoder, "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    encoder.bit_rate = bitrate
    second = str(bitrate)
    encoder.options = {**codec.options, "maxrate": second, "bufsize": second}
    return encoder


def transmit(frames: list[np.ndarray], name: str, bitrate: int,
             rate: Fraction) -> list[np.ndarray]:
    """I420 frames as they arrive: [3·H/2][W] each. Bits a second."""
    codec = CODECS[name]
    height, width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
    try:
        encoder = open_encoder(codec, width, height, rate, bitrate)
        decoder = create(codec.decoder, "r")
        packets = []
        for time, planes in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts = time
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        arrived = [frame for packet in [*packets, None]
                   for frame in decoder.decode(packet)]
    except (ValueError, av.FFmpegError) as e:
        raise Problem(f"--codec {name}: {codec.encoder} refuses "
                      f"{width}x{height} at {bitrate} bits a second: {e}")
    if len(arrived) != len(frames):
        raise Problem(f"--codec {name}: of {len(frames)} frames "
                      f"{len(arrived)} came back")
    return [frame.to_ndarray() for frame in arrived]
