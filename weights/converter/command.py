# The command: what it is asked, the order of the work, what it tells.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import argparse
import sys
from collections import Counter
from pathlib import Path

import torch

from .checkpoint import Checkpoint
from .model import (Model, add_cfr, add_tagger, add_text, add_tiny, add_unet,
                    add_vae)
from .problem import SHOWN, Problem
from .writer import write


def add_inputs(parser):
    parser.add_argument(
        "--sd", type=Path, metavar="FOLDER",
        help="Stable Diffusion 2.1-base as diffusers lays it out: unet/ "
        "(config.json is enough), vae/, text_encoder/, tokenizer/")
    parser.add_argument("--dloral", type=Path, metavar="FILE",
                        help="DLoRAL's model.pkl")
    parser.add_argument(
        "--taesd", type=Path, metavar="FOLDER",
        help="the tiny coders, for vae=tiny: TAESD's files or diffusers', "
        "taesdv.pth, or both")
    parser.add_argument(
        "--ram", type=Path, metavar="FILE",
        help="the tagger, ram_swin_large_14m.pth; without --sd and --dloral "
        "it makes a file of its own")
    parser.add_argument("--dape", type=Path, metavar="FILE",
                        help="what fine-tunes the tagger, DAPE.pth")
    parser.add_argument(
        "--ram-data", type=Path, metavar="FOLDER",
        help="the tagger's ram_tag_list.txt and ram_tag_list_threshold.txt: "
        "ram/data of DLoRAL's code")


def add_outputs(parser):
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


def check_inputs(parser, options):
    """What goes together."""
    if not options.sd and not options.ram:
        parser.error("expected --sd with --dloral, --ram with --ram-data, or "
                     "both pairs")
    for needed, others in (("sd", ("dloral", "taesd", "merge", "prompt")),
                           ("dloral", ("sd",)), ("ram", ("dape", "ram_data")),
                           ("ram_data", ("ram",))):
        for other in others:
            if getattr(options, other) and not getattr(options, needed):
                parser.error(f"--{other} needs --{needed}".replace("_", "-"))


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="convert", description="Makes one model file of DLoRAL's "
        "published weights, Stable Diffusion 2.1-base's and the tagger's.")
    add_inputs(parser)
    add_outputs(parser)
    options = parser.parse_args(arguments)
    check_inputs(parser, options)
    return options


def tell_unused(model, verbose):
    for source in model.sources:
        names = source.unused()
        groups = Counter(n.split(".")[0] + ".*" for n in names)
        if names:
            print(f"not used of {source.label}: "
                  + (", ".join(names) if len(names) <= SHOWN else ", ".join(
                      f"{n} {group}" for group, n in groups.items())))
        for name in names if verbose else ():
            print("   ", name)
    for path, entries in model.unread:
        if entries:
            print(f"not used of {path}: {', '.join(entries)}")


def add_dloral(model, options):
    checkpoint = Checkpoint(options.dloral)
    model.config.update(scale=4, timestep=1, color_fix="adain")
    add_unet(model, options.sd, checkpoint, options.merge)
    add_vae(model, options.sd)
    add_cfr(model, checkpoint)
    add_text(model, options.sd, options.prompt)
    if options.taesd:
        add_tiny(model, options.taesd)
    model.unread.append((checkpoint.path, checkpoint.unread()))


def convert(options):
    model = Model(options.dtype.upper(),
                  "dloral" if options.sd else "dloral-tagger")
    if options.sd:
        add_dloral(model, options)
    if options.ram:
        add_tagger(model, options.ram, options.dape, options.ram_data)
    for part in model.parts:
        print(part)
    tell_unused(model, options.verbose)
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
