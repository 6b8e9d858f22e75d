# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files of tensors that the user names, read by the converter's readers: they
run nothing and say in a sentence what is wrong.
"""
from collections.abc import Callable
from pathlib import Path

from converter.sources import Source, open_bin, open_safetensors



def open_tensors(path: Path,
                 renamed: Callable[[str], str] = lambda name: name) -> Source:
    """A state dict, .safetensors or what torch.save writes. `renamed`: what
    a tensor may be called instead."""
    open_it = open_safetensors if path.suffix == ".safetensors" else open_bin
    return Source(path, open_it(path), renamed)
