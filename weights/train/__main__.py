# SPDX-License-Identifier: LGPL-2.1-or-later
"""python weights/train CONFIG --out FOLDER; several GPUs: accelerate launch
weights/train/__main__.py CONFIG --out FOLDER. requirements.txt beside this
says what it needs."""
import os
import sys
from pathlib import Path

# Data processes are forked after the tokenizer was used.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    from train.command import main
except ModuleNotFoundError as e:
    sys.exit(f"train: Python's package {e.name} is missing; "
             "pip install -r weights/train/requirements.txt")

sys.exit(main(sys.argv[1:]))
