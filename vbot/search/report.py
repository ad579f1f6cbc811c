"""What comes out of a study: ``report.md``, ``best.yaml`` and the HParams of TensorBoard."""

from typing import Any

from vbot.detectors import across_trials
from vbot.errors import UserError
from vbot.layers import build
from vbot.outcomes import BEST
from vbot.proportions import wilson_interval
from vbot.run import FINDINGS, METRICS, Run, read_lines, write_atomically
from vbot.search.executor import State
from vbot.search.importance import LEAST_TRIALS, importance
from vbot.search.objective import published_score
from vbot.search.records import RunRecord
from vbot.search.space import Parameter
from vbot.search.study import Study
from vbot.terminal import duration
from vbot.yaml_files import write_yaml

REPORT, HPARAMS = "report.md", "tensorboard"


def write_results(study: Study) -> None:
    """Write everything that a study comes to, as far as it has come."""
    ranked = study.ranked()
    try:
        if ranked:
            write_atomically(study.directory / BEST, write_yaml(best_settings(study, ranked[0][0])).encode())
        write_atomically(study.directory / REPORT, report(study).encode())
    except OSError as error:
        raise UserError(f"cannot write the report into {study.directory}: {error.strerror}") from None
    _write_hparams(study)


def best_settings(study: Study, trial: int) -> dict[str, Any]:
    """Environment, PPO and reward of a trial: what ``vbot.train --config`` takes."""
    values = {**study.plan.config, **study.space.fixed, **study.points[trial]}
    config = build(values, dict.fromkeys(values, f"trial {trial}")).to_dict()
    config["reward"]["name"] += f"-{study.directory.name}"
    return {name: config[name] for name in ("env", "ppo", "reward")}


def report(study: Study) -> str:
    """The report, as Markdown."""
    lines = [f"# Search {study.directory.name}", ""]
    trials = [r for r in study.runs.values() if r.seed == study.plan.seed]
    lines += [
        f"{len(trials)} trials of {study.plan.config['train.steps']:,} control steps, sampler {study.plan.sampler}, "
        f"seed {study.plan.seed}, {len(study.space)} parameters, {duration(study.elapsed_s)} of search.",
        *(f"\n{notice}." for notice in study.space.notices()),
        *_winner(study),
        *_table(study, trials),
        *_importance(study),
        *_findings(study, trials),
        *_failures(study),
    ]
    return "\n".join(lines) + "\n"


def _winner(study: Study) -> list[str]:
    ranked = study.ranked()
    if not ranked:
        return ["", "No trial has finished: there is no best configuration."]
    trial, runs = ranked[0]
    lines = ["", "## Best configuration", "", f"Trial {trial}{', the defaults' if trial == 0 else ''}."]
    if len(runs) > 1:
        lines += [" ".join(verdict(study, ranked)), ""]
        lines += [
            "| trial | objective, mean | of each seed | success on fresh episodes, seeds of their own |",
            "|---" * 4 + "|",
        ]
        lines += [_again_row(study, t, r) for t, r in ranked]
        first = next(r for r in runs if r.seed == study.plan.seed)
        others = [r.objective or 0.0 for r in runs if r.seed != study.plan.seed]
        gap = (first.objective or 0.0) - sum(others) / len(others)
        rest = "the other seed" if len(others) == 1 else f"the mean of the {len(others)} other seeds"
        lucky = " What is chosen for being the best of many was partly lucky." if gap > 0 else ""
        lines += [
            "",
            f"The first estimate of the best, from one seed, was {first.objective:.3f}: {abs(gap):.3f} too "
            f"{'high' if gap > 0 else 'low'}, against {rest}.{lucky}",
        ]
    else:
        lines += ["", "It was trained with one seed only: how much of it is luck is not known."]
    lines += ["", "| parameter | best | default |", "|---|---|---|"]
    lines += [f"| {p.key} | {study.points[trial][p.key]} | {p.default} |" for p in study.space.parameters]
    plugins = "".join(f" --plugin {plugin}" for plugin in study.plan.plugins)
    steps = study.plan.config["train.steps"]
    lines += ["", f"    python -m vbot.train --config {study.directory / BEST} --steps {steps}{plugins}"]
    return lines


def verdict(study: Study, ranked: list[tuple[int, list[RunRecord]]]) -> list[str]:
    """Whether the best is better than the defaults, by the fresh episodes of seeds that chose neither."""
    trial, runs = ranked[0]
    if trial == 0:
        return ["Nothing that was tried beat them."]
    best, defaults = _fresh(study, runs), _fresh(study, dict(ranked).get(0, []))
    if best is None or defaults is None:
        return ["The defaults were not trained again: whether it beats them is not known."]
    if best[1] > defaults[2]:
        told = "It beats the defaults: the intervals"
    elif best[2] < defaults[1]:
        told = (
            "Its objective is the best, but fewer of its fresh episodes succeed than with the defaults: the intervals"
        )
    else:
        return [
            f"Whether it beats the defaults cannot be told: {_interval(best)} against {_interval(defaults)} overlap."
        ]
    return [f"{told} {_interval(best)} and {_interval(defaults)} do not overlap.", *_WARNING]


_WARNING = ("They are of episodes; how much seeds differ, their objectives in the table show.",)


def _again_row(study: Study, trial: int, runs: list[RunRecord]) -> str:
    objectives = [r.objective or 0.0 for r in runs]
    each = ", ".join(f"{value:.3f}" for value in objectives)
    name = f"{trial} (defaults)" if trial == 0 else str(trial)
    return f"| {name} | {sum(objectives) / len(objectives):.3f} | {each} | {_interval(_fresh(study, runs))} |"


def _fresh(study: Study, runs: list[RunRecord]) -> tuple[float, float, float] | None:
    """Success rate and its Wilson interval over the last evaluations of all runs but the first; None without any.

    The first run decided what was trained again, so its success is that of a chosen one.
    """
    results = [_result(study, r) for r in runs if r.seed != study.plan.seed]
    if not results or not all(results):
        return None
    episodes = sum(r["episodes"] for r in results)
    successes = round(sum(r["success_rate"] * r["episodes"] for r in results))
    low, high = wilson_interval(successes, episodes)
    return successes / episodes, low, high


def _interval(rate: tuple[float, float, float] | None) -> str:
    return "-" if rate is None else f"{100 * rate[0]:.1f} % [{100 * rate[1]:.1f}, {100 * rate[2]:.1f}]"


def _result(study: Study, run: RunRecord) -> dict[str, Any]:
    """The evaluation that ended a run, on episodes that nothing in it had seen; empty where there is none."""
    try:
        return (Run.open(study.directory / "trials" / run.name).result() or {}).get("best", {})
    except UserError:
        return {}


def _table(study: Study, trials: list[RunRecord]) -> list[str]:
    heads = [p.short for p in study.space.parameters]
    lines = [
        "",
        "## Trials",
        "",
        f"| trial | state | objective | published score | {' | '.join(heads)} |",
        "|---" * (4 + len(heads)) + "|",
    ]
    for run in sorted(trials, key=lambda r: (-(r.objective if r.objective is not None else -1e9), r.trial)):
        objective = f"{run.objective:.3f}" if run.objective is not None else "-"
        values = " | ".join(_cell(p, study.points[run.trial]) for p in study.space.parameters)
        lines.append(f"| {run.trial} | {run.label} | {objective} | {_published(study, run)} | {values} |")
    return [
        *lines,
        "",
        "The published score contains the reward that is searched over and so does not compare trials; it decided "
        "nothing here.",
    ]


def _published(study: Study, run: RunRecord) -> str:
    """The published composite score at the end of a run, a dash where anything of it is missing."""
    limit_s = study.objective.limit_s
    score = published_score({**_last(study, run), **run.metrics}, limit_s) if run.objective is not None else None
    return f"{score:.3f}" if score is not None else "-"


def _last(study: Study, run: RunRecord) -> dict[str, Any]:
    """The last metrics of a run that tell of episodes; empty where none do."""
    rows = read_lines(study.directory / "trials" / run.name / METRICS)
    return next((row for row in reversed(rows) if "return_mean" in row), {})


def _cell(parameter: Parameter, point: dict[str, Any]) -> str:
    value = point[parameter.key]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _importance(study: Study) -> list[str]:
    lines = ["", "## What mattered", ""]
    # Trials that were pruned are judged earlier than the others, and would tell of their state.
    complete = [study.sampler.trials[r.trial] for r in study.runs.values() if _complete(study, r)]
    found = importance(study.space, complete, study.plan.seed)
    if found is None:
        return [*lines, f"Not enough trials: {len(complete)} finished, {LEAST_TRIALS} are the least to tell anything."]
    told = [f for f in found if f.told]
    if not told:
        return [*lines, f"Nothing stands out from chance in {len(complete)} finished trials."]
    lines += ["| parameter | share of the variance of ranks | rank correlation | p |", "|---|---|---|---|"]
    for f in told:
        correlation = "-" if f.correlation is None else f"{f.correlation:+.2f}"
        lines.append(f"| {f.key} | {f.share:.2f} | {correlation} | {f.p:.3f} |")
    return [*lines, "", f"The other {len(found) - len(told)} do not stand out from chance."]


def _complete(study: Study, run: RunRecord) -> bool:
    return run.seed == study.plan.seed and run.state is State.COMPLETE


def _findings(study: Study, trials: list[RunRecord]) -> list[str]:
    """Cheats and the like that were seen in the trials, and whether their returns tell the same as their success."""
    lines = []
    for run in trials:
        rows = read_lines(study.directory / "trials" / run.name / FINDINGS)
        if names := dict.fromkeys(row["name"] for row in rows if row["level"] != "note"):
            lines.append(f"- trial {run.trial}: {', '.join(names)}")
    both = [
        (last["return_mean"], run.metrics["success_rate"])
        for run in trials
        if "success_rate" in run.metrics and (last := _last(study, run))
    ]
    lines += [f"- {f}" for f in across_trials([r for r, _ in both], [success for _, success in both])]
    return ["", "## What the detectors saw", "", *(lines or ["Nothing."])]


def _failures(study: Study) -> list[str]:
    failed = [r for r in study.runs.values() if r.state not in (State.COMPLETE, State.PRUNED)]
    if not failed:
        return []
    return ["", "## What failed", "", *(f"- {r.name}: {r.label}. {r.reason}" for r in failed)]


def _write_hparams(study: Study) -> None:
    """The parallel-coordinates view of TensorBoard: a run for each trial."""
    from torch.utils.tensorboard import SummaryWriter

    for run in study.runs.values():
        if run.objective is None or (study.directory / HPARAMS / run.name).exists():
            continue
        point = {key: str(v) if isinstance(v, list) else v for key, v in study.points[run.trial].items()}
        with SummaryWriter(str(study.directory / HPARAMS)) as writer:
            writer.add_hparams({**point, "seed": run.seed}, {"objective": run.objective}, run_name=run.name)
