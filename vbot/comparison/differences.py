"""What differs between configurations, as they were recorded: values, and the code of reward terms.

Nothing is resolved anew: a key that an old run did not know of is not there, and is not given today's default.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbot.comparison.groups import SHORT, Comparison, Group
from vbot.comparison.table import Column, fit
from vbot.errors import UserError
from vbot.keys import flatten

_BUDGET = "train."
"""Keys of seed, budget and machine: runs of one fingerprint may differ in these, and in nothing else."""
_CODE = "code of "


@dataclass(frozen=True)
class Difference:
    """A key, and for each configuration its values; none where it has no such key."""

    key: str
    values: Sequence[Sequence[Any]]

    def cell(self, place: int) -> str:
        return ", ".join(map(_plain, self.values[place])) or "-"


@dataclass(frozen=True)
class Differences:
    """Where configurations differ, key by key."""

    groups: Sequence[Group]
    rows: Sequence[Difference]
    same: int
    """Keys in which all agree."""
    unreadable: Sequence[str] = ()
    """What could not be read, and why."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "configurations": [g.fingerprint for g in self.groups],
            "differences": {row.key: [list(v) for v in row.values] for row in self.rows},
            "same": self.same,
            "unreadable": list(self.unreadable),
        }

    def remarks(self) -> list[str]:
        """What a table of the rows does not say."""
        said = [f"The same in all: {self.same} keys." if self.rows else f"All {self.same} keys are the same."]
        fixed = [row for row in self.rows if not row.key.startswith(_BUDGET)]
        if len(self.groups) > 1 and not fixed:
            said.append("The fingerprints differ all the same: the code of a term, the task or the robot changed.")
        if len(self.groups) == 1:
            said.append("One configuration: its runs can differ in seed, budget and machine only.")
        elif fixed:
            a, b = (g.members[0].run_dir for g in self.groups[:2])
            said.append(f"Where the values of two rewards came from: python -m vbot.audit --diff {a} {b}")
        return [*said, *self.unreadable]


def differences(comparison: Comparison) -> Differences:
    """What differs between the configurations of all runs.

    Raises:
        UserError: there is one run only.
    """
    runs = {o.run_dir for g in comparison.groups for o in g.members}
    if len(runs) < 2:
        raise UserError(f"--diff compares configurations: it takes two runs or more; got {len(runs)}")
    groups, contents, unreadable = [], [], []
    for group in comparison.groups:
        try:
            contents.append(_content(group))
            groups.append(group)
        except UserError as error:
            unreadable.append(str(error))
    keys = sorted({key for content in contents for key in content}, key=_order)
    rows = [Difference(key, [content.get(key, []) for content in contents]) for key in keys]
    different = [row for row in rows if _differs(row)]
    return Differences(groups, different, len(rows) - len(different), unreadable)


def text(found: Differences, width: int | None = None) -> str:
    """A column for each configuration, where they fit; else a line for each value."""
    columns = [Column("", [row.key for row in found.rows])]
    columns += [Column(g.label, [row.cell(i) for row in found.rows]) for i, g in enumerate(found.groups)]
    wide = sum(c.width + 2 for c in columns)
    if not found.rows:
        body = []
    elif wide <= (width or 160):
        body = [fit(columns, None)[0]]
    else:
        body = [line for row in found.rows for line in (row.key, *_by_value(row, found.groups))]
    return "\n".join([*body, *([""] if body else []), *found.remarks()])


def _by_value(row: Difference, groups: Sequence[Group]) -> list[str]:
    """A line for each value of a row: the value, and who has it."""
    having: dict[str, list[str]] = {}
    for place, group in enumerate(groups):
        having.setdefault(row.cell(place), []).append(group.label)
    return [f"  {value}  ({', '.join(labels)})" for value, labels in having.items()]


def _content(group: Group) -> dict[str, list[Any]]:
    """Key -> its distinct values in a group; more than one of seed, budget and machine only."""
    content: dict[str, list[Any]] = {}
    directories = {o.run_dir: o for o in group.members}
    for number, outcome in enumerate(directories.values()):
        for key, value in flatten(outcome.config, str(outcome.path)).items():
            if (number == 0 or key.startswith(_BUDGET)) and value not in content.setdefault(key, []):
                content[key].append(value)
    code: Mapping[str, str] = group.members[0].meta.get("term_code") or {}
    return content | {f"{_CODE}{term}": [digest[:SHORT]] for term, digest in code.items()}


def _differs(row: Difference) -> bool:
    if row.key.startswith(_CODE):  # of a term that only some have, or whose code was not recorded, nothing is known
        return len({json.dumps(list(v)) for v in row.values if v}) > 1
    return len({json.dumps(list(v), sort_keys=True) for v in row.values}) > 1 or any(len(v) > 1 for v in row.values)


def _order(key: str) -> tuple[int, str]:
    """The reward first, for it is what is engineered; seed and budget last."""
    places = ("reward.", _CODE, "env.", "ppo.", _BUDGET)
    return next((i for i, start in enumerate(places) if key.startswith(start)), len(places)), key


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
