# SPDX-License-Identifier: LGPL-2.1-or-later
"""Classifier score distillation: a latent moves to where the frozen UNet, told
what good pictures are, would have it, away from where it has any picture
(Yu et al. 2310.19415; normalised as in DMD, 2311.18828, and PiSA-SR).
"""
from collections.abc import Callable

import torch
from converter.problem import Problem
from torch import Tensor

from .sd21 import Sd21

GUIDANCE = 7.5
FIRST, LAST = .02, .5           # of all timesteps

# From noisy latents [N][c][h][w], timesteps [N] and prompts [N][77][d] to ε.
Predict = Callable[[Tensor, Tensor, Tensor], Tensor]


class Distillation:
    """alphas: how much of the signal's power is left at each timestep; empty,
    prompt: [1][77][d]."""

    def __init__(self, predict: Predict, alphas: Tensor, empty: Tensor,
                 prompt: Tensor) -> None:
        self.predict, self.alphas = predict, alphas
        self.empty, self.prompt = empty, prompt

    def gradient(self, latents: Tensor, noise: Tensor,
                 timesteps: Tensor) -> Tensor:
        """(x0(ε of any) − x0(ε guided)) / mean |latents − x0(ε guided)|,
        each [N][c][h][w]."""
        n = len(latents)
        alpha = self.alphas.to(latents.device)[timesteps, None, None, None]
        signal, spread = alpha.sqrt(), (1 - alpha).sqrt()
        noisy = signal * latents + spread * noise
        embeds = torch.cat([self.empty.expand(n, -1, -1),
                            self.prompt.expand(n, -1, -1)])
        free, told = self.predict(
            noisy.repeat(2, 1, 1, 1), timesteps.repeat(2),
            embeds.to(latents.device)).float().chunk(2)
        guided = free + GUIDANCE * (told - free)
        goal = (noisy - spread * guided) / signal
        distance = (latents - goal).abs().mean((1, 2, 3), keepdim=True)
        return spread / signal * (guided - free) / distance

    def __call__(self, latents: Tensor,
                 generator: torch.Generator | None = None) -> Tensor:
        """Of latents [N][c][h][w], a loss whose gradient is gradient (), at
        timesteps and noise by chance, over the number of values."""
        x = latents.detach().float()
        n = len(self.alphas)
        timesteps = torch.randint(int(FIRST * n), int(LAST * n), (len(x),),
                                  device=x.device, generator=generator)
        noise = torch.randn(x.shape, device=x.device, generator=generator)
        with torch.no_grad():
            goal = x - self.gradient(x, noise, timesteps)
        return .5 * (latents.float() - goal).square().mean()


def distillation(model: Sd21, prompt: str) -> Distillation:
    """By the model's own stock UNet."""
    if not prompt.strip():
        raise Problem("prompt: expected what good pictures are, in words, "
                      "found none; without it there is nothing to distil")
    folder = model.folder
    return Distillation(model.stock, folder.schedule.alphas_cumprod,
                        folder.embed(""), folder.embed(prompt))
