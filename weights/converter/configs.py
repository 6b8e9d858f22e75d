# The config.json files of a diffusers folder, read into what the model file's
# `config` says of UNet, VAE and text encoder. A key that is absent has the
# default of the class that wrote the file; one that asks for what the engine
# does not compute is refused.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

from .problem import Problem
from .textfile import read_json

MAX_LEVELS, MAX_LAYERS, MAX_CHANNELS = 8, 16, 8192

# key: the only value there may be, which is also diffusers' default
UNET_FIXED = {
    "act_fn": "silu", "addition_embed_type": None, "attention_type": "default",
    "center_input_sample": False, "class_embed_type": None,
    "conv_in_kernel": 3, "conv_out_kernel": 3, "cross_attention_norm": None,
    "downsample_padding": 1, "dual_cross_attention": False,
    "encoder_hid_dim": None, "flip_sin_to_cos": True, "freq_shift": 0,
    "mid_block_only_cross_attention": None, "mid_block_scale_factor": 1,
    "norm_eps": 1e-5, "num_attention_heads": None, "num_class_embeds": None,
    "only_cross_attention": False, "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False, "resnet_time_scale_shift": "default",
    "reverse_transformer_layers_per_block": None,
    "time_cond_proj_dim": None, "time_embedding_act_fn": None,
    "time_embedding_dim": None, "time_embedding_type": "positional",
    "timestep_post_act": None, "transformer_layers_per_block": 1,
}
VAE_FIXED = {
    "act_fn": "silu", "in_channels": 3, "out_channels": 3,
    "latents_mean": None, "latents_std": None, "shift_factor": None,
}


class Config:
    """A config.json whose values are checked as they are asked for."""

    def __init__(self, path):
        self.path, self.values = path, read_json(path)

    def fail(self, key, expected):
        found = self.values[key] if key in self.values else "nothing"
        raise Problem(f"{self.path}: {key}: expected {expected}, "
                      f"found {found}")

    def check_fixed(self, fixed):
        for key, expected in fixed.items():
            found = self.values.get(key, expected)
            if isinstance(found, list) and found:   # one for each level
                found = found[0] if found.count(found[0]) == len(found) \
                    else found
            if found != expected:
                self.fail(key, expected)

    def integer(self, key, largest, default=None):
        value = self.values.get(key, default)
        if type(value) is not int or not 1 <= value <= largest:
            self.fail(key, f"a whole number from 1 to {largest}")
        return value

    def number(self, key, default):
        value = self.values.get(key, default)
        if type(value) not in (int, float) or not 1e-6 <= value <= 1e6:
            self.fail(key, "a number from 1e-6 to 1e6")
        return value

    def switch(self, key, default):
        value = self.values.get(key, default)
        if type(value) is not bool:
            self.fail(key, "true or false")
        return value

    def channels(self):
        """block_out_channels, as many as there are levels."""
        key = "block_out_channels"
        value = self.values.get(key)
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_LEVELS \
                or not all(type(v) is int and 1 <= v <= MAX_CHANNELS
                           for v in value):
            self.fail(key, f"1 to {MAX_LEVELS} numbers up to {MAX_CHANNELS}")
        return value

    def types(self, key, levels, known):
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) != levels \
                or not all(v in known for v in value):
            self.fail(key, f"a list of {levels} of {' and '.join(known)}")
        return value


def read_heads(config, channels):
    """attention_head_dim: the number of heads, one or for each level."""
    key = "attention_head_dim"
    value = config.values.get(key, 8)
    heads = value if isinstance(value, list) else [value] * len(channels)
    if len(heads) != len(channels) or not all(
            type(h) is int and h >= 1 and c % h == 0
            for h, c in zip(heads, channels)):
        config.fail(key, f"numbers of heads that divide {channels}")
    return heads


def read_unet(path, in_channels):
    """The folder's UNet with the first convolution DLoRAL gives it."""
    c = Config(path)
    c.check_fixed(UNET_FIXED)
    channels = c.channels()
    levels = len(channels)
    unet = {
        "in_channels": in_channels,
        "out_channels": c.integer("out_channels", 64, 4),
        "block_out_channels": channels,
        "attention_head_dim": read_heads(c, channels),
        "layers_per_block": c.integer("layers_per_block", MAX_LAYERS, 2),
        "cross_attention_dim":
            c.integer("cross_attention_dim", MAX_CHANNELS, 1280),
        "norm_num_groups": c.integer("norm_num_groups", MAX_CHANNELS, 32),
        "use_linear_projection": c.switch("use_linear_projection", False),
        "down_block_types": c.types(
            "down_block_types", levels,
            ("CrossAttnDownBlock2D", "DownBlock2D")),
        "up_block_types": c.types(
            "up_block_types", levels, ("CrossAttnUpBlock2D", "UpBlock2D")),
    }
    if c.values.get("mid_block_type", "UNetMidBlock2DCrossAttn") \
            != "UNetMidBlock2DCrossAttn":
        c.fail("mid_block_type", "UNetMidBlock2DCrossAttn")
    return unet


def read_vae(path):
    c = Config(path)
    c.check_fixed(VAE_FIXED)
    channels = c.channels()
    c.types("down_block_types", len(channels), ("DownEncoderBlock2D",))
    c.types("up_block_types", len(channels), ("UpDecoderBlock2D",))
    vae = {
        "latent_channels": c.integer("latent_channels", 64, 4),
        "scaling_factor": c.number("scaling_factor", 0.18215),
        "block_out_channels": channels,
        "layers_per_block": c.integer("layers_per_block", MAX_LAYERS, 1),
        "norm_num_groups": c.integer("norm_num_groups", MAX_CHANNELS, 32),
    }
    for key in ("mid_block_add_attention", "use_quant_conv",
                "use_post_quant_conv"):
        if not c.switch(key, True):
            vae[key] = False
    return vae


def read_text_encoder(path):
    c = Config(path)
    text = {
        "num_hidden_layers": c.integer("num_hidden_layers", 64),
        "num_attention_heads": c.integer("num_attention_heads", 256),
        "hidden_size": c.integer("hidden_size", MAX_CHANNELS),
        "intermediate_size": c.integer("intermediate_size", 4 * MAX_CHANNELS),
        "hidden_act": c.values.get("hidden_act"),
        "layer_norm_eps": c.number("layer_norm_eps", 1e-5),
        "max_position_embeddings": c.integer("max_position_embeddings", 1024),
        "vocab_size": c.integer("vocab_size", 1 << 20),
    }
    if text["hidden_act"] not in ("gelu", "quick_gelu"):
        c.fail("hidden_act", "gelu or quick_gelu")
    if text["hidden_size"] % text["num_attention_heads"]:
        c.fail("num_attention_heads",
               f"a divisor of hidden_size, {text['hidden_size']}")
    return text
