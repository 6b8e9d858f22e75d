# SPDX-License-Identifier: LGPL-2.1-or-later
"""The small model: learned from nothing, then with the two adapters.

Its flow network learns first, then, with that frozen, its base; or both are
taken from a model file. Then all is frozen but the UNet's first convolution;
C-LoRA, D-LoRA and the retrieval learn by the paper's two stages.
"""
import dataclasses
import json
from pathlib import Path
from typing import cast

import torch
import torch.nn as nn
import torch.nn.functional as F
from converter.problem import Problem
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.utils import parametrize

from .restored import Restored
from .schedule import Stage
from .small_net import Cfr, Config, UNet, Vae
from .small_start import change_coordinates, pass_on
from .spynet import to_grid, warp
from .tensor_files import open_tensors

ADAPTED = ["conv1", "conv2", "conv_shortcut", "conv_out"]
KINDS = {Stage.CONSISTENCY: "consistency", Stage.ENHANCEMENT: "detail"}
ALPHA = 8       # peft's default, which the engine takes for granted


@dataclasses.dataclass(frozen=True)
class SmallConfig:
    """`rank` is that of either adapter; `base` a model file whose base is
    taken as it is, without it `config` is that of the model file to be."""

    rank: int
    base: Path | None = None
    config: Config = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.base) == bool(self.config):
            raise Problem("small: expected either base or config, found "
                          + ("both" if self.base else "neither"))
        if self.rank < 1:
            raise Problem(f"small: rank: expected 1 or more, found "
                          f"{self.rank}")


def read_base(path: Path) -> tuple[Config, dict[str, Tensor]]:
    """A small model file's config and its weights without adapters."""
    source = open_tensors(path)
    names = [name for name in source.tensors if ".lora_" not in name]
    state = {name: source.read(name).float() for name in names}
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get("config")
    if text is None:
        raise Problem(f"{path}: expected a model file of the small model, "
                      "found no config in it")
    return json.loads(text), state


class Small(nn.Module):
    """`hr`, `up`: [N][3][H][W], examples of what will be seen; not asked for
    where the base is given."""

    def __init__(self, config: SmallConfig, hr: Tensor | None = None,
                 up: Tensor | None = None) -> None:
        super().__init__()
        state = None
        if config.base:
            self.config, state = read_base(config.base)
        else:
            self.config = config.config
        try:
            # TOML has no null, which is what says that there is none.
            self.config["unet"].setdefault("mid_block_type", None)
            self.vae = Vae(self.config["vae"])
            self.unet = UNet(self.config["unet"])
            self.cfr = Cfr(self.config)
        except KeyError as e:
            raise Problem(f"small.config: {e} is missing") from e
        if state:
            self.take(state, config.base)
        else:
            assert hr is not None and up is not None
            change_coordinates(self.vae, hr, up)
            pass_on(self.vae, self.unet, self.cfr)
        self.add_adapters(config.rank)

    def take(self, state: dict[str, Tensor], path: Path | None) -> None:
        try:
            self.load_state_dict(state)
        except RuntimeError as e:
            raise Problem(f"{path}: its tensors are not those of its config: "
                          f"{str(e).splitlines()[1].strip()}") from None

    def add_adapters(self, rank: int) -> None:
        for kind in KINDS.values():
            inject_adapter_in_model(
                LoraConfig(r=rank, lora_alpha=ALPHA, target_modules=ADAPTED),
                self.unet, kind)
        for module in self.unet.modules():
            if isinstance(module, LoraLayer):
                module.set_adapter(list(KINDS.values()))

    def learn(self, stage: Stage) -> list[nn.Parameter]:
        """Exactly what learns in the stage requires a gradient afterwards."""
        for name, parameter in self.named_parameters():
            is_flow = name.startswith("cfr.spynet.")
            if stage == Stage.FLOW:
                learns = is_flow
            elif stage == Stage.BASE:
                learns = not is_flow and ".lora_" not in name
            else:
                learns = name.startswith("unet.conv_in.") \
                    or stage != Stage.ENHANCEMENT \
                    and name.startswith("cfr.cross_attn_module.") \
                    or any(f".{kind}." in name for own, kind in KINDS.items()
                           if stage in (own, Stage.JOINT))
            parameter.requires_grad_(learns)
        return [p for p in self.parameters() if p.requires_grad]

    def find_flow(self, up: Tensor) -> list[Tensor]:
        """The pyramid of flows of frames 1 … T−1 to the ones before."""
        small = F.interpolate(up.flatten(0, 1), mode="bicubic",
                              scale_factor=1 / self.vae.patch)
        small = small.unflatten(0, up.shape[:2])
        return self.cfr.spynet.find(small[:, 1:].flatten(0, 1),
                                    small[:, :-1].flatten(0, 1))

    def forward(self, up: Tensor, first: bool = False) -> Restored:
        """up: [B][T][3][H][W]. `first`: each frame is its own predecessor."""
        shape = (up.shape[0], up.shape[1] - 1)
        flows = None
        z = self.vae.encode(up.flatten(0, 1)).float().unflatten(
            0, up.shape[:2])
        now, hr = z[:, 1:].flatten(0, 1), up[:, 1:].flatten(0, 1)
        with torch.autocast(up.device.type, enabled=False):
            aligned = now
            if not first:
                flows = self.find_flow(up)
                flow = to_grid(flows[-1].detach(), *z.shape[-2:])
                aligned = warp(z[:, :-1].flatten(0, 1), flow, "zeros")
            fused = self.cfr.cross_attn_module(now, aligned)
        eps = self.unet(torch.cat([aligned, fused], 1),
                        self.config["timestep"])
        latents = fused - eps.float()
        pictures = self.vae.decode(latents, hr)
        return Restored(pictures.unflatten(0, shape),
                        latents.unflatten(0, shape), flows)

    def file_state(self) -> dict[str, Tensor]:
        """What the model file holds: coordinates multiplied out, adapters by
        the engine's names."""
        state = {}
        for name, value in self.state_dict().items():
            if ".parametrizations." in name:
                continue
            name = name.replace(".base_layer.", ".")
            for kind in KINDS.values():
                name = name.replace(f".{kind}.weight", f".{kind}")
            state[name] = value
        for name, module in self.named_modules():
            if parametrize.is_parametrized(module):
                state[name + ".weight"] = cast(Tensor, module.weight)
        return {k: v.detach().half().contiguous() for k, v in state.items()}

    def export(self, folder: Path) -> None:
        path = folder / "model.safetensors"
        part = folder / "model.safetensors.part"
        try:
            part.write_bytes(save(self.file_state(), {
                "format": "dloral", "config": json.dumps(self.config)}))
            part.replace(path)
        except OSError as e:
            part.unlink(missing_ok=True)
            raise Problem(f"{path}: cannot be written: {e}") from e
