#!/usr/bin/env python3
# Writes a checkpoint as the published ones are laid out, random and small, and
# what the published code computes with it: a folder of diffusers' and
# transformers' making, a model.pkl of a UNet wrapped by peft, and beside them
# a case of the agreement test (frames, intermediates, pictures). write_ram ()
# does so for the tagger's files, which nothing is computed with here.
#
#   make_checkpoint.py published FOLDER   as deep as the published one
#   make_checkpoint.py tiny FOLDER
#   make_checkpoint.py fixture FOLDER     tiny, converted: data/converted
#
# Everything is read back from the files before anything is computed, so that
# only they decide.
#
# Needs what requirements.txt names.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "agreement"))

import make_case                                        # noqa: E402
import make_tagger                                      # noqa: E402
import reference                                        # noqa: E402

RANK = 4
PARTS = ("encoder", "decoder", "others")
KINDS = ("quality", "consistency")

# Layers that carry adapters: any whose name has one of these in it, but for
# norms.
ADAPTED = ("to_k", "to_q", "to_v", "to_out.0", "conv", "conv_in", "conv1",
           "conv2", "conv_shortcut", "conv_out", "proj_in", "proj_out",
           "ff.net.0.proj", "ff.net.2")

SHAPES = {
    # four levels and two layers a block, as Stable Diffusion has them
    "published": {
        "vae": [8, 8, 12, 12], "vae_layers": 2, "groups": 4,
        "unet": [8, 8, 12, 12], "heads": [1, 2, 2, 3], "unet_layers": 2,
        "text": 12, "text_layers": 3, "text_heads": 2, "heads_cfr": 9,
        "embed_cfr": 64, "spynet": [4, 6, 4, 4], "size": (26, 18), "frames": 3,
        "prompt": "A friends' photo, 4K; it's sharp!",
    },
    "tiny": {
        "vae": [4, 4, 4], "vae_layers": 1, "groups": 2,
        "unet": [4, 4], "heads": [1, 2], "unet_layers": 1,
        "text": 8, "text_layers": 1, "text_heads": 2, "heads_cfr": 2,
        "embed_cfr": 8, "spynet": [2, 3, 2, 2], "size": (16, 16), "frames": 2,
        "prompt": "clean, sharp",
    },
}

# What a tokenizer may meet.
TEXTS = [
    "", "A friends' photo, 4K; it's sharp!", "  spaces\t and\nlines ",
    "DON'T I'LL we've 's's '' s", "12½ ²x Ⅷ 2024", "a_b--c... !!! hello!",
    "one <|endoftext|> two <|STARTOFTEXT|>", "ΣΑΣ İstanbul straße ﬁ",
    "日本語 e\u0301 é हिन्दी", "\u200bzero\x00nul\xa0nbsp \ufffd 😀",
    "photo, clean, sharp, " * 20,
]


def unet_config(shape, in_channels):
    levels = len(shape["unet"])
    return {
        "in_channels": in_channels, "out_channels": 4,
        "block_out_channels": shape["unet"],
        "attention_head_dim": shape["heads"],
        "layers_per_block": shape["unet_layers"],
        "cross_attention_dim": shape["text"],
        "norm_num_groups": shape["groups"],
        "use_linear_projection": True,
        "down_block_types":
            ["CrossAttnDownBlock2D"] * (levels - 1) + ["DownBlock2D"],
        "up_block_types":
            ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (levels - 1),
    }


def whole_config(shape):
    """The model file's config, as far as the reference asks for it."""
    return {
        "scale": 4, "timestep": 1,
        "vae": {"latent_channels": 4, "scaling_factor": 0.18215,
                "block_out_channels": shape["vae"],
                "layers_per_block": shape["vae_layers"],
                "norm_num_groups": shape["groups"]},
        "unet": unet_config(shape, 8),
        "cfr": {"heads": shape["heads_cfr"], "embed_dim": shape["embed_cfr"],
                "temperature": 3000.0},
        "spynet": {"channels": shape["spynet"]},
    }


def to_f16_values(module):
    """A model file in f16 shall lose nothing."""
    for p in module.parameters():
        p.copy_(p.half().float())


# --- The folder of Stable Diffusion ------------------------------------------

def write_vae(plain, shape, folder):
    """With the names the attention has in the published file."""
    levels = len(shape["vae"])
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        block_out_channels=shape["vae"], layers_per_block=shape["vae_layers"],
        latent_channels=4, norm_num_groups=shape["groups"],
        sample_size=64)
    vae.load_state_dict(plain.vae.state_dict())
    vae.save_pretrained(folder)
    path = folder / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"),
                     ("to_out.0", "proj_attn")):
        for name in [n for n in state if f"attentions.0.{new}." in n]:
            state[name.replace(new, old)] = state.pop(name)
    save_file(state, path, {"format": "pt"})


def byte_letters():
    """CLIP's letter for each byte, in the order of its vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in plain]
    return letters + [chr(256 + i) for i in range(256 - len(plain))]


MERGES = """a r|s h|sh ar|shar p</w>|c l|e a|cl ea|clea n</w>|i t</w>|p h|
o t|ph ot|phot o</w>|f r|i e|fr ie|n d|frie nd|friend s</w>|Ã ¼""" \
    .replace("\n", "").split("|")


def write_tokenizer(folder):
    folder.mkdir(parents=True)
    tokens = byte_letters()
    tokens += [t + "</w>" for t in tokens]
    tokens += [m.replace(" ", "") for m in MERGES]
    tokens += ["<|startoftext|>", "<|endoftext|>"]

    def write(name, value):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False))

    def special(text):
        return {"content": text, "lstrip": False, "normalized": True,
                "rstrip": False, "single_word": False}

    write("vocab.json", {t: i for i, t in enumerate(tokens)})
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(MERGES) + "\n")
    ends = {"bos_token": special(tokens[-2]), "eos_token": special(tokens[-1]),
            "unk_token": special(tokens[-1])}
    # The published folder is of two minds about the padding.
    write("tokenizer_config.json", {
        **{k: {"__type": "AddedToken", **v} for k, v in ends.items()},
        "pad_token": "<|endoftext|>", "model_max_length": 77,
        "do_lower_case": True, "errors": "replace",
        "add_prefix_space": False, "tokenizer_class": "CLIPTokenizer"})
    write("special_tokens_map.json", {**ends, "pad_token": "!"})
    return len(tokens)


def write_text_encoder(folder, shape, vocabulary, generator):
    width = shape["text"]
    encoder = CLIPTextModel(CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=width, hidden_act="gelu",
        intermediate_size=2 * width, num_hidden_layers=shape["text_layers"],
        num_attention_heads=shape["text_heads"], max_position_embeddings=77,
        bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1))
    for name, p in encoder.named_parameters():
        norm = "norm" in name and name.endswith("weight")
        gain = 2 if "q_proj" in name or "k_proj" in name else 1
        spread = .2 if p.dim() == 1 else gain / math.sqrt(p.shape[-1])
        if "embedding" in name:
            spread = 1
        p.copy_(torch.randn(p.shape, generator=generator) * spread + norm)
    to_f16_values(encoder)
    encoder.save_pretrained(folder)
    # Older transformers kept the positions in the file.
    path = folder / "model.safetensors"
    state = load_file(path)
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(state, path, {"format": "pt"})


def write_sd(plain, shape, folder, generator):
    vocabulary = write_tokenizer(folder / "tokenizer")
    write_text_encoder(folder / "text_encoder", shape, vocabulary, generator)
    write_vae(plain, shape, folder / "vae")
    # Its weights are in model.pkl.
    UNet2DConditionModel(sample_size=64, **unet_config(shape, 4)) \
        .save_config(folder / "unet")


# --- model.pkl ---------------------------------------------------------------

def adapted_layers(unet):
    """The lists by part, as the published code finds them: parameters whose
    name says neither bias nor norm, part by where they are."""
    parts = {part: [] for part in PARTS}
    for name, _ in unet.named_parameters():
        if "bias" in name or "norm" in name \
                or not any(word in name for word in ADAPTED):
            continue
        part = "others"
        if "down_blocks" in name or "conv_in" in name:
            part = "encoder"
        elif "up_blocks" in name or "conv_out" in name:
            part = "decoder"
        parts[part].append(name.replace(".weight", ""))
    return parts


def wrap(unet, lists, ranks):
    """Three parts for each kind, in the published order."""
    for kind in KINDS:
        for part in PARTS:
            unet.add_adapter(
                LoraConfig(r=ranks[kind], init_lora_weights="gaussian",
                           target_modules=lists[kind, part]),
                adapter_name=f"default_{part}_{kind}")


class Unused(nn.Module):
    """What stands beside flow and retrieval in the published module and takes
    no part: names and order of magnitude only."""

    def __init__(self):
        super().__init__()
        self.feat_extract = nn.Sequential(nn.Conv2d(4, 4, 3))
        self.weight_predict = nn.Sequential(nn.Conv2d(3, 4, 3))
        self.conv_hr = nn.Conv2d(4, 4, 3)
        self.conv_last = nn.Conv2d(4, 4, 3)


def write_pickle(plain, path, generator):
    unet = make_unet(plain.config["unet"])
    unet.load_state_dict(plain.unet.state_dict())
    parts = adapted_layers(unet)
    lists = {(kind, part): parts[part] for kind in KINDS for part in PARTS}
    wrap(unet, lists, dict.fromkeys(KINDS, RANK))
    for name, p in unet.named_parameters():
        if ".lora_" in name:
            spread = .1 if ".lora_B." in name \
                else 1 / math.sqrt(p[0].numel())
            p.copy_(torch.randn(p.shape, generator=generator) * spread)
    to_f16_values(unet)
    flow = plain.cfr.spynet
    content = {f"unet_lora_{part}_modules_{kind}": names
               for (kind, part), names in lists.items()}
    content.update({f"lora_rank_unet_{kind}": RANK for kind in KINDS})
    content["state_dict_unet"] = dict(unet.state_dict())
    content["state_dict_bpp"] = {
        **plain.cfr.state_dict(), **Unused().state_dict(),
        "spynet.mean": flow.mean, "spynet.std": flow.std}
    torch.save(content, path)


# --- The tagger --------------------------------------------------------------

RAM = {**make_tagger.CONFIG, "num_attention_heads": 4}
RAM_RANK = 8


def tie(state):
    """The head's parameters under their second name, too: two modules of the
    published code own them."""
    return {**state, **{n.replace("tagging_head.", "tag_encoder."): t
                        for n, t in state.items()}}


def adapt(state, generator):
    """loralib's adapters: q and v of the windows' attention in one, query and
    key of the head's, apart for the head and its twin."""
    def pair(layer, parts, outputs, inputs):
        adapters[layer + ".lora_A"] = torch.randn(
            parts * RAM_RANK, inputs, generator=generator)
        adapters[layer + ".lora_B"] = torch.randn(
            outputs, RAM_RANK, generator=generator) * .3

    adapters = {}
    for name, weight in tie(state).items():
        layer, shape = name.removesuffix(".weight"), weight.shape
        if name.endswith("attn.qkv.weight"):
            pair(layer, 2, shape[0] // 3 * 2, shape[1])
        elif name.endswith(("self.query.weight", "self.key.weight")):
            pair(layer, 1, *shape)
    return adapters


def write_ram(folder):
    """ram.pth, DAPE.pth and the folder data/: the tagger, and something of
    what else the published files hold."""
    generator = torch.Generator().manual_seed(6)
    state = make_tagger.randomise(RAM, generator)
    swin, head = "visual_encoder.layers.0.blocks.1.", "encoder.layer.0."
    model = {**tie(state), "text_decoder.cls.predictions.bias": torch.ones(5),
             f"tag_encoder.{head}attention.self.query.weight": torch.ones(2, 2),
             swin + "attn.relative_position_index": torch.ones(16, 16).long(),
             swin + "attn_mask": torch.zeros(16, 16, 16)}
    torch.save({"model": model, "epoch": 3}, folder / "ram.pth")
    torch.save({**adapt(state, generator), "fc.bias": torch.ones(1),
                f"text_decoder.bert.{head}attention.self.query.lora_A":
                    torch.ones(8, 2)}, folder / "DAPE.pth")
    data = folder / "data"
    data.mkdir(exist_ok=True)
    (data / "ram_tag_list.txt").write_text("\n".join(make_tagger.TAGS))
    (data / "ram_tag_list_threshold.txt").write_text(
        "0.95\n" + "0.68\n" * (RAM["tags"] - 1))


# --- What the published code computes ----------------------------------------

def make_unet(config):
    return UNet2DConditionModel(sample_size=64, **config).eval()


class PublishedVae(nn.Module):
    """AutoencoderKL in the words of the reference."""

    def __init__(self, folder):
        super().__init__()
        self.inner = AutoencoderKL.from_pretrained(folder)

    def encode(self, x):
        return self.inner.encode(x).latent_dist.mean

    def decode(self, z):
        return self.inner.decode(z).sample


def embed_prompt(folder, prompt):
    """[77][d]"""
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder")
    ids = tokenizer(prompt, max_length=tokenizer.model_max_length,
                    padding="max_length", truncation=True,
                    return_tensors="pt").input_ids
    return encoder(ids)[0][0]


def load_unet(folder, content):
    """The folder's configuration, a first convolution of 8 channels, the
    adapters, then every parameter from model.pkl."""
    config = UNet2DConditionModel.load_config(folder / "unet")
    unet = UNet2DConditionModel.from_config(config)
    width = unet.conv_in.out_channels
    unet.conv_in = nn.Conv2d(8, width, 3, padding=1)
    lists = {(kind, part): content[f"unet_lora_{part}_modules_{kind}"]
             for kind in KINDS for part in PARTS}
    wrap(unet, lists, {kind: content[f"lora_rank_unet_{kind}"]
                       for kind in KINDS})
    for name, p in unet.named_parameters():
        p.copy_(content["state_dict_unet"][name])
    unet.set_adapter([f"default_{part}_{kind}" for kind in KINDS
                      for part in PARTS])
    return unet


def load_published(folder, config, prompt):
    content = torch.load(folder / "model.pkl")
    model = reference.Dloral(config)
    model.vae = PublishedVae(folder / "sd" / "vae")
    model.unet = load_unet(folder / "sd", content)
    for name, p in model.cfr.named_parameters():
        p.copy_(content["state_dict_bpp"][name])
    model.prompt_embeds.copy_(embed_prompt(folder / "sd", prompt))
    return model.eval().requires_grad_(False)


def tokens_of(folder, texts):
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    return [tokenizer(text, max_length=77, padding="max_length",
                      truncation=True).input_ids for text in texts]


def make(name, folder):
    """Fills `folder` with sd/, model.pkl, prompt.txt and the case."""
    torch.set_grad_enabled(False)
    torch.manual_seed(5)
    shape, folder = SHAPES[name], pathlib.Path(folder)
    generator = torch.Generator().manual_seed(5)
    frames = make_case.make_frames(*shape["size"], shape["frames"],
                                   np.random.default_rng(5))
    plain = reference.Dloral(whole_config(shape))
    make_case.randomise(plain, generator)
    make_case.balance(plain, frames)
    to_f16_values(plain)
    folder.mkdir(parents=True, exist_ok=True)
    write_sd(plain, shape, folder / "sd", generator)
    write_pickle(plain, folder / "model.pkl", generator)
    (folder / "prompt.txt").write_text(shape["prompt"])
    model = load_published(folder, plain.config, shape["prompt"])
    make_case.describe(*make_case.write_results(model, frames, folder))


def make_fixture(folder):
    """A case whose model is converted, and what TEXTS are as tokens."""
    folder = pathlib.Path(folder)
    with tempfile.TemporaryDirectory() as temporary:
        made = pathlib.Path(temporary)
        make("tiny", made)
        folder.mkdir(parents=True, exist_ok=True)
        for path in [*made.glob("*.raw"), *made.glob("intermediates-*")]:
            shutil.copyfile(path, folder / path.name)
        subprocess.run(
            [sys.executable, HERE.parents[1] / "weights" / "convert",
             "--sd", made / "sd", "--dloral", made / "model.pkl",
             "--prompt", SHAPES["tiny"]["prompt"],
             "-o", folder / "model.safetensors"], check=True)
        lines = [json.dumps([text, ids]) for text, ids
                 in zip(TEXTS, tokens_of(made / "sd", TEXTS))]
    (folder / "tokens.json").write_text("[" + ",\n".join(lines) + "]\n")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in (*SHAPES, "fixture"):
        sys.exit(f"use: make_checkpoint.py {'|'.join(SHAPES)}|fixture FOLDER")
    if sys.argv[1] == "fixture":
        make_fixture(sys.argv[2])
    else:
        make(*sys.argv[1:])
