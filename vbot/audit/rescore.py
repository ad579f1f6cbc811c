"""Counterfactual re-scoring: recorded episodes under other scales, without simulation.

It holds for linear sums only: the return of an episode is the sum over its steps of scale times raw value, so other
scales are other weights of the recorded raw sums. A policy trained under the other scales would have walked otherwise:
this asks what the other reward prefers among the episodes that were seen, not what it would have taught.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from vbot.errors import UserError
from vbot.ranks import auc, rank_correlation
from vbot.records import Records, concatenate
from vbot.rewards.sets import RewardSet

LINEAR = "holds for linear sums only: time decay and clips are left out, and no policy was trained under it"


@dataclass(frozen=True)
class Score:
    """How one reward set sees the episodes."""

    reward_set: str
    auc_return: float | None
    """Chance that an episode that succeeded has a higher return than one that did not; None without both."""
    auc_value: float | None
    """The same of the discounted value, a truncated episode going on: what the learner prefers."""
    mean_return: Mapping[str, float]
    """By outcome: success, fell, timeout."""
    mean_value: Mapping[str, float]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Terms of the set that the records cannot tell, and why."""
    bent: Sequence[str] = ()
    """Terms whose weighted value is clipped or decays with time: their sums are not exactly linear."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """Recorded and other reward on the same episodes."""

    episodes: int
    successes: int
    recorded: Score
    other: Score
    rank_correlation: float | None
    """Spearman's, of the two rankings of the episodes by return."""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "caveat": LINEAR}


def rescore(parts: Sequence[Records], recorded: RewardSet, other: RewardSet, step_s: float) -> Comparison:
    """Rank recorded episodes by the reward they were made under and by another.

    Args:
        recorded: the set of the run, whose terms the records hold.
        step_s: control period.

    Raises:
        UserError: no records, of different terms, or none of the other set's terms is in them.
    """
    if not parts:
        raise UserError("the run has no episode records: it was made before they were kept, or has not evaluated yet")
    if len({part.terms for part in parts}) > 1:
        raise UserError("the run's episode records are of different reward terms; it was changed by hand")
    records = concatenate(list(parts))
    scores, returns = [], []
    for reward_set in (recorded, other):
        weights, rates, left_out = _weights(records, recorded, reward_set, step_s)
        if len(left_out) == len(reward_set.terms):
            raise UserError(
                f"reward set {reward_set.name!r} cannot be re-scored: the records hold none of its terms as it has them"
                f" (they hold {', '.join(records.terms)})"
            )
        total = records.raw_sums @ weights
        value = records.value(weights, rates)
        success = records.episodes.success
        returns.append(total)
        bent = [
            t.spec.name
            for t in reward_set.terms
            if t.spec.name not in left_out
            and (t.spec.clip is not None or (reward_set.time_decay is not None and t.spec.decay))
        ]
        scores.append(
            Score(
                reward_set.name,
                auc(total, success),
                auc(value, success),
                _by_outcome(records, total),
                _by_outcome(records, value),
                left_out,
                bent,
            )
        )
    return Comparison(
        episodes=len(records),
        successes=int(records.episodes.success.sum()),
        recorded=scores[0],
        other=scores[1],
        rank_correlation=rank_correlation(*returns),
    )


def _weights(
    records: Records, recorded: RewardSet, reward_set: RewardSet, step_s: float
) -> tuple[Tensor, Tensor, dict[str, str]]:
    """Weights and rate flags (K,) of the recorded terms under a set, and its terms that they cannot express."""
    params = {t.spec.name: dict(t.params) for t in recorded.terms}
    weights = torch.zeros(len(records.terms), dtype=torch.float64)
    rates = torch.zeros(len(records.terms), dtype=torch.bool)
    left_out: dict[str, str] = {}
    for term in reward_set.terms:
        name = term.spec.name
        if name not in records.terms:
            left_out[name] = "not recorded"
            continue
        differing = {k: v for k, v in term.params.items() if params[name].get(k) != v}
        if differing:
            shown = ", ".join(f"{k}={v!r}, recorded {params[name].get(k)!r}" for k, v in differing.items())
            left_out[name] = f"another raw value: {shown}"
            continue
        k = records.terms.index(name)
        weights[k] = reward_set.weight(term, step_s)
        rates[k] = term.spec.kind == "rate"
    return weights, rates, left_out


def _by_outcome(records: Records, values: Tensor) -> dict[str, float]:
    means = {}
    for name in ("success", "fell", "timeout"):
        mask = getattr(records.episodes, name)
        if bool(mask.any()):
            means[name] = float(values[mask].mean())
    return means


def text(c: Comparison) -> str:
    """The comparison as a person reads it."""
    lines = [f"{c.episodes} episodes, {c.successes} of them successes"]
    for score, role in ((c.recorded, "recorded"), (c.other, "other")):
        lines.append(f"{score.reward_set} ({role})")
        lines.append(f"  AUC of return and success           {_auc(score.auc_return)}")
        lines.append(f"  AUC of discounted value and success {_auc(score.auc_value)}")
        for label, means in (("mean return", score.mean_return), ("mean value", score.mean_value)):
            lines.append(f"  {label:12}" + ", ".join(f"{name} {value:.4g}" for name, value in means.items()))
        lines += [f"  left out: {name} ({why})" for name, why in score.left_out.items()]
        if score.bent:
            lines.append(f"  not exactly linear: {', '.join(score.bent)}")
    lines.append(f"rank correlation of the two returns: {_auc(c.rank_correlation)}")
    lines.append(LINEAR)
    return "\n".join(lines)


def _auc(value: float | None) -> str:
    return "- (it needs successes and failures)" if value is None else f"{value:.3f}"
