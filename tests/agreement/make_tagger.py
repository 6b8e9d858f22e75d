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
# Needs what make_case.py needs.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json
import math
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

import tagger                                           # noqa: E402
from converter.layouts import tagger_layout             # noqa: E402
from make_case import make_frames                       # noqa: E402

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


def randomise(config, generator):
    """Parameters none of which is idle, and none so strong that rounding
    grows: norms away from identity, a bias for every place in a window."""
    state = {}
    for name, shape in tagger_layout(config).items():
        layer, _, kind = name.rpartition(".")
        mean, spread = 0, .7 if "table" in kind else 1
        if kind == "bias":
            spread = .2
        elif len(shape) == 1:
            mean, spread = 1, .2
        elif kind == "weight":
            gain = 1.5 if layer.endswith((".qkv", ".query", ".key")) \
                else 1.2 if ".crossattention." in layer else .9
            spread = gain / math.sqrt(math.prod(shape[1:]))
        state[name] = torch.randn(shape, generator=generator) * spread + mean
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
