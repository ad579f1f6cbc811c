"""Frozen configuration: typed sections with the law of every value, and the fingerprint."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vbot.errors import nearest
from vbot.keys import flatten
from vbot.ranges import Choice, LogUniform


def _searched(default: Any, search: Any) -> Any:
    """A field whose search range travels with it, as a reward term's does."""
    return field(default=default, metadata={"search": search})


@dataclass(frozen=True)
class EnvConfig:
    """The environment: task, robot and control. Times in s, angles in rad."""

    task: str = "section001"
    robot: str = "vbot"
    num_envs: int = 640
    physics_step_s: float = 0.01
    decimation: int = 2
    """Physics steps per control step; the control period is ``physics_step_s * decimation``."""
    action_scale: float = 0.5
    """Joint position target = standing pose + action_scale * filtered action."""
    action_smoothing: float = 0.0
    """Share of the previous filtered action in the new one, per control step, in [0, 1)."""

    @property
    def step_s(self) -> float:
        """Control period in s."""
        return self.physics_step_s * self.decimation

    def validate(self) -> None:
        _require(self.num_envs >= 1, "env.num_envs", "at least 1", self.num_envs)
        _require(self.physics_step_s > 0, "env.physics_step_s", "greater than 0", self.physics_step_s)
        _require(self.decimation >= 1, "env.decimation", "at least 1", self.decimation)
        _require(self.action_scale > 0, "env.action_scale", "greater than 0", self.action_scale)
        _require(0 <= self.action_smoothing < 1, "env.action_smoothing", "in [0, 1)", self.action_smoothing)


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation. Search ranges are those of the published search space."""

    rollouts: int = _searched(10, Choice(16, 24, 32, 48))
    """Control steps per environment between two updates."""
    learning_epochs: int = _searched(3, Choice(4, 5, 6, 8))
    mini_batches: int = _searched(4, Choice(16, 32, 64))
    discount_factor: float = _searched(0.99, Choice(0.95, 0.97, 0.98, 0.99, 0.995, 0.999))
    lambda_param: float = _searched(0.95, Choice(0.9, 0.92, 0.95, 0.97, 0.99))
    learning_rate: float = _searched(2e-3, LogUniform(1e-5, 1e-3))
    learning_rate_schedule: str = "linear"
    """``linear`` (to learning_rate_end over the budget), ``constant``, or ``kl`` (adaptive, towards kl_target)."""
    learning_rate_end: float = 0.01
    """Where the linear schedule ends, as a fraction of learning_rate."""
    kl_target: float = 0.01
    ratio_clip: float = _searched(0.2, Choice(0.1, 0.15, 0.2, 0.25, 0.3))
    advantage_clip: float = 3.0
    """Bound of the advantages at first, in their standard deviations over the rollout; 0 turns it off. Divided by the
    share of the budget that is left, so that in the end it binds no more."""
    value_clip: float = 0.2
    """Clip of the value's change, in units of the running standard deviation of returns; 0 turns it off."""
    value_loss_scale: float = 1.0
    entropy_loss_scale: float = _searched(5e-3, LogUniform(1e-4, 2e-2))
    grad_norm_clip: float = 1.0
    policy_hidden_layer_sizes: tuple[int, ...] = _searched(
        (128, 128), Choice((128, 64), (256, 128, 64), (512, 256, 128), (256, 256, 256))
    )
    value_hidden_layer_sizes: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    """``elu``, ``relu`` or ``tanh``."""
    initial_std: float = 0.6
    """Standard deviation of the action noise before training."""
    symmetry: bool = True
    """Make policy and value mirror-equivariant where the environment states its mirror symmetry."""

    def validate(self) -> None:
        for name in ("rollouts", "learning_epochs", "mini_batches"):
            _require(getattr(self, name) >= 1, f"ppo.{name}", "at least 1", getattr(self, name))
        for name in ("discount_factor", "lambda_param"):
            _require(0 < getattr(self, name) <= 1, f"ppo.{name}", "in (0, 1]", getattr(self, name))
        for name in ("learning_rate", "ratio_clip", "grad_norm_clip", "initial_std", "kl_target"):
            _require(getattr(self, name) > 0, f"ppo.{name}", "greater than 0", getattr(self, name))
        for name in ("advantage_clip", "value_clip", "value_loss_scale", "entropy_loss_scale", "learning_rate_end"):
            _require(getattr(self, name) >= 0, f"ppo.{name}", "at least 0", getattr(self, name))
        for name in ("policy_hidden_layer_sizes", "value_hidden_layer_sizes"):
            sizes = getattr(self, name)
            _require(len(sizes) > 0 and min(sizes) >= 1, f"ppo.{name}", "a list of sizes >= 1", list(sizes))
        _one_of(self.learning_rate_schedule, "ppo.learning_rate_schedule", ("linear", "constant", "kl"))
        _one_of(self.activation, "ppo.activation", ("elu", "relu", "tanh"))


@dataclass(frozen=True)
class TimeDecayConfig:
    """The decay of a set's navigation terms over the episode; see vbot.rewards.sets.TimeDecay."""

    rate: float = 0.5
    floor: float = 0.5


@dataclass(frozen=True)
class RewardConfig:
    """The reward as resolved: every term with its scale and every parameter."""

    name: str
    terms: Mapping[str, Mapping[str, Any]]
    """Term name -> ``scale`` and keyword parameters."""
    scale_dt: float = 0.01
    """s; the time that a rate's scale is paid for."""
    time_decay: TimeDecayConfig | None = None

    def validate(self) -> None:
        _require(self.scale_dt > 0, "reward.scale_dt", "greater than 0", self.scale_dt)


@dataclass(frozen=True)
class TrainConfig:
    """How long to train, on what, and when to look."""

    seed: int = 0
    device: str = "auto"
    """Where the networks are: ``auto``, ``cpu`` or ``cuda``. Physics runs on the CPU."""
    threads: int = 0
    """Threads of physics and of the networks; 0 takes every core this process may use."""
    steps: int = 10_000_000
    """Budget in control steps over all environments."""
    minutes: float | None = None
    """Budget in minutes of wall-clock time instead of steps."""
    eval_interval: int | None = None
    """Control steps between evaluations; by default a sixteenth of the budget."""
    eval_episodes: int = 256
    final_episodes: int = 1024
    """Episodes of the evaluation that ends a run, on seeds that nothing in the run has seen."""
    checkpoint_interval: int | None = None
    """Control steps between periodic checkpoints; by default an eighth of the budget, never less often than five."""

    def validate(self) -> None:
        _require(self.seed >= 0, "train.seed", "at least 0", self.seed)
        _require(self.threads >= 0, "train.threads", "at least 0", self.threads)
        _require(self.steps >= 1, "train.steps", "at least 1", self.steps)
        for name in ("eval_episodes", "final_episodes"):
            _require(getattr(self, name) >= 1, f"train.{name}", "at least 1", getattr(self, name))
        for name in ("minutes", "eval_interval", "checkpoint_interval"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"train.{name}", "greater than 0", value)
        _one_of(self.device, "train.device", ("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, and where each value came from."""

    env: EnvConfig
    ppo: PPOConfig
    reward: RewardConfig
    train: TrainConfig
    origins: Mapping[str, str]
    """Dotted key -> the layer that set it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, the sections of a YAML file."""
        return {name: _plain(dataclasses.asdict(getattr(self, name))) for name in SECTIONS}

    def flat(self) -> dict[str, Any]:
        """Dotted key -> plain value."""
        return flatten(self.to_dict(), "the configuration")

    def fingerprint(self, sources: Mapping[str, str]) -> str:
        """Hash of what decides the learning problem: reward, environment, algorithm, and ``sources``.

        Two runs with the same fingerprint differ in seed, budget or machine only.

        Args:
            sources: texts behind names that the configuration only mentions: terms, task, robot.
        """
        content = {key: value for key, value in self.to_dict().items() if key != "train"}
        del content["reward"]["name"]  # the same reward under another name is the same reward
        content = _as_floats({**content, "sources": dict(sources)})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


SECTIONS: dict[str, Any] = {"env": EnvConfig, "ppo": PPOConfig, "reward": RewardConfig, "train": TrainConfig}
"""Section of a configuration -> its class, in the order of a file."""


class Violation(Exception):
    """A value outside its law; whoever built the section knows where it came from, and says so."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _require(law: bool, key: str, must_be: str, got: Any) -> None:
    if not law:
        raise Violation(key, f"{key} must be {must_be}; got {got}")


def _one_of(value: str, key: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Violation(key, f"{key} must be one of {', '.join(allowed)}; got {value!r}{nearest(value, allowed)}")


def _as_floats(value: Any) -> Any:
    """Every number as a float: 1 and 1.0 mean the same setting."""
    if isinstance(value, Mapping):
        return {key: _as_floats(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_as_floats(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
