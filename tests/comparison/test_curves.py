"""Learning curves, income by term, and the picture of both."""

import subprocess
import sys
from pathlib import Path

import pytest

from vbot.comparison.collect import collect
from vbot.comparison.curves import MOST, curve, curves, income
from vbot.comparison.groups import Group, compare
from vbot.comparison.metrics import find_metric


def group(*paths) -> Group:
    (found,) = compare(collect(paths), find_metric("success")).groups
    return found


def test_the_curve_of_seeds_is_their_mean_and_range_where_all_have_been(run):
    # Evaluations at 0.25, 0.5, 0.75 and 1 M steps, and at 0.5 and 1 M: between these the second lies on a line.
    a = run("a", 1.0, seed=0, curve=(0.0, 0.2, 0.6, 1.0))
    b = run("b", 0.8, seed=1, curve=(0.4, 0.8))
    found = curve(group(a, b))
    assert found is not None
    assert found.steps == [500_000, 750_000, 1_000_000]
    assert found.mean == pytest.approx([0.3, 0.6, 0.9])  # of 0.2 and 0.4, 0.6 and 0.6, 1.0 and 0.8
    assert found.low == pytest.approx([0.2, 0.6, 0.8])
    assert found.high == pytest.approx([0.4, 0.6, 1.0])
    assert (found.band, len(found.lines)) == ("mean and range of 2 seeds", 2)


def test_the_range_of_seeds_that_cross_has_a_corner_there(run):
    # From 0 to 100 % and from 80 to 60 %: both are at 2/3 after 2/3 of the way from 0.5 to 1 M steps.
    found = curve(group(run("a", 1.0, curve=(0.0, 1.0)), run("b", 0.6, seed=1, curve=(0.8, 0.6))))
    assert found is not None
    assert found.steps == pytest.approx([500_000, 833_333.3, 1_000_000])
    assert found.low == pytest.approx([0.0, 2 / 3, 0.6])
    assert found.high == pytest.approx([0.8, 2 / 3, 1.0])


def test_the_band_of_one_seed_is_the_interval_of_its_episodes(run):
    found = curve(group(run("a", 0.5, curve=(0.0, 0.5))))
    assert found is not None
    assert (found.steps, found.mean) == ([500_000, 1_000_000], [0.0, 0.5])
    assert (found.low[1], found.high[1]) == (pytest.approx(0.439, abs=1e-3), pytest.approx(0.561, abs=1e-3))
    assert found.band == "one seed, 95 % interval of its episodes"


def test_an_unfinished_seed_is_a_line_and_no_part_of_the_mean(run):
    found = curve(group(run("a", 0.8), run("b", 0.1, seed=1, finished=False)))
    assert found is not None
    assert (found.mean, found.seeds, len(found.lines)) == ([0.4, 0.8], 1, 2)


def test_without_an_evaluation_there_is_no_curve_and_there_are_never_too_many(run):
    assert curve(group(run("a", None))) is None
    many = [run(f"r{k}", k / 20, fingerprint=f"{k:016x}") for k in range(MOST + 3)]
    of = curves(compare(collect(many), find_metric("success")).groups)
    assert [c.lines[0].outcome.path.name for c in of] == [f"r{k}" for k in range(MOST + 2, 2, -1)]  # the best


def test_income_is_the_mean_over_seeds_of_what_was_logged_last(run):
    # Ten rows rise evenly to the end: their mean is 0.55 of it, and two terms share it: 100 * 0.55 / 2 and twice that.
    assert income(group(run("a", returns=100.0), run("b", returns=200.0, seed=1))) == {
        "progress": pytest.approx(41.25),
        "stay": pytest.approx(41.25),
    }


def test_the_picture_is_one(run, tmp_path):
    pytest.importorskip("matplotlib")
    from vbot.comparison.__main__ import main

    runs = [run(f"{name}{seed}", 0.9, seed=seed, fingerprint=name * 16) for name in "ab" for seed in (0, 1)]
    runs.append(run("far", 0.4, task="section001-far", fingerprint="f" * 16))
    main([*map(str, runs), "--plot", str(tmp_path / "out.png"), "--json"])
    content = (tmp_path / "out.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(content[k : k + 4], "big") for k in (16, 20))
    assert width == 1320
    assert height == 4 * 408  # two tasks, each with curves and a row of incomes


def test_without_matplotlib_the_extra_is_named(run):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from vbot.cli import run_command; from vbot.comparison.__main__ import main\n"
        "run_command(lambda: main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run("a")), "--plot", "x.png"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'error: --plot needs the extra "plot": pip install "vbot[plot]"\n'
