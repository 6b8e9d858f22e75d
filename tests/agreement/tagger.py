# The tagger in PyTorch: a Swin transformer that looks at a picture, and a head
# that asks it for each tag (Query2Label), as RAM puts them together. Written
# out plainly, with no regard to speed: what the engine is compared with.
#
# Weights are those of a model file, under the names they have there. A picture
# is u8 [H][W][3]; maps of tokens are [H][W][C], lists of tokens [N][C].
#
# Needs torch, safetensors, numpy, pillow.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open

MEAN, STD = (.485, .456, .406), (.229, .224, .225)
SWIN_EPS = 1e-5
BLOCKED = -100.         # added to the score of a pair that may not meet
PREFIX = "tagger."


def enlarge(lq):
    """The picture that the tagger is shown of a frame: four times as large."""
    h, w = lq.shape[:2]
    return np.array(Image.fromarray(lq).resize((4 * w, 4 * h), Image.BICUBIC))


def split(x, window):
    """[H][W][C] → [windows][window²][C], windows row by row."""
    h, w, c = x.shape
    x = x.view(h // window, window, w // window, window, c)
    return x.transpose(1, 2).reshape(-1, window * window, c)


def join(x, h, w):
    """The way back."""
    window, c = round(x.shape[1] ** .5), x.shape[2]
    x = x.view(h // window, w // window, window, window, c)
    return x.transpose(1, 2).reshape(h, w, c)


def places(window):
    """[window²][window²] of every pair: the row of the bias table that is for
    the second token seen from the first."""
    at = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    apart = at[:, None] - at[None] + window - 1
    return apart[..., 0] * (2 * window - 1) + apart[..., 1]


def strangers(h, w, window, shift):
    """[windows][window²][window²]: pairs that only the roll brings into one
    window, one token having crossed an edge of the picture, the other not."""
    crossed = torch.zeros(h, w, 2)
    crossed[h - shift:, :, 0] = 1
    crossed[:, w - shift:, 1] = 1
    crossed = split(crossed, window)
    return (crossed[:, :, None] != crossed[:, None]).any(3)


def attend(q, k, v, bias):
    """q, k, v [...][heads][N][d]; softmax over k, `bias` added before it."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** .5 + bias
    return scores.softmax(-1) @ v


def part(x, heads):
    """[...][N][C] → [...][heads][N][C / heads]"""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def unite(x):
    return x.transpose(-2, -3).flatten(-2)


class Tagger:
    """`config` and `state` as the model file has them, `tags` by place."""

    def __init__(self, config, state, tags):
        self.config, self.state, self.tags = config, state, tags
        self.thresholds = state["thresholds"]
        self.dtype = state["label_embed"].dtype

    # --- Layers --------------------------------------------------------------

    def linear(self, name, x):
        return F.linear(x, self.state[name + ".weight"],
                        self.state.get(name + ".bias"))

    def norm(self, name, x, eps=SWIN_EPS):
        return F.layer_norm(x, x.shape[-1:], self.state[name + ".weight"],
                            self.state[name + ".bias"], eps)

    # --- The picture ---------------------------------------------------------

    def prepare(self, picture):
        """[S][S][3]: resized with antialiasing, normalised."""
        size = self.config["image_size"]
        x = torch.from_numpy(picture).to(self.dtype).permute(2, 0, 1) / 255
        x = F.interpolate(x[None], (size, size), mode="bilinear",
                          antialias=True, align_corners=False)[0]
        mean, std = (torch.tensor(v, dtype=self.dtype) for v in (MEAN, STD))
        return (x.permute(1, 2, 0) - mean) / std

    def embed(self, x):
        name = "visual_encoder.patch_embed"
        x = F.conv2d(x.permute(2, 0, 1)[None],
                     self.state[name + ".proj.weight"],
                     self.state[name + ".proj.bias"],
                     stride=self.config["patch_size"])
        return self.norm(name + ".norm", x[0].permute(1, 2, 0))

    def look_around(self, name, x, heads, shift):
        """Attention within windows of a map that is rolled by `shift`."""
        h, w = x.shape[:2]
        window = self.config["window_size"]
        x = split(x.roll((-shift, -shift), (0, 1)), window)
        q, k, v = (part(y, heads)
                   for y in self.linear(name + ".qkv", x).chunk(3, -1))
        table = self.state[name + ".relative_position_bias_table"]
        bias = table[places(window)].permute(2, 0, 1)
        blocked = strangers(h, w, window, shift).to(self.dtype) * BLOCKED
        x = unite(attend(q, k, v, bias + blocked[:, None]))
        x = join(self.linear(name + ".proj", x), h, w)
        return x.roll((shift, shift), (0, 1))

    def block(self, name, x, heads, shift):
        x = x + self.look_around(name + ".attn",
                                 self.norm(name + ".norm1", x), heads, shift)
        y = self.linear(name + ".mlp.fc1", self.norm(name + ".norm2", x))
        return x + self.linear(name + ".mlp.fc2", F.gelu(y))

    def halve(self, name, x):
        """Four neighbours, down before right, become one of twice the
        channels."""
        x = torch.cat([x[0::2, 0::2], x[1::2, 0::2],
                       x[0::2, 1::2], x[1::2, 1::2]], -1)
        return self.linear(name + ".reduction", self.norm(name + ".norm", x))

    def stage(self, number, x):
        name, window = f"visual_encoder.layers.{number}", \
            self.config["window_size"]
        heads = self.config["num_heads"][number]
        # Where one window is the whole map there is nothing to roll.
        shift = window // 2 if x.shape[0] > window else 0
        for n in range(self.config["depths"][number]):
            x = self.block(f"{name}.blocks.{n}", x, heads, n % 2 * shift)
        last = number == len(self.config["depths"]) - 1
        return x if last else self.halve(name + ".downsample", x)

    def see(self, x):
        """[1 + tokens][C]: the mean of all tokens, then the tokens."""
        x = self.embed(x)
        for number in range(len(self.config["depths"])):
            x = self.stage(number, x)
        x = self.norm("visual_encoder.norm", x).flatten(0, 1)
        return torch.cat([x.mean(0, keepdim=True), x])

    # --- The tags ------------------------------------------------------------

    def ask(self, name, x, seen):
        """A layer of the head: each tag looks at what was seen."""
        heads, eps = (self.config[key] for key in
                      ("num_attention_heads", "layer_norm_eps"))
        inner = name + ".crossattention."
        q, k, v = (part(self.linear(f"{inner}self.{which}", y), heads)
                   for which, y in (("query", x), ("key", seen),
                                    ("value", seen)))
        y = self.linear(inner + "output.dense", unite(attend(q, k, v, 0)))
        x = self.norm(inner + "output.LayerNorm", x + y, eps)
        y = F.gelu(self.linear(name + ".intermediate.dense", x))
        return self.norm(name + ".output.LayerNorm",
                         x + self.linear(name + ".output.dense", y), eps)

    def judge(self, embeds):
        """[tags]: logits."""
        x = F.relu(self.linear("wordvec_proj", self.state["label_embed"]))
        for n in range(self.config["num_hidden_layers"]):
            x = self.ask(f"tagging_head.encoder.layer.{n}", x, embeds)
        return self.linear("fc", x)[:, 0]

    def run(self, picture):
        """All that comes of a picture, by name."""
        x = self.prepare(picture)
        tokens = self.see(x)
        embeds = self.linear("image_proj", tokens)
        return dict(input=x, tokens=tokens, embeds=embeds,
                    logits=self.judge(embeds))

    def choose(self, logits):
        """The tags that hold."""
        holds = logits.sigmoid() > self.thresholds
        return [tag for tag, is_one in zip(self.tags, holds) if is_one]


def load(path, dtype=torch.float32):
    """The tagger of a model file or of a file of its own."""
    with safe_open(path, "pt") as f:
        config = json.loads(f.metadata()["config"])["tagger"]
        state = {name[len(PREFIX):]: f.get_tensor(name) for name in f.keys()
                 if name.startswith(PREFIX)}
    tags = bytes(state.pop("tags").numpy()).decode().split("\n")
    return Tagger(config, {k: v.to(dtype) for k, v in state.items()}, tags)
