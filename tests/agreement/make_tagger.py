#!/usr/bin/env python3
# Writes a small random tagger and what PyTorch computes with it:
#
#   make_tagger.py data/tagger
#
# tagger.safetensors is a tagger file as weights/convert writes it, in float32.
# answers-WxH.safetensors are one frame and its answers: `lq` (u8 [H][W][3]),
# `input` ([S][S][3], resized and normalised), `tokens` ([1 + n][C], their mean
# first), `embeds` ([1 + n][projection_dim]), `logits` ([tags]), computed in
# float64; metadata `tags` are those that hold, joined by ", ".
#
# Needs what tagger.py needs.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json
import math
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file

import tagger
from make_case import make_frames

SEED = 12
# Three stages of 16, 8 and 4 tokens a side: windows that roll, among them some
# that meet no edge; a stage of one block; one that is a single window.
CONFIG = {
    "image_size": 32, "patch_size": 2, "embed_dim": 4, "depths": [2, 1, 2],
    "num_heads": [1, 2, 2], "window_size": 4, "mlp_ratio": 2,
    "projection_dim": 12, "hidden_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 32, "layer_norm_eps": 1e-12,
    "tags": 23,
}
TAGS = ["red brick wall", "café table", "Straßenbahn", "wet cobbles", "日本の橋",
        "крыша", "grey cat", "left shoe", "🚲", "piñata", "rowing boat",
        "seed tray", "tin roof", "old map", "fog", "chalk line", "smørrebrød",
        "pocket mirror", "hay bale", "lamp post", "door handle", "two pears",
        "rope"]
SIZES = ((26, 18), (40, 33), (11, 6))   # the last one is enlarged for the net
LOGIT_SPREAD, NEAR = 1.5, .02


def swin_shapes(c):
    """Name and shape of a layer's weight; of a bias table, its own."""
    top, width = "visual_encoder", c["embed_dim"]
    yield top + ".patch_embed.proj", (width, 3) + 2 * (c["patch_size"],)
    yield top + ".patch_embed.norm", (width,)
    for stage, depth in enumerate(c["depths"]):
        for n in range(depth):
            name = f"{top}.layers.{stage}.blocks.{n}."
            yield name + "norm1", (width,)
            yield name + "attn.relative_position_bias_table", (
                (2 * c["window_size"] - 1) ** 2, c["num_heads"][stage])
            yield name + "attn.qkv", (3 * width, width)
            yield name + "attn.proj", (width, width)
            yield name + "norm2", (width,)
            yield name + "mlp.fc1", (c["mlp_ratio"] * width, width)
            yield name + "mlp.fc2", (width, c["mlp_ratio"] * width)
        if stage < len(c["depths"]) - 1:
            name = f"{top}.layers.{stage}.downsample."
            yield name + "norm", (4 * width,)
            yield name + "reduction", (2 * width, 4 * width)
            width *= 2
    yield top + ".norm", (width,)
    yield "image_proj", (c["projection_dim"], width)


def head_shapes(c):
    hidden, seen = c["hidden_size"], c["projection_dim"]
    yield "label_embed", (c["tags"], seen)
    yield "wordvec_proj", (hidden, seen)
    for n in range(c["num_hidden_layers"]):
        name = f"tagging_head.encoder.layer.{n}."
        yield name + "crossattention.self.query", (hidden, hidden)
        yield name + "crossattention.self.key", (hidden, seen)
        yield name + "crossattention.self.value", (hidden, seen)
        yield name + "crossattention.output.dense", (hidden, hidden)
        yield name + "crossattention.output.LayerNorm", (hidden,)
        yield name + "intermediate.dense", (c["intermediate_size"], hidden)
        yield name + "output.dense", (hidden, c["intermediate_size"])
        yield name + "output.LayerNorm", (hidden,)
    yield "fc", (1, hidden)


def randomise(config, generator):
    """Parameters none of which is idle, and none so strong that rounding
    grows: norms away from identity, a bias for every place in a window."""
    def normal(shape, mean, std):
        return torch.randn(shape, generator=generator) * std + mean

    state = {}
    for name, shape in [*swin_shapes(config), *head_shapes(config)]:
        if name.endswith("table") or name == "label_embed":
            state[name] = normal(shape, 0, .7 if "table" in name else 1)
            continue
        gain = 1.5 if name.endswith((".qkv", ".query", ".key")) \
            else 1.2 if ".crossattention." in name else .9
        state[name + ".weight"] = normal(shape, 1, .2) if len(shape) == 1 \
            else normal(shape, 0, gain / math.sqrt(math.prod(shape[1:])))
        if not name.endswith(".reduction"):
            state[name + ".bias"] = normal(shape[:1], 0, .2)
    return state


def settle(state, pictures):
    """Logits of a spread and around zero, and thresholds far enough from all
    of them that rounding decides nothing."""
    state["thresholds"] = torch.zeros(CONFIG["tags"])
    net = tagger.Tagger(CONFIG, state, TAGS)
    logits = torch.stack([net.run(p)["logits"] for p in pictures])
    state["fc.weight"] *= LOGIT_SPREAD / logits.std()
    logits = torch.stack([net.run(p)["logits"] for p in pictures])
    state["fc.bias"] -= logits.mean()
    found = (logits - logits.mean()).sigmoid()
    random = np.random.default_rng(SEED)
    for place in range(CONFIG["tags"]):
        while (found[:, place] - state["thresholds"][place]).abs().min() \
                < 2 * NEAR or state["thresholds"][place] == 0:
            state["thresholds"][place] = random.uniform(.3, .7)


def write_tagger(path, pictures):
    state = randomise(CONFIG, torch.Generator().manual_seed(SEED))
    settle(state, pictures)
    text = "\n".join(TAGS).encode()
    state["tags"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    save_file({tagger.PREFIX + name: t for name, t in state.items()}, path,
              {"format": "dloral-tagger",
               "config": json.dumps({"tagger": CONFIG})})


def write_answers(net, lq, folder):
    answers = net.run(tagger.enlarge(lq))
    tags = net.choose(answers["logits"])
    margin = answers["logits"].sigmoid() - net.thresholds
    assert margin.abs().min() > NEAR and 0 < len(tags) < len(TAGS)
    h, w = lq.shape[:2]
    save_file({"lq": torch.from_numpy(lq),
               **{k: v.float().contiguous() for k, v in answers.items()}},
              folder / f"answers-{w}x{h}.safetensors",
              {"tags": ", ".join(tags)})
    print(f"{w}x{h}: " + ", ".join(
        f"{name} {list(t.shape)} std {t.std():.3g}"
        for name, t in answers.items()) + f"; {', '.join(tags)}")
    return answers["logits"]


def main(folder):
    torch.set_grad_enabled(False)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    frames = [make_frames(w, h, 1, random)[0] for w, h in SIZES]
    write_tagger(folder / "tagger.safetensors",
                 [tagger.enlarge(lq) for lq in frames])
    net = tagger.load(folder / "tagger.safetensors", torch.float64)
    logits = torch.stack([write_answers(net, lq, folder) for lq in frames])
    # Which picture it is must matter, not only which tag.
    assert logits.std(1).min() > .5 and logits.std(0).median() > .3


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("use: make_tagger.py FOLDER")
    main(pathlib.Path(sys.argv[1]))
