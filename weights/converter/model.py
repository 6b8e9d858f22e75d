# What goes into the model file: every network's tensors under the names of the
# format, and the config. A network is a function that adds its items; it finds
# out what it needs to know from the files.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json

import torch

from . import taesd
from .adapters import KINDS
from .checkpoint import read_cfr
from .clip import Encoder
from .configs import read_text_encoder, read_unet, read_vae
from .layouts import cfr_layout, text_layout, unet_layout, vae_layout
from .problem import Problem
from .sources import open_folder
from .tagger import Tagger, read_tags, read_thresholds
from .textfile import read_file
from .tokenizer import read_tokenizer
from .writer import Item

OLD_VAE_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value",
                 "to_out.0": "proj_attn"}


def old_vae_name(name):
    """As Stable Diffusion's VAE files call the attention in the middle."""
    for new, old in OLD_VAE_NAMES.items():
        name = name.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
    return name


class Model:
    """Collects items and config; `sources` are accounted for at the end,
    `unread` are entries of files that nothing asks for, `parts` is what to
    tell the user of each. `form` is what the file will say it is."""

    def __init__(self, dtype, form="dloral"):
        self.dtype, self.form, self.config = dtype, form, {}
        self.items, self.sources, self.unread, self.parts = [], [], [], []

    def add(self, name, shape, make, dtype=None):
        self.items.append(Item(name, dtype or self.dtype, tuple(shape), make))

    def add_layout(self, prefix, source, layout, advice=""):
        source.claim(layout, advice)
        self.sources.append(source)
        for name, shape in layout.items():
            self.add(prefix + name, shape,
                     lambda name=name: source.read(name))

    def metadata(self):
        return {"format": self.form, "config": json.dumps(self.config)}


# --- UNet --------------------------------------------------------------------

def check_text_width(unet, source, path):
    """The one number that tells the versions of Stable Diffusion apart."""
    name = next((n for n in source.tensors if ".attn2.to_k." in n
                 and ".lora_" not in n), None)
    expected = unet["cross_attention_dim"]
    if name and source.shape(name)[-1] != expected:
        raise Problem(f"{path}: cross_attention_dim: expected "
                      f"{source.shape(name)[-1]}, the width of {name} in "
                      f"{source.label}, found {expected}; the folder is of "
                      "another version of Stable Diffusion than 2.1-base")


def add_unet(model, folder, checkpoint, merge):
    source, adapters = checkpoint.unet, checkpoint.adapters
    path = folder / "unet" / "config.json"
    unet = read_unet(path, source.size("conv_in.weight", 1))
    check_text_width(unet, source, path)
    layout = unet_layout(unet)
    advice = f"; {path} describes another UNet than the checkpoint's"
    source.claim(layout, advice)
    adapters.claim(layout)
    model.sources.append(source)
    model.config["unet"] = unet
    for name, shape in layout.items():
        model.add("unet." + name, shape, lambda name=name:
                  read_merged(source, adapters, name) if merge
                  else source.read(name))
    if not merge:
        add_adapters(model, source, adapters, layout)
    ranks = " and ".join(f"{KINDS[kind]} of rank {rank}" for kind, rank
                         in adapters.ranks.items())
    model.parts.append(
        f"unet: {len(layout)} tensors; adapters {ranks}, "
        f"{len(adapters.names)} in all, {'merged' if merge else 'apart'}")


def read_merged(source, adapters, name):
    tensor = source.read(name)
    layer, which = name.rsplit(".", 1)
    return adapters.merge(layer, tensor) if which == "weight" else tensor


def add_adapters(model, source, adapters, layout):
    for layer, kind in adapters.names:
        names = adapters.names[layer, kind]
        shapes = adapters.shapes(kind, layout[layer + ".weight"])
        for half, shape in zip("AB", shapes):
            model.add(f"unet.{layer}.lora_{half}.{KINDS[kind]}", shape,
                      lambda name=names[half]: source.read(name))


# --- VAE, flow and retrieval -------------------------------------------------

def add_vae(model, folder):
    vae = read_vae(folder / "vae" / "config.json")
    source = open_folder(folder / "vae", "diffusion_pytorch_model",
                         renamed=old_vae_name)
    layout = vae_layout(vae)
    model.add_layout("vae.", source, layout)
    model.config["vae"] = vae
    model.parts.append(f"vae: {len(layout)} tensors")


def add_cfr(model, checkpoint):
    """`in_channels` of the UNet are two latents."""
    latent = model.config["vae"]["latent_channels"]
    unet = model.config["unet"]
    if unet["in_channels"] != 2 * latent or unet["out_channels"] != latent:
        raise Problem(f"{checkpoint.unet.label}: expected a UNet from "
                      f"{2 * latent} channels, two latents of the VAE, to "
                      f"{latent}, found {unet['in_channels']} to "
                      f"{unet['out_channels']}")
    cfr, spynet = read_cfr(checkpoint.cfr)
    layout = cfr_layout(cfr, spynet, latent)
    model.add_layout("cfr.", checkpoint.cfr, layout)
    model.config.update(cfr=cfr, spynet=spynet)
    model.parts.append(f"flow and retrieval: {len(layout)} tensors")


def add_tiny(model, folder):
    """Every tensor of the folder's networks, all of which have been checked."""
    latent = model.config["vae"]["latent_channels"]
    found = list(taesd.tensors(folder, latent))
    for name, tensor in found:
        model.add(name, tensor.shape, tensor.load)
    nets = sorted({name.split(".")[1] for name, _ in found})
    model.parts.append(f"tiny coder: {len(found)} tensors ("
                       + ", ".join(nets) + ")")


# --- Text --------------------------------------------------------------------

def add_bytes(model, name, content):
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    model.add(name, data.shape, lambda: data, "U8")


def add_tokenizer(model, folder, text):
    tokenizer = read_tokenizer(folder, text)
    for name in ("vocab.json", "merges.txt"):
        add_bytes(model, "tokenizer." + name, read_file(folder / name))
    model.config["tokenizer"] = tokenizer.config()
    return tokenizer


def check_encoder_width(text, unet, path):
    if text["hidden_size"] != unet["cross_attention_dim"]:
        raise Problem(f"{path}: hidden_size: expected "
                      f"{unet['cross_attention_dim']}, the UNet's "
                      f"cross_attention_dim, found {text['hidden_size']}; "
                      "text_encoder/ and unet/ do not belong together")


def add_text(model, folder, prompt):
    """Text encoder, tokenizer, and what they make of the default prompt: in
    f32, as it is small and computed."""
    path = folder / "text_encoder" / "config.json"
    text = read_text_encoder(path)
    check_encoder_width(text, model.config["unet"], path)
    source = open_folder(folder / "text_encoder", "model", "pytorch_model")
    layout = text_layout(text)
    model.add_layout("text_encoder.", source, layout)
    model.config["text_encoder"] = text
    tokenizer = add_tokenizer(model, folder / "tokenizer", text)
    ids = tokenizer.encode(prompt)
    model.add("prompt_embeds", (len(ids), text["hidden_size"]),
              lambda: Encoder(source, text).encode(ids), "F32")
    model.parts.append(f"text encoder: {len(layout)} tensors, tokenizer of "
                       f"{text['vocab_size']} tokens; default prompt "
                       f"{prompt!r}")


# --- Tagger ------------------------------------------------------------------

def add_tagger(model, ram, dape, folder):
    """RAM as DAPE (or None) changes it, the tags and, in f32, the thresholds
    of the folder."""
    tagger = Tagger(ram, dape)
    number = tagger.config["tags"]
    tags = read_tags(folder, number)
    thresholds = read_thresholds(folder, number)
    for name, shape in tagger.layout.items():
        model.add("tagger." + name, shape,
                  lambda name=name: tagger.read(name))
    add_bytes(model, "tagger.tags", "\n".join(tags).encode())
    model.add("tagger.thresholds", thresholds.shape, lambda: thresholds, "F32")
    model.sources += [tagger.ram, tagger.dape.source]
    model.unread.append((ram, tagger.unread))
    model.config["tagger"] = tagger.config
    model.parts.append(f"tagger: {len(tagger.layout)} tensors, {number} tags; "
                       f"adapters of {tagger.adapted} layers, merged")
