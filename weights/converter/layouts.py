# Which tensors the networks have, and their shapes: diffusers' UNet and VAE,
# DLoRAL's flow and retrieval, transformers' CLIP text encoder, RAM's tagger.
# All is worked out from the config, so that what a file lacks is known before
# anything is written.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

SPYNET_LEVELS = 6


class Layout(dict):
    """Shapes by name."""

    def layer(self, name, *shape, bias=True):
        self[name + ".weight"] = shape
        if bias:
            self[name + ".bias"] = shape[:1]

    def conv(self, name, i, o, kernel=3):
        self.layer(name, o, i, kernel, kernel)

    def resnet(self, name, i, o, time=0):
        """`time`: channels of the time embedding, 0 for none."""
        self.layer(name + ".norm1", i)
        self.conv(name + ".conv1", i, o)
        if time:
            self.layer(name + ".time_emb_proj", o, time)
        self.layer(name + ".norm2", o)
        self.conv(name + ".conv2", o, o)
        if i != o:
            self.conv(name + ".conv_shortcut", i, o, 1)

    def attention(self, name, c, context, bias):
        self.layer(name + ".to_q", c, c, bias=bias)
        self.layer(name + ".to_k", c, context, bias=bias)
        self.layer(name + ".to_v", c, context, bias=bias)
        self.layer(name + ".to_out.0", c, c)


# --- UNet --------------------------------------------------------------------

def transformer(layout, name, c, unet):
    block = name + ".transformer_blocks.0"
    side = (c, c) if unet["use_linear_projection"] else (c, c, 1, 1)
    layout.layer(name + ".norm", c)
    layout.layer(name + ".proj_in", *side)
    for norm in (".norm1", ".norm2", ".norm3"):
        layout.layer(block + norm, c)
    layout.attention(block + ".attn1", c, c, bias=False)
    layout.attention(block + ".attn2", c, unet["cross_attention_dim"],
                     bias=False)
    layout.layer(block + ".ff.net.0.proj", 8 * c, c)
    layout.layer(block + ".ff.net.2", c, 4 * c)
    layout.layer(name + ".proj_out", *side)


def unet_layout(unet):
    layout = Layout()
    channels = unet["block_out_channels"]
    levels, first = len(channels), channels[0]
    time = 4 * first
    layout.layer("time_embedding.linear_1", time, first)
    layout.layer("time_embedding.linear_2", time, time)
    layout.conv("conv_in", unet["in_channels"], first)

    def block(name, j, i, o, attends):
        layout.resnet(f"{name}.resnets.{j}", i, o, time)
        if attends:
            transformer(layout, f"{name}.attentions.{j}", o, unet)

    c, skips = first, [first]
    for level, o in enumerate(channels):
        name = f"down_blocks.{level}"
        attends = unet["down_block_types"][level].startswith("CrossAttn")
        for j in range(unet["layers_per_block"]):
            block(name, j, c, o, attends)
            c = o
            skips.append(c)
        if level < levels - 1:
            layout.conv(name + ".downsamplers.0.conv", c, c)
            skips.append(c)
    block("mid_block", 0, c, c, True)
    block("mid_block", 1, c, c, False)
    for n, o in enumerate(reversed(channels)):
        name = f"up_blocks.{n}"
        attends = unet["up_block_types"][n].startswith("CrossAttn")
        for j in range(unet["layers_per_block"] + 1):
            block(name, j, c + skips.pop(), o, attends)
            c = o
        if n < levels - 1:
            layout.conv(name + ".upsamplers.0.conv", c, c)
    layout.layer("conv_norm_out", c)
    layout.conv("conv_out", c, unet["out_channels"])
    return layout


# --- VAE ---------------------------------------------------------------------

def vae_middle(layout, side, c, vae):
    name = side + ".mid_block"
    layout.resnet(name + ".resnets.0", c, c)
    if vae.get("mid_block_add_attention", True):
        layout.layer(name + ".attentions.0.group_norm", c)
        layout.attention(name + ".attentions.0", c, c, bias=True)
    layout.resnet(name + ".resnets.1", c, c)


def vae_side(layout, side, ends, channels, layers, vae):
    """Encoder or decoder; `ends` are its channels before and after."""
    blocks, sampler = ("down_blocks", "downsamplers") \
        if side == "encoder" else ("up_blocks", "upsamplers")
    c = channels[0]
    layout.conv(side + ".conv_in", ends[0], c)
    for level, o in enumerate(channels):
        name = f"{side}.{blocks}.{level}"
        for j in range(layers):
            layout.resnet(f"{name}.resnets.{j}", c, o)
            c = o
        if level < len(channels) - 1:
            layout.conv(f"{name}.{sampler}.0.conv", c, c)
    vae_middle(layout, side, vae["block_out_channels"][-1], vae)
    layout.layer(side + ".conv_norm_out", c)
    layout.conv(side + ".conv_out", c, ends[1])


def vae_layout(vae):
    layout = Layout()
    latent, channels = vae["latent_channels"], vae["block_out_channels"]
    layers = vae["layers_per_block"]
    vae_side(layout, "encoder", (3, 2 * latent), channels, layers, vae)
    vae_side(layout, "decoder", (latent, 3), channels[::-1], layers + 1, vae)
    if vae.get("use_quant_conv", True):
        layout.conv("quant_conv", 2 * latent, 2 * latent, 1)
    if vae.get("use_post_quant_conv", True):
        layout.conv("post_quant_conv", latent, latent, 1)
    return layout


# --- Flow and retrieval ------------------------------------------------------

def cfr_layout(cfr, spynet, latent):
    layout = Layout()
    sides = [8, *spynet["channels"], 2]
    for level in range(SPYNET_LEVELS):
        for j, (i, o) in enumerate(zip(sides, sides[1:])):
            layout.conv(f"spynet.basic_module.{level}.basic_module.{j}.conv",
                        i, o, 7)
    width = cfr["heads"] * cfr["embed_dim"]
    for name in ("query_conv", "key_conv", "value_conv"):
        layout.conv("cross_attn_module." + name, latent, width, 1)
    layout.conv("cross_attn_module.proj_out", width, latent, 1)
    layout.layer("cross_attn_module.threshold_fc", 1, cfr["embed_dim"])
    return layout


# --- Text encoder ------------------------------------------------------------

def text_layout(text):
    layout = Layout()
    c, top = text["hidden_size"], "text_model."
    layout.layer(top + "embeddings.token_embedding", text["vocab_size"], c,
                 bias=False)
    layout.layer(top + "embeddings.position_embedding",
                 text["max_position_embeddings"], c, bias=False)
    for n in range(text["num_hidden_layers"]):
        name = f"{top}encoder.layers.{n}."
        layout.layer(name + "layer_norm1", c)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            layout.layer(f"{name}self_attn.{projection}", c, c)
        layout.layer(name + "layer_norm2", c)
        layout.layer(name + "mlp.fc1", text["intermediate_size"], c)
        layout.layer(name + "mlp.fc2", c, text["intermediate_size"])
    layout.layer(top + "final_layer_norm", c)
    return layout


# --- Tagger ------------------------------------------------------------------

def swin_block(layout, name, c, heads, tagger):
    layout.layer(name + ".norm1", c)
    layout[name + ".attn.relative_position_bias_table"] = \
        ((2 * tagger["window_size"] - 1) ** 2, heads)
    layout.layer(name + ".attn.qkv", 3 * c, c)
    layout.layer(name + ".attn.proj", c, c)
    layout.layer(name + ".norm2", c)
    layout.layer(name + ".mlp.fc1", tagger["mlp_ratio"] * c, c)
    layout.layer(name + ".mlp.fc2", c, tagger["mlp_ratio"] * c)


def swin_layout(layout, top, tagger):
    """The transformer that sees; the channels it ends with."""
    c = tagger["embed_dim"]
    layout.conv(top + ".patch_embed.proj", 3, c, tagger["patch_size"])
    layout.layer(top + ".patch_embed.norm", c)
    stages = list(zip(tagger["depths"], tagger["num_heads"]))
    for stage, (depth, heads) in enumerate(stages):
        name = f"{top}.layers.{stage}"
        for n in range(depth):
            swin_block(layout, f"{name}.blocks.{n}", c, heads, tagger)
        if stage < len(stages) - 1:
            layout.layer(name + ".downsample.norm", 4 * c)
            layout.layer(name + ".downsample.reduction", 2 * c, 4 * c,
                         bias=False)
            c *= 2
    layout.layer(top + ".norm", c)
    return c


def tagger_layout(tagger):
    layout = Layout()
    seen, c = tagger["projection_dim"], tagger["hidden_size"]
    layout.layer("image_proj", seen,
                 swin_layout(layout, "visual_encoder", tagger))
    layout["label_embed"] = (tagger["tags"], seen)
    layout.layer("wordvec_proj", c, seen)
    for n in range(tagger["num_hidden_layers"]):
        name = f"tagging_head.encoder.layer.{n}."
        layout.layer(name + "crossattention.self.query", c, c)
        layout.layer(name + "crossattention.self.key", c, seen)
        layout.layer(name + "crossattention.self.value", c, seen)
        layout.layer(name + "crossattention.output.dense", c, c)
        layout.layer(name + "crossattention.output.LayerNorm", c)
        layout.layer(name + "intermediate.dense",
                     tagger["intermediate_size"], c)
        layout.layer(name + "output.dense", c, tagger["intermediate_size"])
        layout.layer(name + "output.LayerNorm", c)
    layout.layer("fc", 1, c)
    return layout
