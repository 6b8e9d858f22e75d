#!/usr/bin/env python3
# Writes what the tests of tokenizer and text encoder read:
#
#   text-model.safetensors     a small random model with a text encoder and a
#                              vocabulary of its own, learnt from LESSON
#   text-expected.safetensors  a thousand strings and their ids, and the
#                              embeddings of a few prompts, by transformers
#
# Needs torch, diffusers 0.25, transformers 4.37, safetensors, numpy.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import collections
import itertools
import json
import pathlib
import random
import re
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "agreement"))

import reference  # noqa: E402

MERGES = 300
LENGTH = 77
BEGIN, END = "<|startoftext|>", "<|endoftext|>"

LESSON = """
A street at night after the rain, the lights of the shops in the wet stones.
A sharp photo of an old man with a white beard, he's reading the newspaper.
The children don't want to go home; they've been playing in the garden all day.
We'll restore the video: the best quality, sharp edges, fine texture, no noise.
Clean, detailed, high resolution, 4k, 8k, natural light, realistic colours.
It's a train that's leaving the station, I'm late and you're waiting.
Blurry, noisy, compressed, low quality; the artist's hand wasn't steady.
Trees, water, clouds, mountains, houses, faces, hands, hair, letters, signs.
Der schöne Garten, die Straße und das Mädchen; le café, la forêt, être, déjà.
Вода и свет, дом и сад. 東京の夜、雨の街。 서울의 밤거리. שלום עולם. مرحبا
"""

PROMPTS = [
    "",
    "A sharp photo of the street at night, best quality, 4K!",
    "the old man's garden, " * 20,
]

# What breaks words, or does not.
WORDS = """a A the The photo PHOTO street night rain sharp quality best-quality
don't DON'T it's IT'S he'd they're we've I'll I'm o'clock 'tis rock'n'roll
naïve café CAFÉ résumé Ångström straße STRASSE ß ẞ ﬁ ﬂ œuvre Æ ĳ İstanbul ıI
ΣΊΣΥΦΟΣ Ὀδυσσεύς ǅ ǆ Ǆ ŉ привет МИР ЁЖ йод Қазақ Україна 日本語 東京タワー 漢字
ひらがな カタカナ ｶﾀｶﾅ 한국어 서울 ไทย ภาษา हिन्दी தமிழ் বাংলা עברית مرحبا ქართული
Հայերեն አማርኛ ᏣᎳᎩ 4k 8K 1080p 3.14 1/2 ½ ² ³ ٣٤ ३४ ３４ Ⅷ ⅷ Ⓐ ⓐ ⑦ 〇 12345 0""".split()
SIGNS = """. , ; : ? ?! !? ! !! ... … ' '' " `` ’s ‘a’ “b” « » - -- – — _ __ / \\ | || & &&
@ # #1 $ € £ ¥ % ‰ ^ * ** + = ~ ( ) (( )) [ ] { } < > <> </w> <| |> <|x|> <|endoftext
§ ¶ © ® ™ ° ± × ÷ ← → ⇒ ∞ ≠ √ ∑ ♥ ★ ☃ ☺ 👍 👍🏽 👨‍👩‍👧 🇩🇪 ❤️ 🎬 😀 ⌚ 🙂‍ 、 。 「」 ！ ？""".split()
SPECIALS = [BEGIN, END, END.upper(), "<|StartOfText|>", "<|endoftext|", "!"]
# Composed and not, composed by exclusion, in the wrong order, alone.
MARKS = ["é", "e\u0301", "Å", "A\u030a", "\u212b", "\u2126", "ö", "o\u0308",
         "q\u0323\u0307", "q\u0307\u0323", "\u0344", "\u0958", "\u0915\u093c",
         "\u1100\u1161\u11a8", "각", "\ufb1d", "\u2adc", "\u0301", "\u0300\u0300",
         "\U0001d15e", "\U0002f800", "ṩ", "s\u0323\u0307", "s\u0307\u0323",
         "I\u0307", "i\u0307", "\u01d5", "u\u0308\u0304"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\v", "\f", "\x85", "\xa0", "\u1680",
          "\u2000", "\u2003", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f",
          "\u205f", "\u3000"]
# Neither spaces nor letters.
CONTROLS = ["\x01", "\x07", "\x08", "\x0e", "\x1b", "\x1c", "\x1f", "\x7f",
            "\x80", "\x9f", "\xad", "\u180e", "\u200b", "\u200d", "\u200e",
            "\u202e", "\u2060", "\ufe0f", "\ufeff", "\ufffd", "\uffff",
            "\ue000", "\U0010ffff"]


def byte_chars():
    """The character that stands for each byte: Latin-1's where it can be
    printed, the others from U+0100 on."""
    keep = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = itertools.count(256)
    return [chr(b if b in keep else next(others)) for b in range(256)]


BYTE_CHARS = byte_chars()


def split(lesson):
    """Words as lists of byte characters, the last one marked."""
    for word in re.findall(r"\w+|[^\w\s]+", lesson.lower()):
        pieces = [BYTE_CHARS[b] for b in word.encode()]
        yield [*pieces[:-1], pieces[-1] + "</w>"]


def merge(word, left, right):
    i = 0
    while i + 1 < len(word):
        if word[i] == left and word[i + 1] == right:
            word[i:i + 2] = [left + right]
        i += 1


def learn():
    """Vocabulary and merges in CLIP's order: again and again the most frequent
    pair, the first in the alphabet of equals."""
    words, merges = list(split(LESSON)), {}
    while len(merges) < MERGES:
        counts = collections.Counter(
            pair for word in words for pair in zip(word, word[1:]))
        left, right = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.setdefault(left + right, f"{left} {right}")
        for word in words:
            merge(word, left, right)
    tokens = sorted(BYTE_CHARS)   # the order of CLIP's ids
    tokens += [c + "</w>" for c in tokens] + [*merges, BEGIN, END]
    vocab = {token: i for i, token in enumerate(tokens)}
    assert len(vocab) == len(tokens)
    return vocab, list(merges.values())


def write_tokenizer(folder, vocab, merges):
    """As Stable Diffusion 2.1 has it: padding is "!"."""
    def token(content):
        return dict(content=content, lstrip=False, normalized=True,
                    rstrip=False, single_word=False)

    folder = pathlib.Path(folder)
    special = dict(bos_token=token(BEGIN), eos_token=token(END),
                   unk_token=token(END), pad_token="!")
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    (folder / "merges.txt").write_text(
        "\n".join(["#version: 0.2", *merges]) + "\n", "utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        dict(tokenizer_class="CLIPTokenizer", model_max_length=LENGTH)))


def make_strings(n, rng):
    """Every piece alone, between letters and after an apostrophe; then random
    rows of them."""
    pieces = [WORDS, SIGNS, SPECIALS, MARKS, SPACES, CONTROLS]
    strings = list(PROMPTS)
    for kind in pieces:
        for piece in kind:
            strings.append(piece if kind in (WORDS, SIGNS) else f"a{piece}b")
    strings += [f"'{piece}'s" for piece in MARKS + SPACES + SPECIALS]
    strings += ["a" * 200, "1" * 200, "." * 200, " " * 200 + "a", "!" * 100,
                "東" * 60, "e\u0301" * 90, END * 80, "street " * 73 + "a b c"]
    while len(strings) < n:
        row = ""
        for _ in range(rng.choice([1, 2, 3, 4, 5, 6, 8, 12])):
            row += rng.choice(rng.choices(pieces, [8, 3, 1, 2, 2, 1])[0])
            row += rng.choice(["", " "])
        strings.append(row)
    return strings[:n]


def make_config(vocab, act):
    text = dict(num_hidden_layers=3, num_attention_heads=4, hidden_size=32,
                intermediate_size=80, hidden_act=act, layer_norm_eps=1e-5,
                max_position_embeddings=LENGTH, vocab_size=len(vocab))
    blocks = ["CrossAttnDownBlock2D"], ["CrossAttnUpBlock2D"]
    return {
        "scale": 4, "timestep": 1, "color_fix": "none",
        "vae": {"latent_channels": 4, "scaling_factor": 1.0, "patch_size": 8,
                "block_out_channels": [4], "layers_per_block": 1,
                "decoder_layers_per_block": 1, "norm_num_groups": 2,
                "mid_block": False, "use_quant_conv": False,
                "use_post_quant_conv": False, "lq_residual": True},
        "unet": {"in_channels": 8, "out_channels": 4,
                 "block_out_channels": [4], "attention_head_dim": 2,
                 "layers_per_block": 1, "norm_num_groups": 2,
                 "cross_attention_dim": text["hidden_size"],
                 "use_linear_projection": True, "mid_block_type": None,
                 "down_block_types": blocks[0], "up_block_types": blocks[1]},
        "cfr": {"heads": 1, "embed_dim": 4, "temperature": 20.0, "window": 3},
        "spynet": {"channels": [2, 2, 2, 2]},
        "text_encoder": text,
        "tokenizer": {"bos_token_id": vocab[BEGIN], "eos_token_id": vocab[END],
                      "pad_token_id": vocab["!"], "max_length": LENGTH},
    }


def make_encoder(config, act):
    text = dict(config["text_encoder"], hidden_act=act)
    return CLIPTextModel(CLIPTextConfig(**text)).eval()


def randomise(encoder, generator):
    """Norms away from identity, attention that chooses, activations whose bend
    is felt; values that F16 holds."""
    for name, p in encoder.named_parameters():
        mean, std = 0, .3
        if "norm" in name:
            mean, std = (1, .3) if name.endswith("weight") else (0, .3)
        elif p.dim() == 2 and "embedding" not in name:
            std = 1.5 * p.shape[1] ** -.5
        p.copy_(torch.randn(p.shape, generator=generator) * std + mean)
        p.copy_(p.half())


def to_u8(data):
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())


def join(strings):
    return to_u8(b"".join(s.encode() + b"\0" for s in strings))


def main():
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    vocab, merges = learn()
    config = make_config(vocab, "gelu")
    encoder = make_encoder(config, "gelu")
    randomise(encoder, torch.Generator().manual_seed(1))
    strings = make_strings(1000, random.Random(1))

    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(folder, vocab, merges)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        files = {f"tokenizer.{name}":
                 to_u8(pathlib.Path(folder, name).read_bytes())
                 for name in ("vocab.json", "merges.txt")}
    assert tokenizer.is_fast and tokenizer.pad_token_id == vocab["!"]
    ids = np.array(tokenizer(strings, max_length=LENGTH, padding="max_length",
                             truncation=True)["input_ids"])
    lengths = np.array([len(tokenizer(s, max_length=LENGTH,
                                      truncation=True)["input_ids"])
                        for s in strings])
    short = np.concatenate([row[:n] for row, n in zip(ids, lengths)])

    expected = dict(strings=join(strings), prompts=join(PROMPTS),
                    ids=torch.from_numpy(short.astype(np.int16)),
                    lengths=torch.from_numpy(lengths.astype(np.uint8)))
    for act in ("gelu", "quick_gelu"):
        other = make_encoder(config, act)
        other.load_state_dict(encoder.state_dict())
        expected[f"embeds.{act}"] = other(
            torch.from_numpy(ids[:len(PROMPTS)])).last_hidden_state

    model = reference.Dloral(config)
    model.prompt_embeds.copy_(expected["embeds.gelu"][0])
    state = {**model.state_dict(), **{
        f"text_encoder.{k}": v for k, v in encoder.state_dict().items()
        if not k.endswith("position_ids")}}
    state = {k: v.half().contiguous() for k, v in state.items()}
    save_file({**state, **files}, HERE / "text-model.safetensors",
              {"format": "dloral", "config": json.dumps(config)})
    save_file(expected, HERE / "text-expected.safetensors")


main()
