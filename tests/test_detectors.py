"""Every detector on records that have the cheat, and on records of honest robots, which none may accuse."""

import math

import pytest
import torch

from vbot.courses import load_task
from vbot.detectors import SHARE, Evidence, Watch, across_trials, decline, detect
from vbot.episodes import Episodes
from vbot.findings import CHEATS, Finding
from vbot.records import Records
from vbot.rewards.cards import pays_for_living
from vbot.settings import resolve

torch.set_num_threads(1)

N = 40
CHEATING = 16  # of the forty, from episode 100 on
TASK = load_task("section001")  # 20 s, platform 11 m, reach 0.5 m
SETTINGS = resolve("phase5")
TERMS = tuple(t.spec.name for t in SETTINGS.reward_set.terms)
ALIVE = torch.tensor([pays_for_living(t.spec, t.params) for t in SETTINGS.reward_set.terms])

HONEST = {
    "success": True, "fell": False, "timeout": False, "reached": True, "fenced": True, "counted": True,
    "duration_s": 6.0, "reach_time_s": 5.0, "reach_distance_m": 0.48, "initial_distance_m": 6.0,
    "final_distance_m": 0.2, "path_m": 5.8,
    "arrivals": 1, "final_radius_m": 0.2, "final_speed_mps": 0.05, "top_speed_mps": 1.4, "steps": 300,
}  # fmt: skip
HONEST_INCOME = {"arrival_bonus": 100.0, "stop_scale": 200.0, "position_tracking": 150.0, "torques": -5.0}
TIMED_OUT = {
    "success": False, "timeout": True, "reached": False, "fenced": False, "reach_time_s": math.nan, "arrivals": 0,
    "duration_s": 20.0, "steps": 1000,
}  # fmt: skip
FELL = {**TIMED_OUT, "timeout": False, "fell": True}
STOOD = {**TIMED_OUT, "initial_distance_m": 6.0, "final_distance_m": 6.1, "path_m": 0.3, "top_speed_mps": 0.2,
         "final_radius_m": 6.1}  # fmt: skip

CASES = {
    "lazy robot": (STOOD, {"alive_bonus": 300.0, "heading_tracking": 50.0, "torques": -5.0}),
    "standing dominance": (STOOD, {"position_tracking": 900.0, "heading_tracking": 500.0, "alive_bonus": 100.0}),
    "sprint-crash": (
        {**FELL, "duration_s": 2.2, "final_distance_m": 1.0, "path_m": 5.0, "top_speed_mps": 3.1},
        {"forward_velocity": 400.0, "termination": -200.0},
    ),
    "touch-and-die": (
        {**HONEST, "success": False, "fell": True, "duration_s": 5.3, "final_distance_m": 0.4},
        {"arrival_bonus": 100.0, "termination": -50.0},
    ),
    "fly-through": (
        {**HONEST, "success": False, "timeout": True, "duration_s": 20.0, "final_distance_m": 3.0},
        {"arrival_bonus": 100.0, "position_tracking": 700.0},
    ),
    "deceleration moat": (
        {**TIMED_OUT, "final_distance_m": 1.1, "final_radius_m": 1.1, "path_m": 5.0, "final_speed_mps": 0.02},
        {"fine_position_tracking": 900.0, "position_tracking": 900.0},
    ),
    "conservative hovering": (
        {**TIMED_OUT, "final_distance_m": 0.56, "final_radius_m": 0.56, "path_m": 5.5, "final_speed_mps": 0.05},
        {"fine_position_tracking": 4000.0, "position_tracking": 2000.0},
    ),
    "negative walk": (
        {**TIMED_OUT, "final_distance_m": 5.9, "final_radius_m": 5.9, "path_m": 8.0},
        {"torques": -300.0, "position_tracking": 20.0, "action_rate": -30.0},
    ),
    "reach-and-farm": (
        {**HONEST, "success": False, "timeout": True, "duration_s": 20.0, "arrivals": 6, "final_distance_m": 0.8},
        {"arrival_bonus": 600.0, "position_tracking": 600.0},
    ),
    "die early": (
        {**FELL, "duration_s": 0.6, "final_distance_m": 5.9, "path_m": 0.2, "top_speed_mps": 0.5},
        {"termination": -200.0, "torques": -1.0},
    ),
    "hover near boundary": (
        {**TIMED_OUT, "initial_distance_m": 9.0, "final_distance_m": 9.7, "final_radius_m": 9.7, "path_m": 12.0},
        {"alive_bonus": 30.0, "heading_tracking": 200.0, "forward_velocity": 10.0},
    ),
}  # fmt: skip


def records(cheats: dict | None = None, income: dict | None = None, count: int = CHEATING) -> Records:
    """Forty honest episodes, of which the last ``count`` are replaced; the very last is the clearest of them."""
    rows = [dict(HONEST) for _ in range(N)]
    incomes = [dict(HONEST_INCOME) for _ in range(N)]
    for i in range(N - count, N) if cheats else ():
        rows[i] = {**HONEST, **cheats}
        incomes[i] = dict(income)
    e_names = [n for n in Episodes.__dataclass_fields__ if n not in ("returns", "term_sums", "term_raw_means")]
    sums = torch.tensor([[row.get(t, 0.0) for t in TERMS] for row in incomes], dtype=torch.float64)
    scales = torch.tensor([t.scale for t in SETTINGS.reward_set.terms], dtype=torch.float64)
    raw = sums / scales  # neither rates nor decay matter to the rules that read them
    raw[:, raw.abs().sum(0) == 0] += 1e-9  # no dead term unless a test makes one
    columns = {n: torch.tensor([row[n] for row in rows]) for n in e_names}
    episodes = Episodes(**columns, returns=sums.sum(1), term_sums=sums, term_raw_means=raw)
    names = ("arrivals", "final_radius_m", "final_speed_mps", "top_speed_mps", "steps")
    rest = {name: torch.tensor([row[name] for row in rows]) for name in names}
    return Records(
        episodes=episodes, number=torch.arange(100, 100 + N), **rest,
        raw_sums=raw, raw_discounted=raw, raw_last=torch.zeros_like(raw), terms=TERMS, discount=0.99,
        purpose="validation", seed=3,
    )  # fmt: skip


def seen(r: Records):
    return detect(r, TASK, SETTINGS.reward_set, 0.02, ALIVE)


def test_there_is_a_case_for_every_cheat():
    assert set(CASES) == set(CHEATS)


def test_honest_robots_are_left_in_peace():
    assert [str(e.finding) for e in seen(records())] == []


@pytest.mark.parametrize("cheat", CASES)
def test_a_cheat_is_named_and_no_other_with_an_episode_that_shows_it(cheat):
    found = [e for e in seen(records(*CASES[cheat])) if e.finding.name in CHEATS]
    assert [e.finding.name for e in found] == [cheat]
    (evidence,) = found
    assert evidence.share == pytest.approx(CHEATING / N)
    assert 100 + N - CHEATING <= evidence.episode < 100 + N
    assert f"{100 * CHEATING / N:.0f} % of 40 episodes" in evidence.finding.message


@pytest.mark.parametrize("cheat", CASES)
def test_a_few_episodes_are_no_cheat(cheat):
    assert all(e.finding.name not in CHEATS for e in seen(records(*CASES[cheat], count=3)))  # 7.5 % of them


def test_the_clearest_episode_is_shown():
    r = records(*CASES["reach-and-farm"])
    r.arrivals[N - 5] = 11
    (evidence,) = [e for e in seen(r) if e.finding.name == "reach-and-farm"]
    assert evidence.episode == 100 + N - 5
    assert evidence.finding.numbers["arrivals"] == 11


def test_alive_dominance_is_told_from_the_income():
    r = records(STOOD, {"alive_bonus": 300.0, "torques": -5.0}, count=36)
    (evidence,) = [e for e in seen(r) if e.finding.name == "alive dominance"]
    assert evidence.share == pytest.approx(36 * 300 / (36 * 300 + 4 * 450))
    assert "alive_bonus" in evidence.finding.suggestion
    assert not [e for e in seen(records(STOOD, {"alive_bonus": 100.0}, count=4)) if e.finding.name == "alive dominance"]


def test_a_dominating_term_is_named():
    r = records(STOOD, {"boundary_penalty": -5000.0}, count=30)
    (evidence,) = [e for e in seen(r) if e.finding.name == "dominating term"]
    assert "boundary_penalty" in evidence.finding.message


def test_a_reward_that_pays_nothing_though_robots_succeed_is_dead():
    def dead(r: Records, term: str) -> list:
        r.raw_sums[:, TERMS.index(term)] = 0.0
        return [(e.finding.numbers["term"], e.episode) for e in seen(r) if e.finding.name == "dead term"]

    assert dead(records(), "zero_ang_bonus") == [("zero_ang_bonus", None)]
    assert dead(records(), "termination") == []  # nobody falls: a penalty that does its work
    assert dead(records(STOOD, {"alive_bonus": 100.0}, count=N), "arrival_bonus") == []  # nobody has arrived yet


def test_standing_is_standing_whether_it_pays_or_costs():
    """Robots that stand for walking costs more: no return at all, and none to be proud of."""
    found = seen(records(STOOD, {"torques": -100.0, "position_tracking": 60.0}))
    assert [e.finding.name for e in found if e.finding.name in CHEATS] == ["standing dominance"]


def test_misalignment_is_when_failures_are_worth_more():
    r = records(STOOD, {"position_tracking": 2000.0, "heading_tracking": 500.0})
    (evidence,) = [e for e in seen(r) if e.finding.name == "misalignment"]
    assert evidence.finding.numbers["auc_value"] == 0.0  # every failure before every success
    assert evidence.finding.numbers["rank_correlation"] < -0.5
    r = records(STOOD, {"position_tracking": 10.0})
    assert not [e for e in seen(r) if e.finding.name == "misalignment"]


def test_misalignment_across_trials():
    rising, falling = [0.1, 0.3, 0.5, 0.7, 0.9], [0.9, 0.7, 0.5, 0.3, 0.1]
    assert across_trials([10, 20, 30, 40, 50], rising) == []
    (finding,) = across_trials([10, 20, 30, 40, 50], falling)
    assert finding.numbers["rank_correlation"] == pytest.approx(-1.0)
    assert across_trials([10, 20], [0.9, 0.1]) == []  # too few to say


def test_peak_then_decline_needs_two_evaluations_in_a_row():
    def rows(*rates: float) -> list[dict]:
        return [{"steps": 1000 * (k + 1), "success_rate": r} for k, r in enumerate(rates)]

    (evidence,) = decline(rows(0.2, 0.9, 0.6, 0.5))
    assert evidence.finding.numbers == {"peak": 0.9, "peak_steps": 2000, "now": 0.5}
    assert decline(rows(0.2, 0.9, 0.5)) == []
    assert decline(rows(0.2, 0.9, 0.5, 0.8)) == []
    assert decline(rows(0.2, 0.5, 0.8, 0.9)) == []


def rates(*successes: float, steps: int = 500_000) -> list[dict]:
    return [{"steps": steps * (k + 1), "success_rate": rate} for k, rate in enumerate(successes)]


def test_only_what_shows_twice_in_a_row_is_confirmed():
    watch, honest = Watch(), seen(records())
    cheat = [e for e in seen(records(*CASES["reach-and-farm"])) if e.finding.name in CHEATS]
    assert watch.confirm(cheat, 0.1, rates(0.1)) == []
    assert [e.finding.name for e in watch.confirm(cheat, 0.2, rates(0.1, 0.1))] == ["reach-and-farm"]
    assert watch.confirm(honest, 0.3, rates(0.1, 0.1, 0.1)) == []
    assert watch.confirm(cheat, 0.4, rates(0.1, 0.1, 0.1, 0.1)) == []
    assert watch.confirm(cheat, 0.5, rates(0.1, 0.1, 0.1, 0.1, 0.2)) == []  # success outgrows it
    assert [e.finding.name for e in watch.confirm(cheat, 0.6, rates(0.1, 0.1, 0.1, 0.1, 0.2, 0.1))]
    # One episode of a hundred more is no growth.
    assert [e.finding.name for e in watch.confirm(cheat, 0.7, rates(0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 0.11))]
    resumed = Watch()
    resumed.before = ["reach-and-farm"]
    assert [e.finding.name for e in resumed.confirm(cheat, 0.2, rates(0.1, 0.1))] == ["reach-and-farm"]


UNSKILLED = ("standing dominance", "negative walk", "die early", "hover near boundary")


@pytest.mark.parametrize("cheat", UNSKILLED)
def test_what_a_robot_does_that_cannot_walk_yet_is_a_cheat_only_after_its_youth(cheat):
    def said(progress: float, *successes: float, steps: int = 500_000) -> bool:
        watch, found = Watch(), seen(records(*CASES[cheat]))
        watch.confirm(found, 0.0, rates(*successes[:-1], steps=steps))
        return cheat in {e.finding.name for e in watch.confirm(found, progress, rates(*successes, steps=steps))}

    assert said(0.5, 0.0, 0.0)  # half of the budget, a million steps
    assert said(1.0, 0.3, 0.3, 0.2)
    assert not said(0.49, 0.0, 0.0)
    assert not said(1.0, 0.0, 0.0, steps=400_000)  # the whole of a budget that was too small to learn anything
    assert not said(0.6, 0.0, 0.1)  # it learns


def confirmed(trail: list[tuple[float, int, float, dict[str, float]]]) -> list[tuple[float, str]]:
    """What is said in the course of a run: share of the budget, cheat."""
    watch, evaluations, said = Watch(), [], []
    for progress, steps, success, shares in trail:
        evaluations.append({"steps": steps, "success_rate": success})
        found = [
            Evidence(Finding("warning", name, "", ""), share, 0) for name, share in shares.items() if share >= SHARE
        ]
        said += [(progress, e.finding.name) for e in watch.confirm(found, progress, evaluations)]
    return said


# What evaluations of real trainings showed, on section001 with 256 held-out episodes each: share of the budget, steps,
# success, and the share of the episodes that showed each cheat, the smallest left out. Measured on 2026-11-21.
TRAILS = {
    "phase5, seed 2": [
        (0.08, 516_096, 0.0, {"standing dominance": 1.0}),
        (0.16, 1_007_616, 0.0, {"standing dominance": 0.59, "negative walk": 0.11, "hover near boundary": 0.20}),
        (0.25, 1_523_712, 0.0, {"standing dominance": 0.67, "die early": 0.15}),
        (0.33, 2_015_232, 0.0, {"standing dominance": 0.80, "negative walk": 0.10, "hover near boundary": 0.14}),
        (0.43, 2_506_752, 0.0, {"standing dominance": 0.74, "negative walk": 0.09, "hover near boundary": 0.10}),
        (0.52, 3_022_848, 0.07, {"standing dominance": 0.24, "deceleration moat": 0.15}),
        (0.60, 3_514_368, 0.65, {"standing dominance": 0.09}),
        (0.67, 4_005_888, 0.95, {}),
    ],
    "phase5, seed 0": [
        (0.08, 516_096, 0.0, {"standing dominance": 0.98}),
        (0.17, 1_007_616, 0.0, {"standing dominance": 0.87}),
        (0.26, 1_523_712, 0.0, {"standing dominance": 0.66, "die early": 0.29}),
        (0.34, 2_015_232, 0.0, {"standing dominance": 0.24, "die early": 0.57}),
        (0.41, 2_506_752, 0.0, {"standing dominance": 0.43, "die early": 0.29}),
        (0.48, 3_022_848, 0.02, {"negative walk": 0.12, "hover near boundary": 0.26}),
        (0.56, 3_514_368, 0.17, {"standing dominance": 0.31, "die early": 0.12}),
        (0.63, 4_005_888, 0.76, {}),
    ],
    "swift, seed 0": [
        (0.05, 270_336, 0.0, {"standing dominance": 1.0}),
        (0.09, 516_096, 0.0, {"standing dominance": 0.69, "deceleration moat": 0.06}),
        (0.13, 761_856, 0.08, {"deceleration moat": 0.10, "hover near boundary": 0.098}),
        (0.17, 1_007_616, 0.01, {"conservative hovering": 0.34, "die early": 0.15}),
        (0.22, 1_253_376, 0.34, {"conservative hovering": 0.33}),
        (0.26, 1_523_712, 0.93, {}),
    ],
    "sprint, which pays for speed and has not learned to run yet": [
        (0.07, 147_456, 0.0, {"standing dominance": 1.0}),
        (0.14, 270_336, 0.0, {"standing dominance": 1.0}),
        (0.20, 393_216, 0.0, {"standing dominance": 0.98}),
    ],
    "lazy": [
        (0.07, 196_608, 0.0, {"lazy robot": 1.0}),
        (0.13, 393_216, 0.0, {"lazy robot": 1.0}),
        (0.19, 565_248, 0.0, {"lazy robot": 0.92}),
        (0.25, 761_856, 0.0, {"lazy robot": 1.0}),
    ],
}


@pytest.mark.parametrize("run", TRAILS)
def test_runs_that_learn_are_left_in_peace_and_the_lazy_one_is_caught_early(run):
    caught = [(0.13, "lazy robot"), (0.19, "lazy robot"), (0.25, "lazy robot")]
    assert confirmed(TRAILS[run]) == (caught if run == "lazy" else [])
