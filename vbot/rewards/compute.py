"""The reward of a step: every term of a set, weighted, summed, and kept apart for the log."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vbot.errors import UserError
from vbot.rewards.sets import RewardSet
from vbot.state import State


class RewardFunction:
    """Computes a reward set for N environments. K terms, in the set's order.

    A rate is paid ``scale * raw * step_s / scale_dt``, an event ``scale * raw``; terms with ``decay`` are then
    multiplied by the time decay, if the set has one.

    Args:
        step_s: control period in s.
    """

    def __init__(self, reward_set: RewardSet, num_envs: int, device: torch.device, step_s: float) -> None:
        self.names = [term.spec.name for term in reward_set.terms]
        self.raw = torch.zeros(len(self.names), num_envs, device=device)
        """(K, N) raw values of the last step."""
        self.weighted = torch.zeros(len(self.names), num_envs, device=device)
        """(K, N) income of the last step by term; its sum over terms is the reward."""
        self._decay = reward_set.time_decay
        per_step = step_s / reward_set.scale_dt
        self._terms: list[tuple[Callable[..., Tensor], dict[str, Any]]] = []
        self._stateful: list[Any] = []
        self._clips: list[tuple[int, float, float]] = []
        weights, decays = [], []
        for row, term in enumerate(reward_set.terms):
            spec = term.spec
            if spec.stateful:
                memory = spec.function(num_envs, device, **term.params)
                self._stateful.append(memory)
                self._terms.append((memory, {}))
            else:
                self._terms.append((spec.function, dict(term.params)))
            weights.append(reward_set.weight(term, step_s))
            decays.append(spec.decay)
            if spec.clip is not None:
                self._clips.append((row, spec.clip[0] * per_step, spec.clip[1] * per_step))
        self._weights = torch.tensor(weights, device=device).unsqueeze(1)
        self._decays = torch.tensor(decays, dtype=torch.float32, device=device).unsqueeze(1)  # (K, 1), 1 or 0
        self._finite = torch.ones(len(self.names), dtype=torch.bool, device=device)

    def __call__(self, s: State) -> Tensor:
        """The reward (N,) of this step."""
        torch.stack([term(s, **params) for term, params in self._terms], out=self.raw)
        torch.mul(self.raw, self._weights, out=self.weighted)
        for row, low, high in self._clips:
            self.weighted[row].clamp_(low, high)
        if self._decay is not None:
            # 1 - clip(1 - x, floor, 1) is clip(x, 0, 1 - floor).
            lost = (self._decay.rate * s.time_s / s.episode_limit_s).clamp_(max=1 - self._decay.floor)
            self.weighted.addcmul_(self.weighted, self._decays * lost, value=-1)
        reward = self.weighted.sum(0)
        # Kept on the device and read once per rollout: a check that waits for every step would cost speed. A sum is
        # not finite if one of its parts is not.
        self._finite &= self.weighted.sum(1).isfinite()
        return reward

    def reset(self, ids: Tensor) -> None:
        """Clear the memory of terms in environments ``ids`` (n,)."""
        if self._stateful:
            mask = torch.zeros_like(self.raw[0], dtype=torch.bool).index_fill_(0, ids, True)
            for term in self._stateful:
                term.reset(mask)

    def raise_if_not_finite(self) -> None:
        """Raise UserError naming the terms that were ever NaN or infinite. Waits for the device."""
        broken = [name for name, fine in zip(self.names, self._finite.tolist(), strict=True) if not fine]
        if broken:
            raise UserError(
                f"reward term {', '.join(map(repr, broken))} gave NaN or infinity; training stopped, the last good "
                "checkpoint is kept (look for a division by 0 or a logarithm of 0)"
            )

    def state_dict(self) -> dict[str, object]:
        """Memory of stateful terms: their tensor attributes, as copies."""
        return {
            str(i): {key: value.clone() for key, value in vars(term).items() if isinstance(value, Tensor)}
            for i, term in enumerate(self._stateful)
        }

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        for i, term in enumerate(self._stateful):
            for key, value in state[str(i)].items():
                setattr(term, key, value.clone())
