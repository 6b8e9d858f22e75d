# The tiny coders in PyTorch: TAESD, and the decoder of TAESDV. The first is
# checked against diffusers' own (AutoencoderTiny, 0.25.0), the second as far
# as it is the first.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import torch
import torch.nn.functional as F
from torch import nn

# Places of the layers that set a width; the last ones are encoder.14 and
# decoder.19.
ENCODER_CONVS, DECODER_CONVS = (0, 2, 6, 10), (1, 7, 12, 17)


def conv(i, o, **more):
    return nn.Conv2d(i, o, 3, padding=1, **more)


class Clamp(nn.Module):
    def forward(self, x):
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """Three convolutions beside the identity. One that remembers also sees
    what it was given for the frame before: zeros where there is none."""

    def __init__(self, width, remembers=False):
        super().__init__()
        self.conv = nn.Sequential(
            conv(2 * width if remembers else width, width), nn.ReLU(),
            conv(width, width), nn.ReLU(), conv(width, width))
        self.remembers, self.past = remembers, None

    def forward(self, x):
        seen = x
        if self.remembers:
            past = torch.zeros_like(x) if self.past is None else self.past
            seen, self.past = torch.cat([x, past], 1), x
        return F.relu(x + self.conv(seen))


def make_encoder(latent, widths):
    layers = [conv(3, widths[0]), Block(widths[0])]
    for i, o in zip(widths, widths[1:]):
        layers.append(conv(i, o, stride=2, bias=False))
        layers += [Block(o) for _ in range(3)]
    return nn.Sequential(*layers, conv(widths[-1], latent))


def make_decoder(latent, widths, remembers):
    layers = [Clamp(), conv(latent, widths[0]), nn.ReLU()]
    for i, o in zip(widths, widths[1:]):
        layers += [Block(i, remembers) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), conv(i, o, bias=False)]
    return nn.Sequential(*layers, Block(widths[-1], remembers),
                         conv(widths[-1], 3))


class TinyVae(nn.Module):
    """Pictures in [-1, 1]; four widths each for encoder and decoder."""

    def __init__(self, latent, encoder_widths, decoder_widths, remembers):
        super().__init__()
        self.encoder = make_encoder(latent, encoder_widths)
        decoder = make_decoder(latent, decoder_widths, remembers)
        self.remembers = remembers
        if remembers:
            self.video_decoder = decoder
        else:
            self.decoder = decoder

    def get_decoder(self):
        return self.video_decoder if self.remembers else self.decoder

    def forget(self):
        for layer in self.get_decoder():
            if isinstance(layer, Block):
                layer.past = None

    def encode(self, x):
        return self.encoder((x + 1) / 2)

    def decode(self, z):
        return self.get_decoder()(z) * 2 - 1


def find(state):
    """The tiny coder that a file's tensors describe, or None."""
    def widths(net, places):
        return [len(state[f"tiny.{net}.{i}.weight"]) for i in places]

    if "tiny.encoder.0.weight" not in state:
        return None
    remembers = "tiny.video_decoder.1.weight" in state
    decoder = "video_decoder" if remembers else "decoder"
    return TinyVae(len(state["tiny.encoder.14.weight"]),
                   widths("encoder", ENCODER_CONVS),
                   widths(decoder, DECODER_CONVS), remembers)


def as_diffusers(vae):
    """AutoencoderTiny with the coder's weights; of a decoder that remembers,
    the half that looks at the present."""
    from diffusers import AutoencoderTiny

    state = {f"encoder.layers.{k}": v
             for k, v in vae.encoder.state_dict().items()}
    for name, value in vae.get_decoder().state_dict().items():
        place, rest = name.split(".", 1)
        if vae.remembers and rest == "conv.0.weight":
            value = value[:, :len(value)]
        state[f"decoder.layers.{int(place) - 1}.{rest}"] = value
    other = AutoencoderTiny(
        encoder_block_out_channels=(len(vae.encoder[0].weight),) * 4,
        decoder_block_out_channels=(len(vae.get_decoder()[1].weight),) * 4,
        latent_channels=len(vae.encoder[-1].weight))
    other.load_state_dict(state)
    return other


def check_against_diffusers():
    """Coders of one width a side agree with AutoencoderTiny; one that
    remembers does for a first frame."""
    for remembers in (False, True):
        vae = TinyVae(4, (7,) * 4, (5,) * 4, remembers)
        other = as_diffusers(vae)
        x, z = torch.rand(1, 3, 24, 40) * 2 - 1, 3 * torch.randn(1, 4, 3, 5)
        for mine, theirs in ((vae.encode(x), other.encode(x).latents),
                             (vae.decode(z), other.decode(z).sample)):
            torch.testing.assert_close(mine, theirs)
