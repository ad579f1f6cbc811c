"""What behaviours earn under the real tracker and reward: scripts that we draw, and robots in physics.

An episode that is cut off (success, or its time) goes on being worth something, and PPO bootstraps its value. Here that
is what the last state goes on paying at a rate, for ever: income / (1 - discount). Events are not part of it.

A cheat is judged by the discount of the training and, if that is more patient than 0.99, by 0.99 too. A learner finds
first what pays soon: its value network knows nothing yet of a target that it has never reached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from vbot.audit.scripts import BEHAVIOURS, Behaviour, ScriptedSimulation
from vbot.audit.subject import CPU, Subject
from vbot.evaluation import random_stream
from vbot.findings import Finding
from vbot.sim import MujocoSimulation, Readings
from vbot.tracker import StateTracker

_REPEATS = 4
"""Robots in physics per distance: their mean is shown."""
SOON = 0.99
"""Discount per control step, that of the published sets, by which cheats of a more patient training are judged too."""
_NEGLIGIBLE = 0.01
"""Discount at which a short audit looks no further."""


@dataclass(frozen=True)
class Outcome:
    """What one behaviour earned from one distance; (K,) tensors in the order of ``Subject.names``."""

    behaviour: str
    distance_m: float
    cheat: str | None
    ended: str
    """``success``, ``fell`` or ``time``."""
    duration_s: float
    sums: Tensor
    """Undiscounted income by term, to the end of the episode."""
    discounted: Tensor
    """Discounted income by term, with what a truncated episode goes on to pay."""
    soon: Tensor
    """The same at a discount of ``SOON`` at most."""

    @property
    def wanted(self) -> bool:
        """Reached and stopped."""
        return self.ended == "success"

    @property
    def value(self) -> float:
        return float(self.discounted.sum())

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        return {
            "behaviour": self.behaviour,
            "distance_m": self.distance_m,
            "ended": self.ended,
            "duration_s": round(self.duration_s, 3),
            "income": float(self.sums.sum()),
            "discounted": self.value,
            "income_by_term": dict(zip(names, self.sums.tolist(), strict=True)),
            "discounted_by_term": dict(zip(names, self.discounted.tolist(), strict=True)),
        }


@dataclass(frozen=True)
class Played:
    """Episodes played side by side, in the order of the robots."""

    sums: Tensor  # (K, N)
    discounted: Tensor  # (K, N)
    soon: Tensor  # (K, N), at a discount of SOON at most
    ended: list[str]
    duration_s: Tensor  # (N,)


def play_scripts(subject: Subject, *, short: bool = False) -> list[Outcome]:
    """Every script from every distance of the task, in one batch.

    ``short`` leaves out the far distance, and stops where the discount has made the rest negligible.
    """
    distances = subject.distances()
    steps = round(subject.task.episode_limit_s / subject.step_s)
    if short:
        distances = distances[:2]
        heard = next((t for t in range(steps) if subject.discount**t < _NEGLIGIBLE), steps)
        steps = min(steps, max(heard, round(8.0 / subject.step_s)))
    pairs = [(b, d) for d in distances for b in BEHAVIOURS]
    sim = ScriptedSimulation(
        subject.robot, subject.task, [b for b, _ in pairs], [d for _, d in pairs],
        steps=steps, step_s=subject.step_s, standing_height=subject.standing_height,
        action_scale=subject.settings.config.env.action_scale,
    )  # fmt: skip
    played = play(subject, sim, lambda t: sim.actions[t], steps)
    return [_outcome(played, [k], b, d) for k, (b, d) in enumerate(pairs)]


def play_physics(subject: Subject, *, seed: int = 0, threads: int = 0) -> list[Outcome]:
    """Zero actions and random ones (of the untrained policy's deviation) in simulated robots that face any way."""
    env, distances = subject.settings.config.env, subject.distances()
    kinds = [Behaviour(name, lambda p, task: p, cheat) for name, cheat in _PHYSICS]
    count = len(kinds) * len(distances) * _REPEATS
    sim = MujocoSimulation(
        subject.robot, subject.task.course, count,
        physics_step_s=env.physics_step_s, decimation=env.decimation, threads=threads,
    )  # fmt: skip
    generator = random_stream("audit", seed)
    start = torch.tensor(distances).repeat_interleave(_REPEATS).repeat(len(kinds))
    yaw = 2 * torch.pi * torch.rand(count, generator=generator)
    zero = torch.zeros(count)
    standing = torch.tensor(subject.robot.standing_pose)
    sim.reset(
        torch.arange(count),
        torch.stack((-start, zero, torch.full_like(zero, subject.standing_height)), 1),
        torch.stack(((yaw / 2).cos(), zero, zero, (yaw / 2).sin()), 1),
        standing.expand(count, -1),
    )
    moves = torch.arange(count)[:, None] >= count // 2
    deviation = subject.settings.config.ppo.initial_std

    def act(t: int) -> Tensor:
        return deviation * moves * torch.randn(count, len(standing), generator=generator)

    played = play(subject, sim, act, round(subject.task.episode_limit_s / subject.step_s))
    found = []
    for k, kind in enumerate(kinds):
        for i, d in enumerate(distances):
            first = (k * len(distances) + i) * _REPEATS
            found.append(_outcome(played, list(range(first, first + _REPEATS)), kind, d))
    return found


_PHYSICS = (("zero action (physics)", "standing dominance"), ("random action (physics)", "negative walk"))


class Moving(Protocol):
    """What ``play`` needs of a simulation."""

    num_envs: int
    readings: Readings

    def step(self, targets: Tensor, live: Tensor | None = None) -> None: ...


def play(
    subject: Subject,
    sim: Moving,
    act: Callable[[int], Tensor],
    steps: int,
) -> Played:
    """Run robots from where ``sim`` has put them under actions ``act(t)`` (N, J), t = 1 .. ``steps``, to their ends."""
    n = sim.num_envs
    gamma = torch.tensor([subject.discount, min(subject.discount, SOON)], dtype=torch.float64).view(2, 1, 1)
    tracker = StateTracker(subject.task, subject.robot, n, subject.step_s, CPU)
    reward = subject.reward_function(n)
    everyone, still = torch.arange(n), torch.zeros(n, dtype=torch.long)
    tracker.begin(everyone, torch.zeros(n, 2), torch.zeros(n), still, sim.readings)
    reward.reset(everyone)
    standing, scale = tracker.state.default_joint_pos, subject.settings.config.env.action_scale
    k = len(subject.names)
    sums = torch.zeros(k, n, dtype=torch.float64)
    discounted, goes_on = (torch.zeros(2, k, n, dtype=torch.float64) for _ in range(2))
    live = torch.ones(n, dtype=torch.bool)
    duration = torch.zeros(n)
    ended = ["time"] * n
    weight = torch.ones_like(gamma)
    for t in range(1, steps + 1):
        action = act(t)
        sim.step(torch.add(standing, action, alpha=scale), live.nonzero().squeeze(1))
        tracker.advance(action, sim.readings)
        s = tracker.state
        reward(s)
        income = reward.weighted.double() * live
        sums += income
        discounted += weight * income
        weight = weight * gamma
        success, fell = tracker.succeeded, s.fallen
        over = live & (success | fell | (torch.tensor(t == steps) | tracker.timed_out))
        for i in over.nonzero().flatten().tolist():
            ended[i] = "fell" if fell[i] else "success" if success[i] else "time"
            duration[i] = t * subject.step_s
            if not fell[i]:
                goes_on[:, :, i] = weight[:, :, 0] * income[:, i] * subject.rates
        live = live & ~over
        if not live.any():
            break
    # Of an undiscounted set the bootstrap would be infinite; then truncated episodes end.
    tail = torch.where(gamma < 1, goes_on / (1 - gamma), 0.0)
    discounted += tail
    return Played(sums, discounted[0], discounted[1], ended, duration)


def judge(outcomes: list[Outcome], names: Sequence[str]) -> list[Finding]:
    """A cheat that pays as much as reaching and stopping, from the same distance, is an error: one finding a cheat."""
    found = _tempting(outcomes, names, "discounted")
    soon = _tempting([replace(o, discounted=o.soon) for o in outcomes], names, f"discounted by {SOON:g} a step")
    return [*found.values(), *(finding for cheat, finding in soon.items() if cheat not in found)]


def _tempting(outcomes: list[Outcome], names: Sequence[str], how: str) -> dict[str, Finding]:
    """Cheat -> where it leads reaching and stopping most; ``how`` its pay is counted."""
    worst: dict[str, tuple[float, Outcome, Outcome]] = {}
    for other in outcomes:
        wanted = [o for o in outcomes if o.wanted and o.cheat is None and o.distance_m == other.distance_m]
        if other.cheat is None or other.wanted or not wanted:
            continue
        best = max(wanted, key=lambda o: o.value)
        ahead = (other.value - best.value) / max(abs(best.value), 1e-9)
        if ahead >= 0 and (other.cheat not in worst or ahead > worst[other.cheat][0]):
            worst[other.cheat] = (ahead, other, best)
    return {cheat: _finding(cheat, other, best, names, how) for cheat, (_, other, best) in worst.items()}


def _finding(cheat: str, other: Outcome, best: Outcome, names: Sequence[str], how: str) -> Finding:
    lead = other.discounted - best.discounted
    order = lead.argsort(descending=True)[:2].tolist()
    deciding = {names[k]: float(lead[k]) for k in order if lead[k] > 0}
    terms = " and ".join(f"{name} ({value:+.4g})" for name, value in deciding.items()) or "no term alone"
    return Finding(
        "error",
        cheat,
        f"from {other.distance_m:g} m, '{other.behaviour}' pays {other.value:.4g} {how}, "
        f"'{best.behaviour}' {best.value:.4g}; {terms} decide",
        _suggestion(cheat, next(iter(deciding), None)),
        {
            "distance_m": other.distance_m,
            "behaviour": other.behaviour,
            "discounted": other.value,
            "reach_and_stop": best.behaviour,
            "reach_and_stop_discounted": best.value,
            "deciding_terms": deciding,
        },
    )


def _suggestion(cheat: str, term: str | None) -> str:
    named = term or "the terms that pay it"
    return {
        "sprint-crash": f"a cap on the speed that {named} pays for, as progress.max_speed",
        "touch-and-die": "a termination that costs more than the arrival pays",
        "conservative hovering": f"lowering {named}, or paying it after the reach only",
        "die early": "a termination that costs more than what it escapes",
        "hover near boundary": "more pay for progress towards the target",
    }.get(cheat, f"lowering {named}, or ending it with the reach")


def _outcome(played: Played, rows: list[int], behaviour: Behaviour, distance: float) -> Outcome:
    ends = [played.ended[i] for i in rows]
    return Outcome(
        behaviour.name,
        distance,
        behaviour.cheat,
        max(set(ends), key=ends.count),
        float(played.duration_s[rows].mean()),
        played.sums[:, rows].mean(1),
        played.discounted[:, rows].mean(1),
        played.soon[:, rows].mean(1),
    )
