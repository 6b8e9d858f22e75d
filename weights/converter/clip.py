# CLIP's text encoder: from the tokens of a prompt to its embedding. Weights are
# read when a layer needs them and dropped after it.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import torch
import torch.nn.functional as F

ACTIVATIONS = {
    "gelu": F.gelu,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


class Encoder:
    def __init__(self, source, config):
        self.source, self.config = source, config

    def read(self, name):
        return self.source.read("text_model." + name)

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.read(name + ".weight"),
                            self.read(name + ".bias"),
                            self.config["layer_norm_eps"])

    def linear(self, name, x):
        return F.linear(x, self.read(name + ".weight"),
                        self.read(name + ".bias"))

    def attention(self, name, x):
        """x [tokens][d]; a token sees those before it and itself."""
        tokens, heads = len(x), self.config["num_attention_heads"]
        q, k, v = (self.linear(f"{name}.{p}_proj", x)
                   .view(1, tokens, heads, -1).transpose(1, 2) for p in "qkv")
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.linear(name + ".out_proj",
                           y.transpose(1, 2).reshape(tokens, -1))

    def layer(self, name, x):
        x = x + self.attention(name + ".self_attn",
                               self.norm(name + ".layer_norm1", x))
        y = self.linear(name + ".mlp.fc1", self.norm(name + ".layer_norm2", x))
        y = ACTIVATIONS[self.config["hidden_act"]](y)
        return x + self.linear(name + ".mlp.fc2", y)

    def encode(self, ids):
        """[len(ids)][d], after the final norm."""
        x = self.read("embeddings.token_embedding.weight")[ids] \
            + self.read("embeddings.position_embedding.weight")[:len(ids)]
        for n in range(self.config["num_hidden_layers"]):
            x = self.layer(f"encoder.layers.{n}", x)
        return self.norm("final_layer_norm", x)
