"""Records of held-out episodes: what outcomes alone do not tell, kept for re-scoring and for the detectors."""

import dataclasses
import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbot.episodes import Episodes
from vbot.errors import UserError
from vbot.state import State


@dataclass(frozen=True)
class Records:
    """E episodes of one evaluation under K reward terms; tensors (E,) unless said otherwise."""

    episodes: Episodes
    number: Tensor
    """int64, of the episode in its evaluation: ``vbot.play --episode-seed``."""
    arrivals: Tensor
    """int64, entries into the reach radius."""
    final_radius_m: Tensor
    """From the middle of the course."""
    final_speed_mps: Tensor
    top_speed_mps: Tensor
    steps: Tensor
    """int64, control steps."""
    raw_sums: Tensor
    """(E, K) float64, raw values added up."""
    raw_discounted: Tensor
    """(E, K) float64, the same with the weight discount ** t of step t = 0, 1, ..."""
    raw_last: Tensor
    """(E, K) float64, raw values of the last step: what a truncated episode would go on to pay for."""
    terms: tuple[str, ...]
    discount: float
    purpose: str
    """Name of the random stream, with ``seed`` all that the episodes come from."""
    seed: int

    def __len__(self) -> int:
        return len(self.episodes)

    def value(self, weights: Tensor, rates: Tensor) -> Tensor:
        """(E,) discounted value under term ``weights`` (K,), a truncated episode going on as in ``vbot.audit``.

        Args:
            rates: (K,) bool, terms that are paid for time.
        """
        value = self.raw_discounted @ weights
        if self.discount < 1:
            goes_on = self.raw_last @ (weights * rates) / (1 - self.discount)
            value = value + ~self.episodes.fell * self.discount ** self.steps.double() * goes_on
        return value


class RecordKeeper:
    """Adds up one batch of episodes that begin together and run to their ends, one per environment."""

    def __init__(self, num_envs: int, num_terms: int, discount: float) -> None:
        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(*shape, dtype=dtype)

        self._discount = discount
        self._weight = 1.0
        self._within = zeros(num_envs, dtype=torch.bool)
        self._steps = zeros(num_envs, dtype=torch.long)
        self._arrivals = zeros(num_envs, dtype=torch.long)
        self._top_speed = zeros(num_envs)
        self._sums, self._discounted, self._last = (zeros(num_terms, num_envs, dtype=torch.float64) for _ in range(3))
        self._radius, self._speed = zeros(num_envs), zeros(num_envs)

    def begin(self, s: State) -> None:
        """The State at the beginning: a robot that spawns at the target has not arrived."""
        self._within = s.reached.cpu().clone()

    def add(self, s: State, raw: Tensor, live: Tensor) -> None:
        """A control step: the State and raw values (K, N) after it, of episodes (N,) bool that were under way."""
        live, raw, reached = live.cpu(), raw.cpu().double(), s.reached.cpu()
        speed, radius = s.planar_speed.cpu(), s.radius.cpu()
        now = raw * live
        self._sums += now
        self._discounted += self._weight * now
        self._last = torch.where(live, raw, self._last)
        self._weight *= self._discount
        self._steps += live
        self._arrivals += live & reached & ~self._within
        self._within = torch.where(live, reached, self._within)
        self._top_speed = torch.where(live, torch.maximum(self._top_speed, speed), self._top_speed)
        self._speed = torch.where(live, speed, self._speed)
        self._radius = torch.where(live, radius, self._radius)

    def end(self, episodes: Episodes, terms: tuple[str, ...], purpose: str, seed: int, first: int) -> Records:
        """The records of ``episodes``, which are those of the batch in the order in which they ended.

        Args:
            first: number of the first environment's episode in the evaluation.
        """
        ran = self._steps.nonzero().squeeze(1)
        # Episodes that ended in the same step come in the order of their environments.
        order = ran[torch.sort(self._steps[ran], stable=True).indices]
        return Records(
            episodes=episodes,
            number=first + order,
            arrivals=self._arrivals[order],
            final_radius_m=self._radius[order],
            final_speed_mps=self._speed[order],
            top_speed_mps=self._top_speed[order],
            steps=self._steps[order],
            raw_sums=self._sums[:, order].T,
            raw_discounted=self._discounted[:, order].T,
            raw_last=self._last[:, order].T,
            terms=terms,
            discount=self._discount,
            purpose=purpose,
            seed=seed,
        )


def concatenate(parts: list[Records]) -> Records:
    """Records of the same terms and discount, one after another; purpose and seed are those of the first."""
    joined: dict[str, Any] = {
        f.name: torch.cat([getattr(p, f.name) for p in parts])
        for f in fields(Records)
        if isinstance(getattr(parts[0], f.name), Tensor)
    }
    return dataclasses.replace(parts[0], episodes=Episodes.concatenate([p.episodes for p in parts]), **joined)


def pack(records: Records) -> bytes:
    """The content of an .npz file."""
    arrays = {f"episodes.{f.name}": getattr(records.episodes, f.name).cpu().numpy() for f in fields(Episodes)}
    for f in fields(Records):
        value = getattr(records, f.name)
        if isinstance(value, Tensor):
            arrays[f.name] = value.numpy()
        elif f.name != "episodes":
            arrays[f.name] = np.array(value)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def load(file: Path) -> Records:
    """Read what ``pack`` made. UserError if it is none."""
    try:
        with np.load(file, allow_pickle=False) as content:
            episodes = Episodes(**{f.name: torch.from_numpy(content[f"episodes.{f.name}"]) for f in fields(Episodes)})
            values: dict[str, Any] = {
                f.name: torch.from_numpy(array) if (array := content[f.name]).ndim and f.name != "terms" else array
                for f in fields(Records)
                if f.name != "episodes"
            }
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{file} holds no episode records of this version: {error}") from None
    values |= {
        "terms": tuple(str(name) for name in values["terms"]),
        "discount": float(values["discount"]),
        "purpose": str(values["purpose"]),
        "seed": int(values["seed"]),
    }
    return Records(episodes=episodes, **values)
