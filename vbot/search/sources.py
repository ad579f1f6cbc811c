"""Where search spaces come from: the reward set with the PPO configuration, files, presets, ``--only``."""

import dataclasses
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vbot.config import Config, PPOConfig
from vbot.errors import UserError, nearest
from vbot.keys import TERMS, names_of
from vbot.layers import build
from vbot.ranges import Choice, LogUniform, Range, Uniform, ends
from vbot.rewards import REGISTRY
from vbot.rewards.registry import Registry
from vbot.rewards.sets import resolve_set
from vbot.search.constraints import Constraint
from vbot.search.space import Parameter, Space, native
from vbot.settings import Settings
from vbot.yaml_files import read_yaml

FULL = "full"
"""The preset that is everything the registry and the PPO configuration bring."""

SPACE = "space.yaml"
"""The user's own space as the study keeps it, in its directory."""

CONSTRAINTS = (
    "learning_rate > 5e-4 and learning_epochs > 8",
    "entropy_loss_scale > 0.05 and ratio_clip < 0.15",
    "termination < -400 and learning_rate > 5e-4",
)
"""The published ones; one that names a term which a reward set lacks does not concern that set."""

_PRESETS = Path(__file__).parent / "spaces"
_KEYS = ("name", "description", "fixed", "ppo_params", "reward_weights", "constraints")
_TYPES: dict[str, type] = {"uniform": Uniform, "loguniform": LogUniform, "choice": Choice, "categorical": Choice}


def presets() -> list[str]:
    """Names of the spaces that come with vbot."""
    return sorted([FULL, *(file.stem for file in _PRESETS.glob("*.yaml"))])


def search_space(
    settings: Settings, source: str | None = None, only: Sequence[str] = (), *, registry: Registry = REGISTRY
) -> Space:
    """The space to search.

    Args:
        settings: what is trained without a search: the defaults, and the values of all that is not searched.
        source: a preset or a YAML file; without one, everything that the reward set and PPO bring.
        only: patterns of names; what none of them matches keeps its default.

    Raises:
        UserError: an unknown name, a range that leads to an invalid configuration, or a name that nothing uses.
    """
    if source is None or source == FULL:
        space = _registered_space(settings)
    else:
        space = _file_space(_space_file(source), settings)
    if only:
        space = _narrowed(space, only)
    _check_every_end(space, settings.config, registry)
    return space


def _registered_space(settings: Settings) -> Space:
    """Scale and tune parameters of every term of the set, and what PPOConfig gives a range."""
    flat = settings.config.flat()
    parameters = [
        Parameter(f"ppo.{f.name}", f.metadata["search"], flat[f"ppo.{f.name}"], _is_integer(f"ppo.{f.name}", flat))
        for f in dataclasses.fields(PPOConfig)
        if "search" in f.metadata
    ]
    for term in settings.reward_set.terms:
        prefix = f"reward.terms.{term.spec.name}."
        if term.spec.search is not None:
            parameters.append(Parameter(f"{prefix}scale", term.spec.search, term.scale))
        elif term.scale == 0:
            continue  # never paid: its parameters have no effect
        parameters += [Parameter(prefix + name, range_, term.params[name]) for name, range_ in term.spec.tune.items()]
    known = {name for key in flat for name in names_of(key)}
    constraints = [c for c in map(Constraint, CONSTRAINTS) if c.names <= known]
    return Space(tuple(parameters), tuple(constraints), flat)


def _space_file(source: str) -> Path:
    if source.endswith((".yaml", ".yml")):
        return Path(source)
    if source not in presets():
        raise UserError(f"no search space is named {source!r}{nearest(source, presets())} (or give a .yaml file)")
    return _PRESETS / f"{source}.yaml"


def _file_space(file: Path, settings: Settings) -> Space:
    content = read_yaml(file)
    for key in content:
        if key not in _KEYS:
            raise UserError(f"search space {file}: unknown key {key!r}{nearest(str(key), _KEYS)}")
    flat = settings.config.flat()
    terms = {term.spec.name for term in settings.reward_set.terms}
    fixed: dict[str, Any] = {}
    prior: dict[str, Any] = {}
    parameters: list[Parameter] = []
    for name, value in _section(content, "fixed", file).items():
        _once(key := _used_key(str(name), flat, terms, f"search space {file}: fixed"), fixed, file)
        fixed[key] = native(value)
    entries = [
        (section, str(name), entry)
        for section in ("ppo_params", "reward_weights")
        for name, entry in _section(content, section, file).items()
    ]
    for section, name, entry in entries:
        where = f"search space {file}: {section}"
        key = _used_key(name, flat, terms, where, prefix="ppo." if section == "ppo_params" else TERMS)
        where = f"{where}: {name}"
        _once(key, {**fixed, **{p.key: None for p in parameters}}, file)
        parameter = Parameter(key, _range(entry, where), flat[key], _is_integer(key, flat))
        if (believed := entry.get("prior")) is not None:
            if not parameter.holds(believed):
                raise UserError(f"{where}: prior {believed!r} is not in {parameter.range}")
            prior[key] = believed
        parameters.append(parameter)
    constraints = content.get("constraints") or []
    if not isinstance(constraints, list):
        raise UserError(f"search space {file}: constraints must be a list of expressions; got {constraints!r}")
    if not parameters:
        raise UserError(f"search space {file}: it searches nothing; give ppo_params or reward_weights")
    # What is fixed is the default of this search, trial 0 included.
    return Space(tuple(parameters), tuple(map(Constraint, constraints)), flat, fixed, prior)


def _section(content: Mapping[str, Any], name: str, file: Path) -> Mapping[Any, Any]:
    section = content.get(name) or {}
    if not isinstance(section, Mapping):
        raise UserError(f"search space {file}: {name} must map names to values; got {section!r}")
    return section


def _once(key: str, taken: Mapping[str, Any], file: Path) -> None:
    if key in taken:
        raise UserError(f"search space {file}: {key} is given twice")


def _range(entry: Any, where: str) -> Range:
    """The range of an entry ``{type, low, high}`` or ``{type, values}``."""
    if not isinstance(entry, Mapping) or "type" not in entry:
        raise UserError(f"{where} must be a mapping with a type, one of {', '.join(_TYPES)}; got {entry!r}")
    kind = entry["type"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise UserError(f"{where}: unknown type {kind!r}{nearest(str(kind), _TYPES)}")
    needs = ("values",) if _TYPES[kind] is Choice else ("low", "high")
    for key in entry:
        if key not in ("type", "prior", *needs):
            raise UserError(f"{where}: a {kind} takes {' and '.join(needs)}, and prior; got {key!r}")
    for key in needs:
        if key not in entry:
            raise UserError(f"{where}: a {kind} needs {key!r}")
    if _TYPES[kind] is not Choice:
        arguments = [entry["low"], entry["high"]]
    elif isinstance(entry["values"], list):
        arguments = entry["values"]
    else:
        raise UserError(f"{where}: values must be a list; got {entry['values']!r}")
    try:
        return _TYPES[kind](*arguments)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where}: {error}") from None


def _used_key(name: str, flat: Mapping[str, Any], terms: set[str], where: str, prefix: str = "") -> str:
    """The dotted key that ``name`` means, if this configuration uses it.

    Raises:
        UserError: nothing is called so, or what is called so has no effect here.
    """
    candidates = {alias: key for key in flat for alias in names_of(key) if key.startswith(prefix)}
    key = candidates.get(name)
    if key is None:
        if prefix == TERMS or name.startswith(TERMS):
            term = name.removeprefix(TERMS).partition(".")[0]
            if term in terms:
                raise UserError(f"{where}: the term {term!r} has no parameter {name!r}{nearest(name, candidates)}")
            raise UserError(
                f"{where}: {name!r} has no effect, the reward set does not pay it{nearest(term, terms)} "
                f"(a registered term is added with --set reward.terms.{term}=SCALE)"
            )
        raise UserError(f"{where}: nothing uses {name!r}{nearest(name, candidates)}")
    schedule = flat["ppo.learning_rate_schedule"]
    for unused, used_by in (("ppo.kl_target", "kl"), ("ppo.learning_rate_end", "linear")):
        if key == unused and schedule != used_by:
            raise UserError(f"{where}: {key} has no effect with ppo.learning_rate_schedule={schedule}")
    return key


def _narrowed(space: Space, only: Sequence[str]) -> Space:
    chosen: set[str] = set()
    for pattern in only:
        matching = {p.key for p in space.parameters if any(fnmatchcase(name, pattern) for name in names_of(p.key))}
        if not matching:
            known = [name for p in space.parameters for name in names_of(p.key)]
            raise UserError(f"--only {pattern}: no searched parameter is called so{nearest(pattern, known)}")
        chosen |= matching
    return dataclasses.replace(
        space,
        parameters=tuple(p for p in space.parameters if p.key in chosen),
        prior={key: value for key, value in space.prior.items() if key in chosen},
    )


def _check_every_end(space: Space, config: Config, registry: Registry) -> None:
    """Build the configuration at both ends of every range, so that none is found invalid after hours."""
    flat = {**config.flat(), **space.fixed}
    points = [{}, *({p.key: end} for p in space.parameters for end in _samples(p))]
    for point in points:
        values = {**flat, **point}
        origin = "search space" + "".join(f": {key}" for key in point)
        origins = dict.fromkeys(values, origin)
        resolve_set(build(values, origins).reward, registry, origins)


def _samples(parameter: Parameter) -> list[Any]:
    """What stands for all that a range can give: its ends, or every value of a choice."""
    if parameter.choices is not None:
        return list(parameter.choices)
    return [parameter.value(0.0), parameter.value(1.0), *(native(e) for e in ends(parameter.range))]


def _is_integer(key: str, flat: Mapping[str, Any]) -> bool:
    """Fields of the configuration know their type; a term's parameter ``height=1`` may be any number."""
    value = flat[key]
    return not key.startswith("reward.") and isinstance(value, int) and not isinstance(value, bool)
