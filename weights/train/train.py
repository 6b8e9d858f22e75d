# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trains the small DLoRAL model from nothing on synthetic video.

First the flow network alone, on the known flow; then, with it frozen, all the
rest: likeness to the target plus consistency of neighbouring results along
the target's optical flow. What is written is the moving average of the weights.
"""
import argparse
import copy
import math
import os
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import parametrize

import data
import model as dloral


def charbonnier(x, eps=1e-3):
    return torch.sqrt(x * x + eps * eps) - eps


def shrink(x):
    """HR pictures -> what the flow network sees."""
    return F.interpolate(x, scale_factor=1 / 8, mode="bicubic",
                         align_corners=False)


def train_flow(net, pool, rng, args):
    """End-point error at all pyramid levels against the mean true flow."""
    with torch.no_grad():       # start at no motion, half of it on differences
        for level in net.basic_module:
            first, last = (level.basic_module[i]["conv"] for i in (0, -1))
            half = first.weight[::2]
            half[:, 3:6] = -half[:, :3]
            last.weight *= .1
            last.bias.zero_()
    optimizer = torch.optim.Adam(net.parameters(), args.flow_lr)
    error = 0.0
    for step in range(args.flow_iterations):
        k = 1 - step / args.flow_iterations
        optimizer.param_groups[0]["lr"] = args.flow_lr * (.02 + .98 * k)
        _, up, flow, _, _ = pool.batch(rng, args.flow_batch, data.SIZE)
        small = shrink(up.flatten(0, 1)).unflatten(0, up.shape[:2])
        true = F.avg_pool2d(flow.flatten(0, 1), 8) / 8
        flows = net.pyramid(small[:, 1:].flatten(0, 1),
                            small[:, :-1].flatten(0, 1))
        error += (flows[-1].detach() - true).norm(dim=1).mean().item()
        loss = 0
        for level, f in enumerate(reversed(flows)):
            d = F.avg_pool2d(true, 2 ** level) / 2 ** level - f
            loss = loss + charbonnier(d, 1e-2).mean() / 2 ** level
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % args.turn == 0:
            pool.turn()
        if step % 50 == 49:
            print(f"flow {step + 1}: end-point error {error / 50:.3f} latents",
                  flush=True)
            error = 0.0


class Basis(nn.Module):
    """A convolution's weight learned in other coordinates of its patches:
    those of its input (side 1) or of its output (side 0)."""

    def __init__(self, basis, side):
        super().__init__()
        self.register_buffer("basis", basis)
        self.sum = ("ij,jckl->ickl", "ij,cjkl->cikl")[side]

    def forward(self, weight):
        with torch.autocast("cpu", enabled=False):
            return torch.einsum(self.sum, self.basis, weight)

    def right_inverse(self, weight):
        return weight


def components(x, patch):
    """Principal axes of patches (columns) and their variances."""
    x = F.pixel_unshuffle(x, patch).movedim(1, -1).flatten(0, -2)
    variance, axes = torch.linalg.eigh(x.T @ x / len(x))
    return axes.flip(1), variance.flip(0).clamp(min=0)


def change_coordinates(net, pool, rng):
    """Neighbouring pixels of an upsampled picture are nearly equal: in pixels
    the first and the last convolution learn next to nothing. They learn in
    principal components of unit variance instead; the model file holds the
    product."""
    some = [pool.batch(rng, 8, data.SIZE // 2)[:2] for _ in range(6)]
    hr, up = (torch.cat(x).flatten(0, 1) for x in zip(*some))
    coder = net.vae
    axes, variance = components(up, coder.patch)
    parametrize.register_parametrization(
        coder.encoder.conv_in, "weight",
        Basis(axes / (variance + 3e-4).sqrt(), 1))
    axes, variance = components(hr - up, coder.patch)
    parametrize.register_parametrization(
        coder.decoder.conv_out, "weight", Basis(axes * variance.sqrt(), 0))


def merged(net):
    """The state dict with the coordinates multiplied in."""
    state = {k: v for k, v in net.state_dict().items()
             if ".parametrizations." not in k}
    for name in ("vae.encoder.conv_in", "vae.decoder.conv_out"):
        state[name + ".weight"] = net.get_submodule(name).weight.detach()
    return state


def split(weight, count, rest):
    """Output channels 2i, 2i+1 start as plus and minus input channel i, so
    that silu (x) - silu (-x) = x can carry it on; the rest stays random."""
    weight *= rest
    for i in range(count):
        weight[2 * i, i, 1, 1] += 1
        weight[2 * i + 1, i, 1, 1] -= 1


@torch.no_grad()
def start(net):
    """Latents begin as leading components of the picture, passed on by every
    part; the result begins near plain bicubic."""
    for m in net.modules():
        if isinstance(m, dloral.Resnet):
            m.conv2.weight *= .1
    encoder, decoder, unet = net.vae.encoder, net.vae.decoder, net.unet
    latents = net.vae.latent
    split(encoder.conv_in.parametrizations.weight.original, 32, .1)
    encoder.conv_out.weight *= .1
    for i in range(latents):
        encoder.conv_out.weight[i, 2 * i, 1, 1] += 1
        encoder.conv_out.weight[i, 2 * i + 1, 1, 1] -= 1
    split(decoder.conv_in.weight, latents, 1)
    split(unet.conv_in.weight, 2 * latents, .3)
    unet.conv_out.weight *= .1
    decoder.conv_out.parametrizations.weight.original *= .03
    net.cfr.cross_attn_module.proj_out.weight *= .1


def restore(net, up, first):
    """The results of frames 1 … T−1 of every clip. `first`: as if each were
    the first of its clip, its own predecessor."""
    shape = up.shape[:2]
    with torch.autocast("cpu", torch.bfloat16):
        z = net.vae.encode(up.flatten(0, 1)).float().unflatten(0, shape)
    before, now = z[:, :-1].flatten(0, 1), z[:, 1:].flatten(0, 1)
    if first:
        aligned = now
    else:
        with torch.no_grad():
            flow = net.flow(up[:, 1:].flatten(0, 1), up[:, :-1].flatten(0, 1))
        aligned = dloral.warp(before, flow, "zeros")
    fused = net.cfr.cross_attn_module(now, aligned)
    with torch.autocast("cpu", torch.bfloat16):
        eps = net.unet(torch.cat([aligned, fused], 1),
                       net.config["timestep"])
        out = net.vae.decode(fused - eps.float(), up[:, 1:].flatten(0, 1))
    return out.unflatten(0, (shape[0], shape[1] - 1))


def inconsistency(out, path, sure):
    """Of the last result and its predecessor, brought to it along the target's
    optical flow: the warping error, with a gradient. What stands still may
    not even flicker faintly: there, the magnitude counts too."""
    before = dloral.warp(out[:, -2], path[:, 0], "border")
    d = before - out[:, -1]
    still = path[:, 0].norm(dim=1, keepdim=True) < .25
    return ((d * d + 3 * still * charbonnier(d, 2e-4)) * sure[:, 0]).mean()


def average(mean, net, step):
    k = min(.999, (1 + step) / (10 + step))
    with torch.no_grad():
        for a, b in zip(mean.parameters(), net.parameters()):
            a.lerp_(b, 1 - k)


def write(path, mean, state):
    """The model file, and all that a later run needs to go on."""
    dloral.save(mean, path + ".safetensors.part", merged(mean))
    torch.save(state, path + ".pt.part")
    for suffix in (".safetensors", ".pt"):
        os.replace(path + suffix + ".part", path + suffix)


def train(net, mean, pool, rng, args, state):
    net.cfr.spynet.requires_grad_(False)
    learned = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, args.lr, (.9, .99))
    step = 0
    if state:
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    saved = began = time.time()

    def save():
        write(args.out, mean, {
            "net": net.state_dict(), "mean": mean.state_dict(),
            "optimizer": optimizer.state_dict(), "step": step})

    sums = np.zeros(2)
    while True:
        done = max(step / args.iterations,
                   (time.time() - began) / (60 * args.minutes))
        if done >= 1 or step == args.stop:
            break
        k = .5 + .5 * math.cos(math.pi * done)
        optimizer.param_groups[0]["lr"] = \
            args.lr * min(1, (step + 1) / 100) * (.01 + .99 * k)
        hr, up, _, path, sure = pool.batch(rng, args.batch, args.side)
        out = restore(net, up, rng.random() < .1)
        d = out - hr[:, 1:]
        likeness = (charbonnier(d) + 12 * d * d).mean()
        drift = inconsistency(out, path, sure)
        optimizer.zero_grad()
        (likeness + args.consistency * drift).backward()
        torch.nn.utils.clip_grad_norm_(learned, .5)
        optimizer.step()
        average(mean, net, step)
        step += 1
        if step % args.turn == 0:
            pool.turn()
        sums += likeness.item(), drift.item()
        if step % 100 == 0:
            print(f"{step}: likeness {sums[0] / 100:.5f} drift "
                  f"{sums[1] / 100:.5f} {time.time() - began:.0f} s",
                  flush=True)
            sums[:] = 0
        if time.time() - saved > args.save_every:
            save()
            saved = time.time()
    save()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--out", default="dloral-small", help="path, no extension")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--iterations", type=int, default=6000)
    p.add_argument("--stop", type=int,
                   help="end at this step, the schedule unfinished")
    p.add_argument("--minutes", type=float, default=math.inf,
                   help="end the schedule then at the latest")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--side", type=int, default=192, help="HR crop, pixels")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--consistency", type=float, default=12)
    p.add_argument("--flow-iterations", type=int, default=700)
    p.add_argument("--flow-batch", type=int, default=4)
    p.add_argument("--flow-lr", type=float, default=2e-3)
    p.add_argument("--flow", help="a model file to take the flow network from")
    p.add_argument("--pool", type=int, default=64, help="clips in memory")
    p.add_argument("--turn", type=int, default=8, help="steps a new clip")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--save-every", type=float, default=480, help="seconds")
    p.add_argument("--resume", help="a .pt written by an earlier run")
    args = p.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    net = dloral.Dloral()
    rng = np.random.default_rng(args.seed)
    pool = data.Pool(args.seed, args.pool)
    change_coordinates(net, pool, rng)
    start(net)
    state = torch.load(args.resume) if args.resume else None
    if state:
        net.load_state_dict(state["net"])
    if args.flow:
        net.cfr.spynet = dloral.load(args.flow).cfr.spynet
    elif not state:
        train_flow(net.cfr.spynet, pool, rng, args)
    mean = copy.deepcopy(net)
    if state:
        mean.load_state_dict(state["mean"])
        mean.cfr.spynet.load_state_dict(net.cfr.spynet.state_dict())
    train(net, mean, pool, rng, args, state)
    pool.close()


if __name__ == "__main__":
    main()
