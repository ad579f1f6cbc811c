"""What the library says of a configuration or a component: plain values that become one YAML file each.

An entry is a mapping of plain values. What people write into it (``hypothesis``, ``notes``, any key of their own) is
never touched here; everything else is a fold of the experiments, so that the order in which they came does not show.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from vbot.keys import flatten
from vbot.proportions import wilson_interval
from vbot.rewards.cards import place_text, range_text
from vbot.rewards.registry import TermSpec
from vbot.yaml_files import write_rows, write_yaml

Entry = dict[str, Any]
Row = dict[str, Any]
Kind = Literal["component", "config"]
State = Literal["finished", "pruned", "diverged"]

STATUSES = ("untested", "promising", "verified")
"""In their order; ``rejected`` is none of them: evidence never gives it."""
REJECTED = "rejected"

PROMISING = 0.5
"""Lower end of the 95 % interval of success over all seeds, from which a configuration is promising."""
VERIFIED, VERIFIED_SEEDS = 0.9, 3
"""Lower end of the 95 % interval of every seed, and the least number of seeds, for a verified one."""

_HEADER = """\
# Written by vbot. Yours are hypothesis, notes and keys of your own; comments are lost. The status is changed with
# python -m vbot.archive promote NAME, or reject NAME --reason TEXT.
"""
_ROWS = ("results", "experiments")
"""Lists that are written a row a line."""


def kind_of(entry: Mapping[str, Any]) -> Kind:
    return "config" if "settings" in entry else "component"


def text_of(entry: Mapping[str, Any]) -> str:
    """The file of an entry."""
    head = {key: value for key, value in entry.items() if key not in _ROWS}
    return _HEADER + write_yaml(head) + "".join(write_rows(name, entry[name]) for name in _ROWS if name in entry)


def config_name(reward_set: str, fingerprint: str) -> str:
    """``SET-FINGERPRINT``, shortened: the same for the same configuration, whoever archives it and when."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', reward_set).strip('.-') or 'set'}-{fingerprint[:8]}"


def new_config(name: str, fingerprint: str, config: Mapping[str, Any], code: Mapping[str, str]) -> Entry:
    """The entry of a configuration without experiments.

    Args:
        config: resolved configuration as nested plain values.
        code: reward term -> hash of its code.
    """
    return {
        "name": name,
        **_PEOPLE,
        "fingerprint": fingerprint,
        "task": config["env"]["task"],
        "reward_set": config["reward"]["name"],
        "code": dict(code),
        "settings": {section: config[section] for section in ("env", "ppo", "reward")},
        "results": [],
        "experiments": [],
    }


_PEOPLE = {"status": STATUSES[0], "decided_by": "evidence", "reason": None, "hypothesis": None, "notes": None}


def new_component(name: str) -> Entry:
    """The entry of a reward term that nothing is known of yet."""
    return {"name": name, **_PEOPLE, "version": None, "experiments": []}


def describe(entry: Entry, spec: TermSpec) -> None:
    """Take over what the registry says of the term."""
    file = Path(place_text(spec).rpartition(":")[0])
    known = {
        "version": spec.version,
        "formula": " ".join(spec.doc.split("\n\n")[0].split()),
        "kind": spec.kind,
        "sign": "penalty" if spec.penalty else "reward",
        "scale": spec.scale,
        "search": range_text(spec.search),
        "params": {name: list(v) if isinstance(v, tuple) else v for name, v in spec.params.items()},
        "tune": {name: range_text(range_) for name, range_ in spec.tune.items()},
        "decay": spec.decay,
        # Without the line, which moves with every other term of the file; a plugin's path is somebody's own.
        "defined": (file.name if file.is_absolute() else file.as_posix()),
    }
    experiments = entry.pop("experiments")
    entry.update(known)
    entry["experiments"] = experiments


# Experiments of a configuration.


def experiment(
    run: str,
    state: State,
    meta: Mapping[str, Any],
    train: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    findings: Iterable[str],
) -> Row:
    """The row of a run.

    Args:
        run: its name in the library.
        train: its ``train`` section, which says the budget.
        result: of a finished run; what did not finish has no numbers, not zeros.
    """  # fmt: skip
    row: Row = {
        "run": run,
        "seed": train["seed"],
        "budget": {"minutes": train["minutes"]} if train["minutes"] is not None else {"steps": train["steps"]},
        "state": state,
        "started": meta["started"],
    }
    if result is not None:
        best = result["best"]
        row |= {
            "episodes": best["episodes"],
            "success": _rate(best["success_rate"]),
            "success_ci95": [_rate(end) for end in best["success_ci95"]],
            "falls": _rate(best["fall_rate"]),
            "time_to_target_s": _rounded(best["time_to_target_s"], 2),
            "contest_score": _rounded(best["contest_score"], 2),
            "steps": result["steps"],
            "wall_s": _rounded(result["elapsed_s"], 1),
        }
    return {**row, "findings": list(findings)}


def merge(rows: Iterable[Row], more: Iterable[Row]) -> list[Row]:
    """All of the rows in the order of their start. A run that is there is replaced: it is known by start and seed."""
    found = {(row["started"], row["seed"], str(row["budget"])): row for row in (*rows, *more)}
    return [found[key] for key in sorted(found)]


def results(rows: Iterable[Row]) -> list[Row]:
    """A row for each budget: the finished runs together, of each seed the first, for a repeat of it tells nothing new.

    The interval is Wilson's, of the episodes of all seeds.
    """
    budgets: dict[str, list[Row]] = {}
    for row in rows:
        budgets.setdefault(str(row["budget"]), []).append(row)
    told = []
    for _, group in sorted(budgets.items()):
        seeds: dict[int, Row] = {}
        for row in group:
            if row["state"] == "finished":
                seeds.setdefault(row["seed"], row)
        told.append(_together(group[0]["budget"], [seeds[seed] for seed in sorted(seeds)]))
    return told


def _together(budget: Row, rows: list[Row]) -> Row:
    row: Row = {"budget": budget, "seeds": [r["seed"] for r in rows]}
    if not rows:
        return row
    episodes = sum(r["episodes"] for r in rows)
    successes = [_count(r["success"], r) for r in rows]
    timed = [
        (r["time_to_target_s"], n) for r, n in zip(rows, successes, strict=True) if r["time_to_target_s"] is not None
    ]
    return {
        **row,
        "episodes": episodes,
        "success": _rate(sum(successes) / episodes),
        "success_ci95": [_rate(end) for end in wilson_interval(sum(successes), episodes)],
        "falls": _rate(sum(_count(r["falls"], r) for r in rows) / episodes),
        "time_to_target_s": _rounded(sum(t * n for t, n in timed) / sum(n for _, n in timed), 2) if timed else None,
        "wall_s": _rounded(sum(r["wall_s"] for r in rows) / len(rows), 1),
    }


def update_config(entry: Entry, rows: Iterable[Row]) -> None:
    """Take ``rows`` among the experiments of a configuration, and tell anew what they come to."""
    entry["experiments"] = merge(entry["experiments"], rows)
    entry["results"] = results(entry["experiments"])
    if entry["decided_by"] == "evidence":
        entry["status"] = config_evidence(entry["experiments"])


def config_evidence(experiments: Iterable[Row]) -> str:
    """The status that the experiments of a configuration give it; see PROMISING and VERIFIED."""
    rows = [row for row in experiments if row["state"] == "finished"]
    status = STATUSES[0]
    for result in results(rows):
        # The seeds of this budget; a policy that one seed of three does not find is not verified by the other two.
        low = [seed_row["success_ci95"][0] for seed_row in _first_of_each_seed(rows, result["budget"])]
        if len(low) >= VERIFIED_SEEDS and min(low) >= VERIFIED:
            return "verified"
        if result["success_ci95"][0] >= PROMISING:
            status = "promising"
    return status


def _first_of_each_seed(rows: Iterable[Row], budget: Row) -> list[Row]:
    first: dict[int, Row] = {}
    for row in rows:
        if row["budget"] == budget:
            first.setdefault(row["seed"], row)
    return list(first.values())


def best_result(entry: Mapping[str, Any]) -> Row | None:
    """The result with the highest lower end of its interval; None where nothing has finished."""
    told = [row for row in entry["results"] if row["seeds"]]
    return max(told, key=lambda row: row["success_ci95"][0], default=None)


# Experiments of a component: what the configurations that pay it have come to.


def uses(term: str, config: Mapping[str, Any]) -> list[Row]:
    """The rows that a configuration adds to the entry of one of its terms."""
    values = config["settings"]["reward"]["terms"][term]
    told = []
    for result in config["results"]:
        runs = [row["run"] for row in config["experiments"] if row["budget"] == result["budget"]]
        told.append(
            {
                "config": config["name"],
                "status": config["status"],
                "fingerprint": config["fingerprint"],
                "task": config["task"],
                "version": config["code"].get(term),
                "scale": values["scale"],
                "params": {name: value for name, value in values.items() if name != "scale"},
                "runs": runs,
                **result,
            }
        )
    return told


def update_component(entry: Entry, config: str, rows: Iterable[Row]) -> None:
    """Replace what a component's entry says of ``config``."""
    others = [row for row in entry["experiments"] if row["config"] != config]
    entry["experiments"] = sorted([*others, *rows], key=lambda row: (row["config"], str(row["budget"])))
    judge_component(entry)


def judge_component(entry: Entry) -> None:
    """Tell the status of a component anew, unless a person has decided it."""
    if entry["decided_by"] == "evidence":
        entry["status"] = component_evidence(entry)


def component_evidence(entry: Mapping[str, Any]) -> str:
    """The best status of the configurations that pay the term as its code is now.

    Where the code of a run was not recorded, it makes a component promising at most.
    """
    status = STATUSES[0]
    for row in entry["experiments"]:
        if row["scale"] == 0 or row["status"] not in STATUSES or row["version"] not in (None, entry["version"]):
            continue
        most = row["status"] if row["version"] is not None else "promising"
        status = max(status, min(row["status"], most, key=STATUSES.index), key=STATUSES.index)
    return status


def values_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of an archived configuration, without the names of its reward."""
    flat = flatten(config["settings"], config["name"])
    flat.pop("reward.name", None)
    return flat


def _count(rate: float, row: Row) -> int:
    return round(rate * row["episodes"])


def _rate(value: float) -> float:
    """As fine as a count of ten thousand episodes, and finer than any interval."""
    return round(float(value), 5)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)
