# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line: reads, builds, trains; users' mistakes are one line."""
import argparse
import sys
from pathlib import Path

import torch
from torch.utils.data import default_collate

from .config import RunConfig, read_config
from .distillation import Distillation, DistillationConfig
from .losses import PARTS, Part
from .perceptual import Lpips, LpipsConfig
from .problem import Problem
from .samples import Samples
from .sd21 import Sd21, Sd21Config
from .small import Small
from .trainer import Trainer, make_accelerator

EXAMPLES = 24       # clips that the small model's coordinates come from


def make_model(config: RunConfig) -> torch.nn.Module:
    torch.manual_seed(config.seed)
    if isinstance(config.model, Sd21Config):
        return Sd21(config.model)
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
