# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line: reads, builds, trains; users' mistakes are one line."""
import argparse
import sys
from pathlib import Path

import torch
from converter.problem import Problem
from torch.utils.data import default_collate

from . import checkpoint
from .config import RunConfig, read_config
from .distillation import distillation
from .losses import PARTS, Batch, Part
from .perceptual import Lpips
from .restored import Restored
from .samples import Samples
from .sd21 import Sd21, Sd21Config
from .small import Small
from .trainer import Trainer, make_accelerator

EXAMPLES = 24       # clips that the small model's coordinates come from
MORE_PARTS = {"lpips", "csd"}


def make_model(config: RunConfig) -> torch.nn.Module:
    torch.manual_seed(config.seed)
    if isinstance(config.model, Sd21Config):
        return Sd21(config.model)
    if config.model.base:
        return Small(config.model)
    samples = Samples(config.data, config.seed, moving=True)
    some = default_collate([samples[n] for n in range(EXAMPLES)])
    return Small(config.model, some["hr"].flatten(0, 1),
                 some["up"].flatten(0, 1))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="train", description="Trains a model as CONFIG says.")
    parser.add_argument("config", type=Path, metavar="CONFIG",
                        help="a TOML file: sd21.toml and small.toml beside "
                        "this program are examples")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER",
                        help="for the checkpoint, the model and the log")
    parser.add_argument("--resume", action="store_true",
                        help="go on from the checkpoint in FOLDER")
    parser.add_argument("--stop", type=int, metavar="STEP",
                        help="end there, to be resumed")
    return parser.parse_args(arguments)


def make_parts(config: RunConfig, model: torch.nn.Module,
               device: torch.device) -> dict[str, Part]:
    """The losses, those that need networks only where they weigh."""
    parts = dict(PARTS)
    used = set().union(*config.schedule.losses.values())
    if "lpips" in used:
        network = Lpips(config.perceptual.net,
                        config.perceptual.backbone).to(device)

        def lpips(restored: Restored, batch: Batch) -> torch.Tensor:
            return network(restored.pictures.flatten(0, 1),
                           batch["hr"][:, 1:].flatten(0, 1)).mean()
        parts["lpips"] = lpips
    if "csd" in used:
        if not isinstance(model, Sd21):
            raise Problem("losses: csd: wants [sd21], whose stock UNet it "
                          "asks")
        distil = distillation(model, config.distillation.prompt)

        def csd(restored: Restored, batch: Batch) -> torch.Tensor:
            return distil(restored.latents.flatten(0, 1))
        parts["csd"] = csd
    return parts


def prepare(options: argparse.Namespace) -> Trainer:
    config = read_config(options.config, set(PARTS) | MORE_PARTS)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Problem(f"{options.out}: cannot be made: {e}") from e
    if not options.resume and (options.out / checkpoint.NAME).exists():
        raise Problem(f"{options.out}: has a checkpoint already: --resume "
                      "goes on from it, another folder begins anew")
    accelerator = make_accelerator(config, options.out)
    model = make_model(config)
    parts = make_parts(config, model, accelerator.device)
    trainer = Trainer(config, model, parts, accelerator, options.out)
    if options.resume:
        trainer.resume()
    return trainer


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        prepare(options).run(options.stop)
    except Problem as e:
        # From a data process it comes with where it was raised before it.
        text = str(e).rstrip().rsplit("Problem: ", 1)[-1]
        print(f"train: {text}", file=sys.stderr)
        return 1
    return 0
