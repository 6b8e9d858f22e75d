# SPDX-License-Identifier: LGPL-2.1-or-later
"""LPIPS, by the package lpips: how unlike two pictures look to a network that
was trained to name what is in them. The package brings LPIPS's own weights;
those of the network below are torchvision's.
"""
from pathlib import Path

import lpips
from converter.problem import Problem
from torch import Tensor, nn

from .tensor_files import open_tensors

NAMES = {"vgg": "vgg16", "alex": "alexnet"}     # ours: torchvision's


class Lpips(nn.Module):
    """Frozen. backbone: a state dict of torchvision's network, .pth or
    .safetensors; None: from torchvision's cache, or downloaded into it."""

    def __init__(self, net: str,
                 backbone: Path | None = None) -> None:
        super().__init__()
        if net not in NAMES:
            raise Problem("lpips: expected one of " + ", ".join(NAMES)
                          + f", found {net!r}")
        try:
            self.inner = lpips.LPIPS(net=net, pnet_rand=backbone is not None,
                                     verbose=False)
        except (OSError, RuntimeError) as e:
            raise Problem(
                f"lpips: the weights of torchvision's {NAMES[net]} are not in "
                f"its cache and cannot be downloaded ({e}); give a file of "
                "them") from None
        if backbone:
            self.load(backbone)
        self.requires_grad_(False).train(False)

    def load(self, path: Path) -> None:
        """The package's names are slice1.0.weight, of torchvision's
        features.0.weight."""
        names = {name: "features." + name.split(".", 1)[1]
                 for name in self.inner.net.state_dict()}
        source = open_tensors(path)
        source.claim({names[name]: tuple(p.shape) for name, p
                      in self.inner.net.state_dict().items()})
        self.inner.net.load_state_dict(
            {name: source.read(names[name]) for name in names})

    def train(self, mode: bool = True) -> "Lpips":
        """Never: it would drop out some of its own channels."""
        return super().train(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Pictures [N][3][H][W] in [-1, 1] → [N]."""
        return self.inner(a, b).flatten()
