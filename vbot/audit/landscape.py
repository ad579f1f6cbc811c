"""What is paid where: the pull towards the target by distance, and whether moving pays more than standing."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vbot.audit.scripts import WALKING_SPEEDS_MPS
from vbot.audit.subject import Subject
from vbot.findings import Finding

_DEAD_SHARE = 0.01
_MOAT_END_M = 2.5
_OUTSIDE_M = 4.0
_SHALLOW = 0.25
"""Share of the advantage outside that is left in a moat worth a warning."""


@dataclass(frozen=True)
class Landscape:
    """Incomes per second before the reach, by distance; all lists of the same length."""

    distance_m: list[float]
    pull: list[float]
    """What a robot gains by walking towards the target and not away, per second at the best speed, and by what the
    metre nearer then pays for the discount's horizon; rewards only."""
    advantage: list[float]
    """Best moving income minus standing income, penalties included."""
    best_speed_mps: list[float]
    later: list[float]
    """The advantage and what the metres won then pay for the horizon."""
    walking: list[float]
    """Most that walking pays in rewards, less what it costs more than standing does."""

    def to_dict(self) -> dict[str, Any]:
        return {name: [round(x, 6) for x in values] for name, values in vars(self).items()}


def survey(subject: Subject) -> Landscape:
    """Incomes of the drawn robots at a range of distances and speeds."""
    task = subject.task
    near = [task.reach_radius_m + 0.05, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5]
    places = torch.tensor(
        [d for d in near if d < task.spawn_max_m] + torch.arange(3.0, task.spawn_max_m + 0.1).tolist()
    )
    walk = torch.tensor(WALKING_SPEEDS_MPS)
    speeds = torch.cat((torch.zeros(1), walk, -walk))
    step = 0.1  # m, of the slope
    d = torch.cat((places, places + step))
    incomes = subject.mean_incomes(
        d.repeat_interleave(len(speeds)),
        speeds.repeat(len(d)),
        initial_distance=torch.full((len(d) * len(speeds),), task.spawn_max_m + step),
    ).unflatten(1, (len(d), len(speeds)))
    per_s = incomes / subject.step_s  # (K, 2 M, 1 + 2 W)
    paid = per_s * subject.rewards[:, None, None]
    m, w = len(places), len(walk)
    total, standing = per_s.sum(0)[:m], paid.sum(0)[:, 0]
    cost = total - paid.sum(0)[:m]
    slope = (standing[:m] - standing[m:]) / step
    toward, away = paid.sum(0)[:m, 1 : 1 + w], paid.sum(0)[:m, 1 + w :]
    gain = total[:, 1 : 1 + w] - total[:, :1]
    best = gain.argmax(1)
    # Of the drawn gait, what moving costs and what it earns in any direction cancels in the difference.
    pull = ((toward - away) / 2).amax(1) + slope * subject.horizon_s
    return Landscape(
        distance_m=_rounded(places),
        pull=pull.tolist(),
        advantage=gain.amax(1).tolist(),
        best_speed_mps=_rounded(walk[best]),
        later=(gain + slope[:, None] * walk * subject.horizon_s).amax(1).tolist(),
        walking=(toward + cost[:, 1 : 1 + w] - cost[:, :1]).amax(1).tolist(),
    )


def judge(land: Landscape, subject: Subject) -> list[Finding]:
    """Dead gradient, deceleration moat, standing dominance and negative walk."""
    found = []
    rows = list(zip(land.distance_m, land.pull, land.advantage, land.later, land.walking, strict=True))
    most = max(land.pull)
    dead = [d for d, pull, *_ in rows if pull <= _DEAD_SHARE * most or pull <= 0]
    spawned = [d for d in dead if subject.task.spawn_min_m <= d <= subject.task.spawn_max_m]
    if spawned:
        found.append(
            Finding(
                "error",
                "dead gradient",
                f"at {_listed(spawned)} m the pull towards the target is less than 1 % of its {most:.3g} per s at "
                f"{land.distance_m[land.pull.index(most)]:g} m",
                "a progress term, or a wider sigma (5 m or more) in position_tracking",
                {"dead_m": spawned, "pull_per_s": {f"{d:g}": pull for d, pull, *_ in rows}},
            )
        )
    outside = next((adv for d, _, adv, *_ in rows if d >= _OUTSIDE_M), land.advantage[-1])
    moat = [(d, adv) for d, _, adv, *_ in rows if d <= _MOAT_END_M and adv < _SHALLOW * outside]
    if outside > 0 and moat:
        where, lowest = [d for d, _ in moat], min(adv for _, adv in moat)
        found.append(
            Finding(
                "error" if lowest <= 0 else "warning",
                "deceleration moat",
                f"at {_listed(where)} m from the target the best moving income is {lowest:+.3g} per s over standing, "
                f"{outside:+.3g} further out",
                "a radius of 0.5 m for near_target_speed, or a lower scale",
                {"distance_m": where, "advantage_per_s": lowest, "outside_per_s": outside},
            )
        )
    lost = [d for d, _, _, later, _ in rows if d > _MOAT_END_M and later <= 0]
    if lost and not spawned:
        found.append(
            Finding(
                "error",
                "standing dominance",
                f"at {_listed(lost)} m standing pays more than moving at any speed, what is won by it included",
                "more pay for progress, or lower penalties on motion",
                {"distance_m": lost},
            )
        )
    costly = [d for d, *_, walking in rows if d > _MOAT_END_M and walking < 0]
    if costly and not spawned:
        found.append(
            Finding(
                "warning",
                "negative walk",
                f"at {_listed(costly)} m walking to the target costs more than it pays",
                "lower penalties, or more pay for progress",
                {"distance_m": costly},
            )
        )
    return found


def _listed(distances: list[float]) -> str:
    shown = [f"{d:g}" for d in distances]
    return ", ".join(shown) if len(shown) <= 4 else f"{shown[0]} to {shown[-1]}"


def _rounded(values: Tensor) -> list[float]:
    return [round(x, 3) for x in values.tolist()]
