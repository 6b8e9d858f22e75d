# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which stage a step belongs to, and what weighs how much in its loss.

Algorithm 1 of the paper: consistency and enhancement in turns; where one
follows the other, the weights of the losses move linearly from the old set to
the new one. What the paper compares that with, both at once, is a stage, too.
A model with nothing pretrained has stages of its own for its flow network and
its base.
"""
import dataclasses
import enum
import math


class Stage(enum.StrEnum):
    FLOW = "flow"
    BASE = "base"
    CONSISTENCY = "consistency"
    ENHANCEMENT = "enhancement"
    JOINT = "joint"


@dataclasses.dataclass(frozen=True)
class Phase:
    """A run of steps of one stage. The learning rate goes from the first to
    the second value along half a cosine."""

    stage: Stage
    steps: int
    learning_rate: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Moment:
    """What is so at one step, `since` steps after its phase began."""

    stage: Stage
    since: int
    learning_rate: float
    weights: dict[str, float]


def mix(a: dict[str, float], b: dict[str, float],
        t: float) -> dict[str, float]:
    """(1 − t)·a + t·b by name; a name that one set lacks is 0 there."""
    names = sorted({*a, *b})
    mixed = {n: (1 - t) * a.get(n, 0.) + t * b.get(n, 0.) for n in names}
    return {n: w for n, w in mixed.items() if w != 0}


class Schedule:
    def __init__(self, phases: list[Phase],
                 losses: dict[Stage, dict[str, float]],
                 transition: int) -> None:
        self.phases, self.losses = phases, losses
        self.transition = transition
        self.steps = sum(phase.steps for phase in phases)

    def at(self, step: int) -> Moment:
        """0 ≤ step < steps."""
        begin, before = 0, None
        for phase in self.phases:
            if step < begin + phase.steps:
                break
            begin, before = begin + phase.steps, phase
        since = step - begin
        weights = self.losses[phase.stage]
        # The flow network's loss says nothing of pictures.
        if before and before.stage != Stage.FLOW and since < self.transition:
            weights = mix(self.losses[before.stage], weights,
                          since / self.transition)
        first, last = phase.learning_rate
        share = .5 + .5 * math.cos(math.pi * since / phase.steps)
        return Moment(phase.stage, since,
                      last + (first - last) * share, weights)
