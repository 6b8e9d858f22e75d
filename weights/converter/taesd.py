# The tiny coders as published: TAESD, in its own files or in those of diffusers,
# and TAESDV.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import collections
import pathlib
import pickle

import torch
from safetensors import SafetensorError, safe_open

from .problem import Problem

SUFFIXES = (".safetensors", ".pth")
DIFFUSERS = "diffusion_pytorch_model"
PUBLISHED_WIDTH = 64

# The networks layer by layer; a layer's place is the number in its tensors'
# names. None has no tensors: the clamp, ReLU, enlargement. "plain": a
# convolution without bias.
STAGE = ["block"] * 3
ENCODER = ["conv", "block", *(["plain"] + STAGE) * 3, "conv"]
DECODER = [None, "conv", None, *(STAGE + [None, "plain"]) * 3, "block", "conv"]

# A network of a file: what it is, for messages; names to tensors.
Net = collections.namedtuple("Net", "path what tensors")


class Tensor:
    """A tensor that is read when asked for: its shape, and load (), which gives
    a torch.Tensor."""

    def __init__(self, shape, load):
        self.shape, self.load = tuple(shape), load


# --- Reading -----------------------------------------------------------------

def read_safetensors(path):
    def lazy(name):
        return Tensor(file.get_slice(name).get_shape(),
                      lambda: file.get_tensor(name))

    file = safe_open(path, "pt")
    return {name: lazy(name) for name in file.keys()}


def read_pth(path):
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(
            isinstance(t, torch.Tensor) for t in state.values()):
        raise Problem(f"{path}: expected a dictionary of tensors, found "
                      "something else")
    return {name: Tensor(t.shape, lambda t=t: t) for name, t in state.items()}


def read(path):
    reader = read_safetensors if path.suffix == ".safetensors" else read_pth
    try:
        return reader(path)
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError,
            pickle.UnpicklingError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise Problem(f"{path}: cannot be read: {reason}") from e


def find(directory, stem):
    """The file of that name, or None."""
    for suffix in SUFFIXES:
        path = directory / (stem + suffix)
        if path.is_file():
            return path
    return None


def part(tensors, prefix, shift=0):
    """The tensors under a prefix, without it, their places counted from
    `shift` instead of zero."""
    found = {}
    for name, tensor in tensors.items():
        place, dot, rest = name.removeprefix(prefix).partition(".")
        if name.startswith(prefix) and place.isdecimal():
            found[f"{int(place) + shift}{dot}{rest}"] = tensor
        elif name.startswith(prefix):
            found[name] = tensor        # fits nothing, and is named so
    return found


# --- Checking ----------------------------------------------------------------

def get_shapes(kinds, inputs, outputs, remembers, tensors):
    """Name and shape of every tensor; widths are those of the file."""
    shapes, c = {}, inputs
    for place, kind in enumerate(kinds):
        if kind == "block":
            for i in (0, 2, 4):
                seen = 2 * c if remembers and i == 0 else c
                shapes[f"{place}.conv.{i}.weight"] = (c, seen, 3, 3)
                shapes[f"{place}.conv.{i}.bias"] = (c,)
        elif kind:
            name = f"{place}.weight"
            width = PUBLISHED_WIDTH
            if place == len(kinds) - 1:
                width = outputs
            elif name in tensors and tensors[name].shape:
                width = tensors[name].shape[0]
            shapes[name] = (width, c, 3, 3)
            if kind == "conv":
                shapes[f"{place}.bias"] = (width,)
            c = width
    return shapes


def check(net, kinds, inputs, outputs, remembers=False):
    shapes = get_shapes(kinds, inputs, outputs, remembers, net.tensors)
    for name, shape in shapes.items():
        found = net.tensors[name].shape if name in net.tensors else "none"
        if found != shape:
            raise Problem(f"{net.path}: tensor {name} of {net.what}: expected "
                          f"shape {shape}, found {found}; this is no such "
                          "network for these latents")
    for name in net.tensors:
        if name not in shapes:
            raise Problem(f"{net.path}: expected {net.what} and no more, found "
                          f"tensor {name}")


# --- Files -------------------------------------------------------------------

def find_nets(directory):
    """Networks by what the model file calls them."""
    nets = {}
    video = find(directory, "taesdv")
    if video:
        state = read(video)
        nets["encoder"] = Net(video, "TAESD's encoder", part(state, "encoder."))
        nets["video_decoder"] = Net(video, "TAESDV's decoder",
                                    part(state, "decoder."))
    diffusers = find(directory, DIFFUSERS)
    if diffusers:               # there the decoder's clamp is no layer
        state = read(diffusers)
        nets["encoder"] = Net(diffusers, "TAESD's encoder",
                              part(state, "encoder.layers."))
        nets["decoder"] = Net(diffusers, "TAESD's decoder",
                              part(state, "decoder.layers.", 1))
    for name in ("encoder", "decoder"):
        own = find(directory, f"taesd_{name}")
        if own:
            nets[name] = Net(own, f"TAESD's {name}", read(own))
    return nets


def tensors(directory, latent_channels=4):
    """(name in the model file, Tensor) of each tensor of the tiny coders in a
    directory. All are checked before the first one comes."""
    directory = pathlib.Path(directory)
    nets = find_nets(directory)
    if "encoder" not in nets or len(nets) == 1:
        raise Problem(
            f"{directory}: expected taesd_encoder and taesd_decoder (or taesdv)"
            f" as .safetensors or .pth, or {DIFFUSERS}.safetensors; found "
            + (" and ".join(str(net.path.name) for net in nets.values())
               or "none of them"))
    for name, net in nets.items():
        if name == "encoder":
            check(net, ENCODER, 3, latent_channels)
        else:
            check(net, DECODER, latent_channels, 3, name == "video_decoder")
    return ((f"tiny.{name}.{inner}", tensor) for name, net in nets.items()
            for inner, tensor in net.tensors.items())
