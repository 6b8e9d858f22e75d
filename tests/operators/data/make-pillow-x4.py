#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes pillow-x4.bin: small pictures and Pillow's bicubic x4 of each."""
import pathlib

import numpy as np
from PIL import Image

rng = np.random.default_rng(1)
out = b""
for w, h in (17, 13), (40, 9), (5, 4), (4, 5), (3, 3), (2, 1), (1, 2), (1, 1):
    # Half of it pure black and white: overshoots must be cut off.
    picture = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    hard = rng.integers(0, 2, (h, w, 3), dtype=np.uint8) * 255
    picture = np.where(rng.random((h, w, 1)) < 0.5, picture, hard)
    large = Image.fromarray(picture).resize((4 * w, 4 * h), Image.BICUBIC)
    out += bytes((w, h)) + picture.tobytes() + np.asarray(large).tobytes()
(pathlib.Path(__file__).parent / "pillow-x4.bin").write_bytes(out)
