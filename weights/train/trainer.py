# SPDX-License-Identifier: LGPL-2.1-or-later
"""The loop: batches, steps, stages, logs, checkpoints.

Whatever is random in a step follows from the seed, the step and the process,
and batches are numbered, so that a resumed run is the uninterrupted one.
"""
import contextlib
import signal
from pathlib import Path
from typing import Any, Iterator

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from diffusers.training_utils import EMAModel
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from . import checkpoint
from .config import RunConfig
from .losses import Batch, Part, weigh
from .samples import Samples
from .schedule import Moment, Stage

LOG_EVERY = 25          # steps
FIRST_SHARE = .1        # of steps whose frames are each their own predecessor


def make_accelerator(config: RunConfig, out: Path) -> Accelerator:
    # Which parameters learn changes with the stage.
    changing = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        mixed_precision=config.train.precision, project_dir=out,
        gradient_accumulation_steps=config.train.accumulate,
        log_with="tensorboard", kwargs_handlers=[changing])


class Trainer:
    def __init__(self, config: RunConfig, model: Any, parts: dict[str, Part],
                 accelerator: Accelerator, out: Path) -> None:
        self.config, self.parts, self.out = config, parts, out
        self.accelerator, self.step = accelerator, 0
        self.model = model              # as it is; below: as it is called
        stages = {phase.stage for phase in config.schedule.phases}
        learned = {id(p) for stage in stages for p in model.learn(stage)}
        self.names = [name for name, p in model.named_parameters()
                      if id(p) in learned]
        every = [p for p in model.parameters() if id(p) in learned]
        for parameter in every:
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(
            every, betas=(config.train.betas[0], config.train.betas[1]),
            weight_decay=config.train.weight_decay)
        self.called, self.optimizer = accelerator.prepare(model, optimizer)
        self.learned: list[torch.nn.Parameter] = []
        self.mean: EMAModel | None = None
        self.sums: dict[str, float] = {}
        self.ended = False
        accelerator.init_trackers("log")

    # --- Going on ----------------------------------------------------------

    def state(self) -> dict[str, Any]:
        full = self.model.state_dict()
        buffers = dict(self.model.named_buffers())
        scaler = self.accelerator.scaler
        return {"config": self.config.text, "step": self.step,
                "model": {k: v for k, v in full.items()
                          if k in self.names or k in buffers},
                "optimizer": self.optimizer.state_dict(),
                "mean": self.mean.state_dict() if self.mean else None,
                "scaler": scaler.state_dict() if scaler else None}

    def resume(self) -> None:
        state = checkpoint.load(self.out, self.config.text)
        self.model.load_state_dict(state["model"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        if state["mean"]:
            self.begin_phase(self.config.schedule.at(self.step - 1).stage)
            assert self.mean
            self.mean.load_state_dict(state["mean"])
            self.mean.to(self.accelerator.device)

    def save(self) -> None:
        if self.accelerator.is_main_process:
            checkpoint.save(self.out, self.state())
            with self.averaged():
                self.model.export(self.out)
        self.accelerator.wait_for_everyone()

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it, the model has the averages of its weights."""
        if self.mean:
            self.mean.store(self.learned)
            self.mean.copy_to(self.learned)
        yield
        if self.mean:
            self.mean.restore(self.learned)

    # --- Phases ------------------------------------------------------------

    def begin_phase(self, stage: Stage) -> None:
        """A phase goes on from the averages of the one before."""
        if self.mean:
            self.mean.copy_to(self.learned)
        self.learned = self.model.learn(stage)
        self.sums.clear()
        self.mean = EMAModel(self.learned, decay=self.config.train.average)
        self.mean.to(self.accelerator.device)

    def batches(self, moment: Moment) -> Iterator[Batch]:
        """From this step on; the processes take turns."""
        train = self.config.train
        samples = Samples(self.config.data, self.config.seed,
                          moving=moment.stage != Stage.ENHANCEMENT)
        a_step = train.batch * train.accumulate \
            * self.accelerator.num_processes
        numbers = range(self.step * a_step,
                        self.config.schedule.steps * a_step)
        loader = DataLoader(Subset(samples, numbers), train.batch,
                            num_workers=1, prefetch_factor=4)
        return iter(self.accelerator.prepare(loader))

    # --- Steps -------------------------------------------------------------

    def set_learning_rate(self, moment: Moment) -> None:
        warm = (moment.since + 1) / max(self.config.train.warmup, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = moment.learning_rate * min(1, warm)

    def learn(self, moment: Moment, batches: Iterator[Batch]) -> None:
        """One step of the optimizer."""
        rank = self.accelerator.process_index
        for part in range(self.config.train.accumulate):
            batch = next(batches)   # draws a number, too, where it begins
            torch.manual_seed(hash((self.config.seed, self.step, part, rank)))
            with self.accelerator.accumulate(self.called):
                restored = self.called(
                    batch["up"], bool(torch.rand(()) < FIRST_SHARE))
                total, values = weigh(moment.weights, self.parts, restored,
                                      batch)
                self.accelerator.backward(total)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(
                        self.learned, self.config.train.clip)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
        assert self.mean
        self.mean.step(self.learned)
        self.step += 1
        self.log(moment, values)
        if self.step % self.config.train.pictures == 0:
            self.show(batch, restored.pictures)

    def log(self, moment: Moment, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.) + value.item()
        if self.step % LOG_EVERY == 0:
            row = {f"loss/{n}": v / LOG_EVERY for n, v in self.sums.items()}
            row |= {f"weight/{n}": w for n, w in moment.weights.items()}
            row["learning rate"] = moment.learning_rate
            self.accelerator.log(row, self.step)
            self.bar.set_postfix(
                {n: f"{v / LOG_EVERY:.4g}" for n, v in self.sums.items()},
                refresh=False)
            self.sums.clear()

    def show(self, batch: Batch, pictures: torch.Tensor) -> None:
        """Of each clip's last frame: what came, what went, what it was."""
        if self.accelerator.is_main_process:
            rows = torch.cat([batch["up"][:, -1], pictures[:, -1].detach(),
                              batch["hr"][:, -1]], -1)
            writer = self.accelerator.get_tracker("tensorboard").writer
            writer.add_images("bicubic, restored, target",
                              (rows.float() * .5 + .5).clamp(0, 1), self.step)

    def run(self, stop: int | None) -> None:
        """Until the schedule's end, step `stop` of it, or an interrupt."""
        schedule = self.config.schedule
        end = min(schedule.steps, stop or schedule.steps)
        batches: Iterator[Batch] | None = None
        signal.signal(signal.SIGINT, lambda *_: setattr(self, "ended", True))
        with tqdm(initial=self.step, total=end, unit="step",
                  disable=not self.accelerator.is_main_process) as self.bar:
            while self.step < end and not self.ended:
                moment = schedule.at(self.step)
                if moment.since == 0 or batches is None:
                    if moment.since == 0:
                        self.begin_phase(moment.stage)
                    batches = self.batches(moment)
                self.bar.set_description(moment.stage, refresh=False)
                self.set_learning_rate(moment)
                self.learn(moment, batches)
                self.bar.update()
                if self.step % self.config.train.save == 0:
                    self.save()
        self.save()
        self.accelerator.end_training()
