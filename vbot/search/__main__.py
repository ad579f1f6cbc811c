"""Search for a better reward and better hyperparameters: ``python -m vbot.search --trials 15 --budget-hours 8``."""

import shutil
import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from vbot.audit.report import begin
from vbot.cli import Parser, refuse_beside_resume, run_command
from vbot.courses import load_task
from vbot.errors import UserError
from vbot.outcomes import BEST, STAGES
from vbot.rewards.plugins import load_plugins
from vbot.run import write_atomically
from vbot.search.journal import JOURNAL, Journal, locked
from vbot.search.memory import remember, warm_start
from vbot.search.objective import Objective
from vbot.search.records import Plan
from vbot.search.report import REPORT, write_results
from vbot.search.samplers import SAMPLERS, make_sampler
from vbot.search.sources import SPACE, presets, search_space
from vbot.search.space import Values
from vbot.search.study import Study
from vbot.settings import resolve
from vbot.sim import available_cores
from vbot.terminal import LiveLine, duration
from vbot.yaml_files import read_yaml, write_yaml

CONFIG, PLUGINS = "config.yaml", "plugins"
_EVALUATIONS = 8
"""Of a trial; the steps of all trials are the same, so that they compare."""


def _parser() -> Parser:
    parser = Parser(prog="python -m vbot.search", description="Search rewards and PPO, judged by held-out success.")
    parser.add_argument("--trials", type=int, metavar="N", help="points to try, the defaults among them (default 15)")
    parser.add_argument("--budget-hours", type=float, metavar="H", help="time for all of it, over all resumes")
    parser.add_settings("built-in set or YAML file (default phase5)")
    parser.add_argument("--sampler", metavar="NAME", help=f"{', '.join(SAMPLERS)} (default gp)")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="search only these, as in 'arrival_*'")
    parser.add_argument("--space", metavar="FILE", help=f"YAML file or one of {', '.join(presets())}")
    parser.add_argument("--trial-steps", type=float, metavar="N", help="control steps of a trial (default 2e6)")
    parser.add_argument("--objective", metavar="SUM", help="success_rate, contest_score, or METRIC=WEIGHT,...")
    parser.add_argument("--seed", type=int, metavar="S")
    parser.add_argument("--no-prune", action="store_true", help="train every trial to its end")
    parser.add_argument("--jobs", type=int, metavar="N", help="trials side by side, sharing the cores (default 1)")
    parser.add_argument("--stage", metavar="TASKS", help="task,task,...: a search for each, from the best of the last")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/search-SET-TIME")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with a search")
    parser.add_argument("--no-audit", action="store_true", help="do not look first at what the reward pays for")
    parser.add_argument("--warm-start", action="store_true", help="try first what the reward library knows to be good")
    parser.add_no_archive()
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    given = _parser().parse_args(arguments)
    if given.resume is not None:
        refuse_beside_resume(given, "the search as it was")
        directory = given.resume
        if not (directory / CONFIG).is_file() and not (directory / STAGES).is_file():
            raise UserError(f"{directory} holds no search: it has no {CONFIG}")
    elif given.stage is not None:
        directory = _create_stages(given)
    else:
        directory = _create(given)
    if (directory / STAGES).is_file():
        _search_stages(directory, quiet=given.quiet, archive=not given.no_archive)
        return
    with locked(directory):
        study = _open(directory, quiet=given.quiet)
        if study.finished:
            write_results(study)  # a kill may have come before it, and before the next
            remember(directory, [study], archive=not given.no_archive, quiet=True)
            raise UserError(f"{directory} has finished; its report is in {directory / REPORT}")
        _search(study, directory, quiet=given.quiet)
        remember(directory, [study], archive=not given.no_archive, quiet=given.quiet)


def _create_stages(given: Any) -> Path:
    """Make the studies of all stages, each with its share of the budget; gives the directory that holds them."""
    if given.task is not None:
        raise UserError("--stage says the tasks; leave --task out")
    tasks = [task.strip() for task in given.stage.split(",")]
    if clash := next((task for i, task in enumerate(tasks) if task in tasks[:i]), None):
        raise UserError(f"--stage: {clash} is there twice")
    for task in tasks:
        load_task(task)
    directory: Path = given.out or Path("runs") / f"search-stages-{time.strftime('%Y%m%d-%H%M%S')}"
    if (directory / STAGES).exists():
        raise UserError(f"{directory} already holds a search; go on with --resume {directory}, or give another --out")
    if directory.is_dir() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty; give another --out")
    share = given.budget_hours / len(tasks) if given.budget_hours is not None else None
    names = [f"{number}-{task}" for number, task in enumerate(tasks, 1)]
    for name, task in zip(names, tasks, strict=True):
        _create(Namespace(**{**vars(given), "task": task, "out": directory / name, "budget_hours": share}))
    write_atomically(directory / STAGES, write_yaml({"stages": names}).encode())
    return directory


def _search_stages(directory: Path, *, quiet: bool, archive: bool) -> None:
    """Search stage after stage; the best of each is tried early in the next, right after the defaults."""
    with locked(directory):
        names = read_yaml(directory / STAGES)["stages"]
        best: Values = {}
        rows = []
        studies: list[Study] = []
        for name in names:
            with locked(directory / name):
                study = _open(directory / name, quiet=quiet, prior=best)
                if not study.finished:
                    _search(study, directory, quiet=quiet)
                elif name == names[-1]:
                    remember(directory, [*studies, study], archive=archive, quiet=True)
                    raise UserError(f"{directory} has finished; its report is in {directory / REPORT}")
                studies.append(study)
                ranked = study.ranked()
                best = study.points[ranked[0][0]] if ranked else {}
                trial = f"{ranked[0][0]} | {ranked[0][1][0].objective:.3f}" if ranked else "- | -"
                rows.append(f"| {name} | {trial} | [{REPORT}]({name}/{REPORT}) |")
                lines = ["# Search in stages", "", "| stage | best trial | its objective | report |", "|---" * 4 + "|"]
                write_atomically(directory / REPORT, "\n".join([*lines, *rows, ""]).encode())
                if ranked:
                    write_atomically(directory / BEST, (directory / name / BEST).read_bytes())
        remember(directory, studies, archive=archive, quiet=quiet)


def _create(given: Any) -> Path:
    """Check everything, then make the directory; gives its path."""
    if given.trials is not None and given.trials < 1:
        raise UserError(f"--trials must be at least 1; got {given.trials}")
    if given.budget_hours is not None and not given.budget_hours > 0:
        raise UserError(f"--budget-hours must be greater than 0; got {given.budget_hours}")
    jobs = given.jobs if given.jobs is not None else 1
    if jobs < 1:
        raise UserError(f"--jobs must be at least 1; got {jobs}")
    plugins = load_plugins(given.plugin)
    steps = given.trial_steps if given.trial_steps is not None else 2e6
    options: dict[str, Any] = {
        "train.steps": steps,
        "train.minutes": None,
        "train.eval_interval": max(1, round(steps / _EVALUATIONS)),
        "train.threads": max(1, available_cores() // jobs),
    }
    options |= {"train.seed": given.seed} if given.seed is not None else {}
    options |= {"env.task": given.task} if given.task is not None else {}
    named = given.reward_set if given.reward_set is not None or given.config is not None else "phase5"
    settings = resolve(named, config_file=given.config, options=options, assignments=given.assignments)
    choice = {
        "sampler": given.sampler or "gp",
        "trials": given.trials if given.trials is not None else 15,
        "budget_s": 3600 * given.budget_hours if given.budget_hours is not None else None,
        "prune": not given.no_prune,
        "jobs": jobs,
        "objective": given.objective or "success_rate",
        "source": given.space,
        "only": given.only or [],
        "command": sys.argv,
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    space = search_space(settings, given.space, choice["only"])
    make_sampler(choice["sampler"], space)
    Objective.parse(choice["objective"], load_task(settings.config.env.task).episode_limit_s)
    if given.warm_start:
        known = warm_start(settings, space, choice["trials"] - 1)
        choice |= {"starts": known.starts, "skips": known.skips}
        if not given.quiet:
            print("\n".join(known.lines))
    stamp = time.strftime("%Y%m%d-%H%M%S")
    directory: Path = given.out or Path("runs") / f"search-{settings.config.reward.name}-{stamp}"
    if (directory / CONFIG).exists():
        raise UserError(f"{directory} already holds a search; go on with --resume {directory}, or give another --out")
    try:
        (directory / PLUGINS).mkdir(parents=True, exist_ok=True)
        for plugin in plugins:
            shutil.copyfile(plugin, directory / PLUGINS / plugin.name)
        if given.space is not None and given.space not in presets():
            shutil.copyfile(given.space, directory / SPACE)  # the user's own may change under a long search
            choice["source"] = SPACE
        content = {**settings.config.to_dict(), "origin": dict(sorted(settings.config.origins.items()))}
        with locked(directory):
            (directory / JOURNAL).unlink(missing_ok=True)  # of a start that was killed before its last line, below
            journal = Journal(directory)
            journal.append("study", elapsed_s=0.0, space=_description(space), **choice)
            journal.close()
        # Last: without it there is no search.
        write_atomically(directory / CONFIG, write_yaml(content).encode())
        if not given.no_audit:
            begin(settings, directory, quiet=given.quiet)
    except OSError as error:
        raise UserError(f"cannot write {directory}: {error.strerror}") from None
    return directory


def _open(directory: Path, *, quiet: bool, prior: Values | None = None) -> Study:
    """The study of a directory, as its journal says; ``prior`` is a point to try early."""
    plugins = sorted((directory / PLUGINS).glob("*.py"))
    load_plugins(plugins)
    settings = resolve(config_file=directory / CONFIG)
    journal = Journal(directory)
    if journal.notice and not quiet:
        print(journal.notice)
    if not journal.events or journal.events[0]["event"] != "study":
        raise UserError(f"{journal.file} does not begin as a search's; start a new one")
    first = journal.events[0]
    source = str(directory / SPACE) if first["source"] == SPACE else first["source"]
    space = search_space(settings, source, first["only"])
    if _description(space) != first["space"]:
        raise UserError(
            f"{directory}: the search space is no longer what it was when the search began; start a new one"
        )
    space = replace(space, prior={**space.prior, **(prior or {})}, starts=tuple(first.get("starts", ())))
    line = LiveLine(quiet=quiet)
    config = settings.config
    plan = Plan(
        config.flat(),
        first["sampler"],
        config.train.seed,
        first["trials"],
        first["budget_s"],
        first["prune"],
        first["jobs"],
        [str(p) for p in plugins],
        tuple(first.get("command", ())),
        first.get("began", ""),
    )
    sampler = make_sampler(plan.sampler, space, plan.seed)
    sampler.skip(first.get("skips", ()))
    return Study(
        directory,
        plan,
        journal,
        space,
        sampler,
        Objective.parse(first["objective"], load_task(config.env.task).episode_limit_s),
        say=line.say,
        show=line.show,
    )


def _search(study: Study, whole: Path, *, quiet: bool) -> None:
    """Search to the end, or to Ctrl-C; ``whole`` is the directory that goes on."""
    if not quiet:
        plan = study.plan
        limit = f", {duration(plan.budget_s)} at most" if plan.budget_s is not None else ""
        print(f"search {study.directory}: {plan.trials} trials of {len(study.space)} parameters, {plan.sampler}{limit}")
        for notice in study.space.notices():
            print(notice)
    try:
        study.search()
    except KeyboardInterrupt:
        if not quiet:
            print(f"stopped; go on with: python -m vbot.search --resume {whole}")
        raise
    finally:
        write_results(study)
    if not quiet:
        print(f"report: {study.directory / REPORT}")


def _description(space: Any) -> list[str]:
    """What must be the same when a search goes on."""
    parameters = [f"{p.key}: {p.range!r}, default {p.default}" for p in space.parameters]
    return [*parameters, *(c.text for c in space.constraints), *(f"{k}={v}" for k, v in sorted(space.fixed.items()))]


if __name__ == "__main__":
    run_command(main)
