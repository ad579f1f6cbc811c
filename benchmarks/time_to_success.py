"""How long until the robot succeeds: wall-clock and steps of training, over seeds and reward sets.

    python benchmarks/time_to_success.py --sets swift phase5 --seeds 0 1 2 --steps 8e6 --runs DIR [--plot FILE.png]
    python benchmarks/time_to_success.py --from DIR [--plot FILE.png]

Every run is a ``python -m vbot.train`` of its own, one after the other, kept in DIR/SET-sSEED; a finished one there is
not repeated.
Times are training time: the run's wall-clock without its evaluations, from the moment the run directory is there.

- A level of success *holds* from the first of three evaluations in a row that reach it (256 held-out episodes each,
  deterministic policy).
- "stolen" is the share of the cores that a hypervisor gave to others meanwhile: what the times are too long by, at
  least.
- "by T s" (--times) judges the policy that the run would have chosen as its best, had it ended by then, on 1,024
  episodes that nothing in the run has seen, with its 95 % interval.
- "contests by T s" judges it in 100 contests of ten robots each (task section001-contest): the share with the full 20
  points, that is, with ten robots through the inner fence to the centre and none fallen.

These two need a simulation; they are kept in RUN/judged.json, so that --from takes seconds the second time.
"""

import functools
import json
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from common import first_hold, parser, print_table, stolen_s, write_json

from vbot.choice import choose, finalists
from vbot.episodes import Episodes
from vbot.evaluation import CHOICE, CHOICE_FACTOR, Evaluator, load_policy
from vbot.proportions import wilson_interval
from vbot.run import CHECKPOINTS, METRICS, RESULT, Run, read_lines
from vbot.sim import available_cores

LEVELS = (0.90, 0.95, 0.99)
TIMES_S = (120.0, 240.0, 300.0, 360.0)
FRESH_EPISODES = 1024
CONTESTS, ROBOTS = 100, 10
JUDGED, STOLEN = "judged.json", "stolen.json"


def train(given: Namespace, reward_set: str, seed: int, directory: Path) -> None:
    budget = ["--steps", given.steps] if given.minutes is None else ["--minutes", given.minutes]
    # Checkpoints as often as evaluations: the last one before a given time should not be old.
    intervals = ["--eval-interval", given.eval_interval, "--checkpoint-interval", given.eval_interval]
    command = [
        *(sys.executable, "-m", "vbot.train", "--reward-set", reward_set, "--seed", seed, "--run-dir", directory),
        *("--no-archive", *budget, *intervals, *(part for key in given.assignments for part in ("--set", key))),
    ]
    start, stolen = time.monotonic(), stolen_s()
    subprocess.run([str(part) for part in command], check=True)
    share = (stolen_s() - stolen) / (time.monotonic() - start) / available_cores()
    (directory / STOLEN).write_text(json.dumps({"share": round(share, 4)}) + "\n")


def training_time(run: Run) -> Callable[[int], float | None]:
    """Steps -> seconds of training, evaluations apart, when a run had come so far; None if it never logged them."""
    elapsed = {row["steps"]: row["elapsed_s"] for row in read_lines(run.path / METRICS)}
    evaluations = run.evaluations()

    def at(steps: int) -> float | None:
        # A line of metrics is written before the evaluation at the same steps.
        spent = [row["evaluation_s"] for row in evaluations if row["steps"] < steps]
        return elapsed[steps] - max(spent, default=0.0) if steps in elapsed else None

    return at


def judge(run: Run, times_s: Sequence[float]) -> dict[str, Any]:
    """What the best policies of a run by ``times_s`` do on fresh episodes and in contests: time -> what was seen."""
    file = run.path / JUDGED
    judged: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    torch.set_num_threads(1)  # torch's idle workers would spin on the cores that physics needs
    listed = run.checkpoints()
    time_at = training_time(run)
    timed = [(time_at(c["steps"]), c) for c in listed if c["name"].startswith("step_") and c["evaluation"]]
    for limit_s in times_s:
        before = {c["steps"]: (time_s, c) for time_s, c in timed if time_s is not None and time_s <= limit_s}
        # A training that was over before is what it came to.
        came_so_far = run.result() is not None or any(time_s is not None and time_s > limit_s for time_s, _ in timed)
        if before and came_so_far and f"{limit_s:g}" not in judged:
            time_s, checkpoint = before[best_of(run, [c for _, c in before.values()])]
            known = (entry for entry in judged.values() if entry["checkpoint"] == checkpoint["name"])
            judged[f"{limit_s:g}"] = next(known, None) or {
                "checkpoint": checkpoint["name"],
                "steps": checkpoint["steps"],
                "training_s": time_s,
                **judge_policy(run.path / CHECKPOINTS / checkpoint["file"], run.meta()["seed"]),
            }
    if run.result() is not None:  # a run under way may yet come to more
        file.write_text(json.dumps(judged, indent=2) + "\n")
    return judged


def best_of(run: Run, checkpoints: Sequence[dict[str, Any]]) -> int:
    """The steps of the best of these checkpoints, chosen as a run does that ends there."""
    files = {c["steps"]: run.path / CHECKPOINTS / c["file"] for c in checkpoints}
    best = finalists([c["evaluation"] for c in checkpoints])
    return choose(best, lambda e: judge_finalist(files[e["steps"]]))["steps"]


@functools.cache
def judge_finalist(path: Path) -> dict[str, Any]:
    policy = load_policy(path)
    if policy.validation is None:
        sys.exit(f"error: {path} is of an older vbot and does not tell its validation episodes; train anew")
    seed, episodes = policy.validation["seed"], policy.validation["episodes"]
    return Evaluator(policy.env, CHOICE_FACTOR * episodes, seed, purpose=CHOICE)(policy).summary()


def judge_policy(path: Path, seed: int) -> dict[str, Any]:
    """What the policy of a checkpoint does on fresh episodes and in contests, drawn for ``seed``."""
    policy = load_policy(path)
    summary = Evaluator(policy.env, FRESH_EPISODES, seed, purpose="benchmark")(policy).summary()
    policy = load_policy(path, task="section001-contest")
    episodes = Evaluator(policy.env, CONTESTS * ROBOTS, seed, purpose="benchmark contest")(policy)
    kept = ("episodes", "success_rate", "success_ci95", "fall_rate", "time_to_target_s")
    return {key: summary[key] for key in kept} | {"contests": contests(episodes)}


def contests(episodes: Episodes) -> dict[str, Any]:
    """Scores of contests between the episodes: a point each for inner fence and centre, none for a robot that fell."""
    points = (episodes.fenced.int() + episodes.reached.int()) * ~episodes.fell
    # Episodes come in the order they ended, and failures end late: as they come, they would meet in few contests.
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    scores = points[order].view(-1, ROBOTS).sum(1)
    full = int((scores == 2 * ROBOTS).sum())
    return {
        "contests": len(scores),
        "full": full / len(scores),
        "full_ci95": list(wilson_interval(full, len(scores))),
        "score_mean": float(scores.float().mean()),
    }


def read_run(path: Path, times_s: Sequence[float]) -> dict[str, Any]:
    """A row: everything that the tables and the figure say of one run."""
    run = Run.open(path)
    evaluations = [row | {"training_s": row["elapsed_s"] - row["evaluation_s"]} for row in run.evaluations()]
    name, seed = _set_and_seed(path)
    held = {f"{level:.2f}": first_hold(evaluations, level) for level in LEVELS}
    return {
        "set": name,
        "seed": seed,
        "training_s": evaluations[-1]["training_s"],
        "steps": evaluations[-1]["steps"],
        "stolen": json.loads(stolen.read_text())["share"] if (stolen := path / STOLEN).is_file() else None,
        "holds": {
            level: {"training_s": row["training_s"], "steps": row["steps"]} if row is not None else None
            for level, row in held.items()
        },
        "by": judge(run, times_s),
        "evaluations": [{key: row[key] for key in ("training_s", "steps", "success_rate")} for row in evaluations],
    }


def _set_and_seed(path: Path) -> tuple[str, int]:
    name, _, seed = path.name.rpartition("-s")
    return name, int(seed)


def summarize(rows: Sequence[dict[str, Any]], times_s: Sequence[float]) -> list[dict[str, Any]]:
    """A summary per set: medians over seeds and ranges. A seed that never held a level counts as later than all."""
    sets = []
    for name in dict.fromkeys(row["set"] for row in rows):
        runs = [row for row in rows if row["set"] == name]
        holds = {}
        for level in (f"{level:.2f}" for level in LEVELS):
            times = [run["holds"][level]["training_s"] if run["holds"][level] else float("inf") for run in runs]
            steps = [run["holds"][level]["steps"] if run["holds"][level] else float("inf") for run in runs]
            holds[level] = {
                "training_s": _spread(times),
                "steps": _spread(steps),
                "held": sum(time_s < float("inf") for time_s in times),
            }
        by = {}
        for limit_s in (f"{limit_s:g}" for limit_s in times_s):
            judged = [run["by"][limit_s] for run in runs if limit_s in run["by"]]
            by[limit_s] = {
                "success_rate": _spread([j["success_rate"] for j in judged]),
                "success_ci95_low": _spread([j["success_ci95"][0] for j in judged]),
                "full_contests": _spread([j["contests"]["full"] for j in judged]),
            } if judged else None  # fmt: skip
        sets.append({"set": name, "seeds": len(runs), "holds": holds, "by": by})
    return sets


_SPREAD = ("median", "min", "max")


def _spread(values: list[float]) -> dict[str, float | None]:
    """Median and range; None for what is not finite."""
    found = (statistics.median(values), min(values), max(values))
    return {key: value if value < float("inf") else None for key, value in zip(_SPREAD, found, strict=True)}


def report(rows: Sequence[dict[str, Any]], sets: Sequence[dict[str, Any]]) -> None:
    header = ("training time until it holds", *(f"{100 * level:.0f} %" for level in LEVELS), "steps/s", "stolen")
    lines = []
    for entry in sets:
        lines.append(
            (f"{entry['set']}, median of {entry['seeds']}", *(_held(h) for h in entry["holds"].values()), "", "")
        )
        for row in (row for row in rows if row["set"] == entry["set"]):
            cells = (f"{h['training_s']:.0f} s, {h['steps'] / 1e6:.2f} M" if h else "-" for h in row["holds"].values())
            stolen = "-" if row["stolen"] is None else f"{row['stolen']:.0%}"
            lines.append((f"  seed {row['seed']}", *cells, f"{row['steps'] / row['training_s']:,.0f}", stolen))
    print_table(header, lines)
    print()
    times = list(sets[0]["by"])
    header = ("best policy on fresh episodes, %", *(f"by {limit_s} s" for limit_s in times))
    lines = []
    for entry in sets:
        lines.append((f"{entry['set']}, median of {entry['seeds']}", *(_success(by) for by in entry["by"].values())))
        for row in (row for row in rows if row["set"] == entry["set"]):
            lines.append((f"  seed {row['seed']}", *(_percent_interval(row["by"].get(limit_s)) for limit_s in times)))
    print_table(header, lines)
    print()
    header = ("contests with 20 of 20, mean score", *(f"by {limit_s} s" for limit_s in times))
    lines = []
    for entry in sets:
        lines.append((f"{entry['set']}, median of {entry['seeds']}", *(_contests(by) for by in entry["by"].values())))
        for row in (row for row in rows if row["set"] == entry["set"]):
            judged = (row["by"].get(limit_s) for limit_s in times)
            cells = (f"{j['contests']['full']:.0%}, {j['contests']['score_mean']:.2f}" if j else "-" for j in judged)
            lines.append((f"  seed {row['seed']}", *cells))
    print_table(header, lines)


def _held(hold: dict[str, Any]) -> str:
    if not hold["held"]:
        return "never"
    median, low, high = (
        "never" if hold["training_s"][key] is None else f"{hold['training_s'][key]:.0f} s" for key in _SPREAD
    )
    million = "" if hold["steps"]["median"] is None else f", {hold['steps']['median'] / 1e6:.2f} M"
    return f"{median} [{low}, {high}]{million}"


def _success(by: dict[str, Any] | None) -> str:
    if by is None:
        return "-"
    return f"{100 * by['success_rate']['median']:.1f}, lower end {100 * by['success_ci95_low']['median']:.1f}"


def _contests(by: dict[str, Any] | None) -> str:
    return f"{by['full_contests']['median']:.0%}" if by is not None else "-"


def _percent_interval(judged: dict[str, Any] | None) -> str:
    if judged is None:
        return "-"
    low, high = judged["success_ci95"]
    return f"{100 * judged['success_rate']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _options() -> ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--from", dest="finished", type=Path, metavar="DIR", help="train nothing, read these runs")
    options.add_argument("--runs", type=Path, default=Path("runs/time-to-success"), metavar="DIR", help="kept here")
    options.add_argument("--sets", nargs="+", default=["swift", "phase5"], metavar="NAME")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="S")
    budget = options.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=float, default=10e6, metavar="N", help="budget of a run, as in 8e6")
    budget.add_argument("--minutes", type=float, metavar="M", help="budget in minutes instead, evaluations included")
    options.add_argument("--eval-interval", type=int, default=250_000, metavar="STEPS", help="and of checkpoints")
    options.add_argument("--set", action="append", default=[], dest="assignments", metavar="KEY=VALUE")
    options.add_argument(
        "--times", nargs="+", type=float, default=TIMES_S, metavar="S", help="of training, to judge at"
    )
    options.add_argument("--plot", type=Path, metavar="FILE.png", help="success against training time")
    return options


def main() -> None:
    given = _options().parse_args()
    if given.plot is not None:
        from success_plot import plot  # first: a missing matplotlib should not be found out after hours
    if given.finished is not None:
        paths = sorted((file.parent for file in given.finished.glob("*-s*/eval.jsonl")), key=_set_and_seed)
        if not paths:
            sys.exit(f"error: no SET-sSEED/eval.jsonl in {given.finished}")
    else:
        # Sets in the inner loop, so that a noisy hour does not fall on one of them.
        plan = [(name, seed, given.runs / f"{Path(name).stem}-s{seed}") for seed in given.seeds for name in given.sets]
        for name, seed, path in plan:
            if not (path / RESULT).is_file():
                train(given, name, seed, path)
        paths = [path for _, _, path in plan]
    rows = [read_run(path, given.times) for path in paths]
    sets = summarize(rows, given.times)
    report(rows, sets)
    settings = {key: value for key, value in vars(given).items() if isinstance(value, (int, float, str, list))}
    write_json(given.json, rows, sets=sets, settings=settings)
    if given.plot is not None:
        plot(rows, given.plot)


if __name__ == "__main__":
    main()
