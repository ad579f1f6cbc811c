"""What would a perfect optimiser do? Backward induction for a point that moves straight to or from the target.

State: distance, speed, time since the first reach, time stopped. Incomes are those of the real reward on drawn robots.
A robot may change its speed by 0.6 m/s in 0.1 s, and falls with an assumed hazard that grows with its speed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from vbot.audit.subject import Subject
from vbot.findings import Finding

HAZARD_AT_1_5_MPS = 0.02
"""Falls per second at 1.5 m/s; the hazard grows with the fourth power of the speed (0.3 at 3 m/s, 0.004 at 1 m/s)."""
_DT = 0.1
_SPEEDS = (-1.5, -1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0)
_CHANGE = 0.6
_NEAR = (0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 1.75, 2.0, 2.5)
_SINCE = 10
"""Time since the reach is told apart up to this many intervals."""
_STANDS = 0.15
"""m/s."""
_INDIFFERENT = 0.01
"""Share of a value that is below what the grid resolves."""


@dataclass(frozen=True)
class Plan:
    """The best path from a distance at rest, as long as the robot does not fall."""

    distance_m: float
    kind: str
    """``arrive and stop``, ``arrive and go on``, ``loiter``, ``stall at spawn`` or ``sprint and die``."""
    arrival_s: float | None
    stops_at_m: float
    top_speed_mps: float
    survival: float
    """Chance of having no fall until the arrival, or until the end."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class PointMass:
    """The solved problem of a subject; ``plan`` follows it."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        task = subject.task
        far = torch.arange(3.0, task.spawn_max_m + 0.75, 0.5).tolist()
        self._d = d = torch.tensor([*_NEAR, *far])
        self._v = v = torch.tensor(_SPEEDS)
        self._stop_steps = round(task.stop_duration_s / _DT)
        self._steps = round(task.episode_limit_s / _DT)
        gamma = subject.discount ** (_DT / subject.step_s)
        self._survival = 1 - (HAZARD_AT_1_5_MPS * _DT * (v / 1.5) ** 4).clamp(max=1.0)
        arrival, stop, fall = subject.one_time_incomes()
        fixed, decaying = self._tables()
        # Phases: 0 before the reach, then since * (S + 1) + stopped.
        phases = 1 + (_SINCE + 1) * (self._stop_steps + 1)
        after = torch.arange(phases - 1)
        since, stopped = after // (self._stop_steps + 1), after % (self._stop_steps + 1)
        column = torch.cat((torch.tensor([0]), 1 + since))  # of the income tables
        # Moving: from (d, v', phase) to a distance and a phase.
        there = (d[:, None] - v * _DT)[..., None].expand(-1, -1, phases)
        through = there < 0
        there = there.abs().clamp(max=float(d[-1]))
        inside = there < task.reach_radius_m
        stands = (v.abs() < _STANDS)[None, :, None] & inside
        old_since = torch.cat((torch.tensor([-1]), since))
        old_stopped = torch.cat((torch.tensor([0]), stopped))
        new_since = torch.where(old_since < 0, 0, (old_since + 1).clamp(max=_SINCE))
        self._done = old_stopped == self._stop_steps
        # Who has completed a stop has: the episode ends there, and what follows is worth what the best goes on to earn.
        new_stopped = torch.where(stands | self._done, (old_stopped + 1).clamp(max=self._stop_steps), 0)
        next_phase = 1 + new_since * (self._stop_steps + 1) + new_stopped
        reaches = (old_since < 0) & inside
        next_phase = torch.where((old_since < 0) & ~inside, 0, next_phase)
        completes = (new_stopped == self._stop_steps) & (old_stopped < self._stop_steps) & (next_phase > 0)
        # Passing through the target turns approach into departure, as fast as the grid knows it.
        mirror = torch.tensor([int((v + x).abs().argmin()) for x in v.tolist()])
        speed = torch.arange(len(v))[None, :, None].expand_as(there)
        speed = torch.where(through, mirror[speed], speed)
        high = torch.searchsorted(d, there.contiguous(), right=True).clamp(1, len(d) - 1)
        self._share = (there - d[high - 1]) / (d[high] - d[high - 1])

        def flat(i: Tensor) -> Tensor:
            return (i * len(v) + speed) * phases + next_phase

        self._low, self._high = flat(high - 1), flat(high)
        once = {flag: float(arrival[subject.decaying == flag].sum()) for flag in (True, False)}
        stop_once = {flag: float(stop[subject.decaying == flag].sum()) for flag in (True, False)}
        survival = self._survival[None, :, None]

        def pay(table: Tensor, flag: bool) -> Tensor:
            rate = table[:, :, column]
            return rate + survival * (reaches * once[flag] + completes * stop_once[flag])

        per_fall = float(fall.sum())
        self._fixed = pay(fixed, False) + (1 - survival) * per_fall
        self._decaying = pay(decaying, True)
        can = (v[:, None] - v).abs() <= _CHANGE + 1e-6  # (old, new)
        reachable = v * _DT <= d[:, None] + 1e-6  # (d, new): without passing through
        allowed = can[None] & reachable[:, None, :]
        slowest = torch.zeros_like(allowed)
        slowest.scatter_(2, can.int().argmax(1)[None, :, None].expand(len(d), -1, 1), True)
        self._allowed = torch.where(allowed.any(2, keepdim=True), allowed, slowest)
        self._values = self._solve(gamma, phases)
        self._next_phase, self._gamma = next_phase, gamma

    def _tables(self) -> tuple[Tensor, Tensor]:
        """(D, V, 1 + since) income of 0.1 s by distance, speed and phase: of lasting terms, and of decaying ones."""
        subject, d, v = self._subject, self._d, self._v
        dd, vv = (x.flatten() for x in torch.meshgrid(d, v, indexing="ij"))
        n = len(dd)
        since = torch.cat((torch.zeros(1), _DT * torch.arange(_SINCE + 1)))
        reached = torch.arange(_SINCE + 2) > 0
        incomes = subject.mean_incomes(
            dd.repeat(len(since)),
            vv.repeat(len(since)),
            ever_reached=reached.repeat_interleave(n),
            time_since_reach=since.repeat_interleave(n),
            initial_distance=torch.full((n * len(since),), subject.task.spawn_max_m),
        )
        per = (_DT / subject.step_s) * incomes.unflatten(1, (len(since), len(d), len(v)))
        parts = [per[subject.decaying == flag].sum(0).permute(1, 2, 0) for flag in (False, True)]
        return parts[0], parts[1]

    def _solve(self, gamma: float, phases: int) -> list[Tensor]:
        """Values (D, V, phases) at every step from the first to the last."""
        d, v = len(self._d), len(self._v)
        standing = int(self._v.abs().argmin())
        horizon = 1 / (1 - gamma) if gamma < 1 else self._steps
        last = self._subject.decay_at(self._subject.task.episode_limit_s)
        rest = self._fixed[:, standing, :] + last * self._decaying[:, standing, :]
        # Neither arriving nor stopping is paid again and again: what goes on is the rate of the phases after them.
        settled = rest.clone()
        settled[:, 1:] = rest[:, -1:]
        settled[self._d < self._subject.task.reach_radius_m, 0] = 0.0
        value = (horizon * settled)[:, None, :].expand(d, v, phases)
        values = [value]
        for step in reversed(range(self._steps)):
            value = self._act_values(value, step, gamma).amax(2)
            values.append(value)
        values.reverse()
        return values

    def _act_values(self, value: Tensor, step: int, gamma: float) -> Tensor:
        """(D, V, V', phases) value of choosing the speed V' in a step, given the values after it."""
        decay = self._subject.decay_at(step * _DT)
        flat = value.reshape(-1)
        after = torch.lerp(flat[self._low], flat[self._high], self._share)
        worth = self._fixed + decay * self._decaying + gamma * self._survival[None, :, None] * after
        return worth[:, None].masked_fill(~self._allowed[..., None], -torch.inf)

    def plan(self, distance: float) -> Plan:
        """Follow the best choices from rest at ``distance`` m, between the grid's distances by interpolation."""
        task, d = self._subject.task, self._d
        place, speed, phase = distance, int(self._v.abs().argmin()), 0
        survival, top, arrival = 1.0, 0.0, None
        for step in range(self._steps):
            high = int(torch.searchsorted(d, torch.tensor([place]), right=True).clamp(1, len(d) - 1))
            share = (place - float(d[high - 1])) / float(d[high] - d[high - 1])
            ends = self._act_values(self._values[step + 1], step, self._gamma)[high - 1 : high + 1, speed, :, phase]
            both = ends[0] * (1 - share) + ends[1] * share if 0 < share < 1 else ends[round(share)]
            speed = self._choice(both, at_target=bool(phase) and place < task.reach_radius_m)
            moved = float(self._v[speed])
            survival *= float(self._survival[speed])
            top = max(top, abs(moved))
            passed = place - moved * _DT < 0
            place = min(abs(place - moved * _DT), float(d[-1]))
            if passed:
                speed = int((self._v + self._v[speed]).abs().argmin())
            phase = self._phase(phase, place, moved)
            if phase and arrival is None:
                arrival = (step + 1) * _DT
                at_arrival = survival
            if bool(self._done[phase]):
                break
        if arrival is not None:
            survival = at_arrival
            kind = "arrive and stop" if bool(self._done[phase]) else "arrive and go on"
        else:
            kind = "stall at spawn" if abs(place - distance) < 0.5 else "loiter"
        if top > 1.5 and survival < 0.5:
            kind = "sprint and die"
        return Plan(distance, kind, arrival, place, top, survival)

    def _choice(self, worth: Tensor, *, at_target: bool) -> int:
        """The best speed (V,); at the target the slowest that is as good as far as the grid can tell."""
        best = float(worth[worth.isfinite()].max())
        good = worth >= best - (_INDIFFERENT * abs(best) if at_target else 0.0)
        return int(torch.where(good, self._v.abs(), torch.inf).argmin())

    def _phase(self, phase: int, place: float, speed: float) -> int:
        inside = place < self._subject.task.reach_radius_m
        if phase == 0 and not inside:
            return 0
        since, stopped = divmod(phase - 1, self._stop_steps + 1) if phase else (-1, 0)
        since = 0 if phase == 0 else min(since + 1, _SINCE)
        stands = (inside and abs(speed) < _STANDS) or stopped == self._stop_steps
        stopped = min(stopped + 1, self._stop_steps) if stands else 0
        return 1 + since * (self._stop_steps + 1) + stopped


def judge(plans: Sequence[Plan]) -> list[Finding]:
    """An optimum that does not arrive and stop is an error, named after the cheat that it is."""
    found: dict[str, Finding] = {}
    for plan in plans:
        if plan.kind == "arrive and stop":
            continue
        name, suggestion = {
            "arrive and go on": ("reach-and-farm", "paying for standing at the target without a window, as stay does"),
            "stall at spawn": ("standing dominance", "more pay for progress, or less for standing far away"),
            "sprint and die": ("sprint-crash", "a cap on the speed that is paid for, as progress.max_speed"),
            "loiter": (
                "conservative hovering" if plan.stops_at_m < 0.9 else "deceleration moat",
                "paying closeness after the reach only, and speed penalties within 0.5 m only",
            ),
        }[plan.kind]
        when = f", arriving after {plan.arrival_s:.1f} s" if plan.arrival_s is not None else ""
        found.setdefault(
            name,
            Finding(
                "error",
                name,
                f"from {plan.distance_m:g} m a perfect optimiser would {plan.kind}{when}: at up to "
                f"{plan.top_speed_mps:g} m/s, ending {plan.stops_at_m:.2f} m from the target",
                suggestion,
                plan.to_dict(),
            ),
        )
    return list(found.values())
