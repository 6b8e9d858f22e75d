# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a result is held against: the parts of both stages' losses.

Pictures are [B][T−1][3][H][W] in [-1, 1]; `batch` is a batch of samples (see
samples.py). A part is computed only where its weight is not zero.
"""
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .restored import Restored
from .spynet import warp

Batch = dict[str, Tensor]
Part = Callable[[Restored, Batch], Tensor]


def charbonnier(x: Tensor, eps: float = 1e-3) -> Tensor:
    return torch.sqrt(x * x + eps * eps) - eps


def l2(restored: Restored, batch: Batch) -> Tensor:
    return F.mse_loss(restored.pictures, batch["hr"][:, 1:])


def l1(restored: Restored, batch: Batch) -> Tensor:
    """Rounded off below half a level of 255."""
    return charbonnier(restored.pictures - batch["hr"][:, 1:]).mean()


def slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def gradient(restored: Restored, batch: Batch) -> Tensor:
    """Differences of neighbouring pixels, across and down."""
    pairs = zip(slopes(restored.pictures), slopes(batch["hr"][:, 1:]))
    return torch.stack([charbonnier(a - b).mean() for a, b in pairs]).sum()


def amplitudes(x: Tensor, side: int) -> Tensor:
    """Logarithms of the spectra of overlapping windows of the luma."""
    luma = (x * x.new_tensor([.299, .587, .114])[:, None, None]).sum(-3)
    windows = luma.unfold(-2, side, side // 2).unfold(-2, side, side // 2)
    hann = torch.hann_window(side, device=x.device)
    spectrum = torch.fft.rfft2(
        (windows - windows.mean((-2, -1), keepdim=True))
        * (hann[:, None] * hann))
    return torch.log1p(spectrum.abs() * 4)


def spectrum(restored: Restored, batch: Batch) -> Tensor:
    """How much of every frequency there is, wherever in the window: detail
    that is a little out of place counts as detail. Windows of 16×16."""
    return (amplitudes(restored.pictures, 16)
            - amplitudes(batch["hr"][:, 1:], 16)).abs().mean()


def drift(restored: Restored, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Each result but the first less its predecessor brought to it along the
    target's flow, [N][3][H][W]; where that is known; the flow."""
    flow, sure = (batch[k][:, 1:].flatten(0, 1) for k in ("flow", "sure"))
    before = restored.pictures[:, :-1].flatten(0, 1)
    now = restored.pictures[:, 1:].flatten(0, 1)
    return warp(before, flow, "border") - now, sure, flow


def consistency(restored: Restored, batch: Batch) -> Tensor:
    """The warping error, occlusions left out. The published code compares
    flows found in detached pictures, which gives no gradient."""
    d, sure, _ = drift(restored, batch)
    return (d * d * sure).mean()


def stillness(restored: Restored, batch: Batch) -> Tensor:
    """What stands still may not even flicker faintly: the magnitude counts
    there, not its square."""
    d, sure, flow = drift(restored, batch)
    still = flow.norm(dim=1, keepdim=True) < .25
    return (charbonnier(d, 2e-4) * sure * still).mean()


def flow(restored: Restored, batch: Batch) -> Tensor:
    """End-point error of the flow network, on every level's own grid."""
    if restored.flows is None:      # each frame is its own predecessor
        return restored.pictures.new_zeros(()).requires_grad_()
    true = batch["flow"].flatten(0, 1)
    known = batch["sure"].flatten(0, 1)
    error = restored.pictures.new_zeros(())
    for level, found in enumerate(reversed(restored.flows)):
        size = (found.shape[-2], found.shape[-1])
        scale = size[1] / true.shape[-1]
        weight = F.adaptive_avg_pool2d(known, size)
        mean = F.adaptive_avg_pool2d(true * known, size) \
            / weight.clamp(min=1e-3) * scale
        error = error + (charbonnier(mean - found, 1e-2)
                         * weight).mean() / 2 ** level
    return error


PARTS: dict[str, Part] = {
    "l1": l1, "l2": l2, "gradient": gradient, "spectrum": spectrum,
    "consistency": consistency, "stillness": stillness, "flow": flow}


def weigh(weights: dict[str, float], parts: dict[str, Part],
          restored: Restored, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and every part as it is."""
    values = {name: parts[name](restored, batch) for name in weights}
    total = torch.stack([weights[n] * v for n, v in values.items()]).sum()
    return total, {n: v.detach() for n, v in values.items()}
