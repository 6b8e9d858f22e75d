# SPDX-License-Identifier: LGPL-2.1-or-later
"""The folder of Stable Diffusion 2.1-base in diffusers' layout: looked over by
the converter, so that what is trained can be converted; then loaded.
"""
from pathlib import Path
from typing import Any

import torch
from converter.clip import Encoder
from converter.configs import (Config, read_text_encoder, read_unet,
                               read_vae)
from converter.layouts import text_layout, unet_layout, vae_layout
from converter.model import check_encoder_width, old_vae_name
from converter.problem import Problem
from converter.sources import Source, open_folder
from converter.tokenizer import read_tokenizer
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor


WEIGHTS = "diffusion_pytorch_model"


class SdFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise Problem(f"{path}: expected the folder of Stable Diffusion "
                          "2.1-base in diffusers' layout, found "
                          + ("a file" if path.exists() else "nothing"))
        self.vae, self.vae_source = self.check_vae()
        self.unet, self.unet_source = self.check_unet()
        self.text, self.text_source = self.check_text()
        self.schedule = self.read_schedule()

    def check_vae(self) -> tuple[dict, Source]:
        vae = read_vae(self.path / "vae" / "config.json")
        source = open_folder(self.path / "vae", WEIGHTS, renamed=old_vae_name)
        source.claim(vae_layout(vae))
        return vae, source

    def check_unet(self) -> tuple[dict, Source]:
        """From one latent to its noise."""
        path = self.path / "unet" / "config.json"
        latent, config = self.vae["latent_channels"], Config(path)
        for key in ("in_channels", "out_channels"):
            if config.values.get(key, 4) != latent:
                config.fail(key, f"{latent}, the channels of a latent, as "
                            "Stable Diffusion 2.1-base has them")
        unet = read_unet(path, latent)
        source = open_folder(self.path / "unet", WEIGHTS)
        source.claim(unet_layout(unet), f"; {path} describes another UNet")
        return unet, source

    def check_text(self) -> tuple[dict, Source]:
        path = self.path / "text_encoder" / "config.json"
        text = read_text_encoder(path)
        check_encoder_width(text, self.unet, path)
        source = open_folder(self.path / "text_encoder", "model",
                             "pytorch_model")
        source.claim(text_layout(text))
        return text, source

    def read_schedule(self) -> Any:
        """How noise grows; a folder without is taken to be as published."""
        folder = self.path / "scheduler"
        if not folder.exists():
            return DDPMScheduler(1000, .00085, .012, "scaled_linear")
        path = folder / "scheduler_config.json"
        try:
            schedule = DDPMScheduler.from_pretrained(folder)
        except (OSError, ValueError, TypeError, NotImplementedError) as e:
            reason = str(e).strip().split("\n")[0]
            raise Problem(f"{path}: cannot be read: {reason}") from None
        kind = schedule.config.prediction_type
        if kind != "epsilon":
            raise Problem(f"{path}: prediction_type: expected epsilon, found "
                          f"{kind}; the folder is of another version of "
                          "Stable Diffusion than 2.1-base")
        return schedule

    def load(self, kind: Any, source: Source) -> Any:
        """In f32, from the file that was looked over."""
        variant = "fp16" if ".fp16." in source.label.name else None
        return kind.from_pretrained(source.label.parent, variant=variant,
                                    torch_dtype=torch.float32)

    def load_vae(self) -> Any:
        return self.load(AutoencoderKL, self.vae_source)

    def load_unet(self) -> Any:
        return self.load(UNet2DConditionModel, self.unet_source)

    @torch.no_grad()
    def embed(self, prompt: str) -> Tensor:
        """[1][77][d], as the engine computes it."""
        tokenizer = read_tokenizer(self.path / "tokenizer", self.text)
        encoder = Encoder(self.text_source, self.text)
        return encoder.encode(tokenizer.encode(prompt))[None]
