"""What a reward set really pays for, told before any training. The door: ``audit`` and ``brief``."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vbot.audit import behaviours, ghosts, landscape, optimum, sums
from vbot.audit.behaviours import Outcome
from vbot.audit.landscape import Landscape
from vbot.audit.optimum import Plan, PointMass
from vbot.audit.subject import Subject
from vbot.findings import Finding, by_level
from vbot.settings import Settings

__all__ = ["Report", "audit", "brief"]


@dataclass(frozen=True)
class Report:
    """Everything that an audit found; the analyses keep their numbers, findings say what is wrong."""

    reward_set: str
    task: str
    names: Sequence[str]
    """Of the reward terms."""
    findings: Sequence[Finding]
    """Errors first."""
    outcomes: Sequence[Outcome]
    plans: Sequence[Plan]
    landscape: Landscape
    budget: Mapping[str, Any]
    discount: Mapping[str, Any]
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether anything is an error."""
        return any(finding.level == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for --json and for the run directory."""
        return {
            "reward_set": self.reward_set,
            "task": self.task,
            "failed": self.failed,
            "findings": [finding.to_dict() for finding in self.findings],
            "behaviours": [outcome.to_dict(self.names) for outcome in self.outcomes],
            "optimum": [plan.to_dict() for plan in self.plans],
            "landscape": self.landscape.to_dict(),
            "budget": dict(self.budget),
            "discount": dict(self.discount),
            "seconds": round(self.seconds, 2),
        }


def audit(settings: Settings, *, threads: int = 0) -> Report:
    """All six analyses; a few seconds.

    Args:
        threads: of the physics; 0 takes every core.
    """
    return _run(settings, short=False, threads=threads)


def brief(settings: Settings) -> Report:
    """The short form that training and search begin with: no physics, and no far distance. About a second."""
    return _run(settings, short=True, threads=1)


def _run(settings: Settings, *, short: bool, threads: int) -> Report:
    wanted = torch.get_num_threads()
    torch.set_num_threads(1)  # thousands of small tensors: more threads only wait for each other
    try:
        return _report(settings, short=short, threads=threads)
    finally:
        torch.set_num_threads(wanted)


def _report(settings: Settings, *, short: bool, threads: int) -> Report:
    start = time.perf_counter()
    subject = Subject(settings)
    outcomes = behaviours.play_scripts(subject, short=short)
    if not short:
        outcomes += behaviours.play_physics(subject, threads=threads)
    solved = PointMass(subject)
    plans = [solved.plan(d) for d in subject.distances()]
    land = landscape.survey(subject)
    slopes = landscape.judge(land, subject)
    money = sums.budget(subject)
    worth = sums.discount(subject, money["arrival_total"])
    dead = any(finding.name == "dead gradient" for finding in slopes)
    findings = [
        *behaviours.judge(outcomes, subject.names),
        *optimum.judge(plans),
        *slopes,
        *sums.judge(money, worth, outcomes, subject, gradient_dead=dead),
        *ghosts.find(subject),
    ]
    return Report(
        reward_set=settings.config.reward.name,
        task=settings.config.env.task,
        names=subject.names,
        findings=by_level(findings),
        outcomes=outcomes,
        plans=plans,
        landscape=land,
        budget=money,
        discount=worth,
        seconds=time.perf_counter() - start,
    )
