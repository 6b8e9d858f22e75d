#!/usr/bin/env python3
# Writes a case of the agreement test: a small random model, frames, and what
# PyTorch computes from them.
#
#   make_case.py sd data/sd               a model and frames of a named shape
#   make_case.py MODEL FRAMES WxH FOLDER  an existing model and RGB frames
#   make_case.py settings data            every setting, on models in data
#
# A case is a folder: model.safetensors, lq-WxH-rgb.raw,
# intermediates-WxH.safetensors (float32, NCHW, `latent.0` …) and
# ref-{none,adain,wavelet}-WxH-rgb.raw, one picture a frame; a small case may
# leave out corrections. Where the model has a tiny coder, it is the one used. A
# frame other than the first that has no flow begins anew. Settings have one
# file each, settings/NAME.safetensors, with `x0.0`, `x0.1` …; settings/wide has
# its frame with it.
#
# Needs torch, diffusers 0.25, safetensors, numpy, pillow.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json
import math
import pathlib
import re
import shutil
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

import reference
import tiny

COLOR_FIXES = ("none", "adain", "wavelet")

# Stable Diffusion's shape, narrow; latent sides odd at most levels (13×9).
SD = {
    "scale": 4, "timestep": 1,
    "vae": {"latent_channels": 4, "scaling_factor": 0.18215,
            "block_out_channels": [8, 8, 12, 12], "layers_per_block": 1,
            "norm_num_groups": 4},
    "unet": {"in_channels": 8, "out_channels": 4,
             "block_out_channels": [8, 8, 12, 12],
             "attention_head_dim": [1, 2, 2, 3], "layers_per_block": 1,
             "cross_attention_dim": 12, "norm_num_groups": 4,
             "use_linear_projection": True,
             "down_block_types": ["CrossAttnDownBlock2D"] * 3
             + ["DownBlock2D"],
             "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3},
    "cfr": {"heads": 9, "embed_dim": 64, "temperature": 3000.0},
    "spynet": {"channels": [4, 6, 4, 4]},
}

# The small model's shape: patches, no bottleneck, window, LQ residual, no text;
# attention without text at the coarse level; a size that needs padding.
SMALL = {
    "scale": 4, "timestep": 1, "color_fix": "none",
    "vae": {"latent_channels": 16, "scaling_factor": 1.0, "patch_size": 8,
            "block_out_channels": [12], "layers_per_block": 1,
            "decoder_layers_per_block": 1, "norm_num_groups": 4,
            "mid_block": False, "use_quant_conv": False,
            "use_post_quant_conv": False, "lq_residual": True},
    "unet": {"in_channels": 32, "out_channels": 16,
             "block_out_channels": [12, 16], "attention_head_dim": [1, 4],
             "layers_per_block": 1, "cross_attention_dim": 0,
             "norm_num_groups": 4, "use_linear_projection": True,
             "mid_block_type": "UNetMidBlock2D",
             "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
             "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"]},
    "cfr": {"heads": 3, "embed_dim": 16, "temperature": 20.0, "window": 5},
    "spynet": {"channels": [4, 8, 4, 4]},
}

# What the other two leave out: projections as convolutions, two layers a
# block, patches and levels together, another timestep, adapters kept apart,
# adapters kept apart, an attention in the VAE under its old names.
CONV = {
    "scale": 4, "timestep": 499, "color_fix": "wavelet",
    "vae": {"latent_channels": 8, "scaling_factor": 0.5, "patch_size": 2,
            "block_out_channels": [8, 12], "layers_per_block": 2,
            "norm_num_groups": 4},
    "unet": {"in_channels": 16, "out_channels": 8,
             "block_out_channels": [12, 16], "attention_head_dim": [1, 2],
             "layers_per_block": 2, "cross_attention_dim": 20,
             "norm_num_groups": 4, "use_linear_projection": False,
             "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
             "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"]},
    "cfr": {"heads": 2, "embed_dim": 12, "temperature": 300.0},
    "spynet": {"channels": [4, 6, 4, 4], "shrink": 2},
}

# Tiny coders beside a VAE that nobody asks: neither its scaling factor nor its
# patches nor its residual may matter to them.
TINY = {
    "scale": 4, "timestep": 1,
    "vae": {"latent_channels": 4, "scaling_factor": 0.18215, "patch_size": 4,
            "block_out_channels": [2, 2], "layers_per_block": 1,
            "decoder_layers_per_block": 1, "norm_num_groups": 1,
            "mid_block": False, "use_quant_conv": False,
            "use_post_quant_conv": False, "lq_residual": True},
    "unet": {"in_channels": 8, "out_channels": 4, "block_out_channels": [4],
             "attention_head_dim": 1, "layers_per_block": 1,
             "cross_attention_dim": 0, "norm_num_groups": 2,
             "use_linear_projection": True, "mid_block_type": None,
             "down_block_types": ["DownBlock2D"],
             "up_block_types": ["UpBlock2D"]},
    "cfr": {"heads": 2, "embed_dim": 4, "temperature": 20.0},
    "spynet": {"channels": [2, 2, 2, 2]},
}

# name: config, LQ size, frames, seed, adapters and old names
CASES = {
    "sd": (SD, (26, 18), 3, 1, False),
    "small": (SMALL, (27, 21), 3, 2, False),
    "conv": (CONV, (35, 33), 2, 3, True),
    "tiny": (TINY, (17, 16), 2, 7, False),
    "tiny-video": (TINY, (16, 16), 5, 9, False),
}

# name: widths of encoder and decoder, whether that remembers, frames that
# begin anew, colour corrections that are written
TINY_CASES = {
    "tiny": ((4,) * 4, (5,) * 4, False, (), ("none", "adain")),
    "tiny-video": ((3, 4, 3, 3), (4, 5, 4, 3), True, (3,), ("none",)),
}

# name: folder of the model and its frames, what reference.load is told
SETTINGS = {
    "base": ("conv", dict(consistency=0, detail=0)),
    "strengths": ("conv", dict(consistency=.5, detail=2)),
    "window-0": ("sd", dict(look_back=0)),
    "window-2": ("sd", dict(look_back=2)),
    "tiles": ("sd", dict(tile=8, overlap=3)),
    "tiles-window-2": ("sd", dict(tile=6, overlap=2, look_back=2)),
}

# One layer of each kind that may carry adapters.
ADAPTED = re.compile(
    r"unet\.(conv_in|conv_out|down_blocks\.1\.resnets\.0\.conv1"
    r"|up_blocks\.0\.resnets\.1\.conv2|down_blocks\.0\.downsamplers\.0\.conv"
    r"|up_blocks\.1\.resnets\.0\.conv_shortcut|mid_block\.attentions\.0\.\S+"
    r"(proj_in|proj_out|to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)"
    r"|mid_block\.attentions\.0\.proj_(in|out))\.weight")


def make_frames(width, height, n, rng):
    """Gratings and a bright box over noise that move: [n][height][width][3]."""
    frames = []
    waves = [(rng.uniform(.2, .9, 2), rng.uniform(0, 6.3),
              rng.uniform(8, 30, 3)) for _ in range(5)]
    noise = rng.normal(0, 6, (height + n, width + 2 * n, 3))
    for t in range(n):
        y, x = np.mgrid[:height, :width].astype(float)
        x, y = x - 1.6 * t, y + .7 * t
        picture = 118 + noise[t:t + height, 2 * t:2 * t + width]
        for (a, b), phase, gain in waves:
            picture = picture + np.sin(a * x + b * y + phase)[..., None] * gain
        box = (abs(x - width * .6) < width / 6) & (abs(y - height / 2) < 4)
        picture[box] += (60, -30, 45)
        frames.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    return np.stack(frames)


def randomise(model, generator):
    """Parameters none of which is idle: norms away from identity, attention
    that chooses, gains that outlive the ReLUs of the flow."""
    def normal(p, mean, std):
        p.copy_(torch.randn(p.shape, generator=generator) * std + mean)

    for name, module in model.named_modules():
        if isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
            normal(module.weight, 1, .2)
            normal(module.bias, 0, .2)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in, gain, bias = module.weight[0].numel(), .8, .2
            if name.startswith("cfr.spynet"):
                # Level l of a small picture is 2^l wide: most taps see zeros.
                taps = min(49, 4 ** int(name.split(".")[3]))
                fan_in, gain = fan_in / 49 * taps, 1.4
            elif name.endswith(("to_q", "to_k")):
                gain = 2
            elif name.startswith("tiny"):       # no norm restores what fades
                gain, bias = 1.2, .05
            normal(module.weight, 0, gain / math.sqrt(fan_in))
            if module.bias is not None:
                normal(module.bias, 0, bias)
    if model.prompt_embeds is not None:
        normal(model.prompt_embeds, 0, 1)


def scale_layer(layer, factor):
    for p in layer.parameters():
        p.mul_(factor)


def balance(model, frames):
    """Scales the last layer of every part until its result has a spread that
    the parts after it feel: two frames through the model, part by part."""
    retrieval = model.cfr.cross_attn_module
    for layer in (retrieval.query_conv, retrieval.key_conv,
                  retrieval.value_conv):
        scale_layer(layer, 1.5)

    def spread(name, of=lambda r: 1):
        model.forget()
        model.restore(frames[0])
        result = model.restore(frames[1])
        value = result[name] - (of(result) if callable(of) else 0)
        return value.std().item()

    if model.tiny:
        _, x = model.upsample(frames[0])
        settle(model.tiny.encoder[-1], lambda: model.tiny.encode(x), 1.3)
    else:
        scale_layer(model.vae.encoder.conv_out, 1.3 / spread("latent"))
    for _ in range(3):
        factor = 1.0 / spread("flow")
        for level in model.cfr.spynet.basic_module:
            scale_layer(level.basic_module[-1], factor ** .5)
    scale_layer(retrieval.proj_out,
                1.5 / spread("fused", lambda r: r["latent"]))
    scale_layer(model.unet.conv_out, .8 / spread("eps"))
    result = model.restore(frames[1])
    x0 = result["fused"] - result["eps"]
    if model.tiny:
        settle(model.tiny.get_decoder()[-1],
               lambda: model.tiny.get_decoder()(x0) - .5, .2)
    else:
        balance_decoder(model.vae, x0 / model.config["vae"]["scaling_factor"])


def balance_decoder(vae, x0):
    first = vae.decoder.conv_in if isinstance(
        vae.post_quant_conv, reference.PassThrough) else vae.post_quant_conv
    first.weight.div_(x0.std())
    scale_layer(vae.decoder.conv_out, .35 / vae.decode(x0).std().item())


def settle(last, compute, spread):
    """Gives what ends in this layer a mean of zero in every channel and a
    spread."""
    scale_layer(last, spread / compute().std((0, 2, 3)).mean().item())
    last.bias.sub_(compute().mean((0, 2, 3)))


def add_adapters(state, generator):
    """Both adapters, rank 4, beside some layers; the names the VAE's attention
    had in older files."""
    for name in [n for n in state if ADAPTED.fullmatch(n)]:
        layer, weight = name[:-len(".weight")], state[name]
        for which in ("consistency", "detail"):
            a = torch.randn((4, *weight.shape[1:]), generator=generator)
            b = torch.randn((weight.shape[0], 4) + (1,) * (weight.dim() - 2),
                            generator=generator)
            state[f"{layer}.lora_A.{which}"] = a / math.sqrt(a[0].numel())
            state[f"{layer}.lora_B.{which}"] = b * .1
    for name in list(state):
        for old, new in reference.OLD_NAMES.items():
            part = f".mid_block.attentions.0.{new}."
            if name.startswith("vae.") and part in name:
                moved = name.replace(part, f".mid_block.attentions.0.{old}.")
                state[moved] = state.pop(name)


def make_tiny(latent, encoder_widths, decoder_widths, remembers, *unused):
    tiny.check_against_diffusers()
    return tiny.TinyVae(latent, encoder_widths, decoder_widths, remembers)


def write_model(config, frames, seed, adapters, tiny_case, path):
    generator = torch.Generator().manual_seed(seed)
    latent = config["vae"]["latent_channels"]
    model = reference.Dloral(config, tiny_case
                             and make_tiny(latent, *tiny_case))
    randomise(model, generator)
    balance(model, frames)
    state = model.state_dict()
    if adapters:
        add_adapters(state, generator)
    save_file({k: v.half().contiguous() for k, v in state.items()}, path,
              {"format": "dloral", "config": json.dumps(config)})


def write_results(model, frames, folder, cuts=(), fixes=COLOR_FIXES):
    height, width = frames.shape[1:3]
    tensors, pictures = {}, {fix: [] for fix in fixes}
    for t, frame in enumerate(frames):
        if t in cuts:
            model.forget()
        result = model.restore(frame)
        for name in ("latent", "flow", "aligned", "fused", "eps"):
            if name != "flow" or t not in (0, *cuts):
                tensors[f"{name}.{t}"] = result[name].clone()
        for fix in fixes:
            pictures[fix].append(reference.finish(
                result["image"], result["lq_hr"], fix))
    frames.tofile(folder / f"lq-{width}x{height}-rgb.raw")
    save_file(tensors, folder / f"intermediates-{width}x{height}.safetensors")
    for fix in fixes:
        np.stack(pictures[fix]).tofile(
            folder / f"ref-{fix}-{4 * width}x{4 * height}-rgb.raw")
    return tensors, pictures


def write_settings(data):
    for name, (case, settings) in SETTINGS.items():
        model = reference.load(data / case / "model.safetensors", **settings)
        raw, = (data / case).glob("lq-*-rgb.raw")
        width, height = map(int, raw.name.split("-")[1].split("x"))
        frames = np.fromfile(raw, np.uint8).reshape(-1, height, width, 3)
        results = [model.restore(frame) for frame in frames]
        save_file({f"x0.{t}": (r["fused"] - r["eps"]).contiguous()
                   for t, r in enumerate(results)},
                  data / "settings" / f"{name}.safetensors")


def write_wide(data):
    """A frame wide enough for the VAE's tiles; of the picture, some rows."""
    model = reference.load(data / "sd" / "model.safetensors")
    model.vae.tile()
    frame, = make_frames(500, 16, 1, np.random.default_rng(5))
    r = model.restore(frame)
    picture = reference.finish(r["image"], r["lq_hr"], "none")
    save_file({"lq": torch.from_numpy(frame),
               "latent.0": r["latent"].contiguous(),
               "x0.0": (r["fused"] - r["eps"]).contiguous(),
               "rows": torch.from_numpy(picture[28:36].copy())},
              data / "settings" / "wide.safetensors")


def describe(tensors, pictures):
    for name, tensor in tensors.items():
        print(f"{name:10} {list(tensor.shape)} mean {tensor.mean():.3g} "
              f"std {tensor.std():.3g}")
    for fix, stack in pictures.items():
        stack = np.stack(stack)
        print(f"{fix:10} mean {stack.mean():.1f} std {stack.std():.1f} "
              f"clipped {np.isin(stack, (0, 255)).mean():.3f}")


def main(arguments):
    torch.set_grad_enabled(False)
    if len(arguments) == 2 and arguments[0] == "settings":
        data = pathlib.Path(arguments[1])
        (data / "settings").mkdir(exist_ok=True)
        write_settings(data)
        write_wide(data)
        return
    cuts, fixes = (), COLOR_FIXES
    if len(arguments) == 2 and arguments[0] in CASES:
        config, size, n, seed, adapters = CASES[arguments[0]]
        folder = pathlib.Path(arguments[1])
        folder.mkdir(parents=True, exist_ok=True)
        frames = make_frames(*size, n, np.random.default_rng(seed))
        tiny_case = TINY_CASES.get(arguments[0])
        if tiny_case:
            cuts, fixes = tiny_case[3:]
        write_model(config, frames, seed, adapters, tiny_case,
                    folder / "model.safetensors")
    elif len(arguments) == 4:
        source, raw, size, folder = arguments
        width, height = map(int, size.split("x"))
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        frames = np.fromfile(raw, np.uint8).reshape(-1, height, width, 3)
        shutil.copyfile(source, folder / "model.safetensors")
    else:
        sys.exit(f"use: make_case.py {'|'.join(CASES)} FOLDER\n"
                 "     make_case.py MODEL FRAMES WxH FOLDER\n"
                 "     make_case.py settings DATA")
    model = reference.load(folder / "model.safetensors")
    describe(*write_results(model, frames, folder, cuts, fixes))


if __name__ == "__main__":
    main(sys.argv[1:])
