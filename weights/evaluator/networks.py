# Measures that a VGG16 sees with: LPIPS and DISTS, and of LPIPS between
# neighbouring frames tLP. The packages bring all weights but the VGG16's.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
from converter.problem import Problem


try:
    import DISTS_pytorch
    import lpips
    import torch
    from torchvision.models import VGG16_Weights
except ModuleNotFoundError as e:
    raise Problem(f"--networks: Python's package {e.name} is missing; pip "
                  "install torch torchvision lpips DISTS_pytorch")


def load(folder: Path):
    """LPIPS and DISTS, both on the VGG16 of the folder: torch.hub, which
    they ask for it, finds the folder as its own."""
    name = VGG16_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    if not (folder / name).is_file():
        raise Problem(f"--networks: expected {name}, torchvision's VGG16, in "
                      f"{folder}; it has none")
    usual = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as hub, warnings.catch_warnings():
        warnings.simplefilter("ignore")     # of names that are old by now
        (Path(hub) / "checkpoints").symlink_to(folder.resolve())
        torch.hub.set_dir(hub)
        try:
            likeness = lpips.LPIPS(net="vgg", verbose=False)
            structure = DISTS_pytorch.DISTS(load_weights=False)
        except (OSError, RuntimeError, ValueError, EOFError,
                pickle.UnpicklingError) as e:
            raise Problem(f"--networks: {folder / name} is not torchvision's "
                          f"VGG16: {str(e).splitlines()[0]}")
        finally:
            torch.hub.set_dir(usual)
    weights = torch.load(Path(DISTS_pytorch.__file__).with_name("weights.pt"))
    structure.alpha.data = weights["alpha"]
    structure.beta.data = weights["beta"]
    return likeness.eval(), structure.eval()


def tensor(rgb: np.ndarray):
    """[1][3][H][W], 0 … 1."""
    return torch.from_numpy(np.ascontiguousarray(rgb)) \
        .permute(2, 0, 1)[None].float() / 255


class Networks:
    def __init__(self, folder: Path):
        self.likeness, self.structure = load(folder)

    def lpips(self, a: np.ndarray, b: np.ndarray) -> float:
        with torch.no_grad():
            return self.likeness(tensor(a), tensor(b), normalize=True).item()

    def dists(self, a: np.ndarray, b: np.ndarray) -> float:
        return self.structure(tensor(a), tensor(b)).item()

    def changes(self, frames: np.ndarray) -> np.ndarray:
        """LPIPS of every frame to the one before."""
        return np.array(list(map(self.lpips, frames[1:], frames)))

    def against(self, truth: np.ndarray):
        true_changes = self.changes(truth)

        def measure(frames: np.ndarray) -> dict[str, float]:
            strange = np.abs(self.changes(frames) - true_changes)
            return {
                "tlp_e2": 1e2 * float(strange.mean()),
                "lpips": float(np.mean(list(map(self.lpips, frames, truth)))),
                "dists": float(np.mean(list(map(self.dists, frames, truth))))}

        return measure
