"""Outcomes of episodes: recording them as they end, and the statistics that everything judges by.

Rates are per episode, never the share of robots that happen to be at the target at one instant: episodes
synchronise, and that share swings widely under a policy that always succeeds.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from vbot.proportions import wilson_interval
from vbot.state import State


@dataclass
class Episodes:
    """E finished episodes, each field a tensor (E,) unless said otherwise. Every episode is in exactly one of
    success, fell, timeout."""

    success: Tensor  # bool
    fell: Tensor  # bool
    timeout: Tensor  # bool
    reached: Tensor  # bool, the target was reached at some time
    fenced: Tensor  # bool, the inner fence was entered at some time
    counted: Tensor  # bool; false for a first training episode that was entered in the middle
    duration_s: Tensor
    reach_time_s: Tensor  # time of the first reach; NaN if never
    reach_distance_m: Tensor  # distance at the first reach; the final distance if never
    initial_distance_m: Tensor
    final_distance_m: Tensor
    path_m: Tensor  # length of the path to the first reach, or of the whole episode if never reached
    returns: Tensor  # float64, undiscounted sum of rewards: exactly the sum of term_sums
    term_sums: Tensor  # (E, K) float64, weighted income by term
    term_raw_means: Tensor  # (E, K) float64, mean raw value per control step

    def __len__(self) -> int:
        return len(self.success)

    def select(self, mask: Tensor) -> "Episodes":
        return Episodes(**{f.name: getattr(self, f.name)[mask] for f in fields(self)})

    @staticmethod
    def concatenate(parts: list["Episodes"]) -> "Episodes":
        return Episodes(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Episodes)})

    def summary(self) -> dict[str, Any]:
        """The rates and means of ``vbot.evaluate --json``; a mean over no episode is None.

        ``time_to_target_s`` is the mean time of the first reach over successes, ``path_efficiency`` the straight
        way over the walked way to the first reach, over episodes that reached, ``mean_speed_mps`` path over time
        to the first reach (or the whole episode). ``contest_score`` is that of ten such robots: a point each for
        the inner fence and for the centre, none for a robot that fell.
        """
        n = len(self)
        if n == 0:
            raise ValueError("a summary needs at least one episode")
        walked_s = torch.where(self.reached, self.reach_time_s, self.duration_s)
        points = (self.fenced.float() + self.reached.float()) * ~self.fell
        straight_m = self.initial_distance_m - self.reach_distance_m
        successes = int(self.success.sum())
        return {
            "episodes": n,
            "success_rate": successes / n,
            "success_ci95": list(wilson_interval(successes, n)),
            "reached_rate": _mean(self.reached.float()),
            "fall_rate": _mean(self.fell.float()),
            "timeout_rate": _mean(self.timeout.float()),
            "time_to_target_s": _mean(self.reach_time_s[self.success]),
            "path_efficiency": _mean((straight_m / self.path_m.clamp(min=1e-6))[self.reached].clamp(max=1.0)),
            "mean_speed_mps": _mean(self.path_m / walked_s.clamp(min=1e-6)),
            "contest_score": 10 * float(points.mean()),
        }


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


class EpisodeRecorder:
    """Accumulates what an episode adds up to, and keeps the episodes that ended until they are taken.

    Args:
        num_terms: K, the number of reward terms; 0 without a reward.
    """

    def __init__(self, num_envs: int, num_terms: int, device: torch.device) -> None:
        self._path_m = torch.zeros(num_envs, device=device)
        self._reach_time_s = torch.full((num_envs,), torch.nan, device=device)
        self._reach_distance_m = torch.zeros(num_envs, device=device)
        self._fenced = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._partial = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._steps = torch.zeros(num_envs, dtype=torch.float64, device=device)
        # float64: a thousand float32 incomes add up without rounding that could be seen in the sums.
        self._weighted = torch.zeros(num_terms, num_envs, dtype=torch.float64, device=device)
        self._raw = torch.zeros(num_terms, num_envs, dtype=torch.float64, device=device)
        self._ended: list[Episodes] = []

    def begin(self, ids: Tensor, partial: bool) -> None:
        """Forget the memory of environments ``ids`` (n,). ``partial``: their episodes begin in the middle."""
        for memory in (self._path_m, self._fenced, self._steps):
            memory.index_fill_(0, ids, 0)
        self._reach_time_s.index_fill_(0, ids, torch.nan)
        self._partial.index_fill_(0, ids, partial)
        for sums in (self._weighted, self._raw):
            sums.index_fill_(1, ids, 0)

    def add(self, s: State, weighted: Tensor | None, raw: Tensor | None) -> None:
        """Add a control step: the State after it and the incomes (K, N) and raw values (K, N) of its reward."""
        arrives = s.ever_reached & self._reach_time_s.isnan()
        on_the_way = ~s.ever_reached | arrives
        self._path_m.addcmul_(s.planar_speed, on_the_way.float(), value=s.step_s)
        self._reach_time_s = torch.where(arrives, s.time_s, self._reach_time_s)
        self._reach_distance_m = torch.where(on_the_way, s.distance, self._reach_distance_m)
        self._fenced |= s.first_fence
        self._steps += 1
        if weighted is not None and raw is not None:
            self._weighted += weighted
            self._raw += raw

    def end(self, ids: Tensor, s: State, success: Tensor, timeout: Tensor) -> None:
        """Keep the episodes that end now in environments ``ids`` (n,); ``success`` and ``timeout`` are (N,) bool."""

        def of(field: Tensor) -> Tensor:
            return field.index_select(0, ids)

        term_sums = self._weighted.index_select(1, ids).T
        self._ended.append(
            Episodes(
                success=of(success),
                fell=of(s.fallen),
                timeout=of(timeout),
                reached=of(s.ever_reached),
                fenced=of(self._fenced),
                counted=~of(self._partial),
                duration_s=of(s.time_s),
                reach_time_s=of(self._reach_time_s),
                initial_distance_m=of(s.initial_distance),
                final_distance_m=of(s.distance),
                path_m=of(self._path_m),
                returns=term_sums.sum(1),
                term_sums=term_sums,
                term_raw_means=(self._raw.index_select(1, ids) / of(self._steps)).T,
                reach_distance_m=of(self._reach_distance_m),
            )
        )

    def take(self) -> Episodes | None:
        """The episodes that ended since the last call; None if none did."""
        ended, self._ended = self._ended, []
        return Episodes.concatenate(ended) if ended else None

    def state_dict(self) -> dict[str, Tensor]:
        """Memory of the episodes under way, as copies. Take the ended ones first."""
        return {name: value.clone() for name, value in vars(self).items() if isinstance(value, Tensor)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            setattr(self, name, value.clone())
