# SPDX-License-Identifier: LGPL-2.1-or-later
"""DLoRAL on Stable Diffusion 2.1-base: VAE, flow and text stay as they came;
the retrieval, the UNet's first convolution and its two adapters learn.

At the beginning it is what the stock UNet makes of each frame by itself: the
adapters add nothing, the retrieval neither, and the first convolution has
weight 0 for the aligned latent. (The published code begins with the stock
weights for both latents, that is with twice the signal, and a random bias.)
"""
import dataclasses
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from converter.adapters import MAX_RANK, PARTS
from converter.problem import Problem
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .adapters import (adapted_layers, adapter_parameters, add_adapters,
                       without_adapters)
from .restored import Restored
from .retrieval import Cfr
from .schedule import Stage
from .sd_folder import SdFolder
from .spynet import read_spynet, warp

TIMESTEP = 1


@dataclasses.dataclass(frozen=True)
class Sd21Config:
    sd: Path                    # folder in diffusers' layout
    # SPyNet's weights. It never learns, so there is nothing to begin without.
    spynet: Path
    prompt: str = ""            # to be given to weights/convert, too
    rank_consistency: int = 4
    rank_detail: int = 4
    gradient_checkpointing: bool = False    # slower, less memory

    def __post_init__(self) -> None:
        for name in ("rank_consistency", "rank_detail"):
            rank = getattr(self, name)
            if type(rank) is not int or not 1 <= rank <= MAX_RANK:
                raise Problem(f"{name}: expected a whole number from 1 to "
                              f"{MAX_RANK}, found {rank!r}")

    def ranks(self) -> dict[str, int]:
        """By the kinds' published names."""
        return {"consistency": self.rank_consistency,
                "quality": self.rank_detail}


def widen(conv: nn.Conv2d) -> nn.Conv2d:
    """From [aligned, fused], at first only from fused."""
    wide = nn.Conv2d(2 * conv.in_channels, conv.out_channels, 3, padding=1)
    weight = torch.cat([torch.zeros_like(conv.weight), conv.weight], 1)
    wide.load_state_dict({**conv.state_dict(), "weight": weight})
    return wide


class Sd21(nn.Module):
    prompt_embeds: Tensor

    def __init__(self, config: Sd21Config) -> None:
        super().__init__()
        self.config, self.folder = config, SdFolder(config.sd)
        self.register_buffer("prompt_embeds",
                             self.folder.embed(config.prompt),
                             persistent=False)
        self.vae, self.unet = self.folder.load_vae(), self.folder.load_unet()
        self.cfr = Cfr(self.vae.config.latent_channels,
                       read_spynet(config.spynet))
        self.stock_conv_in = self.unet.conv_in
        self.unet.conv_in = widen(self.stock_conv_in)
        self.adapted = adapted_layers(self.unet)
        add_adapters(self.unet, self.adapted, config.ranks())
        if config.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()
            self.vae.enable_gradient_checkpointing()
        # diffusers checkpoints in training only; nothing else depends on it.
        self.requires_grad_(False).train()

    def learn(self, stage: Stage) -> list[nn.Parameter]:
        if stage in (Stage.FLOW, Stage.BASE):
            raise Problem(f"stage {stage}: Stable Diffusion and SPyNet have "
                          "learned; expected consistency, enhancement or "
                          "joint")
        self.requires_grad_(False)
        learned = list(self.unet.conv_in.base_layer.parameters())
        if stage is not Stage.ENHANCEMENT:
            learned += adapter_parameters(self.unet, "consistency")
            learned += self.cfr.cross_attn_module.parameters()
        if stage is not Stage.CONSISTENCY:
            learned += adapter_parameters(self.unet, "quality")
        for p in learned:
            p.requires_grad_(True)
        return learned

    # --- The pipeline; N frames at once --------------------------------------

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Pictures [N][3][H][W] in [-1, 1] → latents [N][c][h][w], the mean:
        a sample would flicker."""
        mean = self.vae.encode(x).latent_dist.mean
        return mean.float() * self.vae.config.scaling_factor

    @torch.no_grad()
    def align(self, z: Tensor, x: Tensor, before: Tensor) -> Tensor:
        """z, the latents of pictures `before`, brought to pictures x."""
        small = [F.interpolate(p.float(), z.shape[-2:], mode="bicubic")
                 for p in (x, before)]
        return warp(z, self.cfr.spynet(*small), "zeros")

    def fuse(self, z: Tensor, aligned: Tensor) -> Tensor:
        attend = self.cfr.cross_attn_module
        if self.config.gradient_checkpointing:
            return checkpoint(attend, z, aligned, use_reentrant=False)
        return attend(z, aligned)

    def predict(self, aligned: Tensor, fused: Tensor) -> Tensor:
        """ε."""
        embeds = self.prompt_embeds.expand(len(fused), -1, -1)
        return self.unet(torch.cat([aligned, fused], 1), TIMESTEP,
                         embeds).sample.float()

    def decode(self, x0: Tensor) -> Tensor:
        z = x0 / self.vae.config.scaling_factor
        return self.vae.decode(z).sample.float()

    def forward(self, up: Tensor, first: bool = False) -> Restored:
        """up [B][T][3][H][W]; `first`: each frame is its own predecessor."""
        self.check_size(*up.shape[-2:])
        frames = up.shape[:2]
        results = frames[0], frames[1] - 1
        z = self.encode(up.flatten(0, 1)).unflatten(0, frames)
        now = z[:, 1:].flatten(0, 1)
        with torch.autocast(up.device.type, enabled=False):
            aligned = now if first else self.align(
                z[:, :-1].flatten(0, 1), up[:, 1:].flatten(0, 1),
                up[:, :-1].flatten(0, 1))
            fused = self.fuse(now, aligned)
        x0 = fused - self.predict(aligned, fused)
        return Restored(self.decode(x0).unflatten(0, results),
                        x0.unflatten(0, results))

    def check_size(self, height: int, width: int) -> None:
        step = 2 ** (len(self.vae.config.block_out_channels) - 1)
        if height % step or width % step:
            raise Problem(f"pictures: expected sides that are multiples of "
                          f"{step}, found {width}×{height}")

    # --- What else is asked of it --------------------------------------------

    @torch.no_grad()
    def stock(self, z: Tensor, timesteps: Tensor, embeds: Tensor) -> Tensor:
        """ε as the UNet that came says it, from z [N][c][h][w], timesteps [N]
        and prompts [N][77][d]; in the same weights."""
        trained, self.unet.conv_in = self.unet.conv_in, self.stock_conv_in
        try:
            with without_adapters(self.unet):
                return self.unet(z, timesteps, embeds).sample.float()
        finally:
            self.unet.conv_in = trained

    def export(self, folder: Path) -> None:
        """model.pkl in the published layout, for weights/convert. What has
        that name is whole."""
        content: dict[str, object] = {
            "state_dict_unet": tensors(self.unet),
            "state_dict_bpp": tensors(self.cfr)}
        for kind, rank in self.config.ranks().items():
            content[f"lora_rank_unet_{kind}"] = rank
            for part in PARTS:
                content[f"unet_lora_{part}_modules_{kind}"] \
                    = self.adapted[part]
        path = folder / "model.pkl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as e:
            raise Problem(f"{path}: cannot be written: {e.strerror}") from None


def tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().cpu()
            for name, p in module.state_dict().items()}


def write_whole(path: Path, content: object) -> None:
    """Beside `path`, renamed at the end."""
    beside = path.with_name(path.name + ".part")
    try:
        with open(beside, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
