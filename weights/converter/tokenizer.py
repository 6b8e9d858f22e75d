# CLIP's byte-pair encoding, and the files of a tokenizer/ folder: from a prompt
# to the numbers of its tokens, as the fast tokenizer of transformers does it.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import re
import unicodedata

from .problem import Problem
from .textfile import read_file, read_json

START, END = "<|startoftext|>", "<|endoftext|>"
LAST = "</w>"                   # marks the last piece of a word
ENDINGS = ("'re", "'ve", "'ll", "'s", "'t", "'m", "'d")


def byte_letters():
    """The letter that stands for each byte: itself where it prints, else one
    from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    odd = [b for b in range(256) if b not in plain]
    letters = {b: chr(b) for b in plain}
    letters.update({b: chr(256 + i) for i, b in enumerate(odd)})
    return letters


LETTERS = byte_letters()


def normalize(text):
    """Composed, single spaces, lower case letter by letter."""
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text))
    return "".join(c.lower() for c in text)


def kind(c):
    if c.isspace():
        return " "
    category = unicodedata.category(c)[0]
    return category if category in "LN" else "other"


def split_words(text):
    """An ending with its apostrophe, a run of letters, one digit, or a run of
    anything else but spaces."""
    words, i = [], 0
    while i < len(text):
        ending = next((e for e in ENDINGS if text.startswith(e, i)), "")
        what, n = kind(text[i]), max(1, len(ending))
        while not ending and what != "N" and i + n < len(text) \
                and kind(text[i + n]) == what:
            n += 1
        if what != " ":
            words.append(text[i:i + n])
        i += n
    return words


class Tokenizer:
    """`vocabulary` from piece to number; `ranks` from a pair of pieces to how
    early they merge; `special` are texts that are tokens as they stand, "bos",
    "eos" and "pad" among them by their role."""

    def __init__(self, vocabulary, ranks, special, max_length):
        self.vocabulary, self.ranks = vocabulary, ranks
        self.special, self.max_length = special, max_length
        texts = sorted(set(special.values()), key=len, reverse=True)
        self.specials = re.compile("(" + "|".join(map(re.escape, texts)) + ")")

    def id(self, role):
        return self.vocabulary[self.special[role]]

    def merge(self, word):
        pieces = [LETTERS[b] for b in word.encode(errors="surrogateescape")]
        pieces[-1] += LAST
        while True:
            ranked = [(self.ranks[pair], i) for i, pair
                      in enumerate(zip(pieces, pieces[1:]))
                      if pair in self.ranks]
            if not ranked:
                return pieces
            i = min(ranked)[1]
            pieces[i:i + 2] = [pieces[i] + pieces[i + 1]]

    def pieces(self, text):
        for part in self.specials.split(normalize(text)):
            if part in self.special.values():
                yield part
            else:
                for word in split_words(part):
                    yield from self.merge(word)

    def encode(self, text):
        """[max_length] numbers: the text between start and end, cut if too
        long, padded."""
        ids = [self.vocabulary[p] for p in self.pieces(text)]
        ids = [self.id("bos"), *ids[:self.max_length - 2], self.id("eos")]
        return ids + [self.id("pad")] * (self.max_length - len(ids))

    def config(self):
        return {"bos_token_id": self.id("bos"), "eos_token_id": self.id("eos"),
                "pad_token_id": self.id("pad"), "max_length": self.max_length}


# --- The folder --------------------------------------------------------------

def read_vocabulary(path):
    vocabulary = read_json(path)
    if sorted(map(repr, vocabulary.values())) \
            != sorted(map(repr, range(len(vocabulary)))):
        raise Problem(f"{path}: expected {len(vocabulary)} tokens numbered "
                      "from 0 on, found gaps, repetitions or no numbers")
    missing = [c + end for c in LETTERS.values() for end in ("", LAST)
               if c + end not in vocabulary]
    if missing:
        raise Problem(f"{path}: expected a piece for each byte, found none "
                      f"for {missing[0]!r}; this is no CLIP vocabulary")
    return vocabulary


def read_merges(path, vocabulary):
    ranks = {}
    lines = read_file(path).decode().split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        pair = tuple(line.split())
        if len(pair) != 2 or "".join(pair) not in vocabulary:
            raise Problem(f"{path}: line {number}: expected two pieces that "
                          "make a token of vocab.json, found "
                          f"{line.strip()!r}; the two files do not belong "
                          "together")
        ranks.setdefault(pair, len(ranks))
    return ranks


def read_special(folder, vocabulary):
    """special_tokens_map.json has the last word; either may be absent."""
    special = {"bos": START, "eos": END, "unk": END, "pad": END}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        values = read_json(path) if path.exists() else {}
        for role in special:
            value = values.get(role + "_token")
            if isinstance(value, dict):
                value = value.get("content")
            if value is None:
                continue
            if not isinstance(value, str) or value not in vocabulary:
                raise Problem(f"{path}: {role}_token: expected a token of "
                              f"vocab.json, found {value!r}")
            special[role] = value
    for role, text in special.items():
        if text not in vocabulary:
            raise Problem(f"{folder / 'vocab.json'}: expected the "
                          f"{role} token {text!r}, found none")
    return special


def read_max_length(folder, positions):
    """What the tokenizer says, if it says anything."""
    path = folder / "tokenizer_config.json"
    values = read_json(path) if path.exists() else {}
    length = values.get("model_max_length", positions)
    if type(length) is not int or not 2 <= length <= positions:
        raise Problem(f"{path}: model_max_length: expected at most the text "
                      f"encoder's {positions} positions, found {length}")
    return length


def read_tokenizer(folder, text_config):
    """The tokenizer of a folder, for the text encoder of that config."""
    path = folder / "vocab.json"
    vocabulary = read_vocabulary(path)
    if len(vocabulary) != text_config["vocab_size"]:
        raise Problem(f"{path}: expected the text encoder's "
                      f"{text_config['vocab_size']} tokens, found "
                      f"{len(vocabulary)}; tokenizer/ and text_encoder/ do not "
                      "belong together")
    return Tokenizer(
        vocabulary, read_merges(folder / "merges.txt", vocabulary),
        read_special(folder, vocabulary),
        read_max_length(folder, text_config["max_position_embeddings"]))
