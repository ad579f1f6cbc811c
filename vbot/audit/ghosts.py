"""Ghost terms: a scale or parameter that changes nothing, a term that never fires, on states of every phase."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vbot.audit.subject import Subject
from vbot.findings import Finding
from vbot.rewards.conformance import random_states
from vbot.rewards.probes import raw
from vbot.rewards.sets import WeightedTerm
from vbot.state import State

_SEEDS = range(4)
_ROWS = 320


def find(subject: Subject) -> list[Finding]:
    """Double every scale and every parameter that somebody set, on states of every phase of an episode.

    A parameter is a ghost if neither its double nor its half changes a reward: a bound may bind on one side only. One
    that is left at its registered default is nobody's wish, so it is not looked at.
    """
    batch = _batch(subject)
    found = []
    for term in subject.reward_set.terms:
        spec, name = term.spec, term.spec.name
        values = [raw(spec, s, term.params) for s in batch]
        fires = any(bool((v != 0).any()) for v in values)
        if not fires:
            found.append(_ghost(name, "never fires: it was 0 on every state of a recorded batch", "removing it"))
            continue
        if not _scale_matters(term, values, subject):
            found.append(_ghost(name, f"doubling its scale of {term.scale:g} changes no reward", "removing it"))
            continue
        for key, value in _set_by_somebody(subject, term).items():
            others = _others(value)
            if others and all(_same(term, key, other, batch, values) for other in others):
                message = f"{key}={value!r} has no effect: {' and '.join(map(repr, others))} give the same reward"
                mend = f"a {key} that binds, or none: it is {term.spec.params[key]!r} by default"
                found.append(_ghost(name, message, mend, level="note"))
    return found


def _ghost(name: str, message: str, suggestion: str, level: Any = "warning") -> Finding:
    return Finding(level, "ghost term", f"{name}: {message}", suggestion, {"term": name})


def _batch(subject: Subject) -> Sequence[State]:
    """States of every phase: drawn robots by distance and speed, and, for a robot like VBot, wild ones."""
    d, v = torch.meshgrid(
        torch.linspace(0.02, 12.4, 60), torch.tensor([-1.0, 0.0, 0.05, 0.2, 0.6, 1.2, 3.0]), indexing="ij"
    )
    n = d.numel()
    events = []
    for after in (False, True):
        s = subject.robots(
            d.flatten(), v.flatten(), time_s=torch.linspace(0, 9, n), initial_distance=12.4, ever_reached=after,
            time_since_reach=0.2 if after else 0.0, stopped_time=subject.task.stop_duration_s if after else 0.0,
        )  # fmt: skip
        s.first_reach[::7], s.first_fence[::5], s.fallen[::11] = True, True, True
        s.base_ang_vel_b[::3, 2] = torch.linspace(0.0, 0.5, len(s.base_ang_vel_b[::3]))
        events.append(s)
    if (len(subject.robot.standing_pose), len(subject.robot.feet)) == (12, 4):
        events += [random_states(_ROWS, seed) for seed in _SEEDS]
    return events


def _scale_matters(term: WeightedTerm, values: Sequence[Tensor], subject: Subject) -> bool:
    if term.scale == 0:
        return False
    if term.spec.clip is None:
        return True
    per = subject.step_s / subject.reward_set.scale_dt
    low, high = (bound * per for bound in term.spec.clip)
    weight = subject.reward_set.weight(term, subject.step_s)
    return any(not torch.equal((weight * v).clamp(low, high), (2 * weight * v).clamp(low, high)) for v in values)


def _set_by_somebody(subject: Subject, term: WeightedTerm) -> Mapping[str, Any]:
    origins = subject.settings.config.origins
    prefix = f"reward.terms.{term.spec.name}."
    return {k: v for k, v in term.params.items() if origins.get(prefix + k) != "registered default"}


def _others(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)) and value != 0:
        return [2 * value, value / 2] if isinstance(value, float) else [2 * value]
    return []


def _same(term: WeightedTerm, key: str, other: Any, batch: Sequence[State], values: Sequence[Tensor]) -> bool:
    params = {**term.params, key: other}
    return all(torch.equal(raw(term.spec, s, params), v) for s, v in zip(batch, values, strict=True))
