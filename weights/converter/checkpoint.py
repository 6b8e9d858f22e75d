# DLoRAL's published file, model.pkl: the whole UNet, its adapters, flow and
# retrieval, and what else the training kept.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

from .adapters import KINDS, PARTS, Adapters
from .problem import Problem, some
from .sources import Source, load_pickle, stored


def unet_name(name):
    """What peft calls a parameter of a layer that it wraps."""
    layer, kind = name.rsplit(".", 1)
    return f"{layer}.base_layer.{kind}"


class Checkpoint:
    """model.pkl, opened."""

    def __init__(self, path):
        self.path, self.values = path, load_pickle(path)
        if not isinstance(self.values, dict):
            raise Problem(f"{path}: expected a DLoRAL checkpoint, found "
                          f"{type(self.values).__name__}")
        self.unet = self.part("state_dict_unet", unet_name)
        self.cfr = self.part("state_dict_bpp")
        self.adapters = Adapters(self.unet, self)

    def value(self, key):
        if key not in self.values:
            raise Problem(f"{self.path}: expected a DLoRAL checkpoint, found "
                          f"no {key} in it but {some(self.values)}")
        return self.values[key]

    def part(self, key, renamed=lambda name: name):
        label = f"{self.path}: {key}"
        return Source(label, stored(label, self.value(key)), renamed)

    def unread(self):
        """Entries that nothing asks for."""
        known = {"state_dict_unet", "state_dict_bpp"}
        known |= {f"lora_rank_unet_{kind}" for kind in KINDS}
        known |= {f"unet_lora_{part}_modules_{kind}"
                  for part in PARTS for kind in KINDS}
        return [str(key) for key in self.values if key not in known]


# --- Flow and retrieval ------------------------------------------------------

def read_cfr(source):
    """What the file's shapes say of the retrieval and of the flow network."""
    attention = "cross_attn_module."
    embed = source.size(attention + "threshold_fc.weight", 1)
    width = source.size(attention + "query_conv.weight", 0)
    if not 1 <= embed <= 1024 or width % embed:
        raise Problem(f"{source.label}: tensor {attention}query_conv.weight: "
                      f"expected a multiple of {embed} channels, the width of "
                      f"a head in threshold_fc, found {width}")
    first = "spynet.basic_module.0.basic_module."
    channels = [source.size(f"{first}{j}.conv.weight", 0) for j in range(4)]
    # The temperature is a constant of the published code.
    return ({"heads": width // embed, "embed_dim": embed,
             "temperature": 3000.0}, {"channels": channels})
