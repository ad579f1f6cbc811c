"""When a run looks and keeps, and what it takes for its best."""

import dataclasses

import pytest

from vbot.config import TrainConfig
from vbot.courses import TASKS
from vbot.experiment import Experiment, _Intervals
from vbot.run import Run
from vbot.settings import resolve

UPDATE = 1_000
"""Control steps per update of these imagined runs."""


def due_at(budget: int, interval: int | None, default_parts: int, least_parts: int) -> list[int]:
    intervals = _Intervals(TrainConfig(steps=budget), interval, default_parts=default_parts, least_parts=least_parts)
    steps = range(UPDATE, budget + UPDATE, UPDATE)
    return [s for s in steps if intervals.due(s, min(1.0, s / budget))]


@pytest.mark.parametrize("interval", [None, 1, 7_000, 40_000, 10**9])
def test_checkpoints_come_at_least_five_times_whatever_the_interval(interval):
    due = due_at(100_000, interval, default_parts=8, least_parts=5)
    assert len(due) >= 5
    assert due[-1] == 100_000


def test_an_interval_is_kept_to():
    assert due_at(100_000, 30_000, default_parts=16, least_parts=1) == [30_000, 60_000, 90_000, 100_000]


def test_by_default_the_budget_is_cut_into_equal_parts():
    assert due_at(100_000, None, default_parts=4, least_parts=1) == [25_000, 50_000, 75_000, 100_000]


def test_a_policy_that_was_lucky_is_found_out_in_the_end(tmp_path, monkeypatch, capsys):
    """Two of equal evaluations, on a task that begins at the target: one that falls, and one that stands."""
    here = dataclasses.replace(TASKS["section001"], name="here", spawn_min_m=0.2, spawn_max_m=0.3)
    monkeypatch.setitem(TASKS, "here", here)
    given = {"env.task": "here", "env.num_envs": 8, "train.eval_episodes": 4, "train.threads": 1}
    experiment = Experiment(resolve("swift", options=given))
    policy = experiment._trainer.policy
    weights = policy.actor.state_dict()
    last_bias = [name for name in weights if name.endswith("bias")][-1]
    finalists = []
    for steps, joint_target in ((1_000_000, 10.0), (2_000_000, 0.0)):
        for name, values in weights.items():
            values.fill_(joint_target if name == last_bias else 0.0)
        evaluation = {"steps": steps, "episodes": 4, "success_rate": 1.0, "time_to_target_s": 1.0}
        finalists.append({"evaluation": evaluation, "policy": experiment._policy()})
    experiment._finalists = finalists
    experiment.run = Run(tmp_path)
    assert experiment._choose()["evaluation"]["steps"] == 2_000_000
    assert "best of 2 policies on 8 new episodes: that of 2.00 M steps" in capsys.readouterr().out
