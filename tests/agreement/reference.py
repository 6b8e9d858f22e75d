# DLoRAL in PyTorch, float32, as published (arXiv 2506.15591): what the engine
# is compared with. UNet and VAE are diffusers' own modules (0.25.0), the rest
# is written out plainly, with no regard to speed.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.autoencoders.vae import Decoder, Encoder
from safetensors import safe_open
from torch import nn

import tiny

SPYNET_LEVELS = 6


class PassThrough(nn.Module):
    """Stands where a configuration has no block."""

    def forward(self, x, *unused):
        return x


def split(length, tile, pad):
    """The published tiled VAE along a side, in its own unit: of each tile
    begin and end, and those of what it sees."""
    count = max(-(-(length - 2 * pad) // tile), 1)
    step = -(-(length - 2 * pad) // count)
    for divider in (32, 16, 8, 4, 2):
        up = -(-step // divider) * divider
        if up <= tile:
            step = up
            break
    tiles = []
    for i in range(count):
        begin, end = pad + i * step, min(pad + (i + 1) * step, length)
        tiles.append((begin if begin > pad else 0,
                      end if end < length - pad else length,
                      max(begin - pad, 0), min(end + pad, length)))
    return tiles


class NearAttention(nn.Module):
    """The VAE's attention (diffusers' Attention), within tiles of latents. The
    published code counts the encoder's in pixels, `unit` to a latent."""

    def __init__(self, attention, tile, pad, unit):
        super().__init__()
        self.attention, self.sizes = attention, (tile, pad, unit)

    def sides(self, length):
        tile, pad, unit = self.sizes
        return [[n // unit for n in part]
                for part in split(length * unit, tile, pad)]

    def forward(self, x, temb=None):
        tile, pad, unit = self.sizes
        if max(x.shape[2:]) * unit <= tile + 2 * pad:
            return self.attention(x, temb=temb)
        a, (_, c, h, w) = self.attention, x.shape
        norm = a.group_norm(x.flatten(2)).transpose(1, 2)
        q, k, v = (f(norm)[0].view(h, w, c) for f in (a.to_q, a.to_k, a.to_v))
        out = torch.zeros(h, w, c)
        for y0, y1, ys, ye in self.sides(h):
            for x0, x1, xs, xe in self.sides(w):
                near = (slice(ys, ye), slice(xs, xe))
                scores = q[y0:y1, x0:x1].flatten(0, 1) \
                    @ k[near].flatten(0, 1).T / c ** .5
                out[y0:y1, x0:x1] = (scores.softmax(1) @ v[near].flatten(
                    0, 1)).view(y1 - y0, x1 - x0, c)
        return a.to_out[0](out).permute(2, 0, 1)[None] + x


class Vae(nn.Module):
    """AutoencoderKL with the config's extra keys: space-to-depth around it,
    optional middle, optional quantisation convolutions."""

    def __init__(self, c):
        super().__init__()
        self.patch = c.get("patch_size", 1)
        widths, latent = c["block_out_channels"], c["latent_channels"]
        layers, groups = c["layers_per_block"], c["norm_num_groups"]
        decoder_layers = c.get("decoder_layers_per_block", layers + 1)
        pixels = 3 * self.patch ** 2
        attention = c.get("mid_block_add_attention", True)
        common = dict(block_out_channels=widths, norm_num_groups=groups,
                      mid_block_add_attention=attention)
        self.encoder = Encoder(
            pixels, latent, ["DownEncoderBlock2D"] * len(widths),
            layers_per_block=layers, double_z=True, **common)
        self.decoder = Decoder(
            latent, pixels, ["UpDecoderBlock2D"] * len(widths),
            layers_per_block=decoder_layers - 1, **common)
        if not c.get("mid_block", True):
            self.encoder.mid_block = PassThrough()
            self.decoder.mid_block = PassThrough()
        self.quant_conv = PassThrough()
        self.post_quant_conv = PassThrough()
        if c.get("use_quant_conv", True):
            self.quant_conv = nn.Conv2d(2 * latent, 2 * latent, 1)
        if c.get("use_post_quant_conv", True):
            self.post_quant_conv = nn.Conv2d(latent, latent, 1)

    def tile(self):
        """Attention as in the published tiled VAE; norms are of the whole."""
        for coder, sizes in ((self.encoder, (1024, 32, 8)),
                             (self.decoder, (224, 11, 1))):
            attentions = coder.mid_block.attentions
            attentions[0] = NearAttention(attentions[0], *sizes)

    def encode(self, x):
        """The posterior's mean."""
        h = self.encoder(F.pixel_unshuffle(x, self.patch))
        return self.quant_conv(h).chunk(2, 1)[0]

    def decode(self, z):
        return F.pixel_shuffle(self.decoder(self.post_quant_conv(z)),
                               self.patch)


def make_unet(c):
    text = c["cross_attention_dim"]
    unet = UNet2DConditionModel(
        sample_size=64, **{**c, "cross_attention_dim": text or 1})
    if not text:                # diffusers cannot be asked for no text
        for module in unet.modules():
            if isinstance(module, BasicTransformerBlock):
                module.attn2 = module.norm2 = None
    return unet


def warp(x, flow, padding_mode):
    h, w = x.shape[2:]
    j, i = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    u = (i + flow[:, 0]) * 2 / max(w - 1, 1) - 1
    v = (j + flow[:, 1]) * 2 / max(h - 1, 1) - 1
    return F.grid_sample(x, torch.stack([u, v], 3), mode="bilinear",
                         padding_mode=padding_mode, align_corners=True)


class ConvLayer(nn.Module):
    """One convolution of a level, under the name published files give it."""

    def __init__(self, i, o):
        super().__init__()
        self.conv = nn.Conv2d(i, o, 7, padding=3)

    def forward(self, x):
        return self.conv(x)


class SpynetLevel(nn.Module):
    def __init__(self, widths):
        super().__init__()
        sides = [8, *widths, 2]
        self.basic_module = nn.ModuleList(
            [ConvLayer(i, o) for i, o in zip(sides, sides[1:])])

    def forward(self, x):
        for layer in self.basic_module[:-1]:
            x = F.relu(layer(x))
        return self.basic_module[-1](x)


class Spynet(nn.Module):
    def __init__(self, widths, shrink=1):
        super().__init__()
        self.shrink = shrink
        self.basic_module = nn.ModuleList(
            [SpynetLevel(widths) for _ in range(SPYNET_LEVELS)])
        self.register_buffer(
            "mean", torch.tensor([.485, .456, .406]).view(1, 3, 1, 1), False)
        self.register_buffer(
            "std", torch.tensor([.229, .224, .225]).view(1, 3, 1, 1), False)
        self.level_flows = []

    def pyramid(self, x):
        levels = [(x - self.mean) / self.std]
        for _ in range(SPYNET_LEVELS - 1):
            levels.append(F.avg_pool2d(levels[-1], 2, 2))
        return levels[::-1]

    def forward(self, ref, supp):
        h, w = ref.shape[2:]
        size = tuple(-(-x // (32 * self.shrink)) * 32 for x in (h, w))
        ref, supp = (self.pyramid(F.interpolate(
            x, size, mode="bilinear", align_corners=False))
            for x in (ref, supp))
        self.level_flows = []
        flow = None
        for net, r, s in zip(self.basic_module, ref, supp):
            if flow is None:
                up = r.new_zeros(1, 2, *r.shape[2:])
            else:
                up = F.interpolate(flow, scale_factor=2, mode="bilinear",
                                   align_corners=True) * 2
            flow = up + net(torch.cat([r, warp(s, up, "border"), up], 1))
            self.level_flows.append(flow)
        flow = F.interpolate(flow, (h, w), mode="bilinear",
                             align_corners=False)
        ratio = torch.tensor([w / size[1], h / size[0]])
        return flow * ratio.view(1, 2, 1, 1)


class Retrieval(nn.Module):
    """Cross-frame retrieval with its keys and values of full width."""

    def __init__(self, latent, c):
        super().__init__()
        self.heads, self.dim = c["heads"], c["embed_dim"]
        self.temperature, self.window = c["temperature"], c.get("window", 0)
        width = self.heads * self.dim
        self.query_conv = nn.Conv2d(latent, width, 1)
        self.key_conv = nn.Conv2d(latent, width, 1)
        self.value_conv = nn.Conv2d(latent, width, 1)
        self.proj_out = nn.Conv2d(width, latent, 1)
        self.threshold_fc = nn.Linear(self.dim, 1)

    def mask(self, h, w):
        """[h·w][h·w]: 1 where a query may look."""
        if not self.window:
            return 1
        j, i = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        i, j, reach = i.flatten(), j.flatten(), self.window // 2
        near_x = (i[:, None] - i[None]).abs() <= reach
        near_y = (j[:, None] - j[None]).abs() <= reach
        return (near_x & near_y).float()

    def forward(self, current, aligned):
        h, w = current.shape[2:]

        def heads(x):               # [heads][h·w][dim]
            return x.view(self.heads, self.dim, h * w).transpose(1, 2)

        q = heads(self.query_conv(current))
        k = heads(self.key_conv(aligned))
        v = heads(self.value_conv(aligned))
        sim = q @ k.transpose(1, 2) / self.dim ** 0.5
        attn = F.relu((sim - self.threshold_fc(q)) / self.temperature)
        out = (attn * self.mask(h, w)) @ v
        out = out.transpose(1, 2).reshape(1, -1, h, w)
        return current + self.proj_out(out)


class Cfr(nn.Module):
    def __init__(self, latent, c, spynet):
        super().__init__()
        self.spynet = Spynet(spynet.get("channels", [32, 64, 32, 16]),
                             spynet.get("shrink", 1))
        self.cross_attn_module = Retrieval(latent, c)


def window(n):
    """The published Gaussian of a tile, [n][n]."""
    i = torch.arange(n).double()
    across = torch.exp(-((i - (n - 1) / 2) / n) ** 2 / .02)
    down = torch.exp(-((i - n / 2) / n) ** 2 / .02)
    return torch.outer(down, across).float()


def places(length, n, overlap):
    """Where tiles begin along a side, the last one moved back inside."""
    count = 1
    while (count - 1) * (n - overlap) + n < length:
        count += 1
    return [min(i * (n - overlap), length - n) for i in range(count)]


class Dloral(nn.Module):
    """The whole model, one frame at a time; a tiny coder instead of the VAE
    where there is one. look_back: how many earlier frames the retrieval sees;
    tile, overlap: in latents, 0 for no tiles."""

    def __init__(self, config, tiny_vae=None, look_back=1, tile=0, overlap=0):
        super().__init__()
        self.look_back, self.tile, self.overlap = look_back, tile, overlap
        vae, unet = config["vae"], config["unet"]
        self.config = config
        self.downscale = vae.get("patch_size", 1) \
            * 2 ** (len(vae["block_out_channels"]) - 1)
        self.vae = Vae(vae)
        self.tiny = tiny_vae
        self.unet = make_unet(unet)
        self.cfr = Cfr(vae["latent_channels"], config["cfr"],
                       config.get("spynet", {}))
        if unet["cross_attention_dim"]:
            self.prompt_embeds = nn.Parameter(
                torch.zeros(77, unet["cross_attention_dim"]))
        else:
            self.prompt_embeds = None
        self.requires_grad_(False).eval()
        self.forget()

    def forget(self):
        self.past = []          # (latent, small), the newest first
        if self.tiny:
            self.tiny.forget()

    def fuse(self, latent, small, past):
        """Flow, aligned and fused latent."""
        if self.look_back == 0:
            return None, latent, latent
        if not past:
            return torch.zeros(1, 2, *latent.shape[2:]), latent, \
                self.cfr.cross_attn_module(latent, latent)
        flows = [self.cfr.spynet(small, before) for _, before in past]
        aligned = [warp(before, flow, "zeros")
                   for (before, _), flow in zip(past, flows)]
        fused = [self.cfr.cross_attn_module(latent, a) for a in aligned]
        return flows[0], aligned[0], torch.stack(fused).mean(0)

    def step(self, latent, small, past):
        """Flow, aligned, fused and eps of a frame or a tile."""
        flow, aligned, fused = self.fuse(latent, small, past)
        embeds = self.prompt_embeds
        eps = self.unet(torch.cat([aligned, fused], 1),
                        self.config["timestep"],
                        None if embeds is None else embeds[None]).sample
        return flow, aligned, fused, eps

    def step_tiles(self, latent, small, past):
        """Fused and eps, each blended, of all tiles."""
        h, w = latent.shape[2:]
        n = min(self.tile, h, w)
        weights, sums = window(n), torch.zeros(2, *latent.shape)
        total = torch.zeros(h, w)
        for y in places(h, n, self.overlap):
            for x in places(w, n, self.overlap):
                part = (..., slice(y, y + n), slice(x, x + n))
                _, _, fused, eps = self.step(
                    latent[part], small[part],
                    [(a[part], b[part]) for a, b in past])
                sums[part] += torch.stack([fused, eps]) * weights
                total[part] += weights
        return sums / total

    def encode(self, x):
        """HR frame in [-1, 1] → latent as the UNet sees it."""
        if self.tiny:
            return self.tiny.encode(x)
        return self.vae.encode(x) * self.config["vae"]["scaling_factor"]

    def decode(self, x0, x):
        """The way back; x: the upsampled LQ frame."""
        if self.tiny:
            return self.tiny.decode(x0)
        vae = self.config["vae"]
        out = self.vae.decode(x0 / vae["scaling_factor"])
        return out + x if vae.get("lq_residual", False) else out

    def upsample(self, lq):
        """LQ frame u8 [h][w][3] → the HR frame u8, and the padded one in
        [-1, 1] as [1][3][H][W]."""
        h, w = lq.shape[:2]
        hr = Image.fromarray(lq).resize((4 * w, 4 * h), Image.BICUBIC)
        x = torch.from_numpy(np.array(hr)).permute(2, 0, 1)[None].float()
        right, bottom = -4 * w % self.downscale, -4 * h % self.downscale
        x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        return np.array(hr), x / 255 * 2 - 1

    def restore(self, lq):
        """Intermediates of one frame, by name; `image` is in [0, 1], cropped,
        before the colour correction, `lq_hr` is the upsampled LQ frame."""
        hr, x = self.upsample(lq)
        latent = self.encode(x)
        small = F.interpolate(x, scale_factor=1 / self.downscale,
                              mode="bicubic")
        flow = aligned = None
        if self.tile and latent[0, 0].numel() > self.tile ** 2:
            fused, eps = self.step_tiles(latent, small, self.past)
        else:
            flow, aligned, fused, eps = self.step(latent, small, self.past)
        self.past = [(latent, small), *self.past][:self.look_back]
        image = (self.decode(fused - eps, x).clamp(-1, 1) + 1) / 2
        return dict(latent=latent, flow=flow, aligned=aligned, fused=fused,
                    eps=eps, image=image[:, :, :hr.shape[0], :hr.shape[1]],
                    lq_hr=hr)


def to_unit(picture):
    """u8 [h][w][3] → [1][3][h][w] in [0, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def to_picture(x, rounding):
    """[0, 1] → u8 [h][w][3]; rounding 0.5 to the nearest, 0 truncates."""
    return (x.clamp(0, 1) * 255 + rounding).byte()[0].permute(1, 2, 0).numpy()


def moments(x):
    return x.mean((2, 3), keepdim=True), \
        (x.var((2, 3), keepdim=True) + 1e-5).sqrt()


def adain(x, source):
    (mx, sx), (ms, ss) = moments(x), moments(source)
    return (x - mx) / sx * ss + ms


def low_frequencies(x):
    line = torch.tensor([1., 2., 1.]) / 4
    kernel = torch.outer(line, line).expand(3, 1, 3, 3)
    for level in range(5):
        reach = 2 ** level
        x = F.conv2d(F.pad(x, (reach,) * 4, mode="replicate"), kernel,
                     dilation=reach, groups=3)
    return x


def wavelet(x, source):
    return x - low_frequencies(x) + low_frequencies(source)


def finish(image, lq_hr, color_fix):
    """The picture that leaves: [0, 1] → u8, colours corrected. The published
    code truncates to 8 bits before it corrects; what is written is rounded."""
    if color_fix == "none":
        return to_picture(image, 0.5)
    correct = {"adain": adain, "wavelet": wavelet}[color_fix]
    picture = to_picture(image, 0)
    return to_picture(correct(to_unit(picture), to_unit(lq_hr)), 0.5)


def merge_adapters(state, strengths):
    """W + 2·s·B·A for both adapters of every UNet layer that has them."""
    for name in [n for n in state if ".lora_A." in n]:
        layer, which = name.split(".lora_A.")
        a = state.pop(name)
        b = state.pop(f"{layer}.lora_B.{which}")
        weight = state[layer + ".weight"]
        product = b.flatten(1) @ a.flatten(1)
        state[layer + ".weight"] = weight \
            + 2 * strengths[which] * product.view(weight.shape)
    return state


OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v",
             "proj_attn": "to_out.0"}


def rename_old(name):
    """SD 2.1's VAE file names its attention as older versions did."""
    if ".mid_block.attentions.0." in name and name.startswith("vae."):
        layer, kind = name.rsplit(".", 1)
        head, last = layer.rsplit(".", 1)
        if last in OLD_NAMES:
            return f"{head}.{OLD_NAMES[last]}.{kind}"
    return name


def load(path, consistency=1, detail=1, **settings):
    """A model file in the project's format, its adapters at these strengths."""
    with safe_open(path, "pt") as f:
        config = json.loads(f.metadata()["config"])
        state = {rename_old(k): f.get_tensor(k).float() for k in f.keys()}
    state = merge_adapters(state, {"consistency": consistency,
                                   "detail": detail})
    model = Dloral(config, tiny.find(state), **settings)
    wanted = model.state_dict()
    state = {k: v.reshape(wanted[k].shape) if k in wanted else v
             for k, v in state.items()}
    model.load_state_dict(state)
    return model
