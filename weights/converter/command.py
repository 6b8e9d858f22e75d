# The command: what it is asked, the order of the work, what it tells.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import argparse
import sys
from collections import Counter
from pathlib import Path

import torch

from .checkpoint import Checkpoint
from .model import Model, add_cfr, add_text, add_tiny, add_unet, add_vae
from .problem import SHOWN, Problem
from .writer import write


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="convert", description="Makes one model file of DLoRAL's "
        "published weights and Stable Diffusion 2.1-base's.")
    parser.add_argument(
        "--sd", type=Path, required=True, metavar="FOLDER",
        help="Stable Diffusion 2.1-base as diffusers lays it out: unet/ "
        "(config.json is enough), vae/, text_encoder/, tokenizer/")
    parser.add_argument(
        "--dloral", type=Path, required=True, metavar="FILE",
        help="DLoRAL's model.pkl")
    parser.add_argument(
        "--taesd", type=Path, metavar="FOLDER",
        help="the tiny coders, for vae=tiny: TAESD's files or diffusers', "
        "taesdv.pth, or both")
    parser.add_argument("-o", "--output", type=Path, required=True,
                        metavar="FILE", help="the model file to write")
    parser.add_argument("--dtype", choices=("f16", "bf16", "f32"),
                        default="f16", help="of the weights (f16)")
    parser.add_argument(
        "--merge", action="store_true",
        help="add the adapters to the weights instead of keeping them apart: "
        "smaller, but their strengths are then fixed")
    parser.add_argument(
        "--prompt", default="", metavar="TEXT",
        help="what the default prompt says (nothing, as in the published "
        "code)")
    parser.add_argument("--verbose", action="store_true",
                        help="name every tensor that is not used")
    return parser.parse_args(arguments)


def tell_unused(model, checkpoint, verbose):
    for source in model.sources:
        names = source.unused()
        groups = Counter(n.split(".")[0] + ".*" for n in names)
        if names:
            print(f"not used of {source.label}: "
                  + (", ".join(names) if len(names) <= SHOWN else ", ".join(
                      f"{n} {group}" for group, n in groups.items())))
        for name in names if verbose else ():
            print("   ", name)
    entries = checkpoint.unread()
    if entries:
        print(f"not used of {checkpoint.path}: {', '.join(entries)}")


def convert(options):
    checkpoint = Checkpoint(options.dloral)
    model = Model(options.dtype.upper())
    add_unet(model, options.sd, checkpoint, options.merge)
    add_vae(model, options.sd)
    add_cfr(model, checkpoint)
    add_text(model, options.sd, options.prompt)
    if options.taesd:
        add_tiny(model, options.taesd)
    for part in model.parts:
        print(part)
    tell_unused(model, checkpoint, options.verbose)
    sys.stdout.flush()
    size = write(options.output, model.items, model.metadata())
    print(f"{options.output}: {size / 1e6:.1f} MB, {len(model.items)} tensors")


def main(arguments):
    options = parse(arguments)
    torch.set_grad_enabled(False)
    try:
        convert(options)
    except Problem as e:
        print(f"convert: {e}", file=sys.stderr)
        return 1
    return 0
