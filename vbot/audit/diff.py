"""The effective-reward diff: what two sets, configurations or runs pay differently, and where each value came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vbot.errors import UserError
from vbot.rewards import REGISTRY
from vbot.rewards.plugins import load_plugins
from vbot.run import CONFIG, Run
from vbot.settings import Settings, resolve
from vbot.yaml_files import read_yaml


@dataclass(frozen=True)
class Side:
    """One side of a diff."""

    label: str
    settings: Settings
    fingerprint: str
    """Of a run, the one it was made with."""
    code: Mapping[str, str]
    """Term -> hash of its code; of a run, as it was when the run was made."""
    origins: Mapping[str, str]
    """Dotted key -> where the value came from; of a run, when it was made."""

    @property
    def values(self) -> dict[str, Any]:
        """Dotted key -> value, of the reward."""
        return {k: v for k, v in self.settings.config.flat().items() if k.startswith("reward.") and k != "reward.name"}

    def origin(self, key: str) -> str:
        return self.origins.get(key, "default")


@dataclass(frozen=True)
class Change:
    """A value that differs; None where a side has none."""

    key: str
    a: Any
    b: Any
    origin_a: str | None
    origin_b: str | None


@dataclass(frozen=True)
class Diff:
    """What differs between A and B."""

    a: Side
    b: Side
    added: list[str] = field(default_factory=list)
    """Terms of B alone."""
    removed: list[str] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    code_changed: list[str] = field(default_factory=list)
    """Terms of both whose code differs."""
    code_unknown: list[str] = field(default_factory=list)
    """Terms of both whose code on one side was not recorded."""

    @property
    def same(self) -> bool:
        """Whether the rewards are the same as far as can be told."""
        return not (self.added or self.removed or self.changed or self.code_changed)

    def to_dict(self) -> dict[str, Any]:
        return {
            "a": self.a.label,
            "b": self.b.label,
            "same": self.same,
            "fingerprints": [self.a.fingerprint, self.b.fingerprint],
            "added": self.added,
            "removed": self.removed,
            "changed": [vars(c) for c in self.changed],
            "code_changed": self.code_changed,
            "code_unknown": self.code_unknown,
        }


def side(text: str, plugins: list[str] | None = None) -> Side:
    """The side that a name means: a run directory, a configuration or set file, or a built-in set.

    Terms of a run's own plugins are registered for this side only.

    Raises:
        UserError: there is no such thing.
    """
    path = Path(text)
    try:
        with REGISTRY.borrowed():
            return _side(text, path, plugins or [])
    except UserError as error:
        hint = f" (a run directory has a {CONFIG})" if path.is_dir() else ""
        raise UserError(f"--diff {text}: {error}{hint}") from None


def _side(text: str, path: Path, plugins: list[str]) -> Side:
    if path.is_dir():
        run = Run.open(path)
        load_plugins(run.plugins)
        settings = resolve(config_file=run.config_file)
        meta = run.meta()
        origins = read_yaml(run.config_file).get("origin", {})
        return Side(text, settings, meta["fingerprint"], meta.get("term_code", {}), origins)
    load_plugins(plugins)
    if path.suffix in (".yaml", ".yml") and path.is_file() and "terms" not in read_yaml(path):
        settings = resolve(config_file=path)
    else:
        settings = resolve(text)
    return Side(text, settings, settings.fingerprint, settings.term_code, settings.config.origins)


def diff(a: Side, b: Side) -> Diff:
    """What B's reward pays differently from A's."""
    terms_a, terms_b = (set(s.settings.config.reward.terms) for s in (a, b))
    both = sorted(terms_a & terms_b)
    changed = []
    values_a, values_b = a.values, b.values
    for key in sorted({*values_a, *values_b}):
        parts = key.split(".")
        if parts[1] == "terms" and parts[2] not in both:
            continue
        x, y = values_a.get(key), values_b.get(key)
        if x != y:
            origins = [s.origin(key) if value is not None else None for s, value in ((a, x), (b, y))]
            changed.append(Change(key.removeprefix("reward."), x, y, *origins))
    return Diff(
        a,
        b,
        added=sorted(terms_b - terms_a),
        removed=sorted(terms_a - terms_b),
        changed=changed,
        code_changed=[t for t in both if t in a.code and t in b.code and a.code[t] != b.code[t]],
        code_unknown=[t for t in both if t not in a.code or t not in b.code],
    )


def text(d: Diff) -> str:
    """The diff as a person reads it."""
    lines = [f"A {d.a.label}, fingerprint {d.a.fingerprint}", f"B {d.b.label}, fingerprint {d.b.fingerprint}"]

    def scale(s: Side, term: str) -> str:
        key = f"reward.terms.{term}.scale"
        return f"{s.values[key]:g}  ({s.origin(key)})"

    lines += [f"+ {term}  {scale(d.b, term)}" for term in d.added]
    lines += [f"- {term}  {scale(d.a, term)}" for term in d.removed]
    for c in d.changed:
        shown = [
            f"{value}  ({origin})" if value is not None else "none"
            for value, origin in ((c.a, c.origin_a), (c.b, c.origin_b))
        ]
        lines.append(f"~ {c.key.removeprefix('terms.')}: {shown[0]} -> {shown[1]}")
    lines += [f"! {term}: its code differs" for term in d.code_changed]
    if d.code_unknown:
        lines.append(f"? code not recorded on one side: {', '.join(d.code_unknown)}")
    if d.same:
        lines.append("the rewards are the same")
    if (d.a.fingerprint == d.b.fingerprint) != d.same:
        lines.append("the fingerprints also cover environment and algorithm")
    return "\n".join(lines)
