"""Reward sets: which terms are paid and how much. YAML files of ``name``, ``scale_dt``, ``time_decay``, ``terms``.

A set may say in ``ppo`` what its learner does otherwise than by default: how far ahead a reward is worth looking (the
discount factor) is as much a part of what is asked for as its scales.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbot.config import RewardConfig
from vbot.errors import UserError, nearest
from vbot.rewards.registry import Registry, TermSpec
from vbot.yaml_files import read_yaml

_BUILT_IN = Path(__file__).parent / "sets"
_KEYS = ("name", "description", "scale_dt", "time_decay", "terms", "ppo")


@dataclass(frozen=True)
class TimeDecay:
    """Multiplier of the terms with ``decay=True``: clip(1 - rate * t / T, floor, 1) at time t of a limit T."""

    rate: float
    floor: float


@dataclass(frozen=True)
class WeightedTerm:
    """A term as a set pays it."""

    spec: TermSpec
    scale: float
    params: Mapping[str, Any]
    """Every keyword parameter, defaults included."""


@dataclass(frozen=True)
class RewardSet:
    """A checked reward set, ready to be computed."""

    name: str
    scale_dt: float
    """s; a rate's scale is paid per this much time."""
    time_decay: TimeDecay | None
    terms: tuple[WeightedTerm, ...]

    def weight(self, term: WeightedTerm, step_s: float) -> float:
        """What a raw value of 1 pays in a control step of ``step_s`` s, before clip and decay."""
        return term.scale * (step_s / self.scale_dt if term.spec.kind == "rate" else 1.0)


def built_in_sets() -> list[str]:
    """Names of the reward sets that come with vbot."""
    return sorted(file.stem for file in _BUILT_IN.glob("*.yaml"))


def read_set(name_or_file: str) -> dict[str, Any]:
    """The content of a built-in set or of a YAML file, its keys checked but not yet its terms.

    Raises:
        UserError: no such set or file, or an unknown or missing key.
    """
    if name_or_file.endswith((".yaml", ".yml")):
        file = Path(name_or_file)
        if not file.is_file():
            raise UserError(f"no reward set file {name_or_file!r}")
    elif name_or_file in built_in_sets():
        file = _BUILT_IN / f"{name_or_file}.yaml"
    else:
        raise UserError(
            f"no reward set is named {name_or_file!r}{nearest(name_or_file, built_in_sets())} (or give a .yaml file)"
        )
    content = read_yaml(file)
    for key in content:
        if key not in _KEYS:
            raise UserError(f"reward set {file}: unknown key {key!r}{nearest(str(key), _KEYS)}")
    if not isinstance(content.get("terms"), dict) or not content["terms"]:
        raise UserError(f"reward set {file}: 'terms' must map term names to scales")
    if not isinstance(content.get("ppo", {}), dict):
        raise UserError(f"reward set {file}: 'ppo' must map options of the learner to values")
    content.setdefault("name", file.stem)
    content.pop("description", None)
    return content


def resolve_set(config: RewardConfig, registry: Registry, origins: Mapping[str, str] | None = None) -> RewardSet:
    """Check a resolved reward section against the registry.

    Args:
        origins: dotted key -> where its value came from, for the errors.

    Raises:
        UserError: an unknown term or parameter, a wrong sign, a value of the wrong type.
    """
    if not config.terms:
        raise UserError(f"reward set {config.name!r} has no terms")
    terms = []
    for name, values in config.terms.items():
        spec = registry[name]
        for key, value in values.items():
            try:
                spec.check_scale(value) if key == "scale" else spec.check_param(key, value)
            except UserError as error:
                origin = (origins or {}).get(f"reward.terms.{name}.{key}")
                raise UserError(f"{origin}: {error}" if origin else str(error)) from None
        params = {key: value for key, value in values.items() if key != "scale"}
        terms.append(WeightedTerm(spec, float(values.get("scale", spec.scale)), {**spec.params, **params}))
    decay = None
    if config.time_decay is not None:
        rate, floor = config.time_decay.rate, config.time_decay.floor
        if not (rate >= 0 and 0 <= floor <= 1):
            raise UserError(f"reward.time_decay needs rate >= 0 and floor in [0, 1]; got {rate} and {floor}")
        decay = TimeDecay(rate, floor)
    return RewardSet(config.name, config.scale_dt, decay, tuple(terms))
