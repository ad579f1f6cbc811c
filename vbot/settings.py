"""From what the user typed to a resolved configuration: the layers, the reward set, the registry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbot.config import Config
from vbot.courses import load_task
from vbot.errors import UserError
from vbot.keys import TERMS, flatten
from vbot.layers import Layer, build, default_layer, file_layer, merge, set_layer
from vbot.rewards import REGISTRY
from vbot.rewards.registry import Registry
from vbot.rewards.sets import RewardSet, read_set, resolve_set
from vbot.robot import load_robot

REWARD_SET = "reward set"
"""What the origin of a set's values begins with."""


@dataclass(frozen=True)
class Settings:
    """A resolved configuration with its reward set checked against the registry."""

    config: Config
    reward_set: RewardSet

    @property
    def fingerprint(self) -> str:
        """Hash of reward (with the source of its terms), environment (with task and robot) and algorithm."""
        robot = load_robot(self.config.env.robot)
        return self.config.fingerprint(
            {term.spec.name: term.spec.source for term in self.reward_set.terms}
            | {"task": repr(load_task(self.config.env.task)), "robot": robot.description()}
        )

    @property
    def term_code(self) -> dict[str, str]:
        """Reward term -> hash of its source, with what it uses of its own file."""
        return {term.spec.name: term.spec.version for term in self.reward_set.terms}


def resolve(
    reward_set: str | None = None,
    *,
    config_file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    registry: Registry = REGISTRY,
) -> Settings:
    """Resolve defaults < reward set < ``config_file`` < named ``options`` < ``--set`` ``assignments``.

    The reward set is ``reward_set``, else the one that the file's ``reward.set`` names, else a whole set written
    out in the file (its ``reward`` has a ``name``, as a run's own config.yaml has).

    Args:
        options: dotted key -> value, its origin shown as a named option.

    Raises:
        UserError: anything in it that is unknown, mistyped or against its law.
    """
    file = file_layer(config_file) if config_file is not None else Layer("--config", {})
    values = dict(file.values)
    named = values.pop("reward.set", None)
    whole = "reward.name" in values
    if reward_set is not None or named is not None:
        if whole and named is None:  # another set was asked for: the one written out in the file is no change to it
            of_set = {key for key, origin in file.recorded.items() if origin.startswith(REWARD_SET)}
            values = {k: value for k, value in values.items() if not (k.startswith("reward.") or k in of_set)}
        chosen = reward_set if reward_set is not None else str(named)
        reward = read_set(chosen)
        ppo = reward.pop("ppo", {})
        base = Layer(f"{REWARD_SET} {chosen}", flatten({"reward": reward, "ppo": ppo}, chosen))
    elif whole:
        base = Layer(file.origin, {})
    else:
        raise UserError("no reward set: give --reward-set NAME, as in --reward-set phase5")
    layers = [
        default_layer(),
        base,
        Layer(file.origin, values),
        Layer("option", flatten(options, "option") if options else {}),
        set_layer(assignments),
    ]
    merged, origins = merge(layers)
    names = sorted({key.split(".")[2] for key in merged if key.startswith(TERMS)})
    for name in names:
        if name not in registry:
            origin = next(o for k, o in origins.items() if k.startswith(f"reward.terms.{name}."))
            try:
                registry[name]
            except UserError as error:
                raise UserError(f"{origin}: {error}") from None
    registered = {
        f"reward.terms.{name}.{key}": value
        for name in names
        for key, value in {"scale": registry[name].scale, **registry[name].params}.items()
    }
    config = build(*merge([layers[0], Layer("registered default", registered), *layers[1:]]))
    load_task(config.env.task)
    load_robot(config.env.robot)
    return Settings(config, resolve_set(config.reward, registry, config.origins))
