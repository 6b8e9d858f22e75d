#!/usr/bin/env python3
# Models of Stable Diffusion 2.1's kind in PyTorch, on a GPU: what bench/gpu puts
# beside the engine.
#
#   torch_pipeline.py --model FILE --size WxH [--way published|best] [--vae tiny] ...
#
# "published" does what the published code does for every frame: both frames of the
# pair are upsampled and encoded, the posterior is sampled, the retrieval keeps its
# full keys and values, the time embedding is computed anew; eager. "best" encodes
# each frame once, folds the embedding, tries the retrieval as published and in its
# exact low-rank form, and is compiled into CUDA graphs. Both: channels-last, fused
# attention, adapters merged (the published code computes them beside the layers, and
# is slower for it), UNet and retrieval in the published tiles, the VAE in none.
#
# FILE is a model file in the project's format, for shapes and weights alike. Prints a
# JSON object a way. Needs torch, safetensors, a C++ compiler for torch.compile.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import argparse
import json
import math
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "weights"), str(ROOT / "tests/agreement")]

import torch                                            # noqa: E402
import torch.nn.functional as F                         # noqa: E402
from safetensors import safe_open                       # noqa: E402
from torch import nn                                    # noqa: E402

import tiny                                             # noqa: E402

from train import small_net as networks                 # noqa: E402
from train.spynet import Spynet, warp                   # noqa: E402

TILE, OVERLAP = 96, 32          # latents, as published
WARM_UP = 6


# --- UNet and VAE, by the names of diffusers 0.25 ---------------------------------

class Attention(nn.Module):
    def __init__(self, width, context, heads, bias=False):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias)
        self.to_k = nn.Linear(context, width, bias)
        self.to_v = nn.Linear(context, width, bias)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x, context=None):
        context = x if context is None else context
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for y in (self.to_q(x), self.to_k(context), self.to_v(context)))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.to_out[0](y.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    def __init__(self, width, context, heads):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1 = Attention(width, width, heads)
        self.attn2 = Attention(width, context, heads)
        self.ff = nn.ModuleDict({"net": nn.ModuleList([
            nn.ModuleDict({"proj": nn.Linear(width, 8 * width)}), nn.Identity(),
            nn.Linear(4 * width, width)])})

    def forward(self, x, context):
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        net = self.ff["net"]
        a, b = net[0]["proj"](self.norm3(x)).chunk(2, -1)
        return x + net[2](a * F.gelu(b))


class Transformer(nn.Module):
    def __init__(self, width, context, heads, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, 1e-6)
        self.proj_in, self.proj_out = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context, heads)])

    def forward(self, x, context):
        y = self.proj_in(self.norm(x).permute(0, 2, 3, 1).flatten(1, 2))
        y = self.proj_out(self.transformer_blocks[0](y, context))
        return x + y.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class UNet(networks.UNet):
    """That of the small model, with attention and a middle."""

    def __init__(self, c):
        super().__init__({**c, "mid_block_type": None})
        widths, heads = c["block_out_channels"], c["attention_head_dim"]
        heads = [heads] * len(widths) if isinstance(heads, int) else heads
        context, groups = c["cross_attention_dim"], c["norm_num_groups"]

        def attend(block, kind, i):
            if kind.startswith("CrossAttn"):
                block.attentions = nn.ModuleList(
                    Transformer(widths[i], context, heads[i], groups)
                    for _ in block.resnets)

        for i, kind in enumerate(c["down_block_types"]):
            attend(self.down_blocks[i], kind, i)
        for i, kind in enumerate(c["up_block_types"]):
            attend(self.up_blocks[i], kind, len(widths) - 1 - i)
        last = widths[-1]
        self.mid_block = networks.Block([(last, last)] * 2, groups, 1e-5, 4 * widths[0])
        self.mid_block.attentions = nn.ModuleList(
            [Transformer(last, context, heads[-1], groups)])

    def embed(self, timestep):
        half, t = self.width // 2, self.time_embedding
        weight = self.conv_in.weight
        f = timestep * torch.exp(torch.arange(half, device=weight.device)
                                 * (-math.log(10000) / half))
        f = torch.cat([f.cos(), f.sin()])[None].to(weight.dtype)
        return t["linear_2"](F.silu(t["linear_1"](f)))

    def layers(self, block):
        none = [None] * len(block.resnets)
        return zip(block.resnets, getattr(block, "attentions", none))

    def forward(self, x, t, context):
        x = self.conv_in(x)
        skips = [x]
        for b in self.down_blocks:
            for r, a in self.layers(b):
                x = r(x, t) if a is None else a(r(x, t), context)
                skips.append(x)
            if hasattr(b, "downsamplers"):
                x = b.downsamplers[0](x)
                skips.append(x)
        first, second = self.mid_block.resnets
        x = second(self.mid_block.attentions[0](first(x, t), context), t)
        for b in self.up_blocks:
            for r, a in self.layers(b):
                x = r(torch.cat([x, skips.pop()], 1), t)
                x = x if a is None else a(x, context)
            if hasattr(b, "upsamplers"):
                x = b.upsamplers[0](x, skips[-1].shape[-2:])
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class VaeAttention(Attention):
    def __init__(self, width, groups):
        super().__init__(width, width, 1, True)
        self.group_norm = nn.GroupNorm(groups, width, 1e-6)

    def forward(self, x):
        y = super().forward(self.group_norm(x).flatten(2).transpose(1, 2))
        return x + y.transpose(1, 2).unflatten(2, x.shape[2:])


class Coder(nn.Module):
    """Encoder or decoder: what lies between, widths and layers come from there."""

    def __init__(self, cin, cout, widths, layers, groups, down):
        super().__init__()
        self.down, first, last = down, widths[0], widths[-1]
        inner = last if down else first
        self.conv_in = nn.Conv2d(cin, first, 3, padding=1)
        blocks, x = [], first
        for i, width in enumerate(widths):
            more = i < len(widths) - 1
            kind = ("downsamplers" if down else "upsamplers") if more else None
            blocks.append(networks.Block([(x, width)] + [(width, width)] * (layers - 1),
                                         groups, 1e-6, 0, kind, 2 if down else 1))
            if down and more:
                blocks[-1].downsamplers[0].conv.padding = (0, 0)
            x = width
        self.blocks = "down_blocks" if down else "up_blocks"
        setattr(self, self.blocks, nn.ModuleList(blocks))
        self.mid_block = networks.Block([(inner, inner)] * 2, groups, 1e-6)
        self.mid_block.attentions = nn.ModuleList([VaeAttention(inner, groups)])
        self.conv_norm_out = nn.GroupNorm(groups, last, 1e-6)
        self.conv_out = nn.Conv2d(last, cout, 3, padding=1)

    def middle(self, x):
        first, second = self.mid_block.resnets
        return second(self.mid_block.attentions[0](first(x)))

    def forward(self, x):
        x = self.conv_in(x)
        x = x if self.down else self.middle(x)
        for b in getattr(self, self.blocks):
            for r in b.resnets:
                x = r(x)
            if hasattr(b, "downsamplers"):
                x = b.downsamplers[0](F.pad(x, (0, 1, 0, 1)))
            if hasattr(b, "upsamplers"):
                x = b.upsamplers[0](x, (2 * x.shape[2], 2 * x.shape[3]))
        x = self.middle(x) if self.down else x
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Vae(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths, z = c["block_out_channels"], c["latent_channels"]
        layers, groups = c["layers_per_block"], c["norm_num_groups"]
        self.encoder = Coder(3, 2 * z, widths, layers, groups, True)
        self.decoder = Coder(z, 3, widths[::-1], layers + 1, groups, False)
        self.quant_conv = nn.Conv2d(2 * z, 2 * z, 1)
        self.post_quant_conv = nn.Conv2d(z, z, 1)

    def encode(self, x):
        """Mean and logarithm of the variance."""
        return self.quant_conv(self.encoder(x)).chunk(2, 1)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


# --- Retrieval ---------------------------------------------------------------------

class Retrieval(nn.Module):
    """All positions, keys and values of full width."""

    def __init__(self, latent, c):
        super().__init__()
        self.heads, self.dim = c["heads"], c["embed_dim"]
        self.temperature = c["temperature"]
        inner = self.heads * self.dim
        self.query_conv, self.key_conv, self.value_conv = (
            nn.Conv2d(latent, inner, 1) for _ in range(3))
        self.proj_out = nn.Conv2d(inner, latent, 1)
        self.threshold_fc = nn.Linear(self.dim, 1)

    def forward(self, z, aligned):
        q, k, v = (y.flatten(2).unflatten(1, (self.heads, self.dim)).transpose(2, 3)
                   for y in (self.query_conv(z), self.key_conv(aligned),
                             self.value_conv(aligned)))
        sim = q @ k.transpose(2, 3) / math.sqrt(self.dim)
        attn = F.relu((sim - self.threshold_fc(q)) / self.temperature)
        out = (attn @ v).transpose(2, 3).flatten(1, 2).unflatten(2, z.shape[2:])
        return z + self.proj_out(out)


class LowRankRetrieval(nn.Module):
    """The same with its projections folded: with x̃ = [z; 1] and ỹ = [aligned; 1],
    scores are x̃ᵀ M ỹ and what they weigh is N ỹ."""

    def __init__(self, r):
        super().__init__()

        def affine(layer):                  # [heads][dim][c + 1]
            both = torch.cat([layer.weight.flatten(1), layer.bias[:, None]], 1)
            return both.view(r.heads, r.dim, -1)

        q, k, v = map(affine, (r.query_conv, r.key_conv, r.value_conv))
        score = q.transpose(1, 2) @ k / math.sqrt(r.dim)
        score[:, :, -1] -= q.transpose(1, 2) @ r.threshold_fc.weight[0]
        score[:, -1, -1] -= r.threshold_fc.bias[0]
        out = r.proj_out.weight.flatten(1).view(-1, r.heads, r.dim)
        value = torch.einsum("chd,hde->hec", out, v) / r.temperature
        for name, x in (("score", score), ("value", value), ("bias", r.proj_out.bias)):
            self.register_buffer(name, x.clone())

    def forward(self, z, aligned):
        x, y = (F.pad(t.flatten(2), (0, 0, 0, 1), value=1).transpose(1, 2)
                for t in (z, aligned))
        attn = F.relu((x @ self.score) @ y.transpose(1, 2))
        out = (attn @ (y @ self.value)).sum(0)
        return z + out.T.unflatten(1, z.shape[2:]) + self.bias[:, None, None]


# --- The model ---------------------------------------------------------------------

def merge_adapters(state):
    """W + 2·B·A of both adapters."""
    for name in [n for n in state if ".lora_A." in n]:
        layer, which = name.split(".lora_A.")
        a, b = state.pop(name), state.pop(f"{layer}.lora_B.{which}")
        weight = state[layer + ".weight"]
        weight += 2 * (b.flatten(1) @ a.flatten(1)).view(weight.shape)


class Dloral(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        with torch.device("meta"):          # without memory until there are weights
            self.vae, self.unet = Vae(config["vae"]), UNet(config["unet"])
        spynet = {"channels": [32, 64, 32, 16], **config.get("spynet", {})}
        self.cfr = nn.ModuleDict({
            "spynet": Spynet(**spynet),
            "cross_attn_module": Retrieval(config["vae"]["latent_channels"],
                                           config["cfr"])})
        self.prompt_embeds = nn.Parameter(
            torch.zeros(77, config["unet"]["cross_attention_dim"]))


def read(f, *parts):
    """Tensors of some parts of a model file."""
    return {k: f.get_tensor(k).float() for k in f.keys() if k.split(".")[0] in parts}


def load(f):
    net = Dloral(json.loads(f.metadata()["config"]))
    state = read(f, "vae", "unet", "cfr", "prompt_embeds")
    merge_adapters(state)
    wanted = net.state_dict()
    net.load_state_dict({k: v.reshape(wanted[k].shape) for k, v in state.items()},
                        assign=True)
    return net.requires_grad_(False).eval()


def load_tiny(f):
    state = read(f, "tiny")
    net = tiny.find(state)
    net.load_state_dict({k.split(".", 1)[1]: v for k, v in state.items()})
    return net.requires_grad_(False).eval()


# --- A frame -----------------------------------------------------------------------

def upsample(lq):
    """LQ frame u8 [h][w][3] → HR in [-1, 1], a side padded to a multiple of 8."""
    h, w = (4 * n for n in lq.shape[:2])
    hr = F.interpolate(lq.permute(2, 0, 1)[None].float(), size=(h, w), mode="bicubic",
                       antialias=True).round().clamp(0, 255)
    return F.pad(hr / 127.5 - 1, (0, -w % 8, 0, -h % 8), mode="replicate")


def shrink(x):
    return F.interpolate(x, scale_factor=1 / 8, mode="bicubic")


def adain(x, source):
    """In [0, 1]."""
    def moments(y):
        return y.mean((2, 3), keepdim=True), (y.var((2, 3), keepdim=True) + 1e-5).sqrt()

    (mx, sx), (ms, ss) = moments(x), moments(source)
    return (x - mx) / sx * ss + ms


def finish(x, hr, lq):
    h, w = (4 * n for n in lq.shape[:2])
    x, hr = (((y[..., :h, :w].float()).clamp(-1, 1) + 1) / 2 for y in (x, hr))
    out = adain((x * 255).floor() / 255, hr).clamp(0, 1) * 255
    return (out + .5).to(torch.uint8)[0].permute(1, 2, 0).contiguous()


def find_places(length, n):
    """Where tiles begin along a side, the last one moved back inside."""
    count = max(1, math.ceil((length - n) / (n - OVERLAP)) + 1)
    return [min(i * (n - OVERLAP), length - n) for i in range(count)]


class Pipeline(nn.Module):
    """Latents, flow and what is warped in f32, the networks in `dtype`."""

    def __init__(self, options, dtype, retrieval="published"):
        super().__init__()
        with safe_open(options.model, "pt") as f:
            self.net, self.dtype = load(f), dtype
            self.scale = self.net.config["vae"]["scaling_factor"]
            if options.vae == "tiny":       # whose latents are scaled already
                self.net.vae, self.scale = load_tiny(f), 1
        if retrieval == "low-rank":
            self.net.cfr["cross_attn_module"] = LowRankRetrieval(
                self.net.cfr["cross_attn_module"])
        self.net.to(device=options.device, dtype=dtype,
                    memory_format=torch.channels_last)
        self.embedding = None
        for level in self.net.cfr["spynet"].basic_module:
            level.register_forward_pre_hook(lambda module, x: (x[0].to(dtype),))
            level.register_forward_hook(lambda module, x, y: y.float())

    def encode_picture(self, x, sampled):
        """Latent: the posterior's mean, or a sample of it where there is one."""
        z = self.net.vae.encode(x.to(self.dtype))
        if isinstance(z, tuple):
            z, logvar = z
            if sampled:
                z = z + torch.randn_like(z) * (logvar.clamp(-30, 20) / 2).exp()
        return z.float() * self.scale

    def encode(self, lq):
        """HR, small, latent."""
        x = upsample(lq)
        return x, shrink(x), self.encode_picture(x, False)

    def step(self, z, small, before, before_small):
        """Fused latent and eps of a frame or a tile."""
        net = self.net
        flow = net.cfr["spynet"](small, before_small)
        aligned = warp(before, flow, "zeros").to(self.dtype)
        fused = net.cfr["cross_attn_module"](z.to(self.dtype), aligned)
        embedding = self.embedding
        if embedding is None:
            embedding = net.unet.embed(net.config["timestep"])
        eps = net.unet(torch.cat([aligned, fused], 1), embedding,
                       net.prompt_embeds[None])
        return fused.float(), eps.float()

    def window(self, n, device):
        """The published Gaussian of a tile, [n][n]."""
        i = torch.arange(n, device=device)
        across = torch.exp(-((i - (n - 1) / 2) / n) ** 2 / .02)
        down = torch.exp(-((i - n / 2) / n) ** 2 / .02)
        return torch.outer(down, across)

    def restore(self, z, small, before, before_small):
        h, w = z.shape[2:]
        if h * w <= TILE ** 2:
            fused, eps = self.step(z, small, before, before_small)
            return fused - eps
        n = min(TILE, h, w)
        weights, sums, total = self.window(n, z.device), torch.zeros_like(z), 0 * z[0, 0]
        for y in find_places(h, n):
            for x in find_places(w, n):
                part = (..., slice(y, y + n), slice(x, x + n))
                fused, eps = self.step(*(t[part].contiguous() for t in
                                         (z, small, before, before_small)))
                sums[part] += (fused - eps) * weights
                total[part] += weights
        return sums / total

    def decode(self, x0, hr, lq):
        return finish(self.net.vae.decode((x0 / self.scale).to(self.dtype)), hr, lq)


class Published:
    def __init__(self, options, dtype):
        self.pipeline = Pipeline(options, dtype)

    def __call__(self, lq, before_lq):
        p = self.pipeline
        before, hr = upsample(before_lq), upsample(lq)
        before_z, z = p.encode_picture(before, True), p.encode_picture(hr, True)
        x0 = p.restore(z, shrink(hr), before_z, shrink(before))
        return p.decode(x0, hr, lq)


class Best:
    """State from frame to frame: the last one's small picture and latent."""

    def __init__(self, options, dtype, retrieval):
        p = self.pipeline = Pipeline(options, dtype, retrieval)
        p.embedding = p.net.unet.embed(p.net.config["timestep"])
        self.past = None
        mode = None if options.device == "cpu" else "reduce-overhead"
        self.encode, p.step, self.decode = (
            torch.compile(f, mode=mode) for f in (p.encode, p.step, p.decode))

    def __call__(self, lq, before_lq):
        torch.compiler.cudagraph_mark_step_begin()
        # What a graph wrote is overwritten by its next run.
        hr, small, z = (t.clone() for t in self.encode(lq))
        before_small, before = self.past or (small, z)
        self.past = small, z
        x0 = self.pipeline.restore(z, small, before, before_small)
        return self.decode(x0, hr, lq).clone()


# --- Measuring ---------------------------------------------------------------------

def make_frames(width, height, n, device):
    y, x, t = (torch.arange(k).float() for k in (height, width, n))
    wave = (.15 * x[None, None, :] + .2 * y[None, :, None]
            + .3 * t[:, None, None]).sin()
    return (128 + 90 * wave)[..., None].expand(n, height, width, 3) \
        .to(torch.uint8).contiguous().to(device)


def measure(step, frames, n, device):
    """Milliseconds of each frame, all given to the device at once; by its own clock,
    or the host's where that is the device."""
    def mark():
        if device == "cpu":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    marks = []
    for t in range(WARM_UP + n):
        if t >= WARM_UP:
            marks.append(mark())
        step(frames[t % len(frames)], frames[(t - 1) % len(frames)])
    marks.append(mark())
    if device == "cpu":
        return [1e3 * (b - a) for a, b in zip(marks, marks[1:])]
    torch.cuda.synchronize()
    return [a.elapsed_time(b) for a, b in zip(marks, marks[1:])]


def make_steps(options, dtype):
    if options.way in (None, "published"):
        yield "published", lambda: Published(options, dtype)
    if options.way in (None, "best"):
        for retrieval in ("published", "low-rank"):
            yield f"compiled, {retrieval} retrieval", \
                lambda r=retrieval: Best(options, dtype, r)


def run(options, name, make, frames):
    if options.device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    step = make()
    step(frames[0], frames[0]).cpu()
    start = time.perf_counter() - start
    ms = sorted(measure(step, frames, options.frames, options.device))
    memory = 0 if options.device == "cpu" else torch.cuda.max_memory_allocated()
    return {"torch": torch.__version__, "way": name, "width": frames.shape[2],
            "height": frames.shape[1], "precision": options.precision,
            "vae": options.vae,
            "ms": statistics.median(ms), "p99_ms": ms[math.ceil(.99 * len(ms)) - 1],
            "fps": 1e3 * len(ms) / sum(ms), "first_frame_s": start, "memory": memory}


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--size", default="128x128", help="of the LQ frame")
    p.add_argument("--way", choices=("published", "best"), help="one of them (both)")
    p.add_argument("--vae", choices=("full", "tiny"), default="full")
    p.add_argument("--precision", choices=("f32", "bf16", "f16"), default="bf16")
    p.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    p.add_argument("--frames", type=int, default=30)
    return p.parse_args()


def main():
    options = parse()
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16,
             "f16": torch.float16}[options.precision]
    torch.backends.cudnn.benchmark = True
    width, height = map(int, options.size.split("x"))
    with torch.no_grad():
        frames = make_frames(width, height, 16, options.device)
        for name, make in make_steps(options, dtype):
            print(json.dumps(run(options, name, make, frames)), flush=True)


if __name__ == "__main__":
    main()
