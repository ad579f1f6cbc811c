"""Sums that can be done in the head: what being alive can pay against arriving, and what the discount leaves of it."""

from collections.abc import Sequence
from typing import Any

from vbot.audit.behaviours import Outcome
from vbot.audit.subject import Subject
from vbot.findings import Finding

_LAZY = 5.0
"""Alive-type pay over arrival events that is an error; from 1 on it is a warning."""
_APPROACH_MPS = 1.0
_LITTLE = 0.01


def budget(subject: Subject) -> dict[str, Any]:
    """Most that alive-type terms can pay in an episode, and what arriving and stopping pay as events."""
    limit_s, dt = subject.task.episode_limit_s, subject.reward_set.scale_dt
    decay = subject.reward_set.time_decay
    samples = 200
    mean_decay = sum(subject.decay_at(limit_s * (k + 0.5) / samples) for k in range(samples)) / samples
    alive = {}
    for k, term in enumerate(subject.reward_set.terms):
        if bool(subject.alive_type[k]):
            raw = float(subject.incomes(subject.robots(3.0))[k, 0]) * dt / subject.step_s
            alive[term.spec.name] = raw * limit_s / dt * (mean_decay if decay and term.spec.decay else 1.0)
    arrival, stop, _ = subject.one_time_incomes()
    events = {name: float(x) for name, x in zip(subject.names, (arrival + stop).tolist(), strict=True) if x > 1e-3}
    return {
        "episode_limit_s": limit_s,
        "alive": alive,
        "alive_total": sum(alive.values()),
        "arrival_events": events,
        "arrival_total": sum(events.values()),
    }


def discount(subject: Subject, arrival_total: float) -> dict[str, Any]:
    """What the arrival's events are worth at the start, by distance, for a robot that walks 1 m/s."""
    worth = {}
    for d in subject.distances():
        steps = (d - subject.task.reach_radius_m) / _APPROACH_MPS / subject.step_s
        worth[f"{d:g}"] = subject.discount**steps
    return {
        "discount_factor": subject.discount,
        "step_s": subject.step_s,
        "horizon_s": subject.horizon_s,
        "share_left_by_distance_m": worth,
        "arrival_worth_by_distance_m": {d: share * arrival_total for d, share in worth.items()},
    }


def judge(
    money: dict[str, Any], worth: dict[str, Any], outcomes: Sequence[Outcome], subject: Subject, *, gradient_dead: bool
) -> list[Finding]:
    """Lazy robot, die early, hovering, and a discount that hides the arrival."""
    return [
        *_lazy(money),
        *_die_early(subject, outcomes),
        *_hovering(subject),
        *(_discount(worth) if gradient_dead else []),
    ]


def _lazy(money: dict[str, Any]) -> list[Finding]:
    alive, arrival = money["alive_total"], money["arrival_total"]
    if alive <= 0 or alive <= arrival:
        return []
    names = ", ".join(money["alive"])
    ratio = f"{alive / arrival:.1f} times" if arrival else "and nothing is"
    return [
        Finding(
            "error" if alive > _LAZY * arrival else "warning",
            "lazy robot",
            f"staying alive for {money['episode_limit_s']:g} s pays up to {alive:.4g} ({names}), {ratio} what arriving "
            f"pays in events ({arrival:.4g})",
            f"{0.5 * arrival / alive:.2g} times the scale of {names}, or arrival events of {2 * alive:.4g}",
            money,
        )
    ]


def _die_early(subject: Subject, outcomes: Sequence[Outcome]) -> list[Finding]:
    found = []
    decay = subject.reward_set.time_decay
    if decay is not None and bool(subject.decaying.any()):
        left = subject.decay_at(subject.task.episode_limit_s)
        found.append(
            Finding(
                "warning",
                "die early",
                f"the time decay leaves {100 * left:.0f} % of what navigation pays at the end of an episode and all of "
                "what penalties cost: late in it ending costs less than at its beginning",
                "time_decay: null",
                {"rate": decay.rate, "floor": decay.floor, "left_at_the_end": left},
            )
        )
    by = {(o.behaviour, o.distance_m): o for o in outcomes}
    for d in subject.distances():
        fall, stand = by.get(("fall at once", d)), by.get(("stand still", d))
        if fall is not None and stand is not None and fall.value > stand.value:
            found.append(
                Finding(
                    "warning",
                    "die early",
                    f"from {d:g} m falling at once costs {-fall.value:.4g} discounted, standing there "
                    f"{-stand.value:.4g}",
                    "a termination that costs more, or no penalty where robots spawn",
                    {"distance_m": d, "fall": fall.value, "stand": stand.value},
                )
            )
            break
    return found


_HOVER_SHARE = 0.9


def _hovering(subject: Subject) -> list[Finding]:
    """A robot that stands just outside, against one that has stood at the target for long."""
    start = subject.task.spawn_max_m
    outside = subject.incomes(subject.robots(subject.task.reach_radius_m + 0.05, initial_distance=start, time_s=9.0))
    inside = subject.incomes(
        subject.robots(
            0.2, initial_distance=start, ever_reached=True, time_since_reach=5.0, stopped_time=5.0, time_s=9.0
        )
    )
    out_s, in_s = (float((x[:, 0] * subject.rewards).sum()) / subject.step_s for x in (outside, inside))
    if out_s <= 0 or out_s < _HOVER_SHARE * in_s:
        return []
    share = f"{100 * out_s / in_s:.0f} % of" if in_s > 0 else "and nothing is"
    lead = (outside - inside)[:, 0] * subject.rewards
    main = subject.names[int((outside[:, 0] * subject.rewards).argmax())]
    return [
        Finding(
            "warning",
            "conservative hovering",
            f"standing just outside the target pays {out_s:.4g} per s, {share} what standing at it goes on to pay "
            f"({in_s:.4g})",
            "fine_position_tracking.after_reach: true" if main == "fine_position_tracking" else
            f"lowering {main}, or a term such as stay at the target",
            {
                "outside_per_s": out_s,
                "at_target_per_s": in_s,
                "outside_leads_by_term": {
                    name: float(x) / subject.step_s for name, x in zip(subject.names, lead, strict=True) if x > 0
                },
            },
        )
    ]  # fmt: skip


def _discount(worth: dict[str, Any]) -> list[Finding]:
    d, left = min(worth["share_left_by_distance_m"].items(), key=lambda item: item[1])
    if left >= _LITTLE:
        return []
    return [
        Finding(
            "warning",
            "discount",
            f"from {d} m an arrival is worth {100 * left:.2g} % of its pay at the start (discount "
            f"{worth['discount_factor']:g} per {worth['step_s']:g} s, a horizon of {worth['horizon_s']:.3g} s), and no "
            "other term leads there",
            "ppo.discount_factor=0.998, or a progress term",
            worth,
        )
    ]
