# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a run needs to go on as if it had never stopped.

One file, replaced as a whole: whatever happens while it is written, the one
before it survives.
"""
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from converter.problem import Problem


NAME = "checkpoint.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    path, part = folder / NAME, folder / (NAME + ".part")
    try:
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as e:    # the second: torch's own writer's
        part.unlink(missing_ok=True)
        kept = "; the one written before is still there" if path.exists() \
            else ""
        raise Problem(f"{path}: cannot be written: {e}{kept}") from e


def difference(a: Any, b: Any, where: str = "") -> str | None:
    """The first setting in which two configurations differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            inner = f"{where}.{key}" if where else str(key)
            if key not in a or key not in b:
                return inner
            found = difference(a[key], b[key], inner)
            if found:
                return found
        return None
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        rows = (difference(x, y, f"{where}[{i + 1}]")
                for i, (x, y) in enumerate(zip(a, b)))
        return next((found for found in rows if found), None)
    return None if a == b else where


def load(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    path = folder / NAME
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = difference(state["config"], config)
    except FileNotFoundError as e:
        raise Problem(f"{path}: there is no checkpoint to resume; leave "
                      "--resume out to begin") from e
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError,
            KeyError, TypeError) as e:
        first = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise Problem(f"{path}: not a checkpoint of this program: {first}"
                      ) from e
    if found:
        raise Problem(f"{path}: is of another configuration: {found} differs; "
                      "resume with the file that it was begun with, or begin "
                      "in another folder")
    return state
