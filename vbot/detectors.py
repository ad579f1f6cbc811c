"""Detectors: rules that see a cheat in the records of held-out episodes while a policy is trained.

Every rule says of each episode whether it shows the cheat; it fires where enough of them do. The thresholds are at
their rules. Lengths in m, speeds in m/s, times in s.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vbot.courses import Task
from vbot.findings import CHEATS, Finding, Level
from vbot.ranks import auc, rank_correlation
from vbot.records import Records
from vbot.rewards.sets import RewardSet

SHARE = 0.1
"""Share of the episodes that must show a cheat. The rules below are of whole episodes, so a tenth is no accident."""
STILL_MPS = 0.1
"""Mean speed below which a robot stands."""
FAST_MPS = 2.0
"""Top speed of a sprint."""
EARLY = 0.15
"""Share of the limit within which a fall is early."""
DOMINANT = 0.8
"""Share of the whole income, in magnitude, that one term may have."""
ALIVE_DOMINANT = 0.5
"""Share of the positive income that alive-type terms may have."""
MISALIGNED_AUC = 0.4
LEAST_OF_EACH = 10
"""Successes and failures that an order between them needs."""
DECLINE = 0.2
"""Fall of the success rate from its peak, in two evaluations in a row."""
RISE = 0.05
"""Growth of the success rate between two evaluations from which a policy is outgrowing what it does: of some hundred
episodes less may be luck."""
YOUTH = 0.5
"""Share of the budget within which a robot that gets nowhere may not have learned to walk yet. Of six trainings of
swift and phase5 that came to 97 % and more, one still stood in most of its episodes after 0.43 of its time."""
YOUTH_STEPS = 1_000_000
"""Control steps of the same meaning, whatever the budget: the first success that any of the six had in an evaluation
came at 0.76 million, the last of their first ones at 3.5 million."""


@dataclass(frozen=True)
class Evidence:
    """A finding with the share of the episodes that show it, and the one that shows it best."""

    finding: Finding
    share: float
    episode: int | None
    """Its number in the evaluation; None where no single episode shows it."""

    def to_dict(self) -> dict[str, Any]:
        return {**self.finding.to_dict(), "share": self.share, "episode": self.episode}


@dataclass(frozen=True)
class Scene:
    """What the rules look at: records with the task and the rewards they were made under."""

    records: Records
    task: Task
    income: Tensor
    """(E, K) weighted undiscounted income."""
    alive: Tensor
    """(K,) bool, terms that pay for living."""

    @property
    def fell(self) -> Tensor:
        return self.records.episodes.fell

    @property
    def timeout(self) -> Tensor:
        return self.records.episodes.timeout

    @property
    def reached(self) -> Tensor:
        return self.records.episodes.reached

    @property
    def final(self) -> Tensor:
        return self.records.episodes.final_distance_m

    @property
    def gained(self) -> Tensor:
        """(E,) share of the way to the target that was won at the end."""
        start = self.records.episodes.initial_distance_m
        return 1 - self.final / start.clamp(min=1e-6)

    @property
    def mean_speed(self) -> Tensor:
        """(E,) up to the first reach."""
        e = self.records.episodes
        time = torch.where(e.reached, e.reach_time_s, e.duration_s)
        return e.path_m / time.clamp(min=1e-6)

    @property
    def returns(self) -> Tensor:
        return self.income.sum(1)

    @property
    def positive(self) -> Tensor:
        """(E,) income of the terms that paid."""
        return self.income.clamp(min=0).sum(1)

    @property
    def stands(self) -> Tensor:
        """(E,) bool, stood about where it spawned for the whole time."""
        return self.timeout & ~self.reached & (self.mean_speed < STILL_MPS) & (self.gained < 0.2)

    @property
    def lives_on_alive(self) -> Tensor:
        """(E,) bool, most of what was paid was paid for living."""
        return self.income[:, self.alive].sum(1) > ALIVE_DOMINANT * self.positive.clamp(min=1e-9)


@dataclass(frozen=True)
class Rule:
    """How a cheat shows in an episode: ``mask`` (E,) bool, ``clearest`` (E,) float of which the highest is shown."""

    cheat: str
    mask: Callable[[Scene], Tensor]
    clearest: Callable[[Scene], Tensor]
    says: str
    suggestion: str
    level: Level = "warning"
    unskilled: bool = False
    """Whether a robot that has not learned to walk does the same."""


RULES: tuple[Rule, ...] = (
    Rule(
        "lazy robot",
        lambda s: s.stands & s.lives_on_alive,
        lambda s: s.returns,
        f"stood for the whole time (under {STILL_MPS} m/s) and lived on alive-type terms",
        "a lower alive_bonus, or none",
    ),
    Rule(
        "standing dominance",
        lambda s: s.stands & ~s.lives_on_alive,
        lambda s: s.returns,
        f"stood for the whole time (under {STILL_MPS} m/s), and not on alive-type terms",
        "more pay for progress, less for being somewhere",
        unskilled=True,
    ),
    Rule(
        "sprint-crash",
        lambda s: s.fell & ~s.reached & (s.records.top_speed_mps > FAST_MPS),
        lambda s: s.records.top_speed_mps,
        f"ran faster than {FAST_MPS} m/s and fell before the target",
        "a cap on the speed that is paid for, as progress.max_speed",
    ),
    Rule(
        "touch-and-die",
        lambda s: s.reached & s.fell & (s.records.episodes.duration_s - s.records.episodes.reach_time_s < 2.0),
        lambda s: s.records.episodes.reach_time_s - s.records.episodes.duration_s,
        "fell within 2 s of reaching the target",
        "a termination that costs more than the arrival pays",
    ),
    Rule(
        "fly-through",
        lambda s: s.reached & ~s.records.episodes.success & (s.records.arrivals < 3) & (s.final > 2 * _reach(s)),
        lambda s: s.final,
        "reached the target, never stopped there and ended further than 1 m away",
        "stop terms that last, as stay, and departure_penalty",
    ),
    Rule(
        "deceleration moat",
        lambda s: _waits(s, 0.8, 2.5),
        lambda s: -s.records.final_speed_mps,
        "came 0.8 to 2.5 m close and stood there until the time was over",
        "a radius of 0.5 m for near_target_speed",
    ),
    Rule(
        "conservative hovering",
        lambda s: _waits(s, _reach(s), 0.8),
        lambda s: -s.final,
        "came within 0.8 m and stayed outside the target until the time was over",
        "paying closeness after the reach only: fine_position_tracking.after_reach",
    ),
    Rule(
        "negative walk",
        lambda s: ~s.stands & s.timeout & ~s.reached & (s.gained < 0.2) & (s.returns < 0),
        lambda s: -s.returns,
        "moved for the whole time, won less than a fifth of the way and lost reward",
        "lower penalties, or more pay for progress",
        unskilled=True,
    ),
    Rule(
        "reach-and-farm",
        lambda s: s.records.arrivals >= 3,
        lambda s: s.records.arrivals.float(),
        "entered the target three times or more",
        "bonuses that are paid once an episode, and pay for staying",
    ),
    Rule(
        "die early",
        lambda s: (
            s.fell & ~s.reached & (s.records.episodes.duration_s < EARLY * s.task.episode_limit_s)
            & (s.records.top_speed_mps <= FAST_MPS) & (s.gained < 0.2)
        ),
        lambda s: -s.records.episodes.duration_s,
        f"fell within {100 * EARLY:.0f} % of the limit without getting anywhere or being fast",
        "a termination that costs more than it saves, and no time decay",
        unskilled=True,
    ),
    Rule(
        "hover near boundary",
        lambda s: (
            ~s.stands & s.timeout & ~s.reached & (s.gained < 0.2)
            & (s.records.final_radius_m > s.task.course.platform_radius_m - 2.0)
        ),
        lambda s: s.records.final_radius_m,
        "moved about and ended within 2 m of the platform's edge, as far from the target as before",
        "a boundary_penalty that begins further in, and more pay for progress",
        unskilled=True,
    ),
)  # fmt: skip
"""One for each of ``vbot.findings.CHEATS``."""


def _reach(s: Scene) -> float:
    return s.task.reach_radius_m


def _waits(s: Scene, low: float, high: float) -> Tensor:
    """(E,) bool: walked to a distance in [low, high) and had stopped there when the time was over, without a reach."""
    at = (s.final >= low) & (s.final < high) & (s.records.final_speed_mps < s.task.stop_speed_mps)
    return s.timeout & ~s.reached & at & (s.gained > 0.3)


def detect(records: Records, task: Task, reward_set: RewardSet, step_s: float, alive: Tensor) -> list[Evidence]:
    """What the episodes of one evaluation show.

    Args:
        alive: (K,) bool, alive-type terms (``vbot.rewards.cards.pays_for_living``).
    """
    weights = torch.tensor([reward_set.weight(t, step_s) for t in reward_set.terms], dtype=torch.float64)
    # Weighted as they were, clips and decay included.
    scene = Scene(records, task, records.episodes.term_sums.cpu().double(), alive)
    found = [e for e in (_apply(rule, scene) for rule in RULES) if e is not None]
    return [*found, *_of_income(scene, reward_set, weights), *_misaligned(scene, reward_set, weights)]


def _apply(rule: Rule, scene: Scene) -> Evidence | None:
    mask = rule.mask(scene)
    share = float(mask.float().mean())
    if share < SHARE:
        return None
    clearest = int(torch.where(mask, rule.clearest(scene).double(), -torch.inf).argmax())
    r, e = scene.records, scene.records.episodes
    numbers = {
        "share": share,
        "duration_s": float(e.duration_s[clearest]),
        "initial_distance_m": float(e.initial_distance_m[clearest]),
        "final_distance_m": float(e.final_distance_m[clearest]),
        "top_speed_mps": float(r.top_speed_mps[clearest]),
        "arrivals": int(r.arrivals[clearest]),
        "return": float(scene.returns[clearest]),
        "mean_return_of_these": float(scene.returns[mask].mean()),
        "mean_return_of_others": float(scene.returns[~mask].mean()) if bool((~mask).any()) else None,
    }
    message = f"{100 * share:.0f} % of {len(r)} episodes {rule.says}"
    finding = Finding(rule.level, rule.cheat, message, rule.suggestion, numbers)
    return Evidence(finding, share, int(r.number[clearest]))


def _of_income(scene: Scene, reward_set: RewardSet, weights: Tensor) -> list[Evidence]:
    """Alive dominance, a dominating term, dead terms."""
    found = []
    names = [t.spec.name for t in reward_set.terms]
    positive = float(scene.income.clamp(min=0).sum())
    alive = float(scene.income[:, scene.alive].sum())
    if positive > 0 and alive > ALIVE_DOMINANT * positive:
        share = alive / positive
        message = f"alive-type terms are {100 * share:.0f} % of all that was paid"
        worst = int(scene.records.number[scene.income[:, scene.alive].sum(1).argmax()])
        lower = "a lower scale of " + ", ".join(n for n, a in zip(names, scene.alive.tolist(), strict=True) if a)
        found.append(Evidence(Finding("warning", "alive dominance", message, lower, {"share": share}), share, worst))
    size = scene.income.abs().sum(0)
    if len(names) > 2 and float(size.sum()) > 0 and float(size.max() / size.sum()) > DOMINANT:
        k, share = int(size.argmax()), float(size.max() / size.sum())
        message = f"{names[k]} is {100 * share:.0f} % of the whole income in magnitude"
        worst = int(scene.records.number[scene.income[:, k].abs().argmax()])
        finding = Finding("note", "dominating term", message, f"a lower scale of {names[k]}", {"share": share})
        found.append(Evidence(finding, share, worst))
    successes = int(scene.records.episodes.success.sum())
    for k, term in enumerate(reward_set.terms):
        # A penalty at 0 does its work, and what arriving pays is 0 until somebody arrives.
        if successes and weights[k] > 0 and not bool(scene.records.raw_sums[:, k].any()):
            name = term.spec.name
            message = f"{name} paid nothing in {len(scene.records)} episodes, {successes} of them successes"
            found.append(Evidence(Finding("note", "dead term", message, f"removing {name}", {"term": name}), 1.0, None))
    return found


def _misaligned(scene: Scene, reward_set: RewardSet, weights: Tensor) -> list[Evidence]:
    """Whether the learner's discounted value puts failures before successes."""
    success = scene.records.episodes.success
    if min(int(success.sum()), int((~success).sum())) < LEAST_OF_EACH:
        return []
    rates = torch.tensor([t.spec.kind == "rate" for t in reward_set.terms])
    value = scene.records.value(weights, rates)
    area = auc(value, success)
    if area is None or area >= MISALIGNED_AUC:
        return []
    best_failure = int(scene.records.number[torch.where(success, -torch.inf, value).argmax()])
    numbers = {
        "auc_value": area,
        "auc_return": auc(scene.returns, success),
        "rank_correlation": rank_correlation(value, success),
    }
    message = f"an episode that fails is worth more than one that succeeds with {100 * (1 - area):.0f} %"
    suggestion = "more pay for stopping at the target (python -m vbot.audit --episodes tells by term)"
    return [Evidence(Finding("warning", "misalignment", message, suggestion, numbers), 1 - area, best_failure)]


def across_trials(returns: Sequence[float], successes: Sequence[float]) -> list[Finding]:
    """Misalignment between the trials of a search: their mean return against their success rate."""
    if len(returns) < 5:
        return []
    correlation = rank_correlation(torch.tensor(returns), torch.tensor(successes))
    if correlation is None or correlation >= 0:
        return []
    return [
        Finding(
            "warning",
            "misalignment",
            f"over {len(returns)} trials the return falls as success rises (rank correlation {correlation:.2f})",
            "judging trials by success, never by the reward that is searched",
            {"rank_correlation": correlation, "trials": len(returns)},
        )
    ]


def decline(evaluations: Sequence[Mapping[str, Any]]) -> list[Evidence]:
    """Peak then decline of held-out success, over a run's evaluation rows."""
    rates = [row["success_rate"] for row in evaluations]
    if len(rates) < 3:
        return []
    peak = max(range(len(rates)), key=lambda i: rates[i])
    if peak > len(rates) - 3 or max(rates[-2:]) > rates[peak] - DECLINE:
        return []
    finding = Finding(
        "warning",
        "peak then decline",
        f"held-out success fell from {100 * rates[peak]:.0f} % at {evaluations[peak]['steps']:,} steps to "
        f"{100 * rates[-1]:.0f} %",
        "a lower ppo.learning_rate; the best policy is kept",
        {"peak": rates[peak], "peak_steps": evaluations[peak]["steps"], "now": rates[-1]},
    )
    return [Evidence(finding, rates[peak] - rates[-1], None)]


class Watch:
    """Lets a cheat speak when it shows in two evaluations in a row and success does not rise: what a policy is about to
    outgrow is none.

    What a robot that cannot walk yet does as well is also held back in its youth. A lazy robot has none: its income
    tells what it stands for.

    ``before`` is its whole memory, plain values.
    """

    def __init__(self) -> None:
        self.before: list[str] = []

    def confirm(
        self, seen: Iterable[Evidence], progress: float, evaluations: Sequence[Mapping[str, Any]]
    ) -> list[Evidence]:
        """Of what this evaluation shows, what is to be said. Confirmed episodes are replayable.

        Args:
            progress: share of the budget spent.
            evaluations: rows of the run's evaluations, this one the last.
        """
        seen = list(seen)
        young = progress < YOUTH or evaluations[-1]["steps"] < YOUTH_STEPS
        held_back = CHEATS.keys() if _rises(evaluations) else _UNSKILLED if young else ()
        confirmed = [e for e in seen if _key(e) in self.before and e.finding.name not in held_back]
        self.before = sorted(map(_key, seen))
        return [*confirmed, *decline(evaluations)]


_UNSKILLED = {rule.cheat for rule in RULES if rule.unskilled}


def _rises(evaluations: Sequence[Mapping[str, Any]]) -> bool:
    return len(evaluations) > 1 and evaluations[-1]["success_rate"] >= evaluations[-2]["success_rate"] + RISE


def _key(e: Evidence) -> str:
    return e.finding.name if e.finding.name in CHEATS else f"{e.finding.name}: {e.finding.numbers.get('term', '')}"
