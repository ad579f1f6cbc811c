"""What the benchmark of samplers makes of its runs, by hand."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "samplers.py"


@pytest.fixture(scope="module")
def bench():
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(str(FILE.parent))
    spec = importlib.util.spec_from_file_location("benchmark_of_samplers", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    monkeypatch.undo()


def test_beats_counts_pairs_and_half_of_the_ties(bench):
    # 1 beats 0; 1 ties with 1; 2 beats both: (1 + 0.5 + 2) of 4.
    assert bench.beats(np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])) == [3.5 / 4]


def test_ranks_share_ties(bench):
    values = np.array([[3.0, 1.0], [1.0, 1.0], [3.0, 2.0]])
    assert bench.ranks(values).tolist() == [[1.5, 2.5], [3.0, 2.5], [1.5, 1.0]]


def test_only_problems_with_every_run_are_judged(bench):
    def row(sampler, problem, seed, *values):
        handed = [[value, value + 1, value + 2] for value in values]
        return {"sampler": sampler, "problem": problem, "seed": seed, "handed": handed}

    rows = [row("random", "p", s, 0.0, 1.0) for s in (0, 1)] + [row("gp", "p", s, float(s + 1)) for s in (0, 1)]
    rows += [row("random", "q", 0, 0.0)]
    result = bench.judge(rows, ["random", "gp"], ["p", "q"], 2)
    assert result["problems"] == ["p"]
    # gp's 1 against 0 and 1, and its 2 against the same: three wins and a tie. It is first with both seeds.
    assert result["samplers"]["gp"]["15"]["beats_random"] == 3.5 / 4
    assert result["samplers"]["gp"]["15"]["rank"] == 1.0
    assert result["samplers"]["random"]["60"]["beats_random"] == 0.5


@pytest.mark.parametrize("name", ["quadratic", "quadratic-mixed", "levy", "success_rate"])
def test_functions_have_mean_0_and_deviation_1_and_their_optimum_inside(bench, name):
    problem = bench.make_problem(name, 3)
    rng = np.random.default_rng(5)
    values = np.array([problem.true(problem.space.sample(rng)) for _ in range(1500)])
    assert len(problem.space) == 12
    tolerance = 0.4 if name.endswith("-mixed") else 0.1  # cells shift it a little
    assert values.mean() == pytest.approx(0.0, abs=tolerance)
    assert values.std() == pytest.approx(1.0, abs=tolerance)
    looks = [problem.observe(problem.space.defaults(), rng) for _ in range(400)]
    assert np.std(looks) == pytest.approx(0.3, abs=0.04)
    assert np.mean(looks) == pytest.approx(problem.true(problem.space.defaults()), abs=0.06)
    optimum = np.random.default_rng([10**9, 3]).random(12)
    assert problem.true(problem.space.values(optimum)) > values.max() - 0.3


@pytest.mark.parametrize("sampler", ["random", "perturb"])
def test_no_sampler_draws_from_the_stream_of_the_problem(bench, sampler):
    drawn = []
    for seed in range(20):
        task = bench.make_problem("quadratic", seed)
        asked = bench.NAMES[sampler](task.space, seed)
        drawn.append([task.true(asked.ask()) for _ in range(4)])
    # The mean of a uniform point is 0, that of 20 has a standard deviation of 0.22; the optimum is at about 3.
    assert np.abs(np.mean(drawn, axis=0)).max() < 0.8
