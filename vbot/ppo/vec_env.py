"""The only door between the learner and a simulator: a batch of N environments that reset themselves."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Step(NamedTuple):
    """What one control step returns. The learner copies what it keeps, and what it differentiates through: buffers may
    be reused by the next step, and made in inference mode."""

    obs: Tensor
    """(N, num_obs) float32, to act on next: after the reset of environments whose episode ended."""
    reward: Tensor
    """(N,) float32."""
    terminated: Tensor
    """(N,) bool: the episode ended for good, no reward follows."""
    truncated: Tensor
    """(N,) bool: the episode was cut off though it could go on, so its value goes on too. Never with terminated."""
    truncated_obs: Tensor
    """(n, num_obs) float32: of the n environments that were truncated, in their order, the observation before the
    reset. Its value is what goes on."""


class Symmetry(NamedTuple):
    """A mirror under which the task is unchanged: ``mirrored = x[:, index] * sign``, and twice mirrored is x."""

    obs_index: Tensor
    """(num_obs,) int64."""
    obs_sign: Tensor
    """(num_obs,) float32, +1 or -1."""
    action_index: Tensor
    """(num_actions,) int64."""
    action_sign: Tensor
    """(num_actions,) float32, +1 or -1."""

    def validate(self, num_obs: int, num_actions: int) -> None:
        """Raise ValueError unless observation and action mirrors have their sizes and undo themselves."""
        for name, index, sign, size in (
            ("obs", self.obs_index, self.obs_sign, num_obs),
            ("action", self.action_index, self.action_sign, num_actions),
        ):
            if index.shape != (size,) or sign.shape != (size,):
                raise ValueError(
                    f"Symmetry: {name}_index and {name}_sign must have shape ({size},), "
                    f"got {tuple(index.shape)} and {tuple(sign.shape)}"
                )
            if int(index.min()) < 0 or int(index.max()) >= size:
                raise ValueError(f"Symmetry: {name}_index must lie in [0, {size}), got {index.tolist()}")
            if not torch.equal(index[index], torch.arange(size, device=index.device)):
                raise ValueError(f"Symmetry: {name}_index must be its own inverse, got {index.tolist()}")
            if not bool(((sign.abs() == 1) & (sign == sign[index])).all()):
                raise ValueError(f"Symmetry: {name}_sign must be +1 or -1, equal for both of a pair: {sign.tolist()}")


class VecEnv(Protocol):
    """N environments stepped together; each resets itself in the step that ends its episode."""

    num_envs: int
    num_obs: int
    num_actions: int
    device: torch.device
    """Where observations come from and actions go to; the learner may live on another device."""
    symmetry: Symmetry | None
    obs_min_std: Tensor
    """(num_obs,) >= 0, in the observation's units, equal for mirrored features: the learner divides by the deviation
    that it sees, but by no less than this. A flag that is seldom up deviates so little that its rare moment would
    otherwise jolt the networks; 0 where nothing of the kind is known."""

    def reset(self) -> Tensor:
        """Start new episodes everywhere; return observations (N, num_obs)."""
        ...

    def step(self, actions: Tensor) -> Step:
        """Advance one control step under actions (N, num_actions), unbounded, on `device`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit, random generators included."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, possibly in another process."""
        ...
