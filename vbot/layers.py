"""From layers of values to a configuration, each value keeping the name of the layer that set it.

The later layer wins: defaults < reward set < ``--config`` < named options < ``--set``.
"""

import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from vbot.config import SECTIONS, Config, TimeDecayConfig, Violation
from vbot.errors import UserError, nearest
from vbot.keys import TERMS, flatten
from vbot.yaml_files import parse_yaml, read_yaml


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
        f"{section}.{f.name}": f.default for section in ("env", "ppo", "train") for f in fields(SECTIONS[section])
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
            if value is None and key.startswith(TERMS):
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
    known = [f"{name}.{f.name}" for name, cls in SECTIONS.items() for f in fields(cls)]
    known += [f"reward.time_decay.{f.name}" for f in fields(TimeDecayConfig)]
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    terms: dict[str, dict[str, Any]] = {}
    decay: dict[str, Any] = {}
    for key, value in values.items():
        section, _, rest = key.partition(".")
        if key.startswith(TERMS) and rest.count(".") == 2:
            _, term, parameter = rest.split(".")
            terms.setdefault(term, {})[parameter] = value
        elif key.startswith("reward.time_decay.") and key in known:
            decay[rest.split(".")[1]] = _coerce(value, float, key, origins[key])
        elif key == "reward.terms" or (key.startswith(TERMS) and rest.count(".") > 2):
            raise UserError(f"{origins[key]}: reward.terms maps term names to a scale, or to a scale and parameters")
        elif section not in SECTIONS or key not in known:
            raise UserError(f"{origins[key]}: unknown key {key!r}{nearest(key, known)}")
        elif key == "reward.time_decay":
            if value is not None:
                raise UserError(f"{origins[key]}: reward.time_decay must be a mapping of rate and floor; got {value!r}")
        else:
            sections[section][rest] = _coerce(value, typing.get_type_hints(SECTIONS[section])[rest], key, origins[key])
    sections["reward"]["terms"] = {name: dict(sorted(v.items())) for name, v in terms.items()}
    sections["reward"]["time_decay"] = TimeDecayConfig(**decay) if decay else None
    parts = {name: cls(**sections[name]) for name, cls in SECTIONS.items()}
    for part in parts.values():
        try:
            part.validate()
        except Violation as error:
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
