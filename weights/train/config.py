# SPDX-License-Identifier: LGPL-2.1-or-later
"""A training run's configuration: a TOML file, checked when it is read."""
import dataclasses
import tomllib
import typing
from converter.problem import Problem
from pathlib import Path
from typing import Any

from .samples import DataConfig
from .schedule import Phase, Schedule, Stage
from .sd21 import Sd21Config
from .small import SmallConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """`batch`: clips of a step in each process, of which `accumulate` such
    batches make a step of the optimizer. `precision`: no, bf16, fp16.
    `clip`: largest norm of the gradient. `average`: decay of the moving
    average of the weights, which is what is exported. `warmup`: steps of a
    phase until its learning rate is reached. `pictures`, `save`: steps from
    one set of pictures in the log, one checkpoint, to the next."""

    batch: int
    accumulate: int
    precision: str
    weight_decay: float
    betas: list[float]
    clip: float
    average: float
    warmup: int
    pictures: int
    save: int


@dataclasses.dataclass(frozen=True)
class PerceptualConfig:
    """Of the loss "lpips". `net`: vgg or alex. `backbone`: torchvision's
    weights of it; none: torchvision's own copy."""

    net: str = "vgg"
    backbone: Path | None = None


@dataclasses.dataclass(frozen=True)
class DistillationConfig:
    """Of the loss "csd". `prompt`: what results are to look like."""

    prompt: str = ""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """`text` is the file as it was read, by which runs are told apart."""

    text: dict[str, Any]
    seed: int
    train: TrainConfig
    data: DataConfig
    schedule: Schedule
    model: SmallConfig | Sd21Config
    perceptual: PerceptualConfig
    distillation: DistillationConfig


def convert(value: Any, kind: Any, where: str) -> Any:
    """A TOML value as a field's type; whole numbers pass for real ones."""
    if kind is float and type(value) is int:
        return float(value)
    if kind in (Path, Path | None) and type(value) is str:
        return Path(value)
    plain = typing.get_origin(kind) or kind
    if typing.get_origin(kind) is list and type(value) is list:
        return [convert(v, typing.get_args(kind)[0], where) for v in value]
    if plain in (int, float, str, bool, dict) and type(value) is plain:
        return value
    name = getattr(plain, "__name__", str(plain))
    raise Problem(f"{where}: expected {name}, found {value!r}")


def read_table(cls: Any, table: Any, where: str) -> Any:
    """A dataclass from a table: every field there, nothing else."""
    if not isinstance(table, dict):
        raise Problem(f"{where}: expected a table, found {table!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for name in table:
        if name not in fields:
            raise Problem(f"{where}: {name}: there is no such setting; there "
                          f"are {', '.join(fields)}")
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = convert(table[name], hints[name],
                                   f"{where}: {name}")
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise Problem(f"{where}: {name} is missing")
    return cls(**values)


def read_phase(table: Any, where: str) -> Phase:
    @dataclasses.dataclass
    class Row:
        stage: str
        steps: int
        learning_rate: list[float]

    row = read_table(Row, table, where)
    if row.stage not in list(Stage):
        raise Problem(f"{where}: stage: expected {', '.join(Stage)}, found "
                      f"{row.stage!r}")
    if row.steps < 1:
        raise Problem(f"{where}: steps: expected 1 or more, found "
                      f"{row.steps}")
    if len(row.learning_rate) != 2:
        raise Problem(f"{where}: learning_rate: expected two numbers, at the "
                      f"phase's beginning and end, found {row.learning_rate}")
    first, last = row.learning_rate
    return Phase(Stage(row.stage), row.steps, (first, last))


def read_schedule(text: dict[str, Any], path: Path,
                  parts: set[str]) -> Schedule:
    rows = text.get("phase")
    if not isinstance(rows, list) or not rows:
        raise Problem(f"{path}: expected one [[phase]] or more")
    phases = [read_phase(row, f"{path}: [[phase]] {i + 1}")
              for i, row in enumerate(rows)]
    losses = {}
    for stage in {phase.stage for phase in phases}:
        where = f"{path}: [losses.{stage}]"
        table = text.get("losses", {}).get(stage)
        if not isinstance(table, dict) or not table:
            raise Problem(f"{where} is missing: what weighs how much there")
        for name in table:
            if name not in parts:
                raise Problem(f"{where}: {name}: there is no such loss; there "
                              f"are {', '.join(sorted(parts))}")
        losses[stage] = {n: convert(v, float, f"{where}: {n}")
                         for n, v in table.items()}
    return Schedule(phases, losses, convert(
        text.get("transition"), int, f"{path}: transition"))


TABLES = {"seed", "transition", "train", "data", "phase", "losses", "small",
          "sd21", "perceptual", "distillation"}


def read_config(path: Path, parts: set[str]) -> RunConfig:
    """`parts`: the losses that there are."""
    try:
        text = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as e:
        raise Problem(f"{path}: cannot be read: {e}") from e
    except tomllib.TOMLDecodeError as e:
        raise Problem(f"{path}: not a TOML file: {e}") from e
    for name in text:
        if name not in TABLES:
            raise Problem(f"{path}: {name}: there is no such setting; there "
                          f"are {', '.join(sorted(TABLES))}")
    if ("small" in text) == ("sd21" in text):
        raise Problem(f"{path}: expected one of [small] and [sd21]")
    name, cls = ("small", SmallConfig) if "small" in text \
        else ("sd21", Sd21Config)
    train = read_table(TrainConfig, text.get("train"), f"{path}: [train]")
    if train.precision not in ("no", "bf16", "fp16"):
        raise Problem(f"{path}: [train]: precision: expected no, bf16 or "
                      f"fp16, found {train.precision!r}")
    return RunConfig(
        text, convert(text.get("seed"), int, f"{path}: seed"), train,
        read_table(DataConfig, text.get("data"), f"{path}: [data]"),
        read_schedule(text, path, parts),
        read_table(cls, text[name], f"{path}: [{name}]"),
        read_table(PerceptualConfig, text.get("perceptual", {}),
                   f"{path}: [perceptual]"),
        read_table(DistillationConfig, text.get("distillation", {}),
                   f"{path}: [distillation]"))
