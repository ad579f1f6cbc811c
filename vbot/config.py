"""Frozen configuration: typed sections, layers with the origin of every value, YAML files, and the fingerprint.

A configuration is resolved from layers of *dotted keys* (``ppo.learning_rate``), the later layer winning:
defaults < reward set < ``--config`` < named options < ``--set``. Each value keeps the name of its layer.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from vbot.errors import UserError, nearest
from vbot.ranges import Choice, LogUniform
from vbot.yaml_files import parse_yaml, read_yaml


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
        return {name: _plain(dataclasses.asdict(getattr(self, name))) for name in _SECTIONS}

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


_SECTIONS: dict[str, Any] = {"env": EnvConfig, "ppo": PPOConfig, "reward": RewardConfig, "train": TrainConfig}
_TERMS = "reward.terms."


@dataclass(frozen=True)
class Layer:
    """Values from one origin, by dotted key. A term's ``reward.terms.NAME`` set to None removes it."""

    origin: str
    values: Mapping[str, Any]
    recorded: Mapping[str, str] = field(default_factory=dict)
    """Of a run's own config.yaml: dotted key -> the layer that had set it in that run."""


def default_layer() -> Layer:
    """Every default of env, ppo and train; the reward has none of its own, it comes from a set."""
    values = {
        f"{section}.{f.name}": f.default for section in ("env", "ppo", "train") for f in fields(_SECTIONS[section])
    }
    return Layer("default", {**values, "reward.scale_dt": 0.01, "reward.time_decay": None})


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and their origins by dotted key, later layers winning."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            # A mapping replaced by None, or None replaced by a mapping: one of them must go.
            parents = [p for p in values if key.startswith(f"{p}.")]
            children = [c for c in values if c.startswith(f"{key}.")]
            for stale in parents + children:
                del values[stale], origins[stale]
            if value is None and key.startswith(_TERMS):
                if key.count(".") > 2:
                    raise UserError(f"{layer.origin}: {key} must have a value; only a whole term is removed by null")
                if not children and key not in values:
                    raise UserError(f"{layer.origin}: {key} is set to nothing, but the reward has no such term")
                continue
            values[key] = value
            origins[key] = layer.origin
    return values, origins


def build(values: Mapping[str, Any], origins: Mapping[str, str]) -> Config:
    """Typed, checked configuration from merged values.

    Raises:
        UserError: an unknown key, a value of the wrong type or outside its law, each with its origin.
    """
    known = [f"{name}.{f.name}" for name, cls in _SECTIONS.items() for f in fields(cls)]
    known += [f"reward.time_decay.{f.name}" for f in fields(TimeDecayConfig)]
    sections: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    terms: dict[str, dict[str, Any]] = {}
    decay: dict[str, Any] = {}
    for key, value in values.items():
        section, _, rest = key.partition(".")
        if key.startswith(_TERMS) and rest.count(".") == 2:
            _, term, parameter = rest.split(".")
            terms.setdefault(term, {})[parameter] = value
        elif key.startswith("reward.time_decay.") and key in known:
            decay[rest.split(".")[1]] = _coerce(value, float, key, origins[key])
        elif key == "reward.terms" or (key.startswith(_TERMS) and rest.count(".") > 2):
            raise UserError(f"{origins[key]}: reward.terms maps term names to a scale, or to a scale and parameters")
        elif section not in _SECTIONS or key not in known:
            raise UserError(f"{origins[key]}: unknown key {key!r}{nearest(key, known)}")
        elif key == "reward.time_decay":
            if value is not None:
                raise UserError(f"{origins[key]}: reward.time_decay must be a mapping of rate and floor; got {value!r}")
        else:
            sections[section][rest] = _coerce(value, _field_types(_SECTIONS[section])[rest], key, origins[key])
    sections["reward"]["terms"] = {name: dict(sorted(v.items())) for name, v in terms.items()}
    sections["reward"]["time_decay"] = TimeDecayConfig(**decay) if decay else None
    parts = {name: cls(**sections[name]) for name, cls in _SECTIONS.items()}
    for part in parts.values():
        try:
            part.validate()
        except _Violation as error:
            raise UserError(f"{origins.get(error.key, 'default')}: {error}") from None
    return Config(**parts, origins=dict(origins))


def file_layer(file: Path) -> Layer:
    """The layer of a ``--config`` file. A run's own config.yaml is one, with its ``origin`` section."""
    content = read_yaml(file)
    origin = content.pop("origin", None)
    recorded = {str(k): str(v) for k, v in origin.items()} if isinstance(origin, dict) else {}
    return Layer(f"--config {file}", flatten(content, str(file)), recorded)


def set_layer(assignments: Iterable[str]) -> Layer:
    """The layer of ``--set KEY=VALUE`` options, values typed by YAML."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set takes KEY=VALUE, as in ppo.learning_rate=3e-4; got {assignment!r}")
        try:
            value = parse_yaml(text)
        except yaml.YAMLError:
            raise UserError(f"--set {key}: the value is no valid YAML; got {text!r}") from None
        nested: Any = value
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        values.update(flatten(nested, f"--set {key}"))
    return Layer("--set", values)


def flatten(content: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Nested mappings as dotted keys. A term given as a bare scale becomes ``reward.terms.NAME.scale``."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, Mapping) and node:
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        elif prefix.startswith(_TERMS) and prefix.count(".") == 2 and node is not None:
            flat[f"{prefix}.scale"] = node
        elif isinstance(node, Mapping):
            if not prefix:
                raise UserError(f"{origin}: it is empty")
        else:
            flat[prefix] = node

    walk("", content)
    return flat


def names_of(key: str) -> tuple[str, ...]:
    """Every name that a dotted key answers to in constraints and patterns, the shortest first.

    ``ppo.learning_rate`` is also ``learning_rate``; ``reward.terms.termination.scale`` is also ``termination``,
    ``termination.scale`` and, as in ``--set``, ``reward.terms.termination``.
    """
    if key.startswith(_TERMS):
        term = key.removeprefix(_TERMS)
        return tuple(dict.fromkeys((term.removesuffix(".scale"), term, key.removesuffix(".scale"), key)))
    return tuple(dict.fromkeys((key.partition(".")[2] or key, key)))


class _Violation(Exception):
    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _require(law: bool, key: str, must_be: str, got: Any) -> None:
    if not law:
        raise _Violation(key, f"{key} must be {must_be}; got {got}")


def _one_of(value: str, key: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _Violation(key, f"{key} must be one of {', '.join(allowed)}; got {value!r}{nearest(value, allowed)}")


def _field_types(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _coerce(value: Any, kind: Any, key: str, origin: str) -> Any:
    """``value`` as a field's type, where YAML's reading of it can be meant so."""

    def fail(wanted: str) -> UserError:
        return UserError(f"{origin}: {key} must be {wanted}; got {value!r}")

    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        (kind,) = (k for k in kind.__args__ if k is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise fail("a list of integers, as in [256, 128]")
        return tuple(_coerce(v, int, key, origin) for v in value)
    if kind is bool:
        if not isinstance(value, bool):
            raise fail("true or false")
        return value
    if kind is str:
        if not isinstance(value, str):
            raise fail("text")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise fail("an integer" if kind is int else "a finite number")
    if kind is int:
        if value != int(value):
            raise fail("an integer")
        return int(value)
    return float(value)


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
