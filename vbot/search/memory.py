"""What a search takes from the reward library at its beginning, and leaves in it and in the journal at its end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vbot.archive.entries import REJECTED, Entry, best_result, values_of
from vbot.archive.finish import finish
from vbot.archive.library import Library, library_directory
from vbot.archive.report import command_text, enter, progress_table
from vbot.findings import LEVELS
from vbot.layers import build, default_layer
from vbot.outcomes import read
from vbot.rewards import REGISTRY
from vbot.rewards.sets import resolve_set
from vbot.run import FINDINGS, Run, read_lines
from vbot.search.executor import State
from vbot.search.records import RunRecord
from vbot.search.report import REPORT, verdict
from vbot.search.space import Space, Values, identity, native
from vbot.search.study import Study
from vbot.settings import Settings
from vbot.terminal import duration, percent

MOST_STARTS = 5
"""Archived configurations that a search tries before it looks for its own."""


@dataclass
class WarmStart:
    """What the library says to a search.

    Args:
        starts: points to try, the best first.
        skips: points that were run before with the same fingerprint and as many steps.
        lines: for a person: what is tried, what is skipped, what is left out and why.
    """

    starts: list[Values] = field(default_factory=list)
    skips: list[Values] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def warm_start(settings: Settings, space: Space, room: int) -> WarmStart:
    """The archived configurations of the same task and terms that ``space`` can express, the best first.

    Args:
        room: trials besides the defaults.
    """
    library = Library(library_directory())
    terms, task = set(settings.config.reward.terms), settings.config.env.task
    known = [
        entry
        for entry in library.entries("config")
        if entry["task"] == task and set(entry["settings"]["reward"]["terms"]) == terms and entry["status"] != REJECTED
    ]
    warm, left_out = WarmStart(), dict[str, list[str]]()
    for entry in sorted(known, key=_goodness, reverse=True):
        best = best_result(entry)
        name = f"{entry['name']} ({percent(best['success']) if best else 'never finished'})"
        point, why = _expressed(entry, settings, space)
        if point is None:
            left_out.setdefault(why, []).append(name)
        elif identity(point) == identity(space.defaults()):
            warm.lines.append(f"warm start: {name} is trial 0, the defaults")
        elif _was_run(entry, point, settings, space):
            warm.skips.append(point)
            warm.lines.append(f"warm start: {name} is skipped, it was run with as many steps before")
        elif best is None or best["success"] == 0:
            left_out.setdefault("nothing of it has succeeded", []).append(name)
        elif len(warm.starts) < min(MOST_STARTS, room):
            warm.starts.append(point)
            warm.lines.append(f"warm start: {name} is tried right after the defaults")
        else:
            left_out.setdefault(f"{len(warm.starts)} better ones are tried", []).append(name)
    warm.lines += [f"warm start: left out {', '.join(names)}: {why}" for why, names in left_out.items()]
    if not known:
        warm.lines.append(f"warm start: {library.directory} has nothing with these terms on {task}")
    return warm


def _goodness(entry: Entry) -> tuple[float, str]:
    best = best_result(entry)
    return (best["success_ci95"][0] if best else -1.0, entry["name"])


def _expressed(entry: Entry, settings: Settings, space: Space) -> tuple[Values | None, str]:
    """The point that is this configuration; else None, and what stands against it."""
    defaults = {k: v for k, v in default_layer().values.items() if k.startswith(("env.", "ppo."))}
    there = {**defaults, **values_of(entry)}
    here = {**settings.config.flat(), **space.fixed}
    here = {k: v for k, v in here.items() if not k.startswith("train.") and k != "reward.name"}
    for key in sorted({*there, *here} - set(space.keys)):
        if identity({"": native(there.get(key))}) != identity({"": native(here.get(key))}):
            return None, f"{key} is {there.get(key)} there, {here.get(key)} here, and is not searched"
    point = {p.key: native(there[p.key]) for p in space.parameters}
    if identity(point) == identity(space.defaults()):
        return point, ""
    for p in space.parameters:
        if not p.holds(point[p.key]):
            return None, f"{p.key} {point[p.key]} is not in {p.range}"
    return (point, "") if space.allowed(point) else (None, "a constraint drops it")


def _was_run(entry: Entry, point: Values, settings: Settings, space: Space) -> bool:
    """Whether it was trained, or diverged, with the same fingerprint and as many steps."""
    values = {**settings.config.flat(), **space.fixed, **point}
    config = build(values, dict.fromkeys(values, f"the library's {entry['name']}"))
    fingerprint = Settings(config, resolve_set(config.reward, REGISTRY)).fingerprint
    budget = {"steps": config.train.steps}
    return fingerprint == entry["fingerprint"] and any(
        row["budget"] == budget and row["state"] != "pruned" for row in entry["experiments"]
    )


def remember(directory: Path, studies: Sequence[Study], *, archive: bool, quiet: bool) -> None:
    """Archive the trials of a finished search, and enter it into the journal beside its directory, once.

    Args:
        directory: of the search.
        studies: one, or one for each stage.
        archive: False turns it off, as does ``--no-archive`` when the search began.
    """
    if archive and "--no-archive" not in studies[0].plan.command:
        finish([directory], lambda: _enter(directory, studies), quiet=quiet)


def _enter(directory: Path, studies: Sequence[Study]) -> Path | None:
    plan = studies[0].plan
    lines = [f"- command: `{command_text('vbot.search', plan.command)}`"] if plan.command else []
    for study in studies:
        lines += [*([f"- stage {study.plan.config['env.task']}"] if len(studies) > 1 else []), *_told(study)]
    lines.append(f"- report: {directory / REPORT}")
    return enter(directory.absolute().parent, directory.name, f"search {directory.name} {plan.began}", lines)


def _told(study: Study) -> list[str]:
    """The lines of one study."""
    ended: dict[str, int] = {}
    firsts = [r for r in study.runs.values() if r.seed == study.plan.seed]
    for run in firsts:
        ended[run.label] = ended.get(run.label, 0) + 1
    counts = ", ".join(f"{count} {label}" for label, count in ended.items())
    config = study.plan.config
    searched = f"{len(study.space)} parameter{'s'[: len(study.space) != 1]}"
    lines = [
        f"- {len(firsts)} trials of {config['train.steps']:,} steps in {duration(study.elapsed_s)} ({counts}); "
        f"{searched} of {config['reward.name']} on {config['env.task']}, sampler "
        f"{study.plan.sampler}, seed {study.plan.seed}"
    ]
    ranked = study.ranked()
    if not ranked:
        return [*lines, "- no trial has finished: there is no best configuration"]
    trial, runs = ranked[0]
    run_dir = study.directory / "trials" / runs[0].name
    told = (
        " ".join(verdict(study, ranked)) if len(runs) > 1 else "How much of it is luck is not known: it has one seed."
    )
    lines.append(f"- best: trial {trial}, fingerprint {_fingerprint(run_dir)}. {told}")
    defaults = study.space.defaults()
    changes = [f"{k}: {defaults[k]} -> {v}" for k, v in study.points[trial].items() if native(v) != defaults[k]]
    lines += [f"  - `~ {change}`" for change in changes]
    lines += progress_table(Run(run_dir).evaluations(), config["train.steps"])
    lines += [_result(study, run) for run in runs]
    lines += _diagnosis(study)
    file = Run(run_dir).checkpoint_file("best")
    return [*lines, f"- best checkpoint: {file}; replay: `python -m vbot.play {file}`"]


def _fingerprint(run_dir: Path) -> str:
    return read(run_dir).fingerprint or "unknown"


def _result(study: Study, run: RunRecord) -> str:
    """What a run came to on fresh episodes."""
    outcome = read(study.directory / "trials" / run.name)
    head = f"- trial {run.trial}, seed {run.seed}: objective {run.objective or 0.0:.3f}"
    if outcome.state != "finished" or outcome.evaluation is None:
        return head
    low, high = outcome.evaluation["success_ci95"]
    return (
        f"{head}; success {percent(outcome.evaluation['success_rate'])} [{100 * low:.1f}, {100 * high:.1f}] of "
        f"{outcome.evaluation['episodes']:,} fresh episodes, falls {percent(outcome.evaluation['fall_rate'])}"
    )


def _diagnosis(study: Study) -> list[str]:
    """Names of what the detectors saw, and in which trials."""
    seen: dict[str, list[int]] = {}
    for run in study.runs.values():
        if run.state not in (State.COMPLETE, State.PRUNED):
            continue
        rows = read_lines(study.directory / "trials" / run.name / FINDINGS)
        for name in dict.fromkeys(row["name"] for row in rows if row["level"] != LEVELS[-1]):
            trials = seen.setdefault(name, [])
            trials += [run.trial] if run.trial not in trials else []
    if not seen:
        return ["- diagnosis: no cheats seen"]
    return ["- diagnosis: seen at some time", *(f"  - {n}: trials {', '.join(map(str, t))}" for n, t in seen.items())]
