#!/usr/bin/env python3
# The same model in PyTorch at its best: what the engine is compared with.
#
#   pytorch.py [--model FILE] [--size WxH] [--precision f32|bf16] [--frames N]
#
# Each frame is encoded once, the time embedding is folded, the retrieval is
# tried in its published form and as the exact low-rank one, convolutions in
# channels-last; eager and compiled (inductor, weights frozen). Prints a JSON
# object with the milliseconds of a frame for every setting, and the best.
# With --wait it then measures the best again for every line on its input.
#
# Needs torch, safetensors, and a C++ compiler for torch.compile.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "weights"))

import torch                                            # noqa: E402
import torch.nn.functional as F                         # noqa: E402
from torch import nn                                    # noqa: E402

from safetensors import safe_open                       # noqa: E402
from train.small_net import Cfr, UNet, Vae              # noqa: E402
from train.spynet import warp                           # noqa: E402

WARM_UP = 6


class Net(nn.Module):
    """The small model of a file; its adapters, which would be merged and cost
    nothing, are left out."""

    def __init__(self, path):
        super().__init__()
        with safe_open(path, "pt") as file:
            self.config = json.loads(file.metadata()["config"])
            state = {name: file.get_tensor(name).float()
                     for name in file.keys() if ".lora_" not in name}
        self.vae, self.unet = Vae(self.config["vae"]), UNet(self.config["unet"])
        self.cfr = Cfr(self.config)
        self.load_state_dict(state)
        self.requires_grad_(False)


class LowRankRetrieval(nn.Module):
    """The retrieval with its projections folded: with x̃ = [z; 1] and ỹ =
    [aligned; 1], scores are x̃ᵀ M ỹ and what they weigh is N ỹ."""

    def __init__(self, r):
        super().__init__()
        self.heads, self.window = r.heads, r.window

        def affine(layer):                  # [heads][dim][c + 1]
            both = torch.cat([layer.weight.flatten(1), layer.bias[:, None]], 1)
            return both.view(r.heads, r.dim, -1)

        q, k, v = map(affine, (r.query_conv, r.key_conv, r.value_conv))
        score = q.transpose(1, 2) @ k / r.dim ** .5
        score[:, :, -1] -= q.transpose(1, 2) @ r.threshold_fc.weight[0]
        score[:, -1, -1] -= r.threshold_fc.bias[0]
        out = r.proj_out.weight.flatten(1).view(-1, r.heads, r.dim)
        value = torch.einsum("chd,hde->hce", out, v) / r.temperature
        c = value.shape[1]
        self.score = nn.Conv2d(c, r.heads * (c + 1), 1)
        self.value = nn.Conv2d(c, r.heads * c, 1)
        for layer, both in ((self.score, score), (self.value, value)):
            both = both.reshape(-1, c + 1)
            layer.weight.copy_(both[:, :c, None, None])
            layer.bias.copy_(both[:, c])
        self.bias = nn.Parameter(r.proj_out.bias.clone())

    def forward(self, z, aligned):
        b, c, h, w = z.shape
        reach = self.window // 2
        x = torch.cat([z, torch.ones_like(z[:, :1])], 1)[:, None]
        score, value = (
            F.pad(layer(aligned), (reach,) * 4).unflatten(1, (self.heads, -1))
            for layer in (self.score, self.value))
        out = z + self.bias[:, None, None]
        for i in range(self.window):
            for j in range(self.window):
                near = (slice(None),) * 3 + (slice(i, i + h), slice(j, j + w))
                attn = F.relu((x * score[near]).sum(2, keepdim=True))
                out = out + (attn * value[near]).sum(1)
        return out


class Stream(nn.Module):
    """One frame and the state that links it to the next. Convolutions run in
    `dtype`; latents, flow and retrieval in f32, as in the engine."""

    def __init__(self, net, dtype, retrieval):
        super().__init__()
        self.dtype = dtype
        self.embedding = net.unet.embed(net.config["timestep"])
        self.net = net
        net.unet.embed = lambda timestep: self.embedding
        if retrieval == "low-rank":
            net.cfr.cross_attn_module = LowRankRetrieval(
                net.cfr.cross_attn_module)
        if dtype != torch.float32:
            self.embedding = self.embedding.to(dtype)
            net.unet.to(dtype)
            net.vae.to(dtype)
            for level in net.cfr.spynet.basic_module:
                level.to(dtype)
                level.register_forward_pre_hook(
                    lambda module, x: (x[0].to(dtype),))
                level.register_forward_hook(
                    lambda module, x, y: y.float())
        self.to(memory_format=torch.channels_last)

    def forward(self, lq, before_small, before):
        """LQ frame u8 [h][w][3] → HR frame u8 [4h][4w][3], small, latent."""
        net = self.net
        h, w = lq.shape[:2]
        hr = F.interpolate(lq.permute(2, 0, 1)[None], size=(4 * h, 4 * w),
                           mode="bicubic", antialias=True)
        x = hr.float() / 127.5 - 1
        small = F.interpolate(x, scale_factor=1 / net.vae.patch,
                              mode="bicubic")
        z = net.vae.encode(x.to(self.dtype)).float()
        flow = net.cfr.spynet(small, before_small)
        aligned = warp(before, flow, "zeros")
        fused = net.cfr.cross_attn_module(z, aligned)
        eps = net.unet(torch.cat([aligned, fused], 1).to(self.dtype), None)
        out = net.vae.decode((fused - eps.float()).to(self.dtype), x)
        out = (out.clamp(-1, 1) + 1) * 127.5 + .5
        return out.to(torch.uint8)[0].permute(1, 2, 0).contiguous(), small, z


def make_frames(width, height, n):
    y, x, t = (torch.arange(k).float() for k in (height, width, n))
    wave = (.15 * x[None, None, :] + .2 * y[None, :, None]
            + .3 * t[:, None, None]).sin()
    return (128 + 90 * wave)[..., None].expand(n, height, width, 3) \
        .to(torch.uint8).contiguous()


def measure(step, vae, frames, n):
    """Milliseconds of a frame, median; the last picture."""
    h, w = (4 * side // vae.patch for side in frames.shape[1:3])
    small, z = torch.zeros(1, 3, h, w), torch.zeros(1, vae.latent, h, w)
    small, z = (x.to(memory_format=torch.channels_last) for x in (small, z))
    times = []
    for t in range(WARM_UP + n):
        start = time.perf_counter()
        hr, small, z = step(frames[t % len(frames)], small, z)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[WARM_UP:]), hr


def make_settings(options):
    """name → step, every setting worth trying."""
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[options.precision]
    for retrieval in ("low-rank", "published"):
        stream = Stream(Net(options.model), dtype, retrieval).eval()
        yield f"eager, {retrieval} retrieval", stream
        yield f"compiled, {retrieval} retrieval", torch.compile(stream)
    if options.precision == "bf16":
        stream = Stream(Net(options.model), torch.float32, "low-rank").eval()

        def autocast(*arguments):
            with torch.autocast("cpu", torch.bfloat16):
                return stream(*arguments)
        yield "compiled, autocast, low-rank retrieval", torch.compile(autocast)


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--model", default=ROOT / "weights"
                   / "dloral-small.safetensors")
    p.add_argument("--size", default="160x90")
    p.add_argument("--precision", choices=("f32", "bf16"), default="bf16")
    p.add_argument("--frames", type=int, default=60)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--wait", action="store_true")
    return p.parse_args()


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch._inductor.config.freezing = True
    width, height = map(int, options.size.split("x"))
    frames = make_frames(width, height, 16)
    results, best, vae = {}, None, Net(options.model).vae
    with torch.no_grad():
        for name, step in make_settings(options):
            results[name], _ = measure(step, vae, frames, options.frames)
            if results[name] == min(results.values()):
                best = name, step
        print(json.dumps({
            "torch": torch.__version__, "width": width, "height": height,
            "precision": options.precision, "best": best[0],
            "ms": results[best[0]], "settings": results}), flush=True)
        while options.wait and sys.stdin.readline():
            ms, _ = measure(best[1], vae, frames, options.frames)
            print(json.dumps({"ms": ms}), flush=True)


if __name__ == "__main__":
    main()
